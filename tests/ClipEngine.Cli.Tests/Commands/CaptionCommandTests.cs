using ClipEngine.Checkpoints;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Commands;

/// <summary>Captions from the command line, and what <c>embed raw</c> makes of a scorer of pairs.</summary>
public sealed class CaptionCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task GeneratedIdsAndLogitsAreThoseOfTransformers()
    {
        string model = TestData.Path("blip", "transformers-caption-tiny"), golden = Path.Combine(model, "golden.safetensors"), found = _folder.File("found.safetensors");
        Assert.Equal(0, (await CommandLine.RunAsync("caption", "raw", "--model", model, "--input", golden, "--out", found, "--beams", "3", "--max-length", "20", "--min-length", "5")).ExitCode);
        using ICheckpoint expected = Checkpoint.OpenAsStored(golden), written = Checkpoint.OpenAsStored(found);
        Assert.Equal(expected.ReadInt64s("generate.authors.no_prompt"), written.ReadInt64s("generated"));
        Assert.Equal(expected.Tensors["logits"].Dimensions.ToArray(), written.Tensors["logits"].Dimensions.ToArray());
    }

    [Fact]
    public async Task EveryImageGetsASentence()
    {
        string[] images = [TestData.Path("preprocess", "images", "chelsea.png"), TestData.Path("preprocess", "images", "astronaut.png")];
        ProcessOutcome outcome = await CommandLine.RunAsync(["caption", "--model", TestData.Path("blip", "transformers-caption-tiny"), "--json", .. images]);
        Assert.Equal(0, outcome.ExitCode);
        string[] lines = outcome.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(images.Length, lines.Length);
        Assert.All(lines, line => Assert.Contains("\"caption\":\"", line, StringComparison.Ordinal));
    }

    [Fact]
    public async Task AModelThatWritesNoCaptionsIsRefused() =>
        Assert.Equal(2, (await CommandLine.RunAsync("caption", "--model", TestData.Path("towers", "vit-gelu"), TestData.Path("preprocess", "images", "chelsea.png"))).ExitCode);

    [Fact]
    public async Task RawFeaturesOfAPairScorerComeWithItsLogits()
    {
        string model = TestData.Path("blip", "blip-tiny"), golden = Path.Combine(model, "golden.safetensors"), found = _folder.File("found.safetensors");
        Assert.Equal(0, (await CommandLine.RunAsync("embed", "raw", "--model", model, "--input", golden, "--out", found)).ExitCode);
        using ICheckpoint expected = Checkpoint.OpenAsStored(golden), written = Checkpoint.OpenAsStored(found);
        foreach (string name in new[] { "itc", "itm_logits", "image_features_normalized", "text_features_normalized" })
        {
            float[] values = expected.ReadSingles(name), own = written.ReadSingles(name);
            Assert.Equal(values.Length, own.Length);
            for (int i = 0; i < values.Length; i++)
                Assert.Equal(values[i], own[i], 2e-5f);
        }
    }
}
