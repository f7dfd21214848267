#!/usr/bin/env bash
# ONNX Runtime: a NaN wins ArgMax, ReduceMax and the top 1 when it stands first and loses at any other place; of a top 2 it is always the first.
#
# Package: NuGet's Microsoft.ML.OnnxRuntime 1.31.1, its CPU provider (opset 20), floats.
# PyTorch and NumPy let a NaN win wherever it stands, so that a broken row shows. Here the first number is compared with the others by >, which is
# never true of a NaN: at the first place nothing displaces it, at the others it displaces nothing. TopK of more than one sorts another way. Max of two tensors and Relu pass a NaN on.
#
# Seen on 2026-11-28 on x86-64:
#   1 NaN 5 2: ArgMax 2, ReduceMax 5, TopK of 1: 2, TopK of 2: 1 (the NaN), 2     NaN 1 5 2: ArgMax 0, ReduceMax NaN, TopK of 1: 0, of 2: 0, 2
#
# An overflow in half precision or a division by a length of 0 puts NaN into some logits: the exported model goes on and names the best of the others, or
# the label that happens to stand first in the list, and its first of five is not its only one. Check the logits themselves (IsNaN) before.
#
# Needs: .NET SDK 10, x86-64. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
cat >largest.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <ImplicitUsings>enable</ImplicitUsings>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="Microsoft.ML.OnnxRuntime" Version="[1.31.1]" />
  </ItemGroup>
</Project>
XML
cat >Program.cs <<'CS'
using System.Text;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

Console.WriteLine("ONNX Runtime " + OrtEnv.Instance().GetVersionString());
bool asDescribed = true;
foreach ((float[] values, long best, float largest) in new[] { (new[] { 1, float.NaN, 5, 2 }, 2L, 5f), ([float.NaN, 1, 5, 2], 0L, float.NaN), ([1, 5, 2, float.NaN], 1L, 5f) })
{
    long argMax = Run("ArgMax", "x", "y", 7, values, 0, Attribute("keepdims", 0), Attribute("axis", 0))[0].AsTensor<long>().ToArray()[0];
    float reduceMax = Run("ReduceMax", "x", "y", 1, values, 0, Attribute("keepdims", 0))[0].AsTensor<float>().ToArray()[0];
    long topOne = Run("TopK", "x,k", "largest,y", 7, values, 1)[0].AsTensor<long>().ToArray()[0], topTwo = Run("TopK", "x,k", "largest,y", 7, values, 2)[0].AsTensor<long>().ToArray()[0];
    Console.WriteLine($"{string.Join(' ', values)}: ArgMax {argMax}, ReduceMax {reduceMax}, TopK of 1: {topOne}, first of TopK of 2: {topTwo}");
    asDescribed &= argMax == best && reduceMax.Equals(largest) && topOne == best && float.IsNaN(values[topTwo]);
}

Console.WriteLine(asDescribed ? "as described" : "not as described above");
return asDescribed ? 0 : 1;

// A model of one operator with the inputs x (the values) and k; the output y is its result.
static IReadOnlyList<NamedOnnxValue> Run(string operation, string inputs, string outputs, int type, float[] values, long k, params byte[][] attributes)
{
    byte[] node = [.. Texts(1, inputs), .. Texts(2, outputs), .. Text(4, operation), .. attributes.SelectMany(attribute => attribute)];
    byte[] graph = [.. Bytes(1, node), .. Text(2, "graph"), .. Value(11, "x", 1), .. Value(11, "k", 7), .. Value(12, "y", type)];
    using var session = new InferenceSession([.. Number(1, 9), .. Bytes(7, graph), .. Bytes(8, Number(2, 20))]); // ir_version, graph, opset_import
    var x = NamedOnnxValue.CreateFromTensor("x", new DenseTensor<float>(values, [values.Length]));
    return [.. session.Run([x, NamedOnnxValue.CreateFromTensor("k", new DenseTensor<long>(new[] { k }, [1]))])];
}

static byte[] Attribute(string name, int number) => Bytes(5, [.. Text(1, name), .. Number(3, number), .. Number(20, 2)]); // an INT

static byte[] Value(int field, string name, int type) => Bytes(field, [.. Text(1, name), .. Bytes(2, Bytes(1, Number(1, type)))]);

static byte[] Texts(int field, string names) => [.. names.Split(',').SelectMany(name => Text(field, name))];

static byte[] Text(int field, string text) => Bytes(field, Encoding.ASCII.GetBytes(text));

static byte[] Bytes(int field, byte[] bytes) => [.. Varint((field << 3) | 2), .. Varint(bytes.Length), .. bytes];

static byte[] Number(int field, int number) => [.. Varint(field << 3), .. Varint(number)];

static byte[] Varint(int number) => number < 128 ? [(byte)number] : [(byte)(number | 128), .. Varint(number >> 7)];
CS
dotnet restore --verbosity quiet >restore.log 2>&1 || { cat restore.log >&2; echo "Microsoft.ML.OnnxRuntime 1.31.1 cannot be had here (NuGet)" >&2; exit 2; }
dotnet build --no-restore --configuration Release --verbosity quiet --output program >build.log 2>&1 || { cat build.log >&2; exit 1; }
dotnet program/largest.dll
