# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# Takes back an unconfirmed change: started by its timer, at a start of the node, or by busnode with the lock held.
# The settings state_dir, run_dir, unit_dir and PATH, and the functions of restore.sh, stand before this text.
set -u
umask 077
LC_ALL=C
export PATH LC_ALL
mode=${1:-}
mkdir -p "$run_dir"
if [ "$mode" != held ]; then
    exec 9>>"$run_dir/lock"
    # An operation that hangs must not hold the way back.
    if ! flock -w 10 9; then
        read -r holder <"$run_dir/pid" && kill -KILL "$holder"
        flock -w 5 9 || :
    fi
fi
# Confirm and rollback race for this one rename. A rollback that was cut off goes on.
if [ ! -d "$state_dir/rolling-back" ] && ! mv -T "$state_dir/pending" "$state_dir/rolling-back" 2>/dev/null; then
    # What was cut off while it armed the rollback had changed nothing yet.
    if [ "$mode" != held ] && [ -d "$state_dir/preparing" ]; then
        rm -rf -- "$state_dir/preparing"
        rollback_units_removed
    fi
    exit 0
fi
saved=$state_dir/rolling-back
cd "$saved" || exit 1
# While the node starts, nothing runs yet that would have to be told, and to wait for it would be to wait for ever.
running=1
[ "$mode" != boot ] || running=
wrong=
[ -z "$running" ] || firewall_stopped "$saved"
files_put_back "$saved"
if [ -n "$running" ]; then
    firewall_put_back "$saved"
    sshd_put_back
elif [ "$(cat ./firewall-active)" = active ]; then
    # A unit that has just come back is not among those that this start of the node is about.
    systemctl daemon-reload
    systemctl --no-block start busnode-firewall.service
fi
# The units stay, and with them what tries it again.
if [ -n "$wrong" ]; then
    echo "not taken back yet: $wrong; see: journalctl -t busnode -u busnode-rollback.service" >&2
    logger -t busnode "not taken back yet: $wrong; it is tried again, and at the next start of the node" 2>/dev/null
    exit 1
fi
id=$(cat ./id)
by=$(cat ./by)
operation=$(cat ./operation)
printf '{"operation":"%s","operation_id":"%s","by":"%s","at":%s,"ended":"rolled-back"}\n' \
    "$operation" "$id" "$by" "$(date +%s)" >"$state_dir/last-operation"
sync
# A confirmation that was cut off had put the older state aside.
for kept in confirmed undone; do
    [ -d "$state_dir/$kept" ] || mv -T -- "$state_dir/$kept.old" "$state_dir/$kept" 2>/dev/null
done
rm -rf -- "$state_dir/rolled-back"
mv -T -- "$saved" "$state_dir/rolled-back"
# Last, for until here they are what goes on after a reboot.
rollback_units_removed
folders_put_back "$state_dir/rolled-back"
sync
if [ -n "$running" ]; then
    # While systemd still knows what it starts: a timer without its service would stay there as failed.
    systemctl stop busnode-rollback.timer 2>/dev/null
    systemctl daemon-reload
fi
logger -t busnode "took back the change $id of $by: it was not confirmed" 2>/dev/null || :
