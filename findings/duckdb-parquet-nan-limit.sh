#!/usr/bin/env bash
# DuckDB: whether a NaN of a Parquet file is above a limit depends on the other numbers of its row group, and x = 'nan' does not find it.
#
# Package: NuGet's DuckDB.NET.Data.Full 1.5.6.1 with its DuckDB 1.5.6; the file is written by Parquet.Net 6.1.0.
# DuckDB's NaN equals itself and is larger than every number, so that x > 3 is true of it. Parquet keeps the least and the largest number of each
# row group and leaves NaN out of both: a reader must not conclude that there is none. DuckDB does for = and >: a row group whose largest
# number is 3 is skipped for x > 3 with the NaN in it. isnan(x) is answered right.
#
# Seen on 2026-11-28, a column 1 NaN 3 2, count(*) from the file (from a table of the same rows):
#   x > 2: 2 (2)     x > 3: 0 (1)     x = 'nan': 0 (1)     isnan(x): 1 (1)     max(x): NaN (NaN)
#
# The number of scores above a threshold goes down by more than the scores between when the threshold rises, and differs between one large file and many small
# ones, or when rows are ordered otherwise. Keep NaN out (AND NOT isnan(x)), or copy the file into a table first.
#
# Needs: .NET SDK 10. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
cat >nans.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <ImplicitUsings>enable</ImplicitUsings>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="DuckDB.NET.Data.Full" Version="[1.5.6.1]" />
    <PackageReference Include="Parquet.Net" Version="[6.1.0]" />
  </ItemGroup>
</Project>
XML
cat >Program.cs <<'CS'
using DuckDB.NET.Data;
using Parquet;
using Parquet.Schema;

var field = new DataField<float>("x");
var stream = new MemoryStream();
await using (ParquetWriter writer = await ParquetWriter.CreateAsync(new ParquetSchema(field), stream))
{
    using ParquetRowGroupWriter group = writer.CreateRowGroup();
    await group.WriteAsync<float>(field, new float[] { 1, float.NaN, 3, 2 }, null, null, default);
}

File.WriteAllBytes("scores.parquet", stream.ToArray());
using var connection = new DuckDBConnection("Data Source=:memory:");
connection.Open();
Console.WriteLine("DuckDB " + Ask("version()"));
using (DuckDBCommand copy = connection.CreateCommand())
{
    copy.CommandText = "CREATE TABLE copied AS SELECT * FROM 'scores.parquet'";
    copy.ExecuteNonQuery();
}

bool asDescribed = FormattableString.Invariant($"{Ask("stats_max FROM parquet_metadata('scores.parquet')")}") == "3.0";
foreach ((string condition, long ofFile, long ofTable) in new[] { ("x > 2", 2L, 2L), ("x > 3", 0, 1), ("x = 'nan'", 0, 1), ("isnan(x)", 1, 1) })
{
    long fromFile = (long)Ask($"count(*) FROM 'scores.parquet' WHERE {condition}"), fromTable = (long)Ask($"count(*) FROM copied WHERE {condition}");
    Console.WriteLine($"{condition}: {fromFile} of the file, {fromTable} of the table");
    asDescribed &= fromFile == ofFile && fromTable == ofTable;
}

object largest = Ask("max(x) FROM 'scores.parquet'"), largestOfTable = Ask("max(x) FROM copied");
Console.WriteLine($"max(x): {largest} of the file, {largestOfTable} of the table");
asDescribed &= largest is float.NaN && largestOfTable is float.NaN;
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
dotnet program/nans.dll
