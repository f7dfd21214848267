using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Commands;

public sealed class EmbedCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("vit-quickgelu")]
    [InlineData("coca-tiny")]
    [InlineData("resnet-tiny")]
    public async Task RawFeaturesEqualThoseOfOpenClip(string tower)
    {
        string golden = TestData.Path("towers", tower, "golden.safetensors"), output = _folder.File("out.safetensors");
        ProcessOutcome outcome = await CommandLine.RunAsync("embed", "raw", "--model", TestData.Path("towers", tower), "--input", golden, "--out", output, "--json");
        Assert.True(outcome.ExitCode == 0, outcome.Error);
        using JsonDocument said = JsonDocument.Parse(outcome.Output);
        Assert.Equal(output, said.RootElement.GetProperty("out").GetString());
        using ICheckpoint expected = Checkpoint.Open(golden), found = Checkpoint.Open(output);
        foreach (string name in new[] { "image_features", "image_features_normalized", "text_features", "text_features_normalized" })
        {
            float[] left = expected.ReadSingles(name), right = found.ReadSingles(name);
            Assert.Equal(expected.Tensors[name].Dimensions.ToArray(), found.Tensors[name].Dimensions.ToArray());
            double spread = Math.Sqrt(left.Average(value => (double)value * value));
            Assert.True(left.Zip(right, (a, b) => Math.Abs((double)a - b)).Max() <= 2e-5 * spread, name);
        }
    }

    [Fact]
    public async Task AnUnreadableImageIsNamedAndNothingIsWritten()
    {
        File.WriteAllText(_folder.File("broken.png"), "no image");
        ProcessOutcome outcome = await CommandLine.RunAsync("embed", "image", "--model", TestData.Path("towers", "vit-gelu"), _folder.Root, "--out", _folder.File("out.npy"));
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains("broken.png", outcome.Error);
        Assert.Equal(["broken.png"], Directory.GetFiles(_folder.Root).Select(Path.GetFileName));
    }

    [Theory]
    [InlineData("--device", "cuda:one")]
    [InlineData("--dtype", "fp8")]
    [InlineData("--batch", "0")]
    [InlineData("--out", "features.txt")]
    public async Task AWrongOptionIsNamed(string option, string value)
    {
        string golden = TestData.Path("towers", "vit-gelu", "golden.safetensors");
        string[] arguments = ["embed", "raw", "--model", TestData.Path("towers", "vit-gelu"), "--input", golden, "--out", _folder.File("out.safetensors")];
        ProcessOutcome outcome = option == "--out"
            ? await CommandLine.RunAsync([.. arguments[..^1], _folder.File(value)])
            : await CommandLine.RunAsync([.. arguments, option, value]);
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains(option == "--out" ? value : option, outcome.Error);
        Assert.Empty(Directory.GetFiles(_folder.Root));
    }
}
