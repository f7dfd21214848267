#!/usr/bin/env bash
# System.Numerics.Tensors adds halves up in half precision: Sum stops at 2048, the Dot of two embeddings of length 1 is off in the second decimal.
#
# Package: NuGet's System.Numerics.Tensors 11.0.0, Microsoft's vectorised operations on spans; TensorPrimitives takes Half like any number type.
# PyTorch multiplies and adds halves in single precision and rounds once at the end. This package's CosineSimilarity<Half>
# does so too and is right to the last bit. Dot, Norm, Sum, Average and StdDev round to a half after every addition: from 2048 on
# adding 1 changes nothing, and squares overflow at 65504, long before their root does.
#
# Seen on 2026-11-28 (200 pairs of 768 features, of length 1, cosines near 0.95; a half has steps of 0.0005 there):
#   CosineSimilarity: largest error 0.00024     Dot: largest error 0.0103, mean 0.0039      Norm: largest error 0.0068
#   Sum of 10000 ones: 2048       Average of 50000 times 0.5: 0.0205      Norm of 768 times 12: Infinity, exact 332.55
#   StdDev of the 256 grey levels / 255, 196 times each: 0.202, exact 0.290
#
# Whoever searches float16 features of length 1 takes Dot, the cheaper of two equals, and ranks neighbours by noise: their cosines differ
# by less than that error. CosineSimilarity is the accurate one; or convert (ConvertToSingle) and add up in single precision.
#
# Needs: .NET SDK 10. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
cat >halves.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <ImplicitUsings>enable</ImplicitUsings>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="System.Numerics.Tensors" Version="[11.0.0]" />
  </ItemGroup>
</Project>
XML
cat >Program.cs <<'CS'
using System.Numerics.Tensors;
using System.Reflection;

Console.WriteLine("System.Numerics.Tensors " +
    typeof(TensorPrimitives).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0]);
var random = new Random(1);
double cosineError = 0, dotError = 0, dotErrors = 0, normError = 0;
const int pairs = 200;
for (int pair = 0; pair < pairs; ++pair)
{
    double[] first = Normal(768);
    double[] second = Normal(768).Zip(first, (noise, value) => value + (0.3 * noise)).ToArray();
    Half[] x = OfLengthOne(first), y = OfLengthOne(second);
    double dot = x.Zip(y, (a, b) => (double)a * (double)b).Sum(), normOfX = Length(x), normOfY = Length(y);
    cosineError = Math.Max(cosineError, Math.Abs((double)TensorPrimitives.CosineSimilarity<Half>(x, y) - (dot / normOfX / normOfY)));
    double error = Math.Abs((double)TensorPrimitives.Dot<Half>(x, y) - dot);
    dotError = Math.Max(dotError, error);
    dotErrors += error;
    normError = Math.Max(normError, Math.Abs((double)TensorPrimitives.Norm<Half>(x) - normOfX));
}

Console.WriteLine($"CosineSimilarity: largest error {cosineError:F5}");
Console.WriteLine($"Dot: largest error {dotError:F4}, mean {dotErrors / pairs:F4}");
Console.WriteLine($"Norm: largest error {normError:F4}");
Half sum = TensorPrimitives.Sum<Half>(Times(10000, 1));
Half average = TensorPrimitives.Average<Half>(Times(50000, 0.5));
Half norm = TensorPrimitives.Norm<Half>(Times(768, 12));
Half deviation = TensorPrimitives.StdDev<Half>(Enumerable.Range(0, 50176).Select(i => (Half)(i % 256 / 255.0)).ToArray());
Console.WriteLine($"Sum of 10000 ones: {sum}\nAverage of 50000 times 0.5: {average}\nNorm of 768 times 12: {norm}\nStdDev of grey levels: {deviation}, exact {Math.Sqrt(65535.0 / 12) / 255:F3}");
bool asDescribed = cosineError < 0.0005 && dotError > 0.005 && normError > 0.003 && (float)sum < 9000 && (float)average < 0.4 && Half.IsInfinity(norm) && (float)deviation < 0.25;
Console.WriteLine(asDescribed ? "as described" : "not as described above");
return asDescribed ? 0 : 1;

double[] Normal(int count) =>
    Enumerable.Range(0, count).Select(_ => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())).ToArray();

static Half[] OfLengthOne(double[] values)
{
    double length = Math.Sqrt(values.Sum(value => value * value));
    return values.Select(value => (Half)(value / length)).ToArray();
}

static double Length(Half[] values) => Math.Sqrt(values.Sum(value => (double)value * (double)value));

static Half[] Times(int count, double value) => Enumerable.Repeat((Half)value, count).ToArray();
CS
dotnet restore --verbosity quiet >restore.log 2>&1 || { cat restore.log >&2; echo "System.Numerics.Tensors 11.0.0 cannot be had here (NuGet)" >&2; exit 2; }
dotnet build --no-restore --configuration Release --verbosity quiet --output program >build.log 2>&1 || { cat build.log >&2; exit 1; }
dotnet program/halves.dll
