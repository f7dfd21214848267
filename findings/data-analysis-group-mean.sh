#!/usr/bin/env bash
# Microsoft.Data.Analysis: the mean of a group counts missing numbers as zeros, and so do its minimum and the mean of Description; a column's Mean leaves them out.
#
# Package: NuGet's Microsoft.Data.Analysis 0.23.1, Microsoft's data frame for .NET, read here from nullable numbers.
# DataFrameColumn.Mean skips nulls, as pandas, SQL and R (na.rm) do. GroupBy("k").Mean(...) divides the same sum by the number of rows, nulls
# included, though GroupBy("k").Count(...) gives the number without them; Min takes a null for 0; Description says how many are there and
# divides by all.
#
# Seen on 2026-11-28, rows (a, 2) (a, null) (a, null) (b, 3) (b, 8), right numbers in brackets:
#   GroupBy: mean of a 0.667 (2), of b 5.5; minimum of a 0 (2); count of a 1     Description: mean 2.6 (4.333)     Column: mean 4.333
#
# Rates and scores by group, with gaps where a model gave no answer, are pulled to zero by the share of the gaps: groups differ because their gaps do, which an audit
# takes for bias. Divide GroupBy(...).Sum by GroupBy(...).Count, which are both right.
#
# Needs: .NET SDK 10. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
cat >groups.csproj <<'XML'
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
var key = new StringDataFrameColumn("k", ["a", "a", "a", "b", "b"]);
var value = new DoubleDataFrameColumn("v", new double?[] { 2, null, null, 3, 8 });
var frame = new DataFrame(key, value);
DataFrame means = frame.GroupBy("k").Mean("v"), minima = frame.GroupBy("k").Min("v"), sums = frame.GroupBy("k").Sum("v"), counts = frame.GroupBy("k").Count("v");
DataFrame description = frame.Description();
double described = Convert.ToDouble(description["v"][3]);
Console.WriteLine($"column: mean {value.Mean():F3}; Description: {description["Description"][3]} {described:F3}");
foreach (int row in new[] { 0, 1 })
    Console.WriteLine($"group {means["k"][row]}: mean {means["v"][row]:F3}, minimum {minima["v"][row]}, sum {sums["v"][row]}, count {counts["v"][row]}");
bool asDescribed = Math.Abs(value.Mean() - (13.0 / 3)) < 1e-9 && Is(means, 0, 2.0 / 3) && Is(means, 1, 5.5) && Is(minima, 0, 0) && Is(sums, 0, 2) && Is(counts, 0, 1) &&
    (string)description["Description"][3] == "Mean" && Math.Abs(described - 2.6) < 1e-6;
Console.WriteLine(asDescribed ? "as described" : "not as described above");
return asDescribed ? 0 : 1;

static bool Is(DataFrame frame, int row, double expected) => Math.Abs(Convert.ToDouble(frame["v"][row]) - expected) < 1e-9;
CS
dotnet restore --verbosity quiet >restore.log 2>&1 || { cat restore.log >&2; echo "Microsoft.Data.Analysis 0.23.1 cannot be had here (NuGet)" >&2; exit 2; }
dotnet build --no-restore --configuration Release --verbosity quiet --output program >build.log 2>&1 || { cat build.log >&2; exit 1; }
dotnet program/groups.dll
