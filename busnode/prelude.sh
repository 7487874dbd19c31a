# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# What every script begins with: how a step runs and how its end is told, one line of JSON a step.
# The compiler puts operation, operation_id, by, dry_run and the paths before this text.
set -u
umask 022
LC_ALL=C
export PATH LC_ALL
box=$1
ssh_connection=$2
login_user=$3
broken='' wrong='' touched='' result_file='' result_cut='' shown_bytes=65536
# What the node kept of a script is run once more, dry, to see whether what it set still stands.
again=${4-}
if [ -n "$again" ]; then dry_run=1 shown_bytes=2048; fi
log=$box/log
# A lost connection must not stop a change half way.
trap '' PIPE
: >"$box/begun"

# tell FORMAT [ARGUMENT...]: a line of the report, as printf has it; an operation that holds the node keeps it there too.
tell() {
    # shellcheck disable=SC2059 # the formats are this text's own
    printf "$@"
    # What cannot be written there is not kept: see keep_result.
    # shellcheck disable=SC2059
    [ -z "$result_file" ] || printf "$@" 2>/dev/null >&8 || result_cut=1
}

# as_json TEXT: any bytes, as the inside of a JSON string, in $json: as they are where nothing needs an escape, and then
# without a process; else every byte as \u00XX.
as_json() {
    case $1 in
        *[\"\\]* | *[!\ -~]*) json=$(printf '%s' "$1" | od -An -v -tx1 | tr -d '\n' | sed 's/ /\\u00/g') ;;
        *) json=$1 ;;
    esac
}

# The same, printed.
json_text() {
    as_json "$1"
    printf '%s' "$json"
}

# Hundredths of a second, monotonic, without a process.
clock() {
    if IFS=' ' read -r now _ 2>/dev/null </proc/uptime; then now=${now%.*}${now#*.}; else now=0; fi
}

ok() { step_status=ok step_detail=${1-}; }
changed() { step_status=changed step_detail=${1-}; }
skipped() { step_status=skipped step_detail=${1-}; }
failed() { step_status=failed step_detail=${1-}; }

# failed_as CLASS WHY: a failure that has a class of its own
failed_as() {
    tell '{"error":"%s","detail":"%s"}\n' "$1" "$(json_text "$2")"
    failed "$2"
}

# `would "…" && return` stands before the first change of a step.
would() {
    [ "$dry_run" = 1 ] || return 1
    step_status=would-change step_detail=$1
}

# Run a tool, silent unless it fails; then the step has failed with the tool's last words.
run() {
    "$@" </dev/null >"$log" 2>&1 8>&- 9>&- && return
    code=$?
    failed "$1 ended with $code: $(tail -n 5 "$log" | tail -c 1200 | tr '\n' ' ')"
    return 1
}

report() {
    clock
    spent=$((now - step_begin))
    as_json "$step_name"
    name_json=$json
    as_json "$step_detail"
    tell '{"name":"%s","status":"%s","detail":"%s","seconds":%d.%02d}\n' \
        "$name_json" "$step_status" "$json" $((spent / 100)) $((spent % 100))
}

# step NAME FUNCTION [ARGUMENT...]: after a failure the rest is skipped.
step() {
    step_name=$1
    shift
    clock
    step_begin=$now
    if [ -n "$broken" ]; then
        skipped "after $broken"
    else
        step_status='' step_detail=
        "$@"
        [ -n "$step_status" ] || failed "$1 said nothing"
        # A detail may be put together of several differences.
        [ -z "$again" ] || [ "${#step_detail}" -le "$shown_bytes" ] || step_detail=$(printf '%s' "$step_detail" | bounded)
        case $step_status in
            changed) touched=1 ;;
            # What stands is asked of each step, whatever became of the others.
            failed) [ -n "$again" ] || broken=$step_name broken_detail=$step_detail ;;
        esac
    fi
    report
}

# once NAME FUNCTION [ARGUMENT...]: a step that sets nothing which could stand
once() { [ -n "$again" ] || step "$@"; }

# check NAME FUNCTION [ARGUMENT...]: a check that fails stops nothing.
check() {
    step "$@"
    [ -z "$broken" ] || wrong=${wrong:-$broken}
    broken=
}

# A finding for whoever asked: facts carry what is no step's end.
fact() {
    as_json "$2"
    tell '{"fact":"%s","value":"%s"}\n' "$1" "$json"
}

# fact_file NAME FILE: the same from a file, its first 64 KiB.
fact_file() { fact "$1" "$(head -c 65536 "$2")"; }

# refuse CLASS WHY: end before anything is touched.
refuse() {
    printf '{"error":"%s","detail":"%s"}\n' "$1" "$(json_text "$2")"
    exit 1
}

# Bytes of standard input to a path, whole or not at all: write_beside PATH OWNER GROUP MODE
# Only for folders of root's: whoever else can write there could put a symbolic link in the way.
# Its name is known, so that what a power cut leaves there can be taken away by it.
write_beside() {
    beside=$1.busnode-new
    # install removes what is there, and gives the new file its mode last.
    if install -T -o "$2" -g "$3" -m "$4" /dev/stdin "$beside" && sync "$beside" && mv -f -- "$beside" "$1"; then
        sync "${1%/*}"
        return 0
    fi
    rm -f -- "$beside"
    return 1
}

# differs_from FILE TEXT: whether a file has another content
differs_from() {
    [ -f "$1" ] && [ ! -L "$1" ] || return 0
    printf '%s' "$2" | cmp -s - "$1" && return 1
    return 0
}

# difference FILE TEXT: what writing TEXT there would change, as a unified diff; nothing where nothing would
difference() {
    old=$1
    # Not what a symbolic link shows, which root can read and others may have put there; differs_from takes none either.
    [ -f "$old" ] && [ ! -L "$old" ] || old=/dev/null
    printf '%s' "$2" | diff -u --label "$1 (now)" --label "$1 (wanted)" -- "$old" - | bounded
}

# The beginning of standard input, and that there was more.
bounded() {
    cat >"$box/shown"
    head -c "$shown_bytes" "$box/shown"
    [ "$(wc -c <"$box/shown")" -le "$shown_bytes" ] || printf '\n(the rest of the difference is left out)\n'
}

have() { command -v "$1" >/dev/null 2>&1; }

# One operation at a time: the lock dies with whoever holds it, so that none is ever stale. lock_node [flock's options]
lock_node() {
    [ -d "$run_dir" ] && [ -d "$state_dir" ] || (umask 077 && mkdir -p -- "$run_dir" "$state_dir") ||
        refuse apply_failed "$state_dir cannot be made"
    exec 9>>"$run_dir/lock"
    if ! flock "$@" 9; then
        refuse conflict "the node is held by $(cat "$run_dir/holder" 2>/dev/null || echo another operation)"
    fi
    printf '%s of %s since %s UTC\n' "$operation" "$by" "$(date -u '+%Y-%m-%d %H:%M:%S')" >"$run_dir/holder"
    echo $$ >"$run_dir/pid"
    echo "$operation_id" >"$run_dir/operation-id"
}

hold_node() {
    [ -z "$again" ] || return 0
    [ "$keep" = 0 ] || tell_kept_result
    # Whoever sends an operation again, for its answer was lost, waits for the run that is under way.
    if [ "$keep" = 1 ] && [ "$(cat "$run_dir/operation-id" 2>/dev/null)" = "$operation_id" ]; then
        lock_node
    else
        # Whoever only looks whether the node is held has the lock for a moment.
        lock_node -w 1
    fi
    if [ "$keep" = 1 ]; then
        tell_kept_result
        begin_result
    fi
    # A rollback that was cut off is finished first, and a change that nothing would take back any more is taken back.
    if [ -d "$state_dir/rolling-back" ] ||
        { [ -d "$state_dir/pending" ] && ! systemctl is-active -q busnode-rollback.timer; }; then
        sh "$state_dir/rollback.sh" held </dev/null >"$log" 2>&1 ||
            refuse conflict "an unfinished rollback cannot be completed: $(tail -n 3 "$log" | tr '\n' ' ')"
    fi
    [ ! -d "$state_dir/pending" ] ||
        refuse conflict "a change waits for its confirmation or its rollback: $(cat "$state_dir/pending/holder" 2>/dev/null)"
}

# An operation that can be sent again has its effect once: one that was run to its end before is told again, and nothing is touched.
# What is kept is whole, so that no lock is needed: another operation may hold the node by now.
tell_kept_result() {
    results=$state_dir/results
    [ -f "$results/$operation_id" ] || return 0
    cat -- "$results/$operation_id"
    tail -n 1 -- "$results/$operation_id" | grep -q '"end":"ok"'
    exit
}

begin_result() {
    if ! { (umask 077 && mkdir -p -- "$results") && : >"$results/.$operation_id"; }; then
        refuse apply_failed "$results cannot be written: is the disk full?"
    fi
    result_file=$results/$operation_id
    exec 8>"$results/.$operation_id"
}

# The report gets its name when it is whole; those of the last hundred operations are kept.
keep_result() {
    [ -n "$result_file" ] || return 0
    exec 8>&-
    # On a full disk it may be cut, or have lost a line in between.
    case $result_cut$(tail -n 1 -- "$results/.$operation_id") in
        '{"end":"ok"}' | '{"end":"failed"}')
            sync -- "$results/.$operation_id" && mv -f -- "$results/.$operation_id" "$result_file"
            ;;
        *) rm -f -- "$results/.$operation_id" ;;
    esac
    find "$results" -type f -printf '%T@ %p\n' 2>/dev/null | sort -rn | tail -n +101 | cut -d ' ' -f 2- |
        while IFS= read -r old; do rm -f -- "$old"; done
    result_file=
}

# The last line: how it ended, and the note of it that status reads later.
finish() {
    if [ -n "$again" ]; then
        tell '{"applied":"%s","operation_id":"%s","by":"%s","at":%s}\n' \
            "$operation" "$operation_id" "$(json_text "$by")" "$(stat -c %Y -- "$0")"
        return
    fi
    if [ -n "$broken$wrong" ]; then ended=failed; else ended=ok; fi
    if [ "$operation" != status ] && [ "$operation" != verify ] && [ "$dry_run" = 0 ]; then
        printf '{"operation":"%s","operation_id":"%s","by":"%s","at":%s,"ended":"%s"}\n' \
            "$operation" "$operation_id" "$(json_text "$by")" "$(date +%s)" "${ended_as:-$ended}" |
            write_beside "$state_dir/last-operation" root root 0600
        ! have logger || logger -t busnode -- "$operation $operation_id of $by: ${ended_as:-$ended}" </dev/null 2>/dev/null
    fi
    tell '{"end":"%s"}\n' "$ended"
    keep_result
    [ "$ended" = ok ]
}
