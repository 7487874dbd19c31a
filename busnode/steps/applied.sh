# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# What an operation set, and whether it still stands: the node keeps the script, which holds no secret, and runs it dry.

# After the steps. Of an operation that was taken back, or refused before it changed anything, the one before it stands.
script_kept() {
    [ "$dry_run" = 0 ] && [ -z "${ended_as-}" ] || return 0
    [ -z "$broken" ] || [ -n "$touched" ] || return 0
    kept=$state_dir/applied.$operation
    write_beside "$kept" root root 0600 <"$box/script" 2>"$log" || rm -f -- "$kept"
}

# read_applied OPERATION...: what each of them set last, step by step; nothing is changed
read_applied() {
    if node_is_held; then
        skipped "an operation is under way; ask again after it"
        return
    fi
    said=
    for of do
        kept=$state_dir/applied.$of
        [ -f "$kept" ] || continue
        {
            timeout -k 5 30 sh "$kept" "$box" "$ssh_connection" "$login_user" again </dev/null >"$box/again"
        } 2>"$log"
        if ! grep -q '^{"applied"' "$box/again"; then
            said="$said, what $of set cannot be looked at: $(tail -n 1 "$log")"
            continue
        fi
        # The services take a limited number of a node's words: whole steps, as many as there is room for.
        awk -v of="$of" -v room=32768 '
            /^[{]"name"/ {
                room -= length($0)
                if (room < 0) { left_out++; next }
                print "{\"of\":\"" of "\"," substr($0, 2)
            }
            /^[{]"applied"/ { print substr($0, 1, length($0) - 1) ",\"left_out\":" (left_out + 0) "}" }' "$box/again"
        drifted=$(grep -Ec '^[{]"name".*"status":"(would-change|failed)"' "$box/again")
        if [ "$drifted" -eq 0 ]; then said="$said, $of stands"; else said="$said, of $of $drifted steps no longer stand"; fi
    done
    said=${said#, }
    ok "${said:-busnode has set nothing here}"
}
