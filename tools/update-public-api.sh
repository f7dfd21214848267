#!/usr/bin/env bash
# tools/update-public-api.sh: writes what the libraries' public surface is into their PublicAPI.Unshipped.txt, after a change that was meant.
# The build refuses a public member that stands in neither PublicAPI.Shipped.txt nor PublicAPI.Unshipped.txt (RS0016), and an entry that is
# no member any more (RS0017). At a release, entries move from Unshipped to Shipped.
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
for name in ClipEngine ClipEngine.Audit ClipEngine.Tokenizers ClipEngine.TorchSharp; do
  folder="$root/src/$name"
  list="$folder/PublicAPI.Unshipped.txt"
  printf '#nullable enable\n' >"$list"
  dotnet build "$folder/$name.csproj" -c Release -nologo -v quiet --no-incremental -p:WarningsNotAsErrors=RS0016 2>&1 |
    sed -n "s/.*warning RS0016: Symbol '\(.*\)' is not part of the declared public API.*/\1/p" | LC_ALL=C sort -u |
    LC_ALL=C comm -23 - <(LC_ALL=C sort -u "$folder/PublicAPI.Shipped.txt") >"$list.new"
  cat "$list.new" >>"$list"
  rm "$list.new"
  echo "$name: $(($(wc -l <"$list") - 1)) members of $list"
done
