# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# The clock, kept by whichever NTP service the node has.

# Whether somebody keeps the kernel's clock: yes or no. To answer, timedatectl has a daemon started, which makes folders:
# it is asked only where timesyncd's own file does not say so.
ntp_synchronised() {
    if [ -e /run/systemd/timesync/synchronized ]; then
        echo yes
    else
        timedatectl show --property=NTPSynchronized --value 2>/dev/null || echo no
    fi
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

# The first NTP service that runs, else the first that is installed: sets ntp_unit, to nothing where there is none
find_ntp_unit() {
    ntp_unit=
    for unit in chrony.service ntpsec.service ntp.service openntpd.service systemd-timesyncd.service; do
        if systemctl is-active -q "$unit" 2>/dev/null; then
            ntp_unit=$unit
            return
        fi
        case $(systemctl is-enabled "$unit" 2>/dev/null) in
            enabled | disabled) ntp_unit=${ntp_unit:-$unit} ;;
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
    find_ntp_unit
    did=
    if [ -z "$ntp_unit" ]; then
        would "install $2, start its service, wait for the clock" && return
        packages_installed "$2"
        [ "$step_status" = changed ] || return
        did="$step_detail, "
        find_ntp_unit
    fi
    if [ -z "$ntp_unit" ]; then
        failed "$2 is installed, and brought no NTP service"
        return
    fi
    if ! systemctl is-active -q "$ntp_unit" || ! systemctl is-enabled -q "$ntp_unit"; then
        would "enable and start $ntp_unit, wait for the clock" && return
        run systemctl -q enable --now "$ntp_unit" || return
        did="${did}started $ntp_unit, "
    fi
    waited=0
    until [ "$(ntp_synchronised)" = yes ]; do
        would "wait for $ntp_unit to synchronise the clock" && return
        if [ "$waited" -ge "$1" ]; then
            failed "${did}$ntp_unit runs, and the clock is not synchronised after $1 s; give it an NTP server that it reaches, or set time_synchronised to false"
            return
        fi
        waited=$((waited + 1))
        sleep 1
    done
    if [ -n "$did" ]; then changed "${did}the clock is synchronised"; else ok "synchronised by $ntp_unit"; fi
}
