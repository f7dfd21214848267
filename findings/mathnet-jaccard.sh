#!/usr/bin/env bash
# Math.NET Numerics: the Jaccard distance of two sets that share anything is 0, of two that share nothing NaN.
#
# Package: NuGet's MathNet.Numerics 5.0.0, Distance.Jaccard of arrays of double and of float; its documentation says 1 minus the Jaccard index.
# Of two sets as rows of zeros and ones, the index is the number of ones in both over the number of ones in either (SciPy's and scikit-learn's too).
# This function counts as union only the places where both rows are not zero, which is the intersection, and so divides a number by itself.
#
# Seen on 2026-11-28, right distances in brackets:
#   1 0 1 and 1 1 0: 0 (0.667)     1 0 1 0 0 and 1 1 0 1 1: 0 (0.8)     1 0 and 0 1: NaN (1)     1 1 1 and 1 1 1: 0 (0)
#
# Sets of labels or tags of images, one column each: all neighbours are at distance 0, and a clustering or a search for duplicates finds all images alike
# that have one tag in common. Count by hand; two numbers are needed.
#
# Needs: .NET SDK 10. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
cat >jaccard.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <ImplicitUsings>enable</ImplicitUsings>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="MathNet.Numerics" Version="[5.0.0]" />
  </ItemGroup>
</Project>
XML
cat >Program.cs <<'CS'
using System.Reflection;
using MathNet.Numerics;

Console.WriteLine("MathNet.Numerics " +
    typeof(Distance).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0]);
bool asDescribed = true;
foreach ((double[] a, double[] b, double seen) in new[]
{
    (new double[] { 1, 0, 1 }, new double[] { 1, 1, 0 }, 0.0), ([1, 0, 1, 0, 0], [1, 1, 0, 1, 1], 0), ([1, 0], [0, 1], double.NaN), ([1, 1, 1], [1, 1, 1], 0.0),
})
{
    double both = a.Zip(b).Count(pair => pair.First != 0 && pair.Second != 0), either = a.Zip(b).Count(pair => pair.First != 0 || pair.Second != 0);
    double distance = Distance.Jaccard(a, b), single = Distance.Jaccard(Array.ConvertAll(a, x => (float)x), Array.ConvertAll(b, x => (float)x));
    Console.WriteLine($"{string.Join(' ', a)} and {string.Join(' ', b)}: {distance}, of floats {single}; right {1 - (both / either):F3}");
    asDescribed &= distance.Equals(seen) && single.Equals(seen);
}

Console.WriteLine(asDescribed ? "as described" : "not as described above");
return asDescribed ? 0 : 1;
CS
dotnet restore --verbosity quiet >restore.log 2>&1 || { cat restore.log >&2; echo "MathNet.Numerics 5.0.0 cannot be had here (NuGet)" >&2; exit 2; }
dotnet build --no-restore --configuration Release --verbosity quiet --output program >build.log 2>&1 || { cat build.log >&2; exit 1; }
dotnet program/jaccard.dll
