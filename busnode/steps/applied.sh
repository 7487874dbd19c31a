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

# Whether root alone can write the kept script, which root is to run.
kept_is_safe() {
    [ -z "$(find "$state_dir" "$kept" -maxdepth 0 \( ! -user "$(id -u)" -o -perm /022 \))" ]
}

# What a script told when it was run again. The services take a limited number of a node's words: whole steps, as many as
# there is room for, those that no longer stand before the others.
tell_applied() {
    awk -v of="$of" -v room=32768 -v drifted="$drifted" -v no_longer="$no_longer" '
        /^[{]"name"/ { line[++steps] = $0; gone[steps] = $0 ~ no_longer }
        /^[{]"applied"/ { last = substr($0, 1, length($0) - 1) }
        END {
            for (first = 1; first >= 0; first--)
                for (i = 1; i <= steps; i++)
                    if (gone[i] == first && length(line[i]) <= room) { room -= length(line[i]); told[i] = 1 }
            for (i = 1; i <= steps; i++)
                if (told[i]) print "{\"of\":\"" of "\"," substr(line[i], 2)
                else left_out++
            print last ",\"drifted\":" drifted ",\"left_out\":" (left_out + 0) "}"
        }'
}

# read_applied OPERATION...: what each of them set last, step by step; nothing is changed
read_applied() {
    if node_is_held; then
        skipped "an operation is under way; ask again after it"
        return
    fi
    said='' no_longer='"status":"(would-change|failed)"'
    for of do
        kept=$state_dir/applied.$of
        [ -f "$kept" ] || continue
        if ! kept_is_safe; then
            unread="others than root can write it"
        else
            # Both of them, and all else that status reads, fit in its time.
            { timeout -k 2 15 sh "$kept" "$box" "$ssh_connection" "$login_user" again </dev/null >"$box/again"; } 2>"$log"
            case $? in 124 | 137) unread="it took longer than 15 s" ;; *) unread=$(tail -n 1 "$log") ;; esac
            if grep -q '^{"applied"' "$box/again"; then
                drifted=$(grep -Ec "^[{]\"name\".*$no_longer" "$box/again")
                tell_applied <"$box/again"
                case $drifted in 0) said="$said, $of stands" ;; *) said="$said, of $of $drifted steps no longer stand" ;; esac
                continue
            fi
        fi
        tell '{"applied":"%s","unread":"%s"}\n' "$of" "$(json_text "${unread:-it says nothing}")"
        said="$said, what $of set cannot be looked at: $unread"
    done
    said=${said#, }
    ok "${said:-busnode has set nothing here}"
}
