#!/usr/bin/env bash
# build-decoders.sh RUNTIME: builds zlib, libpng, libjpeg-turbo and libwebp as static libraries for linux-arm64 or win-x64 from Debian's
# source packages, for a cross build of the native library, and prints the folder they are in. That is outside of this tree:
# $CLIPENGINE_DECODERS, or else ~/.cache/clipengine/decoders. Does nothing where they are already there.
#
# They are the versions that Debian 12 has for x64, so all systems decode to the same pixels. Pinned by the hash of the authors' archive;
# Debian's own patches (security) on top of it are taken as they come.
set -eu
runtime=${1:?linux-arm64 or win-x64}
root=$(cd "$(dirname "$0")/.." && pwd)
sources=(
  'zlib 1.2.13.dfsg 71feb7947e3c00ef125f83b79a4e529bde31171e5babe48b391f06758d1ab0a1'
  'libpng1.6 1.6.39 a00e9d2f2f664186e4202db9299397f851aea71b36a35e74910b8820e380d441'
  'libjpeg-turbo 2.1.5 254f3642b04e309fee775123133c6464181addc150499561020312ec61c1bf7c'
  'libwebp 1.2.4 7bf5a8a28cc69bcfa8cb214f2c3095703c6b73ac5fba4d5480c205331d9494df'
)
case "$runtime" in
  linux-arm64) needed=(aarch64-linux-gnu-gcc) ;;
  win-x64) needed=(x86_64-w64-mingw32-gcc-posix nasm) ;;
  *) echo "error : unknown runtime '$runtime'; known are linux-arm64 and win-x64" >&2; exit 2 ;;
esac
for tool in cmake make apt-get dpkg-source "${needed[@]}"; do
  command -v "$tool" >/dev/null 2>&1 || { echo "error : building the decoders for $runtime needs '$tool', which is not installed" >&2; exit 2; }
done

base=${CLIPENGINE_DECODERS:-${XDG_CACHE_HOME:-$HOME/.cache}/clipengine/decoders}
stamp=$(cat "$0" "$root/native/toolchains/$runtime.cmake" | sha256sum | cut -c 1-12)
prefix=$base/$runtime-$stamp
mkdir -p "$base"
exec 9>"$base/.lock"
flock 9
if [ -f "$prefix/versions.txt" ]; then echo "$prefix"; exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=$base/$runtime.log
: >"$log"
fail() { tail -n 20 "$log" >&2; echo "error : $1; all of it stands in $log" >&2; exit 2; }

# Lists of our own, so that the machine's settings stay as they are.
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/src"
mirror=$("$root/tools/debian-mirror.sh") || fail "Debian's source packages are needed, and this system names no mirror of Debian"
echo "deb-src $mirror bookworm main" >"$work/apt/sources"
apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/apt/sources" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$work/apt/lists"
  -o "Dir::Cache=$work/apt/cache" -o APT::Sandbox::User=root)
"${apt[@]}" update >>"$log" 2>&1 || fail "Debian's list of source packages could not be fetched"
for source in "${sources[@]}"; do
  read -r name version hash <<<"$source"
  (cd "$work/src" && "${apt[@]}" source --download-only "$name") >>"$log" 2>&1 || fail "Debian's source package $name could not be fetched"
  archive=$(echo "$work/src/${name}_$version".orig.tar.*[z2])
  [ -f "$archive" ] || fail "$name $version is wanted (tools/build-decoders.sh), and Debian offers $(cd "$work/src" && ls "$name"_*.dsc)"
  echo "$hash  $archive" | sha256sum --check --quiet >>"$log" 2>&1 || fail "$archive is not what it was (its SHA-256 is another)"
  (cd "$work/src" && dpkg-source --no-check -x "$name"_*.dsc "$name") >>"$log" 2>&1 || fail "$name could not be unpacked"
done

mkdir -p "$work/out/lib" "$work/out/include/webp"
build() { # build NAME "TARGET..." OPTION...: only the targets that the native library links
  local name=$1 targets=$2 target
  shift 2
  cmake -S "$work/src/$name" -B "$work/$name" -G "Unix Makefiles" -DCMAKE_TOOLCHAIN_FILE="$root/native/toolchains/$runtime.cmake" \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DCMAKE_PREFIX_PATH="$work/out" -DCMAKE_INSTALL_PREFIX="$work/out" -DBUILD_SHARED_LIBS=OFF "$@" >>"$log" 2>&1 ||
    fail "$name could not be configured"
  for target in $targets; do
    make -C "$work/$name" -j "${CLIPENGINE_BUILD_JOBS:-2}" "$target" >>"$log" 2>&1 || fail "$name could not be built"
  done
}
# zlib's own CMake file builds shared libraries and programs too; these are all of its sources.
cat >"$work/src/zlib/CMakeLists.txt" <<'EOF'
cmake_minimum_required(VERSION 3.22)
project(zlib C)
file(GLOB sources ${CMAKE_SOURCE_DIR}/*.c)
add_library(z STATIC ${sources})
target_compile_definitions(z PRIVATE HAVE_UNISTD_H)
EOF
build zlib z
cp "$work/zlib/libz.a" "$work/out/lib/"
cp "$work/src/zlib/zlib.h" "$work/src/zlib/zconf.h" "$work/out/include/"
build libpng1.6 png_static -DPNG_SHARED=OFF -DPNG_TESTS=OFF
cp "$work/libpng1.6/libpng16.a" "$work/out/lib/libpng.a"
cp "$work/src/libpng1.6/png.h" "$work/src/libpng1.6/pngconf.h" "$work/libpng1.6/pnglibconf.h" "$work/out/include/"
build libjpeg-turbo jpeg-static -DENABLE_SHARED=OFF -DWITH_TURBOJPEG=OFF -DREQUIRE_SIMD=ON
cp "$work/libjpeg-turbo/libjpeg.a" "$work/out/lib/"
cp "$work/src/libjpeg-turbo/jpeglib.h" "$work/src/libjpeg-turbo/jmorecfg.h" "$work/src/libjpeg-turbo/jerror.h" "$work/libjpeg-turbo/jconfig.h" "$work/out/include/"
build libwebp "webpdecoder webpdemux/fast"
cp "$work/libwebp/libwebpdecoder.a" "$work/out/lib/libwebp.a"
cp "$work/libwebp/libwebpdemux.a" "$work/out/lib/"
cp "$work/src/libwebp/src/webp/"*.h "$work/out/include/webp/"
(cd "$work/src" && ls ./*.dsc | sed 's,^\./,,; s,\.dsc$,,') >"$work/out/versions.txt"
rm -rf "$prefix"
cp -r "$work/out" "$prefix"
echo "$prefix"
