#!/bin/sh
# A fresh Debian 12: do ./dev demo and ./dev test work with nothing prepared, each alone and in either order?
#
# Usage: fresh_machine.sh [--base FILE.tar] [--log FILE] [TRIAL...]
#
# Makes a root folder with debootstrap, clones the committed state of this checkout into it and runs trials there, each
# in a fresh copy: demo, test, demo-test, test-demo, again (a second ./dev setup takes seconds) and user (an ordinary
# user without sudo is told what to install). Needs root, debootstrap, git and 4 GB of disk. --base keeps the bare
# system between runs. Where packages come from is this machine's own affair: its apt and pip settings are read when
# this runs, and used inside. Exit status 0 if every trial ended as it should.
set -eu

# A mount and a process namespace of our own: whatever happens, nothing stays mounted or running.
if [ "${1-}" != --inside ]; then
    [ "$(id -u)" = 0 ] || { echo "fresh_machine: needs root, to mount and to change root" >&2 && exit 1; }
    for tool in debootstrap unshare git; do
        command -v "$tool" >/dev/null || { echo "fresh_machine: please install $tool" >&2 && exit 1; }
    done
    exec unshare --mount --pid --fork --kill-child --propagation private sh "$0" --inside "$@"
fi
shift

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
log=fresh_machine.log
base=
while [ $# -gt 0 ]; do
    case $1 in
        --base) base=$2 && shift 2 ;;
        --log) log=$2 && shift 2 ;;
        -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
        *) break ;;
    esac
done
[ $# -gt 0 ] || set -- demo test demo-test test-demo again user

work=$(mktemp -d)
machine=$work/machine
checkout=/srv/$(basename "$here") # not written out: the tests look for the path of the checkout in every file
trap 'scrap_machine; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

note() { printf '%s %s\n' "$(date -u +%FT%TZ)" "$*" | tee -a "$log"; }

# --- The bare system

apt_source() { # the address of this machine's own source of bookworm
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) bookworm .*/\2/p'
    cat /etc/apt/sources.list.d/*.sources 2>/dev/null |
        awk '$1 == "URIs:" { uri = $2 } $1 == "Suites:" { for (i = 2; i <= NF; i++) if ($i == "bookworm") print uri }'
}

make_base() {
    [ -n "$base" ] || base=$work/base.tar
    [ ! -f "$base" ] || return 0
    source=$(apt_source | head -n 1)
    [ -n "$source" ] || { note "this machine has no apt source for bookworm" && exit 1; }
    note "debootstrap of a bare Debian 12"
    debootstrap --variant=minbase --include=ca-certificates bookworm "$machine" "$source" >>"$log" 2>&1
    tar -C "$machine" -cf "$base" .
    rm -rf "$machine"
}

# --- One fresh machine

carry() { # files of this machine into the other, at the same place
    for file in "$@"; do
        [ -f "$file" ] || continue
        mkdir -p "$machine$(dirname -- "$file")"
        cp -L --remove-destination -- "$file" "$machine$file"
    done
}

carry_settings() {
    carry /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt
    carry /etc/pip.conf /etc/xdg/pip/* /root/.config/pip/*
    # shellcheck disable=SC2046  # none of these names has a space
    carry $(grep -l Acquire /etc/apt/apt.conf.d/* 2>/dev/null)
    if [ -f /etc/apt/sources.list.d/debian.sources ]; then
        rm -f "$machine/etc/apt/sources.list"
        carry /etc/apt/sources.list.d/debian.sources
    fi
    # A folder is no machine of its own: a service that starts in there would run out here.
    printf '#!/bin/sh\nexit 101\n' >"$machine/usr/sbin/policy-rc.d"
    chmod +x "$machine/usr/sbin/policy-rc.d"
}

make_machine() {
    mkdir "$machine"
    mount --bind "$machine" "$machine" # its root is to be a mount, as any machine's is
    tar -C "$machine" -xf "$base"
    carry_settings
    git -c safe.directory='*' clone -q --no-hardlinks "$here" "$machine$checkout"
    mount -t proc proc "$machine/proc"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$machine/dev/pts"
    mount -t tmpfs tmpfs "$machine/dev/shm"
}

scrap_machine() {
    if mountpoint -q "$machine"; then umount -R -l "$machine"; fi
    rm -rf --one-file-system "$machine"
}

inside() { # run in the machine with a bare environment, but for what pip must know to reach packages from here
    pip_settings=$(env | grep -E '^PIP_[A-Z_]+=[^ ]*$' || true)
    # Its root becomes the root: in a mere chroot, programs are not allowed namespaces of their own.
    # shellcheck disable=SC2016,SC2086  # expanded inside; NAME=value words
    unshare --mount --propagation private env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin $pip_settings \
        sh -c 'cd "$0" && pivot_root . mnt && umount -l mnt && cd / && exec "$@"' "$machine" "$@" </dev/null
}

# --- Trials: each returns 0 if it ended as it should

timed() {
    began=$(date +%s)
    status=0
    "$@" >>"$log" 2>&1 || status=$?
    seconds=$(($(date +%s) - began))
}

step() { # step NAME COMMAND: run in the checkout; must succeed
    timed inside sh -c "cd $checkout && $2"
    note "  $1: exit status $status after $seconds s"
    return "$status"
}

trial() {
    case $1 in
        demo) step "./dev demo" "./dev demo" ;;
        test) step "./dev test" "./dev test" ;;
        demo-test) trial demo && trial test ;;
        test-demo) trial test && trial demo ;;
        again) step "./dev setup" "./dev setup" && step "./dev setup again" "./dev setup" && [ "$seconds" -lt 10 ] ;;
        user) ordinary_user ;;
        *) note "  no such trial" && return 2 ;;
    esac
}

ordinary_user() { # no root, no sudo: a list of what to install, and an exit status that is not 0
    inside useradd --create-home visitor
    cp -r "$machine$checkout" "$machine/home/visitor/renewagent"
    inside chown -R visitor: /home/visitor/renewagent
    refused=0
    inside su visitor -c 'cd ~/renewagent && ./dev demo' >"$work/answer" 2>&1 || refused=1
    cat "$work/answer" >>"$log"
    note "  ./dev demo as an ordinary user: names $(grep -c '^dev:     [a-z0-9-]*$' "$work/answer") packages to install"
    [ "$refused" = 1 ] && grep -qx 'dev:     pcscd' "$work/answer"
}

: >"$log"
note "$(git -c safe.directory='*' -C "$here" log -1 --format='commit %h, %s')"
make_base
failed=0
for name in "$@"; do
    note "trial: $name"
    make_machine
    if trial "$name"; then note "as it should: $name"; else failed=1 && note "NOT AS IT SHOULD: $name"; fi
    scrap_machine
done
exit "$failed"
