#!/usr/bin/env bash
# pack.sh FOLDER: builds the native library for every supported system (linux-x64 here, linux-arm64 and win-x64 by cross compilers) and
# packs all packages into FOLDER. Needs what tools/cross.sh --setup installs.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:?a folder for the packages}
for runtime in linux-arm64 win-x64; do
  why=$("$root/tools/cross.sh" --why-not "$runtime")
  [ -z "$why" ] || { echo "pack.sh: $runtime: $why" >&2; exit 2; }
  bash "$root/tools/build-native.sh" "$root/artifacts/native/$runtime" Release all "$runtime"
done
exec dotnet pack "$root/ClipEngine.sln" -c Release -o "$folder"
