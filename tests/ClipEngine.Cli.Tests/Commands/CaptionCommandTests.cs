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

    [SkippableTheory]
    [InlineData("beam", "--beams", "6", "--beam-groups", "3", "--max-length", "10", "--min-length", "3")]
    [InlineData("greedy_stop", "--end-id", "222", "--max-length", "10", "--min-length", "3")]
    public async Task GeneratedIdsAreThoseOfOpenClip(string run, params string[] options)
    {
        string model = TestData.SharedPath("goldens", "families", "coca-base"), golden = Path.Combine(model, "caption.safetensors"), found = _folder.File("coca.safetensors");
        Assert.Equal(0, (await CommandLine.RunAsync(["caption", "raw", "--model", model, "--input", golden, "--out", found, .. options])).ExitCode);
        using ICheckpoint expected = Checkpoint.OpenAsStored(golden), written = Checkpoint.OpenAsStored(found);
        Assert.Equal(expected.ReadInt64s($"generated.{run}"), written.ReadInt64s("generated"));
        Assert.Equal(expected.Tensors["logits"].Dimensions.ToArray(), written.Tensors["logits"].Dimensions.ToArray());
    }

    [Theory]
    [InlineData("--beam-groups", "coca-tiny", "--beams", "6", "--beam-groups", "4")]
    [InlineData("--top-p", "coca-tiny", "--top-p", "0.5", "--top-k", "3")]
    [InlineData("--beams", "coca-tiny", "--top-p", "0.5", "--beams", "3")]
    [InlineData("--temperature", "coca-tiny", "--temperature", "0.5")]
    [InlineData("--max-length", "coca-tiny", "--max-length", "17")]
    [InlineData("--min-length", "coca-tiny", "--min-length", "10")]
    [InlineData("--end-id", "coca-tiny", "--end-id", "512")]
    [InlineData("--beam-groups", "transformers-caption-tiny", "--beams", "6", "--beam-groups", "3")]
    public async Task OptionsThatDoNotFitTheModelOrEachOtherAreRefusedByName(string named, string model, params string[] options)
    {
        (string folder, string input) = model == "coca-tiny" ? ("towers", "caption.safetensors") : ("blip", "golden.safetensors");
        string path = TestData.Path(folder, model), found = _folder.File("found.safetensors");
        string[] length = options.Contains("--max-length") ? [] : ["--max-length", "10"];
        ProcessOutcome outcome = await CommandLine.RunAsync(["caption", "raw", "--model", path, "--input", Path.Combine(path, input), "--out", found, .. length, .. options]);
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains($"clipengine: {named}", outcome.Error, StringComparison.Ordinal);
        Assert.False(File.Exists(found));
    }

    [Fact]
    public async Task AModelThatWritesNoCaptionsIsRefused() =>
        Assert.Equal(2, (await CommandLine.RunAsync("caption", "--model", TestData.Path("towers", "vit-gelu"), TestData.Path("preprocess", "images", "chelsea.png"))).ExitCode);

    /// <summary>BLIP-2's input has the image's placeholders before each sentence and a mask, as transformers' processor makes them.</summary>
    [SkippableTheory]
    [InlineData("blip-tiny")]
    [InlineData("transformers-blip2-tiny")]
    public async Task RawFeaturesOfAPairScorerComeWithItsLogits(string name)
    {
        string model = name == "blip-tiny" ? TestData.Path("blip", name) : TestData.SharedPath("goldens", "blip", name), golden = Path.Combine(model, "golden.safetensors"), found = _folder.File("found.safetensors");
        Assert.Equal(0, (await CommandLine.RunAsync("embed", "raw", "--model", model, "--input", golden, "--out", found)).ExitCode);
        using ICheckpoint expected = Checkpoint.OpenAsStored(golden), written = Checkpoint.OpenAsStored(found);
        foreach (string tensor in new[] { "itc", "itm_logits", "image_features_normalized", "text_features_normalized" })
        {
            float[] values = expected.ReadSingles(tensor), own = written.ReadSingles(tensor);
            Assert.Equal(expected.Tensors[tensor].Dimensions.AsSpan(), written.Tensors[tensor].Dimensions.AsSpan());
            for (int i = 0; i < values.Length; i++)
                Assert.Equal(values[i], own[i], 2e-5f);
        }
    }

    /// <summary>An image of BLIP-2 has a vector of each query: there are no labels by one cosine.</summary>
    [SkippableFact]
    public async Task LabelsOfAModelWithSeveralVectorsOfAnImageAreRefused()
    {
        ProcessOutcome outcome = await CommandLine.RunAsync("classify", "--model", TestData.SharedPath("goldens", "blip", "transformers-blip2-tiny"), "--labels", "cat,dog", TestData.Path("preprocess", "images", "chelsea.png"));
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains("6 vectors for each image", outcome.Error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task InspectSaysWhatBlip2Can()
    {
        ProcessOutcome outcome = await CommandLine.RunAsync("inspect", TestData.SharedPath("goldens", "blip", "transformers-blip2-tiny"));
        Assert.Equal(0, outcome.ExitCode);
        Assert.Contains("BLIP-2", outcome.Output, StringComparison.Ordinal);
        Assert.Contains("6 vectors of each", outcome.Output, StringComparison.Ordinal);
    }
}
