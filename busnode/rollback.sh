# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# Takes back an unconfirmed change: started by its timer, at a start of the node, or by busnode with the lock held.
# The settings state_dir, run_dir, unit_dir and PATH stand before this text.
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
[ -d "$state_dir/rolling-back" ] || mv -T "$state_dir/pending" "$state_dir/rolling-back" 2>/dev/null || exit 0
cd "$state_dir/rolling-back" || exit 1
# While the node starts, nothing runs yet that would have to be told, and to wait for it would be to wait for ever.
running=1
[ "$mode" != boot ] || running=
was=
read -r was <firewall-active
if [ -n "$running" ] && [ "$was" != active ]; then systemctl stop busnode-firewall.service; fi
number=0
wrong=
while IFS= read -r path; do
    number=$((number + 1))
    if [ -e "files/$number" ] || [ -L "files/$number" ]; then
        rm -rf -- "$path.rollback"
        # On a full disk there is room for the old file only where the new one was.
        if cp -a -- "files/$number" "$path.rollback"; then
            mv -Tf -- "$path.rollback" "$path" || wrong="$path cannot be put back"
        else
            rm -rf -- "$path.rollback"
            cp -a --remove-destination -- "files/$number" "$path" || wrong="$path cannot be put back"
        fi
    else
        rm -f -- "$path" || wrong="$path cannot be put back"
    fi
done <paths
sync
# What cannot be loaded must not leave the new rules in force either.
table_put_back() {
    {
        echo 'table inet busnode'
        echo 'delete table inet busnode'
        cat table 2>/dev/null
    } | nft -f - && return
    nft delete table inet busnode && [ ! -s table ]
}
sshd_put_back() {
    systemctl is-active -q ssh.socket && return
    # Of a stopped ssh.service, without which sshd -t fails.
    [ -d /run/sshd ] || mkdir -m 0755 /run/sshd
    sshd -t && systemctl reload-or-restart ssh.service
}
if [ -n "$running" ]; then
    table_put_back || wrong="nft does not load the old rules"
    sshd_put_back || wrong="sshd does not take its old configuration"
fi
# The units stay, and with them what tries it again.
if [ -n "$wrong" ]; then
    echo "not taken back yet: $wrong; see: journalctl -t busnode -u busnode-rollback.service" >&2
    logger -t busnode "not taken back yet: $wrong; it is tried again, and at the next start of the node" 2>/dev/null
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
rm -f -- "$unit_dir/busnode-rollback.timer" "$unit_dir/busnode-rollback.service" \
    "$unit_dir/busnode-rollback-boot.service" "$unit_dir/sysinit.target.wants/busnode-rollback-boot.service"
while IFS= read -r folder; do rmdir -- "$folder" 2>/dev/null; done <new-folders
sync
if [ -n "$running" ]; then
    systemctl daemon-reload
    systemctl stop busnode-rollback.timer 2>/dev/null
fi
logger -t busnode "took back the change $id of $by: it was not confirmed" 2>/dev/null || :
