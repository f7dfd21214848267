#!/usr/bin/env bash
# Installs the Debian/Ubuntu packages that the build needs and this machine lacks; does nothing where all are there.
# As root it installs at once and says so; otherwise it asks on a terminal. Without either it prints the exact command and
# exits with 2. Called by ./clipengine and ./test.sh before they build (--for-build: silent when nothing is missing).
set -u
quiet=
[ "${1:-}" = --for-build ] && quiet=1

has_header() { # has_header HEADER PACKAGE
  if command -v g++ >/dev/null 2>&1; then
    printf '#include <stdio.h>\n#include <%s>\n' "$1" | g++ -E -x c++ - >/dev/null 2>&1
  else
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$2" 2>/dev/null)" = installed ]
  fi
}

missing=()
command -v cmake >/dev/null 2>&1 || missing+=(cmake)
command -v g++ >/dev/null 2>&1 || missing+=(g++)
command -v make >/dev/null 2>&1 || command -v ninja >/dev/null 2>&1 || missing+=(make)
has_header jpeglib.h libjpeg-dev || missing+=(libjpeg-dev)
has_header png.h libpng-dev || missing+=(libpng-dev)
has_header webp/decode.h libwebp-dev || missing+=(libwebp-dev)
has_header zlib.h zlib1g-dev || missing+=(zlib1g-dev)

if ! { command -v dotnet >/dev/null 2>&1 && dotnet --list-sdks 2>/dev/null | grep -qE '^[1-9][0-9]\.'; }; then
  if apt-cache show dotnet-sdk-10.0 >/dev/null 2>&1; then
    missing+=(dotnet-sdk-10.0)
  else
    echo "setup: the .NET 10 SDK is missing, and this system's package lists do not offer dotnet-sdk-10.0." >&2
    echo "setup: install it from https://dotnet.microsoft.com/download/dotnet/10.0 so that 'dotnet' is on the PATH, and start again." >&2
    [ ${#missing[@]} -eq 0 ] || echo "setup: missing besides: ${missing[*]}" >&2
    exit 2
  fi
fi

if [ ${#missing[@]} -eq 0 ]; then
  [ -n "$quiet" ] || echo "setup: everything the build needs is installed."
  exit 0
fi

install=(apt-get install -y --no-install-recommends "${missing[@]}")
if ! command -v apt-get >/dev/null 2>&1; then
  echo "setup: missing, by their Debian names: ${missing[*]}. This system has no apt-get; install them with its own package manager and start again." >&2
  exit 2
fi

if [ "$(id -u)" -eq 0 ]; then
  echo "setup: missing: ${missing[*]}; running as root, so installing now: ${install[*]}" >&2
  as_root=()
elif [ -t 0 ] && command -v sudo >/dev/null 2>&1; then
  echo "setup: missing: ${missing[*]}" >&2
  printf "setup: run 'sudo %s' now? Type yes: " "${install[*]}" >&2
  read -r answer
  case "$answer" in
    y | yes | Y | Yes | YES) as_root=(sudo) ;;
    *) echo "setup: nothing was installed. The command is: sudo ${install[*]}" >&2; exit 2 ;;
  esac
else
  echo "setup: missing: ${missing[*]}. Install with this command (as root) and start again:" >&2
  echo "$(command -v sudo >/dev/null 2>&1 && echo 'sudo ')${install[*]}" >&2
  exit 2
fi

export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq >&2 || echo "setup: the package lists could not be refreshed; trying with those at hand." >&2
"${as_root[@]}" "${install[@]}" >&2 || { echo "setup: the installation failed; the reason stands above. The command was: ${install[*]}" >&2; exit 2; }
