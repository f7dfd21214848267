#!/usr/bin/env bash
# tools/gpu/prepare.sh [OUT]: on a machine with the .NET SDK, makes what tools/gpu-check needs on a machine with a GPU and without
# .NET and network: the program and the maker of synthetic weights as native executables (NativeAOT, linux-x64), the image libraries
# that the program links, and descriptions of full-size models, in one archive. OUT is artifacts/gpu-check.tar.gz unless said; it must
# travel with the tree.
# Exit code: 0 done, 1 a build failed, 2 something is missing.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
me=prepare.sh
. "$root/tools/build.sh"
archive=${1:-$root/artifacts/gpu-check.tar.gz}
out=$root/artifacts/gpu-check
command -v dotnet >/dev/null || { say "the .NET SDK is missing; run tools/setup.sh"; exit 2; }
[ "$(uname -m)" = x86_64 ] || { say "the native program is made for x86-64, and this machine is $(uname -m)"; exit 2; }

publish() { # publish NAME PROJECT FOLDER
  echo "publishing $1 (NativeAOT, some minutes) ..."
  logged "publish-$1" dotnet publish "$root/$2" -c Release -r linux-x64 -p:PublishAot=true -p:StripSymbols=true -o "$3" -nologo -v minimal --disable-build-servers || exit 1
  # A warning of the trimmer is a feature that may be missing at run time.
  if grep -E 'warning IL[0-9]+' "$root/artifacts/publish-$1.log" | sort -u | grep .; then
    say "$1: the trimmer warns, see above; the native program may lack what it names"
    exit 1
  fi
  find "$3" -type f \( -name '*.dbg' -o -name '*.pdb' -o -name '*.xml' \) -delete
}

rm -rf "$out"
mkdir -p "$out"
publish program src/ClipEngine.Cli/ClipEngine.Cli.csproj "$out/program"
publish synthesizer tools/synthesize-checkpoint/SynthesizeCheckpoint.csproj "$out/synthesizer"
rm -f "$out"/synthesizer/libclipengine*.so "$out"/synthesizer/libe_sqlite3.so

descriptions=${CLIPENGINE_TOWERS_FULL:-$root/../shared/goldens/towers-full}
mkdir -p "$out/models"
for model in ViT-B-32 ViT-L-14; do
  if [ -f "$descriptions/$model.json" ]; then
    cp "$descriptions/$model.json" "$descriptions/$model.golden.safetensors" "$out/models/"
  else
    echo "SKIPPED $model: no description in $descriptions; gpu-check cannot compare full-size models"
  fi
done
git -C "$root" rev-parse HEAD >"$out/commit" 2>/dev/null || echo unknown >"$out/commit"

# The native program must write what the managed one writes, byte for byte: embedding, scoring, audit and report of the demo.
logged prepare-managed dotnet build "$root/src/ClipEngine.Cli/ClipEngine.Cli.csproj" -c Release -nologo -v quiet --disable-build-servers || exit 1
for kind in native managed; do
  if [ "$kind" = native ]; then program=("$out/program/ClipEngine.Cli"); else program=(dotnet "$cli"); fi
  "${program[@]}" demo --out "$out/demo-$kind" >"$root/artifacts/prepare-$kind.log" 2>&1 || { tail -n 5 "$root/artifacts/prepare-$kind.log" >&2; say "the $kind program fails at the demo"; exit 1; }
done
if ! diff -rq --exclude timings.json "$out/demo-native" "$out/demo-managed"; then
  say "the native program's demo differs from the managed one's, see above"
  exit 1
fi
echo "the native program's demo equals the managed one's in all $(find "$out/demo-native" -type f ! -name timings.json | wc -l) files"
rm -rf "$out"/demo-* "$out/program/Demo" # the tree has the demo's data
tar -C "$root/artifacts" -c gpu-check | gzip -9 >"$archive.partial" && mv "$archive.partial" "$archive" || exit 1
rm -rf "$out"

tree=$( (cd "$root" && git ls-files -z | xargs -0 stat -c %s 2>/dev/null) | awk '{ s += $1 } END { printf "%.1f", s / 1e6 }')
bundle=$(stat -c %s "$archive" | awk '{ printf "%.1f", $1 / 1e6 }')
echo "tree $tree MB + ${archive#"$root"/} $bundle MB = $(awk "BEGIN { print $tree + $bundle }") MB"
