#!/usr/bin/env bash
# Math.NET Numerics: the hypergeometric probability is 0 for a population of 1030 and NaN for 2000, while its logarithm and its sum are right.
#
# Package: NuGet's MathNet.Numerics 5.0.0, Hypergeometric.PMF(population, success, draws, k), and Probability of an instance.
# It multiplies and divides binomial coefficients in double precision. Over 1029 things the middle one is infinite: where only the divisor
# overflows the answer is 0, where a factor does too it is NaN. R, SciPy and this class's own PMFLn work with logarithms; PMFLn and CDF are right.
#
# Seen on 2026-11-28, e^PMFLn in brackets:
#   PMF(1029, 514, 514, 257) = 0.04969 (0.04969)    PMF(1030, 515, 515, 257) = 0 (0.04959)    PMF(2000, 20, 1000, 10) = NaN (0.17708)
#   Fisher's exact test of 10 of 1000 against 10 of 1000: p = NaN (1)
#
# Fisher's exact test adds these probabilities: for audits of two groups with a few hundred images each it works, and a thousand images later
# p is NaN, or, just above the limit, 0, the most significant result there is. Take Math.Exp(Hypergeometric.PMFLn(...)).
#
# Needs: .NET SDK 10. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
cat >hypergeometric.csproj <<'XML'
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
using MathNet.Numerics.Distributions;

Console.WriteLine("MathNet.Numerics " +
    typeof(Hypergeometric).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0]);
foreach ((int population, int success, int draws, int k) in new[] { (1029, 514, 514, 257), (1030, 515, 515, 257), (2000, 20, 1000, 10) })
{
    double logarithm = Hypergeometric.PMFLn(population, success, draws, k);
    Console.WriteLine($"PMF({population}, {success}, {draws}, {k}) = {Hypergeometric.PMF(population, success, draws, k):F5}, e^PMFLn = {Math.Exp(logarithm):F5}");
}

// Two-sided: every table with the same margins that is no likelier than the one seen.
double Fisher(Func<int, double> probability) => Enumerable.Range(0, 21).Select(probability).Where(p => !(p > probability(10) * (1 + 1e-7))).Sum();
double fisher = Fisher(k => Hypergeometric.PMF(2000, 20, 1000, k)), byLogarithms = Fisher(k => Math.Exp(Hypergeometric.PMFLn(2000, 20, 1000, k)));
double sum = Hypergeometric.CDF(2000, 20, 1000, 10);
Console.WriteLine($"Fisher's exact test of 10 of 1000 against 10 of 1000: {fisher}, by logarithms {byLogarithms:F5}; CDF {sum:F5}");
bool asDescribed = Math.Abs(Hypergeometric.PMF(1029, 514, 514, 257) - 0.0496862) < 1e-6 && Hypergeometric.PMF(1030, 515, 515, 257) == 0 &&
    double.IsNaN(Hypergeometric.PMF(2000, 20, 1000, 10)) && double.IsNaN(fisher) && Math.Abs(byLogarithms - 1) < 1e-6 &&
    Math.Abs(sum - 0.5 - (0.1770845 / 2)) < 1e-6; // symmetric: half of all and half of the middle one
Console.WriteLine(asDescribed ? "as described" : "not as described above");
return asDescribed ? 0 : 1;
CS
dotnet restore --verbosity quiet >restore.log 2>&1 || { cat restore.log >&2; echo "MathNet.Numerics 5.0.0 cannot be had here (NuGet)" >&2; exit 2; }
dotnet build --no-restore --configuration Release --verbosity quiet --output program >build.log 2>&1 || { cat build.log >&2; exit 1; }
dotnet program/hypergeometric.dll
