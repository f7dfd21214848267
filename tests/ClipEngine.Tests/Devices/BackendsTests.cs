using ClipEngine.Devices;
using ClipEngine.Tensors;

namespace ClipEngine.Tests.Devices;

/// <summary>The registry of devices: names, refusals, and what is registered from outside.</summary>
public class BackendsTests
{
    [Fact]
    public void TheProcessorIsThere()
    {
        using IBackend backend = Backends.Open("cpu", new BackendOptions { ComputeType = ElementType.BFloat16 });
        Assert.Equal(("cpu", ElementType.BFloat16), (backend.Name, backend.ComputeType));
    }

    [Theory]
    [InlineData("tpu")]
    [InlineData("cpu:0")]
    [InlineData("cpus")]
    [InlineData("cuda:")]
    [InlineData("cuda:-1")]
    [InlineData("cuda:one")]
    [InlineData("cuda:99999999999")]
    [InlineData("")]
    public void ANameThatIsNoDevicesIsRefusedWithThoseThereAre(string device)
    {
        string message = Assert.Throws<BadInputException>(() => Backends.Open(device)).Message;
        Assert.Contains("cpu, cuda, cuda:N, torch:cpu, torch:cuda:N", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("tf32")]
    [InlineData("fp8")]
    public void WhatGpusAloneComputeIsRefusedOnTheProcessor(string dtype) =>
        Assert.Contains(dtype, Assert.Throws<BadInputException>(() => Backends.Open("cpu", BackendOptions.Parse(dtype, "--dtype"))).Message, StringComparison.Ordinal);

    [Fact]
    public void ATypeThatIsNoneIsRefusedByItsSource() =>
        Assert.Equal("--dtype", Assert.Throws<BadInputException>(() => BackendOptions.Parse("fp31", "--dtype")).InputSource);

    [Theory]
    [InlineData("fp32"), InlineData("bf16"), InlineData("fp16"), InlineData("int8"), InlineData("tf32"), InlineData("fp8")]
    public void TypesAreReadAndWrittenAlike(string dtype) => Assert.Equal(dtype, BackendOptions.Parse(dtype, "--dtype").TypeName);

    [Fact]
    public void WithoutTorchSharpItsDevicesSayWhatIsMissing()
    {
        string message = Assert.Throws<BadInputException>(() => Backends.Open("torch:cpu")).Message;
        if (TorchSharpRequirements.FindMissing() is { } missing)
            Assert.Contains(missing, message, StringComparison.Ordinal);
        else
            Assert.Contains("TorchBackendProvider", message, StringComparison.Ordinal);
        DeviceList list = Backends.Providers.Single(provider => provider.Name == "torch").Find();
        Assert.Empty(list.Devices);
        Assert.StartsWith("not available: ", list.State, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void ASystemThatIsTooOldIsToldTheVersionAndTheSystemsThatHaveIt()
    {
        // The same question asked of the file and not of the symbol.
        Skip.IfNot(OperatingSystem.IsLinux() && File.Exists("/usr/lib/x86_64-linux-gnu/libstdc++.so.6"), "there is no libstdc++.so.6 where Debian and Ubuntu put it");
        bool isNewEnough = File.ReadAllBytes("/usr/lib/x86_64-linux-gnu/libstdc++.so.6").AsSpan().IndexOf("GLIBCXX_3.4.32\0"u8) >= 0;
        string? missing = TorchSharpRequirements.FindMissing();
        Assert.Equal(isNewEnough, missing is null);
        if (missing is not null)
            Assert.Matches("GLIBCXX_3.4.32.*Debian 13, Ubuntu 24.04", missing);
    }

    [Fact]
    public void AKindOfDeviceIsRegisteredFromOutside()
    {
        Backends.Register(new Toy());
        using IBackend backend = Backends.Open("toy:3");
        Assert.Equal("toy", backend.Name);
        Assert.Contains("cannot be used in bf16: only fp32", Assert.Throws<BadInputException>(() => Backends.Open("toy", new BackendOptions { ComputeType = ElementType.BFloat16 })).Message, StringComparison.Ordinal);
        Assert.Contains(Backends.Providers, provider => provider.Name == "toy");
    }

    private sealed class Toy : IBackendProvider
    {
        public string Name => "toy";

        public string DeviceNames => "toy, toy:N";

        public IBackend Open(string device, BackendOptions options) => options.ComputeType == ElementType.Float32 ? new Testing.ToyBackend() : throw new NotSupportedException("only fp32");

        public DeviceList Find() => new("1 device", [("toy", "name: Toy")]);
    }
}
