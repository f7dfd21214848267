#!/usr/bin/env bash
# debian-mirror.sh: prints the address that this machine fetches Debian's packages from. Exit code 1 where it is no Debian or names none.
set -eu
grep -q '^ID=debian' /etc/os-release 2>/dev/null || exit 1
mirror=$(awk '/^URIs:/ { print $2; exit } /^deb [^[]/ { print $2; exit }' /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null || true)
[ -n "$mirror" ] && echo "$mirror"
