using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Cli.Commands;
using ClipEngine.Models;
using ClipEngine.Native;
using ClipEngine.Tensors;
using ClipEngine.Testing;
using ClipEngine.Tests.Models;

namespace ClipEngine.Tests.Native.Cuda;

/// <summary><c>bench --device cuda</c> on the emulated device: that every line is measured and adds up. No figure of time is compared with anything.</summary>
public class CudaBenchTests
{
    private const string Tower = "vit-gelu";

    [SkippableFact]
    public void EverythingIsMeasuredOnTheDevice()
    {
        using CudaBackend backend = Open(ElementType.BFloat16);
        using CudaDevices devices = CudaDevices.Open([0], Library());
        var output = new StringWriter();
        Assert.Equal(0, BenchCommand.Run(backend, devices, TestData.Path("towers", Tower), batch: 2, seconds: 1e-3, json: true, output, TextWriter.Null, default));
        using JsonDocument json = JsonDocument.Parse(output.ToString());
        Assert.Equal("cuda:0", json.RootElement.GetProperty("device").GetString());
        Assert.Equal("bf16", json.RootElement.GetProperty("dtype").GetString());
        JsonElement[] results = [.. json.RootElement.GetProperty("results").EnumerateArray()];
        Assert.Equal(
            ["ceilings", "end to end", "operations", "stages, image tower, 2 at once", "stages, text tower, 2 sentences of 16 ids"],
            results.Select(Section).Distinct().Order(StringComparer.Ordinal));
        Assert.Equal(5, results.Count(result => Section(result) == "ceilings" && result.GetProperty("median_seconds").ValueKind == JsonValueKind.Null));
        Assert.Equal(4, results.Count(result => Name(result).StartsWith("score ", StringComparison.Ordinal)));
        Assert.All(results, static result => Assert.True(result.GetProperty("samples").GetInt32() >= 1 || Section(result) == "ceilings"));
        Assert.All(results.Where(static result => Section(result) == "ceilings" || Name(result).StartsWith("score ", StringComparison.Ordinal)), static result =>
            Assert.True((result.TryGetProperty("bytes_per_second", out JsonElement rate) ? rate : result.GetProperty("operations_per_second")).GetDouble() > 0));
        Assert.All(results.Where(static result => Name(result).StartsWith("score ", StringComparison.Ordinal) || Name(result).StartsWith("product ", StringComparison.Ordinal)), static result =>
            Assert.Equal(Section(result) != "ceilings", result.GetProperty("share_of_ceiling").ValueKind != JsonValueKind.Null));
    }

    [SkippableFact]
    public void StagesAreThoseOfTheTowerAndItsFeaturesStayTheSameBits()
    {
        using CudaBackend backend = Open(ElementType.Float32);
        using LoadedModel model = LoadedModel.Load(TestData.Path("towers", Tower), backend);
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", Tower, "golden.safetensors"));
        Shape shape = GoldenFeatures.ShapeOf(golden, "pixels");
        float[] pixels = golden.ReadSingles("pixels");
        float[] plain = GoldenFeatures.Images(model.Encoder, pixels, shape, normalize: true);
        using (CudaProfile profile = CudaProfile.Start(backend))
        {
            Assert.Throws<InvalidOperationException>(() => CudaProfile.Start(backend));
            Assert.Equal(plain, GoldenFeatures.Images(model.Encoder, pixels, shape, normalize: true));
            IReadOnlyList<CudaStageTime> stages = profile.Take();
            Assert.Equal("upload", stages[0].Name);
            Assert.All(stages, static stage => Assert.True(stage.Seconds > 0));
            OpenClipConfig config = OpenClipConfig.Load(TestData.Path("towers", Tower, "open_clip_config.json"));
            Assert.Equal(config.Vision.Layers.Sum(), stages.Single(static stage => stage.Name == "attention").Launches);
            // Counted from the shapes that were launched, against the count from the configuration, which does not know that the last
            // block's MLP runs on one token.
            double counted = stages.Sum(static stage => stage.Operations), expected = ModelCost.Of(config).Image.Operations * shape[0];
            Assert.InRange(counted, 0.6 * expected, expected);
            Assert.Empty(profile.Take());
        }

        Assert.Equal(plain, GoldenFeatures.Images(model.Encoder, pixels, shape, normalize: true));
    }

    [SkippableFact]
    public void ACeilingThatIsNoneIsRefused()
    {
        using CudaBackend backend = Open(ElementType.Float32);
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.MeasureCeiling(CudaCeiling.Copy, TimeSpan.Zero));
        Assert.True(backend.MeasureCeiling(CudaCeiling.Copy, TimeSpan.FromMilliseconds(1)) > 0);
        Assert.True(backend.FreeMemory > 0);
    }

    private static string Section(JsonElement result) => result.GetProperty("section").GetString()!;

    private static string Name(JsonElement result) => result.GetProperty("name").GetString()!;

    private static string Library()
    {
        string library = Path.Combine(TestData.RepositoryRoot, "artifacts", "native", "Release", "libclipengine_cuda_emulated.so");
        Skip.IfNot(File.Exists(library), "the emulated CUDA device is built by ./test.sh with the native tests");
        return library;
    }

    private static CudaBackend Open(ElementType type) => CudaBackend.Create(new CudaBackendOptions { ComputeType = type, LibraryPath = Library() });
}
