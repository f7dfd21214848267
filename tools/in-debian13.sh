#!/usr/bin/env bash
# in-debian13.sh [--packages NAME,NAME...] COMMAND...: runs COMMAND in the current folder inside a bare Debian 13.
#   --packages  Debian packages that the command needs besides the smallest installation (e.g. g++,cmake,make)
# The machine's own .NET, NuGet folder, /tmp and this checkout stand inside at the same paths, so that what was built outside runs
# inside; everything else is Debian 13 alone. The system is made on first use (2 minutes, 270 MB, by debootstrap from this machine's
# own Debian mirror), one for each list of packages, in CLIPENGINE_DEBIAN13 (default /var/tmp/clipengine-debian13).
# Nothing is started in it but the command, and its mounts are gone when the command ends.
# Needs root and debootstrap. Exit code: the command's; 77 where it cannot run here (the reason is on standard error).
set -euo pipefail
packages=
if [ "${1:-}" = --packages ]; then
  packages=${2:?a list of packages}
  shift 2
fi
case "${1:-}" in '' | -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
cannot() { echo "in-debian13: $*" >&2; exit 77; }
[ "$(id -u)" -eq 0 ] || cannot "needs root, for debootstrap and chroot"
command -v debootstrap >/dev/null || cannot "needs debootstrap: apt-get install debootstrap"
[ -e /usr/share/debootstrap/scripts/trixie ] || cannot "this debootstrap does not know Debian 13 (trixie)"
unshare --mount true 2>/dev/null || cannot "this system allows no mounts, as in an unprivileged container"

checkout=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
folder=${CLIPENGINE_DEBIAN13:-/var/tmp/clipengine-debian13}
mkdir -p "$folder"
[ "$(stat -c %u "$folder")" -eq 0 ] || cannot "$folder belongs to another user"
root=$folder/bare
[ -z "$packages" ] || root=$folder/with-$(tr , '\n' <<<"$packages" | LC_ALL=C sort -u | paste -sd_)
exec 8>"$folder/.lock"
flock 8
if [ ! -e "$root/.ready" ]; then
  mirror=$("$checkout/tools/debian-mirror.sh" || true)
  rm -rf "${root:?}"
  mkdir -p "$folder/packages"
  echo "in-debian13: making $root (once)" >&2
  if ! debootstrap --variant=minbase --cache-dir="$folder/packages" ${packages:+--include="$packages"} trixie "$root" ${mirror:+"$mirror"} >"$root.log" 2>&1; then
    tail -n 5 "$root.log" >&2
    cannot "debootstrap failed; its whole output is in $root.log"
  fi
  touch "$root/.ready"
fi
flock -u 8
exec 8>&-

dotnet=$(dirname "$(readlink -f "$(command -v dotnet || echo /usr/share/dotnet/dotnet)")")
environment=(PATH="$dotnet:$HOME/.dotnet/tools:/usr/sbin:/usr/bin:/sbin:/bin" HOME="$HOME" LANG=C.UTF-8 DOTNET_ROOT="$dotnet")
while IFS= read -r name; do
  environment+=("$name=${!name}")
done < <(compgen -e | grep -E '^(DOTNET_[A-Z_]+|NUGET_|CLIPENGINE_|OMP_|MSBUILD|SSL_CERT_FILE$|[a-zA-Z]+_(proxy|PROXY)$)' | grep -vx DOTNET_ROOT)
# No libicu in a bare system, and nothing here formats by a culture.
environment+=(DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_CLI_USE_MSBUILD_SERVER=0)

# A mount namespace of its own: every mount below is gone when the command ends.
export root checkout dotnet here="$PWD" shared="$checkout/../shared" nuget="${NUGET_PACKAGES:-$HOME/.nuget}"
exec unshare --mount --propagation private bash -euo pipefail -c '
  at() { # at PATH: the same folder inside
    [ -d "$1" ] || return 0
    mkdir -p "$root$1"
    mount --bind "$1" "$root$1"
  }
  at /dev; at /tmp; at /etc/ssl/certs; at "$dotnet"; at "$HOME/.nuget"; at "$nuget"; at "$checkout"; at "$(readlink -f "$shared" || true)"; at "$here"
  [ ! -e /etc/resolv.conf ] || cat /etc/resolv.conf >"$root/etc/resolv.conf"
  mount -t proc proc "$root/proc"
  exec chroot "$root" /usr/bin/env -i "${@:2:$1}" bash -c "cd \"\$0\" && exec \"\$@\"" "$here" "${@:$1+2}"' in-debian13 "${#environment[@]}" "${environment[@]}" "$@"
