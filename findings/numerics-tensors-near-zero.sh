#!/usr/bin/env bash
# System.Numerics.Tensors: Tanh of small numbers is off by up to half their value in rows of four or more and right in shorter ones; LogP1 and ExpM1 are
# no better near zero than the formulas they are there to replace.
#
# Package: NuGet's System.Numerics.Tensors 11.0.0, Microsoft's vectorised operations on spans; TensorPrimitives.Tanh, Sinh, LogP1 and ExpM1 of floats.
# Everywhere else (C's math.h, PyTorch) these four are exact to a few units in the last place near zero, where tanh(x), log(1 + x) and e^x - 1
# are x; log1p and expm1 exist for nothing else. Here Tanh and Sinh are computed by exponentials that cancel, but only by the vector instructions:
# the same number in a shorter row goes through MathF and is right. LogP1 and ExpM1 add or take away the 1 in single precision in rows of
# any length, and so do .NET's own float.LogP1 and float.ExpM1 (10.0), and double's.
#
# Seen on 2026-11-28 on x86-64, the same with AVX2 and AVX-512 switched off:
#   x = 1e-5:  Tanh 9.954e-06 (MathF.Tanh 1e-05, and Tanh too in a row of one)   Sinh 1.0073e-05   ExpM1 1.0133e-05
#   x = 1e-7:  Tanh 5.96e-08   Sinh 1.788e-07
#   x = 1e-8:  LogP1 0   float.LogP1 0   float.ExpM1 0      x = 1e-17: double.LogP1 0   double.ExpM1 0
#
# GELU's approximation by tanh, gradients and saliency of small activations carry this error, and a batch of one does not agree with a batch of eight.
# The loss of SigLIP, log(1 + e^-z), is 0 from z = 17 on: a confident pair has no loss and no gradient. Take MathF.Tanh number by number; for log(1 + x),
# with u = 1 + x, x * log(u) / (u - 1), and x where u is 1.
#
# Needs: .NET SDK 10, x86-64. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
cat >small.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="System.Numerics.Tensors" Version="[11.0.0]" />
  </ItemGroup>
</Project>
XML
cat >Program.cs <<'CS'
using System;
using System.Numerics.Tensors;
using System.Reflection;

Console.WriteLine("System.Numerics.Tensors " +
    typeof(TensorPrimitives).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0] + ", .NET " + Environment.Version);
bool asDescribed = true;
foreach (int length in new[] { 1, 3, 4, 8, 768 })
{
    float tanh = First(TensorPrimitives.Tanh<float>, 1e-5f, length);
    Console.WriteLine($"Tanh of a row of {length} times 1e-5: {tanh}; MathF.Tanh: {MathF.Tanh(1e-5f)}");
    asDescribed &= Math.Abs((tanh / 1e-5) - 1) > 0.001 == length >= 4;
}

// Up to x^2 / 2, far less than the errors here, each of the four is x.
asDescribed &= Shown("Tanh", TensorPrimitives.Tanh<float>, 1e-7f) > 0.3;
asDescribed &= Shown("Sinh", TensorPrimitives.Sinh<float>, 1e-7f) > 0.3;
asDescribed &= Shown("ExpM1", TensorPrimitives.ExpM1<float>, 1e-5f) > 0.001;
asDescribed &= Shown("LogP1", TensorPrimitives.LogP1<float>, 1e-5f) > 0.001;
asDescribed &= Shown("LogP1", TensorPrimitives.LogP1<float>, 1e-8f) == 1;
Console.WriteLine($".NET: float.LogP1(1e-8) = {float.LogP1(1e-8f)}, float.ExpM1(1e-8) = {float.ExpM1(1e-8f)}, double.LogP1(1e-17) = {double.LogP1(1e-17)}, double.ExpM1(1e-17) = {double.ExpM1(1e-17)}");
asDescribed &= float.LogP1(1e-8f) == 0 && float.ExpM1(1e-8f) == 0 && double.LogP1(1e-17) == 0 && double.ExpM1(1e-17) == 0;
Console.WriteLine(asDescribed ? "as described" : "not as described above");
return asDescribed ? 0 : 1;

static float First(Operation operation, float value, int length)
{
    float[] values = new float[length], results = new float[length];
    Array.Fill(values, value);
    operation(values, results);
    return results[0];
}

static double Shown(string name, Operation operation, float value)
{
    float result = First(operation, value, 64);
    double error = Math.Abs((result / (double)value) - 1);
    Console.WriteLine($"{name}({value}) = {result}, wrong by {error:P2}");
    return error;
}

internal delegate void Operation(ReadOnlySpan<float> values, Span<float> results);
CS
dotnet restore --verbosity quiet >restore.log 2>&1 || { cat restore.log >&2; echo "System.Numerics.Tensors 11.0.0 cannot be had here (NuGet)" >&2; exit 2; }
dotnet build --no-restore --configuration Release --verbosity quiet --output program >build.log 2>&1 || { cat build.log >&2; exit 1; }
dotnet program/small.dll
