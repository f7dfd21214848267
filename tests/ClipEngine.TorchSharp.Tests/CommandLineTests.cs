using ClipEngine.Cli;
using ClipEngine.Tensors;

namespace ClipEngine.TorchSharp.Tests;

/// <summary>The devices that the command line knows in this build.</summary>
public class CommandLineTests
{
    [Theory]
    [InlineData("torch", "fp32", "torch:cpu", ElementType.Float32)]
    [InlineData("torch:cpu", "bf16", "torch:cpu", ElementType.BFloat16)]
    [InlineData("cpu", "fp32", "cpu", ElementType.Float32)]
    public void TorchIsADeviceBesideTheOthers(string device, string dtype, string name, ElementType type)
    {
        using IBackend backend = ModelArguments.OpenBackend(device, dtype, threads: null);
        Assert.Equal((name, type), (backend.Name, backend.ComputeType));
    }

    [Theory]
    [InlineData("torch:tpu", "fp32")]
    [InlineData("torch:cuda:99", "fp32")]
    [InlineData("torch", "int8")]
    [InlineData("torch", "tf32")]
    [InlineData("torches", "fp32")]
    public void WhatThereIsNotIsRefused(string device, string dtype) =>
        Assert.Throws<BadInputException>(() => ModelArguments.OpenBackend(device, dtype, threads: null));
}
