# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# A saved state goes back to where it was; what cannot be put back is said in $wrong.

# files_put_back FOLDER: each file as it was saved there; what was not there then is removed. $left_alone is not touched
left_alone=
files_put_back() {
    number=0
    while IFS= read -r path; do
        number=$((number + 1))
        [ "$path" != "$left_alone" ] || continue
        # Left by a power cut.
        rm -rf -- "$path.busnode-new" "$path.rollback"
        if [ -e "$1/files/$number" ] || [ -L "$1/files/$number" ]; then
            # On a full disk there is room for the old file only where the new one was.
            if cp -a -- "$1/files/$number" "$path.rollback"; then
                mv -Tf -- "$path.rollback" "$path" || wrong="$path cannot be put back"
            else
                rm -rf -- "$path.rollback"
                cp -a --remove-destination -- "$1/files/$number" "$path" || wrong="$path cannot be put back"
            fi
        else
            rm -f -- "$path" || wrong="$path cannot be put back"
        fi
    done <"$1/paths"
    sync
}

# firewall_put_back FOLDER: the unit's state, and the table that was in force
firewall_put_back() {
    was=
    read -r was <"$1/firewall-active"
    systemctl daemon-reload
    if [ "$was" = active ]; then
        # Its start loads the rules' file; what was in force comes after it.
        systemctl is-active -q busnode-firewall.service || systemctl start busnode-firewall.service
    fi
    table_put_back "$1" || wrong="nft does not load the old rules"
}

# What cannot be loaded must not leave the new rules in force either.
table_put_back() {
    {
        echo 'table inet busnode'
        echo 'delete table inet busnode'
        cat "$1/table" 2>/dev/null
    } | nft -f - && return
    nft delete table inet busnode && [ ! -s "$1/table" ]
}

# firewall_stopped FOLDER: while its unit is still there, where it was not active before
firewall_stopped() {
    was=
    read -r was <"$1/firewall-active"
    [ "$was" = active ] || systemctl stop busnode-firewall.service
}

sshd_put_back() {
    # An sshd that ssh.socket has started runs on, and could not bind the socket's port anew, as a reload would have it.
    verb=reload-or-restart
    if systemctl is-active -q ssh.socket; then verb=try-restart; fi
    # Of a stopped ssh.service, without which sshd -t fails.
    [ -d /run/sshd ] || mkdir -m 0755 /run/sshd
    sshd -t && systemctl "$verb" ssh.service && return
    wrong="sshd does not take its old configuration"
}

folders_put_back() {
    while IFS= read -r folder; do rmdir -- "$folder" 2>/dev/null; done <"$1/new-folders"
}

rollback_units_removed() {
    rm -f -- "$unit_dir/busnode-rollback.timer" "$unit_dir/busnode-rollback.service" \
        "$unit_dir/busnode-rollback-boot.service" "$unit_dir/sysinit.target.wants/busnode-rollback-boot.service"
}
