# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# The clock, kept by whichever NTP service the node has.

# Whether somebody keeps the kernel's clock, yes or no; nothing where nobody can be asked. timesyncd leaves a file, and
# chronyd answers on a socket of its own. To answer, timedatectl has a daemon started over D-Bus, which makes folders: it
# is asked only where those do not say yes.
ntp_synchronised() {
    asked=
    if [ -e /run/systemd/timesync/synchronized ]; then
        echo yes
        return
    fi
    case $ntp_unit in
        systemd-timesyncd.service) asked=1 ;;
        chrony.service)
            if have chronyc; then
                asked=1
                # One try; chronyc has its own patience with a daemon that does not answer.
                if timeout 3 chronyc -n waitsync 1 </dev/null >"$log" 2>&1; then
                    echo yes
                    return
                fi
            fi
            ;;
    esac
    timedatectl show --property=NTPSynchronized --value 2>/dev/null || [ -z "$asked" ] || echo no
}

# Why nobody here can set the clock; nothing where somebody can.
clock_of_another() {
    container=$(systemd-detect-virt --container 2>/dev/null)
    if [ -n "$container" ] && [ "$container" != none ]; then
        echo "a container ($container)"
        return
    fi
    # CAP_SYS_TIME is number 25 (capabilities(7)): bit 1 of the seventh hexadecimal digit from the end.
    case $(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/1/status 2>/dev/null) in
        '' | *[2367abef]??????) ;;
        *) echo "a machine whose process 1 lacks CAP_SYS_TIME" ;;
    esac
}

# The first NTP service that runs, else the first that is installed: sets ntp_unit, to nothing where there is none,
# and ntp_masked, to the first that somebody keeps from starting
find_ntp_unit() {
    ntp_unit='' ntp_masked=''
    for unit in chrony.service ntpsec.service ntp.service openntpd.service systemd-timesyncd.service; do
        if systemctl is-active -q "$unit" 2>/dev/null; then
            ntp_unit=$unit
            return
        fi
        case $(systemctl is-enabled "$unit" 2>/dev/null) in
            '' | not-found) ;;
            masked*) ntp_masked=${ntp_masked:-$unit} ;;
            *) ntp_unit=${ntp_unit:-$unit} ;;
        esac
    done
}

# clock_synchronised SECONDS PACKAGE: PACKAGE is installed where no NTP service is there
clock_synchronised() {
    why=$(clock_of_another)
    if [ -n "$why" ]; then
        skipped "this is $why, which sets no clock"
        return
    fi
    did=
    ntp_service_there "$2" || return
    if ! systemctl is-active -q "$ntp_unit" || ! systemctl is-enabled -q "$ntp_unit"; then
        would "enable and start $ntp_unit, wait for the clock" && return
        run systemctl -q enable --now "$ntp_unit" || return
        did="${did}started $ntp_unit, "
    fi
    clock_awaited "$1" || return
    if [ -n "$did" ]; then changed "${did}the clock is synchronised"; else ok "synchronised by $ntp_unit"; fi
}

# ntp_service_there PACKAGE: whether the step can go on, with ntp_unit
ntp_service_there() {
    find_ntp_unit
    [ -z "$ntp_unit" ] || return 0
    # Nor is another one installed beside it: two NTP services exclude each other, and apt would remove it.
    if [ -n "$ntp_masked" ]; then
        failed "$ntp_masked is masked; unmask it, or set time_synchronised to false"
        return 1
    fi
    missing_packages "$1"
    if [ -n "$missing" ]; then
        would "install $1, start its service, wait for the clock" && return 1
        packages_installed "$1"
        [ "$step_status" != failed ] || return 1
        did="$step_detail, "
        find_ntp_unit
    fi
    [ -z "$ntp_unit" ] || return 0
    failed "$1 is installed, and brought no NTP service"
    return 1
}

# clock_awaited SECONDS: whether the clock is synchronised by then
clock_awaited() {
    waited=0
    while synchronised=$(ntp_synchronised); [ "$synchronised" != yes ]; do
        if [ -z "$synchronised" ]; then
            why="nobody can be asked whether the clock is synchronised: timedatectl does not reach its service over D-Bus"
            if [ -n "$did" ]; then changed "$did$why"; else skipped "$ntp_unit runs; $why"; fi
            return 1
        fi
        would "wait for $ntp_unit to synchronise the clock" && return 1
        if [ "$waited" -ge "$1" ]; then
            failed "${did}$ntp_unit runs, and the clock is not synchronised after $1 s; give it an NTP server that it reaches, or set time_synchronised to false"
            return 1
        fi
        waited=$((waited + 1))
        sleep 1
    done
}
