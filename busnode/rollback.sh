# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# Takes back an unconfirmed change: started by its timer, at a start of the node, or by busnode with the lock held.
# The settings state_dir, run_dir, unit_dir and PATH stand before this text.
set -u
umask 077
LC_ALL=C
export PATH LC_ALL
mkdir -p "$run_dir"
if [ "${1:-}" != held ]; then
    exec 9>>"$run_dir/lock"
    # An operation that hangs must not hold the way back.
    if ! flock -w 10 9; then
        read -r holder <"$run_dir/pid" && kill -KILL "$holder"
        flock -w 5 9 || :
    fi
fi
# Confirm and rollback race for this one rename. A rollback that was cut off goes on.
[ -d "$state_dir/rolling-back" ] || mv -T "$state_dir/pending" "$state_dir/rolling-back" 2>/dev/null || exit 0
cd "$state_dir/rolling-back" || exit 1
# Set when armed, gone after a reboot: then nothing has been started yet that would have to be told.
running=
[ ! -e "$run_dir/armed" ] || running=1
was=
read -r was <firewall-active
if [ -n "$running" ] && [ "$was" != active ]; then systemctl stop busnode-firewall.service; fi
number=0
missing=
while IFS= read -r path; do
    number=$((number + 1))
    if [ -e "files/$number" ] || [ -L "files/$number" ]; then
        rm -rf -- "$path.rollback"
        # On a full disk there is room for the old file only where the new one was.
        if cp -a -- "files/$number" "$path.rollback"; then
            mv -Tf -- "$path.rollback" "$path" || missing=$path
        else
            rm -rf -- "$path.rollback"
            cp -a --remove-destination -- "files/$number" "$path" || missing=$path
        fi
    else
        rm -f -- "$path" || missing=$path
    fi
done <paths
sync
if [ -n "$running" ]; then
    {
        echo 'table inet busnode'
        echo 'delete table inet busnode'
        cat table 2>/dev/null
    } | nft -f -
    if systemctl is-active -q ssh.socket; then :; elif sshd -t; then systemctl reload-or-restart ssh.service; fi
fi
if [ -n "$missing" ]; then
    logger -t busnode "cannot put back $missing; the next start of the node tries again" 2>/dev/null
    exit 1
fi
id=$(cat ./id)
by=$(cat ./by)
printf '{"operation":"harden","operation_id":"%s","by":"%s","at":%s,"ended":"rolled-back"}\n' \
    "$id" "$by" "$(date +%s)" >"$state_dir/last-operation"
sync
rm -rf -- "$state_dir/rolled-back"
mv -T -- "$state_dir/rolling-back" "$state_dir/rolled-back"
# Last, for until here they are what goes on after a reboot.
rm -f -- "$unit_dir/busnode-rollback.timer" "$unit_dir/busnode-rollback.service" "$run_dir/armed" \
    "$unit_dir/busnode-rollback-boot.service" "$unit_dir/sysinit.target.wants/busnode-rollback-boot.service"
while IFS= read -r folder; do rmdir -- "$folder" 2>/dev/null; done <new-folders
sync
if [ -n "$running" ]; then
    systemctl daemon-reload
    systemctl stop busnode-rollback.timer 2>/dev/null
fi
logger -t busnode "took back the change $id of $by: it was not confirmed" 2>/dev/null || :
