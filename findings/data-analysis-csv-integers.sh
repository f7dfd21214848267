#!/usr/bin/env bash
# Microsoft.Data.Analysis reads whole numbers of a CSV file as single-precision floats: identifiers above 16777216 run into each other.
#
# Package: NuGet's Microsoft.Data.Analysis 0.23.1, DataFrame.LoadCsv and LoadCsvFromString without types given, so that the columns are guessed.
# pandas, R, Arrow and DuckDB guess an integer of 64 bits for a column of whole numbers, and a double for others. This reader guesses Single for
# both; Single holds 24 bits.
#
# Seen on 2026-11-28: 16777215, 16777216, 16777217, 16777219, 2147483647 -> Single 16777215, 16777216, 16777216, 16777220, 2147483648
#   0.1234567891 -> Single 0.12345679
#
# Image and annotation identifiers of the usual data sets are larger than that: rows of two images become one when tables are joined or grouped, without any error
# and only for large numbers, so that a trial with the first thousand rows shows nothing. Give dataTypes: [typeof(long), ...].
#
# Needs: .NET SDK 10. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
cat >integers.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <ImplicitUsings>enable</ImplicitUsings>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="Microsoft.Data.Analysis" Version="[0.23.1]" />
  </ItemGroup>
</Project>
XML
cat >Program.cs <<'CS'
using System.Reflection;
using Microsoft.Data.Analysis;

Console.WriteLine("Microsoft.Data.Analysis " +
    typeof(DataFrame).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0]);
long[] identifiers = [16777215, 16777216, 16777217, 16777219, 2147483647];
string text = "id,score\n" + string.Concat(identifiers.Select(identifier => identifier + ",0.1234567891\n"));
DataFrame guessed = DataFrame.LoadCsvFromString(text), told = DataFrame.LoadCsvFromString(text, dataTypes: [typeof(long), typeof(double)]);
foreach (DataFrame frame in new[] { guessed, told })
    Console.WriteLine($"{frame["id"].DataType.Name} {string.Join(", ", identifiers.Select((_, row) => $"{frame["id"][row]:F0}"))}; {frame["score"].DataType.Name} {frame["score"][0]}");
long different = guessed.GroupBy("id").Count("score").Rows.Count;
Console.WriteLine($"groups of equal identifiers: {different} of {identifiers.Length} rows");
bool asDescribed = guessed["id"].DataType == typeof(float) && guessed["score"].DataType == typeof(float) && different == 4 && (float)guessed["id"][2] == 16777216 &&
    Enumerable.Range(0, identifiers.Length).All(row => (long)told["id"][row] == identifiers[row]);
Console.WriteLine(asDescribed ? "as described" : "not as described above");
return asDescribed ? 0 : 1;
CS
dotnet restore --verbosity quiet >restore.log 2>&1 || { cat restore.log >&2; echo "Microsoft.Data.Analysis 0.23.1 cannot be had here (NuGet)" >&2; exit 2; }
dotnet build --no-restore --configuration Release --verbosity quiet --output program >build.log 2>&1 || { cat build.log >&2; exit 1; }
dotnet program/integers.dll
