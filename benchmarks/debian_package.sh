#!/bin/sh
# The Debian package in a clean system: built, installed with apt, used by an ordinary user, upgraded and purged.
#
# Usage: debian_package.sh [--package FILE.deb] [--base FILE.tar]
#
# Makes a root folder with debootstrap and installs the package there with what it depends on; then, as an ordinary user,
# renewagent --version, service status, doctor --json (without and with pcscd, which runs in there alone) and the agent;
# then an upgrade, which must keep settings and journals, and a purge, which must keep journals. Needs root, debootstrap
# and 1 GB of disk. --package takes one that is built already, --base keeps the bare system between runs. Where packages
# come from is this machine's own affair. Exit status 0 if all was as it should.
# shellcheck disable=SC2016  # what stands in single quotes is expanded inside
set -eu

if [ "${1-}" != --inside ]; then
    [ "$(id -u)" = 0 ] || { echo "debian_package: needs root, to mount and to change root" >&2 && exit 1; }
    exec unshare --mount --pid --fork --kill-child --propagation private sh "$0" --inside "$@"
fi
shift

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
package='' base=''
while [ $# -gt 0 ]; do
    case $1 in
        --package) package=$2 && shift 2 ;;
        --base) base=$2 && shift 2 ;;
        *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
done

work=$(mktemp -d)
system=$work/system
trap 'umount -R -l "$system/proc" 2>/dev/null || true; rm -rf --one-file-system "$work"' EXIT
trap 'exit 1' INT TERM

note() { printf '%s %s\n' "$(date -u +%T)" "$*"; }

apt_source() { # the address of this machine's own source of its own release
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        sed -n "s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) $codename .*/\2/p"
    cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk -v codename="$codename" '
        $1 == "URIs:" { uri = $2 } $1 == "Suites:" { for (i = 2; i <= NF; i++) if ($i == codename) print uri }'
}

clean_system() {
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    mkdir "$system"
    if [ -f "$base" ]; then
        tar -C "$system" -xf "$base"
    else
        debootstrap --variant=minbase --include=ca-certificates "$codename" "$system" "$(apt_source | head -n 1)" >"$work/log" 2>&1 ||
            { tail "$work/log" && exit 1; }
        [ -z "$base" ] || tar -C "$system" -cf "$base" .
    fi
    for file in /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt $(grep -l Acquire /etc/apt/apt.conf.d/* 2>/dev/null); do
        [ ! -f "$file" ] || cp -L --remove-destination -- "$file" "$system$file"
    done
    printf '#!/bin/sh\nexit 101\n' >"$system/usr/sbin/policy-rc.d" # nothing is started by being installed
    chmod +x "$system/usr/sbin/policy-rc.d"
    mount -t proc proc "$system/proc"
}

inside() { chroot "$system" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@" </dev/null; }

as_visitor() { inside su visitor -s /bin/sh -c "cd && $*"; }

install_package() { # FILE: as an administrator does
    cp "$1" "$system/root/"
    inside apt-get -q -y --no-install-recommends install "/root/$(basename "$1")" >"$work/log" 2>&1 || { tail "$work/log" && exit 1; }
}

must() { # WORDS COMMAND...: succeeds, and is told
    said=$1 && shift
    if "$@"; then
        note "as it should: $said"
    else
        note "NOT AS IT SHOULD: $said"
        printf '%s\n' "$document"
        cat "$work/said"
        exit 1
    fi
}

holds() { # the document holds this text
    printf '%s' "$document" | grep -qF -- "$1"
}

asked() { document=$(as_visitor "$*" 2>"$work/said" || true); }

began=$(date +%s)
if [ -z "$package" ]; then
    note "building the package"
    package=$("$here/packaging/build-deb" --out "$work" 2>"$work/log") || { tail "$work/log" && exit 1; }
fi
note "$(basename "$package"): $(($(stat -c %s "$package") >> 20)) MB packed, $(($(dpkg-deb -f "$package" Installed-Size) >> 10)) MB installed"
clean_system
inside apt-get -q update >/dev/null 2>&1
install_package "$package"
note "installed after $(($(date +%s) - began)) s"
inside useradd --create-home visitor

asked renewagent --version
must "--version says $document" holds "$(dpkg-deb -f "$package" Version | sed 's/-[^-]*$//')"
asked renewagent service status --json
must "service status: installed for everybody" holds '"unit": "/usr/lib/systemd/user/renewagent.service", "enabled": true'
asked renewagent doctor --json
must "doctor: pcscd is not running" holds '"name": "smartcard service", "health": "fail"'
must "doctor: no traceback" test -z "$(grep Traceback "$work/said" || true)"
inside sh -c 'mkdir -p /run/pcscd && exec pcscd --foreground' >"$work/pcscd" 2>&1 &
sleep 2
asked renewagent doctor --json
must "doctor: pcscd runs, and there is no reader" holds 'There is no smartcard reader'
as_visitor 'mkdir -m 700 run; XDG_RUNTIME_DIR=$HOME/run renewagent agent' >/dev/null 2>&1 &
sleep 4
asked 'XDG_RUNTIME_DIR=$HOME/run renewagent doctor --json'
must "doctor: the agent runs" holds 'The agent is running.'
asked 'grep -h VmRSS $(grep -ls "[r]enewagent.agent.process" /proc/[0-9]*/cmdline | head -n 1 | sed s/cmdline/status/)'
note "resident: $document"
inside sh -c 'kill $(grep -ls "[r]enewagent.agent.process" /proc/[0-9]*/cmdline | cut -d/ -f3) $(cat /run/pcscd/pcscd.pid)'

printf '[contact]\nname = "Ward 7"\n' >"$system/etc/renewagent/config.toml"
as_visitor 'mkdir -p .local/state/renewagent && echo kept >.local/state/renewagent/kept'
dpkg-deb --raw-extract "$package" "$work/next"
sed -i 's/^Version: .*/&+next/' "$work/next/DEBIAN/control"
dpkg-deb --root-owner-group -Zgzip -z1 --build "$work/next" "$work/next.deb" >/dev/null
install_package "$work/next.deb"
must "upgraded: settings are kept" grep -q 'Ward 7' "$system/etc/renewagent/config.toml"
asked renewagent service status --json
must "upgraded: it works" holds '"ok": true'
inside apt-get -q -y purge renewagent >"$work/log" 2>&1
must "purged: nothing of it is left" test ! -e "$system/opt/renewagent" -a ! -e "$system/etc/renewagent" -a ! -e "$system/usr/bin/renewagent"
must "purged: what users have is theirs" grep -q kept "$system/home/visitor/.local/state/renewagent/kept"
note "done after $(($(date +%s) - began)) s"
