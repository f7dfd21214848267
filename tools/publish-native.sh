#!/usr/bin/env bash
# tools/publish-native.sh: publishes the program as native code into artifacts/native-program. ./clipengine runs it from then on, until a source changes:
# the same bytes and messages, a tenth of a second sooner. Takes a few minutes; needs the package ILCompiler, and clang or gcc for linking.
set -eu
root=$(readlink -f "$0")
root=${root%/tools/*}
me=publish-native
. "$root/tools/build.sh"

[ $# -eq 0 ] || { say "takes no arguments"; exit 2; }
case "$(uname -s) $(uname -m)" in
  'Linux x86_64') runtime=linux-x64 ;;
  'Linux aarch64') runtime=linux-arm64 ;;
  *) say "is for Linux on x64 and Arm64"; exit 2 ;;
esac
"$root/tools/setup.sh" --for-build >&2 || exit 2
lock_build
new=$native_program.new old=$native_program.old
# What a publication leaves that was ended half-way.
rm -rf "$new" "$old"
found=$(fingerprint src native) || : # before the build: a source saved meanwhile means another one
[ -n "$found" ] || { say "the sources cannot be listed, so that nobody could tell which of them the program is of; this needs find from GNU findutils"; exit 2; }
if is_fingerprint "$found" "$native_program/sources"; then
  say "artifacts/native-program is of these sources already"
  exit 0
fi
say "publishing (takes a few minutes) ..."
# The object file of such a one the next would take for a whole one.
rm -rf "$root/src/ClipEngine.Cli/"{obj,bin}"/Release/net10.0/$runtime/native"
logged native-program dotnet publish "$root/src/ClipEngine.Cli" -c Release -r "$runtime" -p:PublishAot=true -p:DebugType=none -p:NativeDebugSymbols=false \
  -p:PublishDocumentationFiles=false -o "$new" -nologo -v quiet --disable-build-servers || exit 1
echo "$found" >"$new/sources"
# Renamed, not removed file by file: at no moment is there half a program under its name.
[ ! -e "$native_program" ] || mv "$native_program" "$old"
mv "$new" "$native_program"
rm -rf "$old"
