#!/usr/bin/env bash
# DuckDB's cosine similarity of a vector of zeros, or with a NaN in it, is -1: what has no direction is the exact opposite of everything.
#
# Package: NuGet's DuckDB.NET.Data.Full 1.5.6.1 with its DuckDB 1.5.6; list_cosine_similarity, array_cosine_similarity and their distances, of FLOAT and DOUBLE.
# The similarity is 0 / 0 there: by NumPy's functions it is NaN, PyTorch, scikit-learn and faiss (of normalised vectors) say 0. DuckDB
# limits the quotient to [-1, 1] and NaN comes out as -1. Squares of float are added in float, so lengths below 1e-23 or above 1e19 do the same.
#
# Seen on 2026-11-28:
#   similarity of (0, 0) and (1, 0): -1, distance 2      of (0, 0) and (0, 0): -1      of (NaN, 1) and (1, 1): -1 (list_inner_product: NaN)
#   of (1e-23, 0) and itself, FLOAT: -1      of (1e20, 0) and itself, FLOAT: -1
#
# Rows of zeros are how failed images are often stored. They count in every mean, bias score (differences of mean similarity) and histogram with the strongest value there
# is, and in order of distance they are the farthest. Leave them out by list_inner_product(v, v) > 0.
#
# Needs: .NET SDK 10. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
cat >cosine.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <ImplicitUsings>enable</ImplicitUsings>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="DuckDB.NET.Data.Full" Version="[1.5.6.1]" />
  </ItemGroup>
</Project>
XML
cat >Program.cs <<'CS'
using DuckDB.NET.Data;

using var connection = new DuckDBConnection("Data Source=:memory:");
connection.Open();
Console.WriteLine("DuckDB " + Ask("version()"));
bool asDescribed = true;
foreach ((string expression, double seen) in new[]
{
    ("list_cosine_similarity([0, 0]::DOUBLE[], [1, 0]::DOUBLE[])", -1), ("list_cosine_distance([0, 0]::DOUBLE[], [1, 0]::DOUBLE[])", 2),
    ("array_cosine_similarity([0, 0]::FLOAT[2], [1, 0]::FLOAT[2])", -1), ("array_cosine_similarity([0, 0]::FLOAT[2], [0, 0]::FLOAT[2])", -1),
    ("list_cosine_similarity(['nan'::FLOAT, 1]::FLOAT[], [1, 1]::FLOAT[])", -1), ("list_inner_product(['nan'::FLOAT, 1]::FLOAT[], [1, 1]::FLOAT[])", double.NaN),
    ("list_cosine_similarity([1e-23, 0]::FLOAT[], [1e-23, 0]::FLOAT[])", -1), ("list_cosine_similarity([1e20, 0]::FLOAT[], [1e20, 0]::FLOAT[])", -1),
    ("list_cosine_similarity([3, 4]::FLOAT[], [6, 8]::FLOAT[])", 1.0),
})
{
    double answer = Convert.ToDouble(Ask(expression));
    Console.WriteLine($"{expression} = {answer}");
    asDescribed &= answer.Equals(seen);
}

string farthest = Ask("string_agg(name, ', ' ORDER BY array_cosine_distance(v, [1, 0]::FLOAT[2]) DESC, name) FROM (VALUES ('same', [1, 0]::FLOAT[2]), " +
    "('at a right angle', [0, 1]::FLOAT[2]), ('opposite', [-1, 0]::FLOAT[2]), ('zeros', [0, 0]::FLOAT[2])) AS t(name, v)").ToString()!;
Console.WriteLine($"from the farthest on: {farthest}");
asDescribed &= farthest == "opposite, zeros, at a right angle, same";
Console.WriteLine(asDescribed ? "as described" : "not as described above");
return asDescribed ? 0 : 1;

object Ask(string expression)
{
    using DuckDBCommand command = connection.CreateCommand();
    command.CommandText = "SELECT " + expression;
    return command.ExecuteScalar()!;
}
CS
dotnet restore --verbosity quiet >restore.log 2>&1 || { cat restore.log >&2; echo "DuckDB.NET.Data.Full 1.5.6.1 cannot be had here (NuGet)" >&2; exit 2; }
dotnet build --no-restore --configuration Release --verbosity quiet --output program >build.log 2>&1 || { cat build.log >&2; exit 1; }
dotnet program/cosine.dll
