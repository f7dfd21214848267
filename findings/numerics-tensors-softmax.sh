#!/usr/bin/env bash
# System.Numerics.Tensors' SoftMax does not take the largest logit away first: NaN from 89 on, all zero for 1000 labels at 85, in half precision from 11 on.
#
# Package: NuGet's System.Numerics.Tensors 11.0.0, Microsoft's vectorised operations on spans; TensorPrimitives.SoftMax of float and Half.
# PyTorch, NumPy's users and ONNX Runtime subtract the largest logit, which changes nothing but keeps every exponential at 1 or below. This
# function divides e^x by the sum of the e^x as they are: the sum overflows when a logit is large and is 0 when all are far below zero.
#
# Seen on 2026-11-28, each time right: 0.731 and 0.269 (1000 equal logits: 0.001)
#   float: 88 and 87 right; 89 and 88: NaN, 0; 1000 times 85: all 0; -100 and -101: 0.7297, 0.2703; -104 and -105: NaN, NaN
#   Half: 10 and 9 right; 11 and 10: 0, 0; 12 and 11: NaN, 0; 25 and 24: NaN, NaN; -18 and -19: NaN, NaN
#
# A CLIP logit is a hundred times a cosine. Between an image and a text it is 20 to 35, fatal in half precision only; between two images or two
# sentences it reaches 100, and a logit of SigLIP lies below -100 for a poor pair. The zeros are the worst of it: they raise no alarm, every label
# has probability 0 and the first one wins. Subtract TensorPrimitives.Max(logits) from the row first.
#
# Needs: .NET SDK 10. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
cat >softmax.csproj <<'XML'
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
bool asDescribed = true;
foreach ((float logit, bool right) in new[] { (80f, true), (88f, true), (89f, false), (100f, false), (-80f, true), (-100f, false), (-104f, false) })
{
    float[] results = new float[2], shifted = new float[2];
    TensorPrimitives.SoftMax<float>([logit, logit - 1], results);
    TensorPrimitives.SoftMax<float>([0, -1], shifted);
    Console.WriteLine($"float, {logit} and {logit - 1}: {results[0]} {results[1]}, the largest taken away first: {shifted[0]} {shifted[1]}");
    asDescribed &= right == (Math.Abs(results[0] - 0.7310586f) < 1e-5f) && Math.Abs(shifted[0] - 0.7310586f) < 1e-5f;
}

foreach ((float logit, bool right) in new[] { (10f, true), (11f, false), (12f, false), (25f, false), (-18f, false) })
{
    Half[] results = new Half[2];
    TensorPrimitives.SoftMax<Half>([(Half)logit, (Half)(logit - 1)], results);
    Console.WriteLine($"Half, {logit} and {logit - 1}: {results[0]} {results[1]}");
    asDescribed &= right == (Math.Abs((float)results[0] - 0.731f) < 2e-3f) && (logit != 11 || (results[0] == Half.Zero && results[1] == Half.Zero));
}

float[] labels = new float[1000];
Array.Fill(labels, 85f);
TensorPrimitives.SoftMax<float>(labels, labels);
Console.WriteLine($"float, 1000 times 85: from {labels.Min()} to {labels.Max()}");
asDescribed &= labels.All(probability => probability == 0);
Console.WriteLine(asDescribed ? "as described" : "not as described above");
return asDescribed ? 0 : 1;
CS
dotnet restore --verbosity quiet >restore.log 2>&1 || { cat restore.log >&2; echo "System.Numerics.Tensors 11.0.0 cannot be had here (NuGet)" >&2; exit 2; }
dotnet build --no-restore --configuration Release --verbosity quiet --output program >build.log 2>&1 || { cat build.log >&2; exit 1; }
dotnet program/softmax.dll
