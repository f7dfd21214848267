#!/usr/bin/env bash
# ONNX Runtime's Sigmoid does not ascend: sigmoid(-17) comes out above sigmoid(-16), and from -18 down it is exactly 0.
#
# Package: NuGet's Microsoft.ML.OnnxRuntime 1.31.1, its CPU provider, operator Sigmoid (opset 20) of floats.
# sigmoid(-18) is 1.523e-8, far above the smallest float (1e-45), and PyTorch gives it to the last bits. The runtime adds a rational
# approximation to 1/2: its error is small beside 1, not beside the result, which comes in steps of 2^-25, and inputs below -18
# count as -18. The same probability out of the operators Neg, Exp, Add and Reciprocal is right, and so is its logarithm out of Softplus.
#
# Seen on 2026-11-28 on x86-64 (AVX-512), right numbers in brackets:
#   Sigmoid(-15) = 3.576e-07 (3.059e-07)   Sigmoid(-16) = 5.960e-08 (1.125e-07)   Sigmoid(-17) = 8.941e-08 (4.140e-08)   Sigmoid(-18) = 0 (1.523e-08)
#   of 6000 steps of 0.001 from -18 to -12: 1861 go down, 1997 up
#
# SigLIP's score of an image and a sentence is sigmoid(scale * cosine + bias), with a scale above 100 and a bias of -10 or less: unlike pairs lie at
# -10 and well below, where an exported model puts the worse of two pairs first or ties both at 0, and the logarithm, as in SigLIP's loss, is
# -Infinity. Take the logits out of the model and apply the function outside.
#
# Needs: .NET SDK 10, x86-64. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
cat >sigmoid.csproj <<'XML'
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
float[] inputs = [0, -5, -12, -15, -16, -17, -17.5f, -18, -19, -25, -80];
float[] sigmoid = Run(Model(Node("Sigmoid", "x", "y")), inputs);
// 1 as e^(x - x), so that the model needs no stored tensor
float[] composed = Run(Model(Node("Neg", "x", "a"), Node("Exp", "a", "b"), Node("Sub", "x,x", "zero"),
    Node("Exp", "zero", "one"), Node("Add", "b,one", "c"), Node("Reciprocal", "c", "y")), inputs);
float[] logarithm = Run(Model(Node("Neg", "x", "a"), Node("Softplus", "a", "b"), Node("Neg", "b", "y")), inputs);
double worstComposed = 0, worstLogarithm = 0;
for (int i = 0; i < inputs.Length; ++i)
{
    double exact = 1 / (1 + Math.Exp(-(double)inputs[i]));
    Console.WriteLine($"x = {inputs[i]}: Sigmoid {sigmoid[i]:E3}, right {exact:E3}; of Neg, Exp, Add, Reciprocal {composed[i]:E3}");
    worstComposed = Math.Max(worstComposed, Math.Abs((composed[i] / exact) - 1));
    worstLogarithm = Math.Max(worstLogarithm, Math.Abs((logarithm[i] / Math.Log(exact)) - 1));
}

Console.WriteLine($"largest relative error of Neg, Exp, Add, Reciprocal: {worstComposed:E1}; of -Softplus(-x) as the logarithm: {worstLogarithm:E1}");
float[] line = Run(Model(Node("Sigmoid", "x", "y")), [.. Enumerable.Range(0, 6001).Select(i => (float)((i * 0.001) - 18))]);
int down = Enumerable.Range(0, 6000).Count(i => line[i + 1] < line[i]), up = Enumerable.Range(0, 6000).Count(i => line[i + 1] > line[i]);
Console.WriteLine($"steps of 0.001 from -18 to -12: {down} down, {up} up");
bool asDescribed = sigmoid[7..].All(value => value == 0) && sigmoid[5] > sigmoid[4] && down > 100 && Math.Abs((sigmoid[1] / 6.6929e-3) - 1) < 1e-4 &&
    worstComposed < 1e-6 && worstLogarithm < 1e-6;
Console.WriteLine(asDescribed ? "as described" : "not as described above");
return asDescribed ? 0 : 1;

static float[] Run(byte[] model, float[] values)
{
    using var session = new InferenceSession(model);
    using var results = session.Run([NamedOnnxValue.CreateFromTensor("x", new DenseTensor<float>(values, [values.Length]))]);
    return results[0].AsTensor<float>().ToArray();
}

// The few fields of onnx.proto that a model of one input x and one output y needs, in protobuf's wire format.
static byte[] Model(params byte[][] nodes) =>
[
    .. Number(1, 9), // ir_version
    .. Bytes(7, [.. nodes.SelectMany(node => Bytes(1, node)), .. Text(2, "graph"), .. Bytes(11, Value("x")), .. Bytes(12, Value("y"))]),
    .. Bytes(8, Number(2, 20)), // opset_import
];

static byte[] Node(string operation, string inputs, string outputs) =>
    [.. inputs.Split(',').SelectMany(name => Text(1, name)), .. outputs.Split(',').SelectMany(name => Text(2, name)), .. Text(4, operation)];

static byte[] Value(string name) => [.. Text(1, name), .. Bytes(2, Bytes(1, Number(1, 1)))]; // of floats

static byte[] Text(int field, string text) => Bytes(field, Encoding.ASCII.GetBytes(text));

static byte[] Bytes(int field, byte[] bytes) => [.. Varint((field << 3) | 2), .. Varint(bytes.Length), .. bytes];

static byte[] Number(int field, int number) => [.. Varint(field << 3), .. Varint(number)];

static byte[] Varint(int number) => number < 128 ? [(byte)number] : [(byte)(number | 128), .. Varint(number >> 7)];
CS
dotnet restore --verbosity quiet >restore.log 2>&1 || { cat restore.log >&2; echo "Microsoft.ML.OnnxRuntime 1.31.1 cannot be had here (NuGet)" >&2; exit 2; }
dotnet build --no-restore --configuration Release --verbosity quiet --output program >build.log 2>&1 || { cat build.log >&2; exit 1; }
dotnet program/sigmoid.dll
