#!/usr/bin/env bash
# Configures and builds the native library: build-native.sh BUILD_DIR CONFIGURATION.
# Called by `dotnet build` (src/ClipEngine/NativeLibrary.targets). Names what is missing instead of a wall of CMake output.
set -u
build=${1:?build directory}
configuration=${2:-Release}
root=$(cd "$(dirname "$0")/.." && pwd)
for tool in cmake g++; do
  command -v "$tool" >/dev/null 2>&1 || { echo "error : the native library needs '$tool', which is not installed. Run tools/setup.sh, or: apt-get install cmake g++ libjpeg-dev libpng-dev libwebp-dev" >&2; exit 2; }
done
mkdir -p "$build"
exec 9>"$build/.lock"
flock 9   # two first builds at once wait for each other
generator=()
command -v ninja >/dev/null 2>&1 && [ ! -f "$build/CMakeCache.txt" ] && generator=(-G Ninja)
log="$build/configure.log"
if ! cmake -S "$root" -B "$build" "${generator[@]}" -DCMAKE_BUILD_TYPE="$configuration" >"$log" 2>&1; then
  cat "$log" >&2
  echo "error : configuring the native library failed; the reason stands above. A missing -dev package is installed by tools/setup.sh" >&2
  exit 2
fi
cmake --build "$build" --parallel "${CLIPENGINE_BUILD_JOBS:-2}" 2>&1 || exit 1
