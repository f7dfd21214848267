#!/usr/bin/env bash
# Math.NET Numerics looks for quantiles of Student's t between -800 and 800 only, whatever the scale and the place: around 1000 it finds only the median.
#
# Package: NuGet's MathNet.Numerics 5.0.0, StudentT.InvCDF(location, scale, freedom, p), and InverseCumulativeDistribution of an instance.
# A quantile is the location plus the scale times the standard one; R's qt and SciPy's t.ppf have no bounds. Here the root of the distribution function is
# searched within fixed ones, in the units of the variable, and what lies outside ends in a NonConvergenceException. CDF is right there.
#
# Seen on 2026-11-28, right quantiles in brackets:
#   location 0, scale 1, freedom 1: p = 0.9996 found (795.8), 0.9999 exception (3183.1)      scale 0.01: p = 0.9999 found (31.8)
#   location 0, scale 100, freedom 30: p = 0.9999 found (423.4)      scale 1000, freedom 30: p = 0.975 exception (2042.3)
#   location 1000, scale 1, freedom 30: p = 0.6 exception (1000.26)
#
# Intervals from two runs or two persons have one degree of freedom: a level of 0.999 passes, and corrected for a few comparisons it asks for
# p = 0.9999 and the computation ends. Search with scale 0.001 and multiply.
#
# Needs: .NET SDK 10. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
cat >student.csproj <<'XML'
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
using MathNet.Numerics.Distributions;

Console.WriteLine("MathNet.Numerics " +
    typeof(StudentT).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0]);
bool asDescribed = true;
foreach ((double location, double scale, double freedom, double p, double right, bool found) in new[]
{
    (0, 1, 1, 0.9996, Math.Tan(Math.PI * 0.4996), true), (0, 1, 1, 0.9999, Math.Tan(Math.PI * 0.4999), false), (0, 0.01, 1, 0.9999, 0.01 * Math.Tan(Math.PI * 0.4999), true),
    (0, 100, 30, 0.9999, 423.40, true), (0, 1000, 30, 0.975, 2042.27, false), (1000, 1, 30, 0.6, 1000.255605, false),
})
{
    string answer = "NonConvergenceException";
    try
    {
        double quantile = StudentT.InvCDF(location, scale, freedom, p);
        answer = quantile.ToString("F2");
        asDescribed &= found && Math.Abs((quantile / right) - 1) < 1e-4;
    }
    catch (NonConvergenceException)
    {
        asDescribed &= !found;
    }

    double probability = StudentT.CDF(location, scale, freedom, right);
    Console.WriteLine($"location {location}, scale {scale}, freedom {freedom}, p = {p}: {answer}; right {right:F2}, where CDF is {probability:F6}");
    asDescribed &= Math.Abs(probability - p) < 1e-6;
}

Console.WriteLine(asDescribed ? "as described" : "not as described above");
return asDescribed ? 0 : 1;
CS
dotnet restore --verbosity quiet >restore.log 2>&1 || { cat restore.log >&2; echo "MathNet.Numerics 5.0.0 cannot be had here (NuGet)" >&2; exit 2; }
dotnet build --no-restore --configuration Release --verbosity quiet --output program >build.log 2>&1 || { cat build.log >&2; exit 1; }
dotnet program/student.dll
