#!/usr/bin/env bash
# USearch's int8 index brings every vector to length 1 before it stores it, for inner products and Euclidean distances too: the order of the neighbours changes.
#
# Package: NuGet's Cloud.Unum.USearch 2.26.6, USearchIndex with ScalarKind.Int8 and MetricKind.Ip or L2sq.
# A scalar kind is a storage format: Float16 answers as Float32 does, to its precision. Int8 divides each vector by its length, also when the metric is
# one where the length counts, multiplies by 127, and answers in those units: distances are whole numbers in the thousands, and Get gives the
# shortened vector back.
#
# Seen on 2026-11-28, vectors 1: (1, 0), 2: (30, 40), 3: (0, 2), query (1, 0), nearest first with distances:
#   Ip:   Float32 2: -29, 1: 0, 3: 1            Float16 the same     Int8 1: -16128, 2: -9651, 3: 1
#   L2sq: Float32 1: 0, 3: 5, 2: 2441           Float16 the same     Int8 1: 0, 2: 12802, 3: 32258
#   Int8, Get(2): 0.598, 0.795
#
# Features before projection, weights of a classifier and averages of several prompts are not of length 1: a search over them turns into one by cosine
# without notice, a threshold on the distance lets nothing or all through, and features taken back out of the index have lost their length.
# Normalise first and use Int8 with Cos only.
#
# Needs: .NET SDK 10. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
cat >lengths.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <ImplicitUsings>enable</ImplicitUsings>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="Cloud.Unum.USearch" Version="[2.26.6]" />
  </ItemGroup>
</Project>
XML
cat >Program.cs <<'CS'
using Cloud.Unum.USearch;

Console.WriteLine("USearch " + typeof(USearchIndex).Assembly.GetName().Version);
bool asDescribed = true;
foreach ((MetricKind metric, string seen, string seenInt8) in new[] { (MetricKind.Ip, "2 1 3", "1 2 3"), (MetricKind.L2sq, "1 3 2", "1 2 3") })
{
    foreach (ScalarKind kind in new[] { ScalarKind.Float32, ScalarKind.Float16, ScalarKind.Int8 })
    {
        using var index = new USearchIndex(metric, kind, 2);
        index.Add(1, new float[] { 1, 0 });
        index.Add(2, new float[] { 30, 40 });
        index.Add(3, new float[] { 0, 2 });
        index.Search(new float[] { 1, 0 }, 3, out ulong[] keys, out float[] distances);
        index.Get(2, out float[] stored);
        Console.WriteLine($"{metric}, {kind}: {string.Join(", ", keys.Zip(distances, (key, distance) => $"{key}: {distance:F0}"))}; Get(2): {stored[0]:F3}, {stored[1]:F3}");
        bool int8 = kind == ScalarKind.Int8;
        asDescribed &= string.Join(' ', keys) == (int8 ? seenInt8 : seen) && (int8 ? Math.Abs(stored[0] - 0.6) < 0.01 : stored[0] == 30);
    }
}

Console.WriteLine(asDescribed ? "as described" : "not as described above");
return asDescribed ? 0 : 1;
CS
dotnet restore --verbosity quiet >restore.log 2>&1 || { cat restore.log >&2; echo "Cloud.Unum.USearch 2.26.6 cannot be had here (NuGet)" >&2; exit 2; }
dotnet build --no-restore --configuration Release --verbosity quiet --output program >build.log 2>&1 || { cat build.log >&2; exit 1; }
dotnet program/lengths.dll
