#!/bin/sh
# Install what a task needs on this Debian machine: build tools with apt, Python dependencies into .venv.
#   iso/builder/setup-builder.sh TASK...     TASK: one of the lists in host-packages/, python always;
#                                            a requirements-TASK.lock beside requirements.lock is installed too
# Runs apt only for what is missing; as a user without root rights it asks sudo.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)

die() { echo "setup-builder.sh: $*" >&2; exit 2; }

[ $# -gt 0 ] || die "name a task: $(cd "$here/host-packages" && echo *)"

wanted=
for task in python "$@"; do
    list=$here/host-packages/$task
    [ -f "$list" ] || die "no task '$task'; there are: $(cd "$here/host-packages" && echo *)"
    wanted="$wanted $(sed 's/#.*//' "$list" | tr '\n' ' ')"
done

missing=
for package in $wanted; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done

if [ -n "$missing" ]; then
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || [ -t 0 ] || die "root or sudo is needed to install:$missing"
        as_root=sudo
    fi
    echo "installing:$missing"
    apt="env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -q -o Acquire::Retries=5 -o DPkg::Lock::Timeout=600"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    # shellcheck disable=SC2086 # a list of words on purpose
    { $as_root $apt update && $as_root $apt install -y --no-install-recommends $missing; } </dev/null >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; die "apt could not install:$missing"; }
fi

# The system's own interpreter: one in PATH may be a version manager's shim.
python=/usr/bin/python3
pip="$root/.venv/bin/python -m pip -qq --disable-pip-version-check --retries 5"
digest() { sha256sum | cut -d ' ' -f 1; }

# Another release of Python, and another place of the checkout, need another .venv: its scripts and links name both.
place=$($python -c 'import sys; print(sys.implementation.cache_tag, end=" ")' && echo "$root")
dependencies=$({ echo "$place"; cat "$root/requirements.lock"; } | digest)

# Whether the .venv lacks something; what it has of each is kept in a file in it.
outdated() {
    [ "$(cat "$root/.venv/.locked" 2>/dev/null || true)" = "$dependencies" ] || return 0
    for task in "$@"; do
        lock=$root/requirements-$task.lock
        [ ! -f "$lock" ] || [ "$(cat "$root/.venv/.locked-$task" 2>/dev/null || true)" = "$(digest <"$lock")" ] || return 0
    done
    [ "$(cat "$root/.venv/.project" 2>/dev/null || true)" != "$project" ]
}

project=$({ echo "$dependencies"; cat "$root/pyproject.toml"; } | digest)
outdated "$@" || exit 0
# Builds hold the folder (flock(2)) as long as they use it, and another set-up while it changes it.
mkdir -p "$root/.venv"
exec 9<"$root/.venv"
flock -n 9 || { echo "waiting for a build or another set-up, which has $root/.venv"; flock 9; }
if [ "$(cat "$root/.venv/.locked" 2>/dev/null || true)" != "$dependencies" ]; then
    echo "setting up .venv"
    $python -m venv --clear "$root/.venv"
    $pip install --require-hashes --only-binary :all: -r "$root/requirements.lock"
    echo "$dependencies" >"$root/.venv/.locked"
fi
for task in "$@"; do
    lock=$root/requirements-$task.lock
    [ -f "$lock" ] || continue
    also=$(digest <"$lock")
    if [ "$(cat "$root/.venv/.locked-$task" 2>/dev/null || true)" != "$also" ]; then
        $pip install --require-hashes --only-binary :all: -r "$lock"
        echo "$also" >"$root/.venv/.locked-$task"
    fi
done
if [ "$(cat "$root/.venv/.project" 2>/dev/null || true)" != "$project" ]; then
    $pip install --no-deps --no-build-isolation -e "$root"
    echo "$project" >"$root/.venv/.project"
fi
