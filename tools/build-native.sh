#!/usr/bin/env bash
# Configures and builds the native library: build-native.sh BUILD_DIR CONFIGURATION [TARGET] [RUNTIME].
# RUNTIME is linux-arm64 or win-x64 for a cross build (native/toolchains), with decoders that tools/build-decoders.sh builds first.
# CONFIGURATION is CMake's, or Sanitize (AddressSanitizer and UBSan). TARGET native-tests builds the tests too; without it
# only what the program loads is built. Called by `dotnet build` (src/ClipEngine/NativeLibrary.targets) and by test.sh.
# Names what is missing instead of a wall of CMake output.
set -u
build=${1:?build directory}
configuration=${2:-Release}
target=${3:-all}
runtime=${4:-}
root=$(cd "$(dirname "$0")/.." && pwd)
for tool in cmake g++; do
  command -v "$tool" >/dev/null 2>&1 || { echo "error : the native library needs '$tool', which is not installed. Run tools/setup.sh, or: apt-get install cmake g++ make libjpeg-dev libpng-dev libwebp-dev" >&2; exit 2; }
done
mkdir -p "$build"
exec 9>"$build/.lock"
flock 9   # two first builds at once wait for each other

settings=(-DCMAKE_BUILD_TYPE="$configuration")
[ "$configuration" = Sanitize ] && settings=(-DCMAKE_BUILD_TYPE=Debug -DCLIPENGINE_SANITIZE=ON)
if [ -n "$runtime" ]; then
  decoders=$(bash "$root/tools/build-decoders.sh" "$runtime") || exit 2
  settings+=(-DCMAKE_TOOLCHAIN_FILE="$root/native/toolchains/$runtime.cmake" -DCMAKE_PREFIX_PATH="$decoders")
fi
# A tree that was moved or copied takes its build folder along, which CMake then refuses.
if [ -f "$build/CMakeCache.txt" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$build/CMakeCache.txt"; then
  rm -rf "${build:?}"/CMakeCache.txt "${build:?}"/CMakeFiles
fi
[ -f "$build/CMakeCache.txt" ] || { command -v ninja >/dev/null 2>&1 && settings+=(-G Ninja); }
log="$build/configure.log"
if ! cmake -S "$root" -B "$build" "${settings[@]}" >"$log" 2>&1; then
  cat "$log" >&2
  echo "error : configuring the native library failed; the reason stands above. A missing -dev package is installed by tools/setup.sh" >&2
  exit 2
fi
cmake --build "$build" --target "$target" --parallel "${CLIPENGINE_BUILD_JOBS:-2}" 2>&1 || exit 1
