#!/usr/bin/env bash
# The tools for other systems' native libraries and for running their tests.
#   cross.sh --setup             installs them from Debian, as root; under a minute
#   cross.sh --why-not RUNTIME   prints why linux-arm64 or win-x64 cannot be built and tested here; nothing where it can
set -u
packages=(g++-aarch64-linux-gnu qemu-user-static g++-mingw-w64-x86-64-posix wine64 nasm dpkg-dev)

why_not() {
  local tool tools=(cmake make apt-get dpkg-source patch)
  case "$1" in
    linux-arm64) tools+=(aarch64-linux-gnu-g++ qemu-aarch64-static) ;;
    win-x64) tools+=(x86_64-w64-mingw32-g++-posix nasm) ;;
    *) echo "unknown runtime '$1'"; return ;;
  esac
  for tool in "${tools[@]}"; do
    command -v "$tool" >/dev/null 2>&1 || { echo "'$tool' is not installed (tools/cross.sh --setup)"; return; }
  done
  [ "$1" != win-x64 ] || [ -x /usr/lib/wine/wine64 ] || command -v wine64 >/dev/null 2>&1 || echo "'wine64' is not installed (tools/cross.sh --setup)"
}

case "${1:-}" in
  --setup)
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" ;;
  --why-not) why_not "${2:?a runtime}" ;;
  *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
