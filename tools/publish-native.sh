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
found=$(fingerprint src native) || : # before the build: a source saved meanwhile means another one
if is_fingerprint "$found" "$native_program/sources"; then
  say "artifacts/native-program is of these sources already"
  exit 0
fi
say "publishing (takes a few minutes) ..."
new=$native_program.new
# A publication that was ended half-way leaves an object file that the next one would take for a whole one.
rm -rf "$new" "$root/src/ClipEngine.Cli/"{obj,bin}"/Release/net10.0/$runtime/native"
logged native-program dotnet publish "$root/src/ClipEngine.Cli" -c Release -r "$runtime" -p:PublishAot=true -p:DebugType=none -p:NativeDebugSymbols=false \
  -p:PublishDocumentationFiles=false -o "$new" -nologo -v quiet --disable-build-servers || exit 1
echo "$found" >"$new/sources"
rm -rf "$native_program"
mv "$new" "$native_program"
