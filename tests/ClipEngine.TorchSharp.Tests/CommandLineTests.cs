using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Verification;
using ClipEngine.Checkpoints;
using ClipEngine.Cli;
using ClipEngine.Devices;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.TorchSharp.Tests;

/// <summary>The devices of the command line where TorchSharp's are registered.</summary>
public class CommandLineTests
{
    public CommandLineTests() => Backends.Register(new TorchBackendProvider());

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
    [InlineData("torch:", "fp32")]
    [InlineData("torch:cuda:99", "fp32")]
    [InlineData("torch", "int8")]
    [InlineData("torch", "tf32")]
    [InlineData("torches", "fp32")]
    public void WhatThereIsNotIsRefused(string device, string dtype) =>
        Assert.Contains(device, Assert.Throws<BadInputException>(() => ModelArguments.OpenBackend(device, dtype, threads: null)).Message, StringComparison.Ordinal);

    [Fact]
    public void ItsDevicesAreListedWithWhatTheyPromise()
    {
        DeviceList list = new TorchBackendProvider().Find();
        (string name, string description) = list.Devices[0];
        Assert.Equal("torch:cpu", name);
        Assert.Contains("TorchSharp 0.107.0", description, StringComparison.Ordinal);
        Assert.Contains("invariance: ", description, StringComparison.Ordinal);
        Assert.Contains(global::TorchSharp.torch.cuda.is_available() ? "devices" : "no torch:cuda: ", list.State, StringComparison.Ordinal);
    }

    [Fact]
    public void AnAuditOnTorchHasTheFiguresOfOneOnTheProcessor()
    {
        using var folder = new TemporaryFolder();
        string spec = Path.Combine(TestData.RepositoryRoot, "src", "ClipEngine.Cli", "Demo", "Data", "spec.json");
        AuditResult Audit(string device) => new AuditRun(spec, folder.File(device.Replace(':', '-')), new ClipProbeModels(device), new ReportWriter()).Execute();
        AuditResult expected = Audit("cpu"), found = Audit("torch:cpu");
        Assert.Contains("TorchSharp", found.Provenance.Device, StringComparison.Ordinal);
        Assert.All(RunComparison.Compare(expected, found), change =>
        {
            Assert.Equal(1, change.SameLabel.Value!.Value, 1e-12); // a sum of persons' shares
            Assert.All(change.Rates, rate => Assert.Equal(rate.First, rate.Second));
        });
        float[] Features(string device) => [.. Directory.GetFiles(folder.File(device, "embeddings"), "*.safetensors").Order(StringComparer.Ordinal).SelectMany(file =>
        {
            using ICheckpoint stored = Checkpoint.Open(file);
            return stored.Tensors.Keys.Order(StringComparer.Ordinal).SelectMany(key => stored.ReadSingles(key)).ToArray();
        })];
        float[] one = Features("cpu"), other = Features("torch-cpu");
        Assert.Equal(one.Length, other.Length);
        Assert.All(one.Zip(other), pair => Assert.Equal(pair.First, pair.Second, 2e-6f));
    }
}
