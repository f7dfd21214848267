using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Cli.Commands;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Commands;

public sealed class EmbedCommandTests : IDisposable
{
    private static readonly string Demo = Path.Combine(DemoCommand.Data, "models", "small");
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

    [Fact]
    public async Task SentencesOfAFileEqualThoseOfPyTorch()
    {
        string[] captions = JsonSerializer.Deserialize<string[]>(File.ReadAllText(TestData.Path("demo", "captions.json")))!;
        File.WriteAllLines(_folder.File("captions.txt"), captions);
        string output = _folder.File("out.safetensors");
        ProcessOutcome outcome = await CommandLine.RunAsync("embed", "text", "--model", Demo, "--file", _folder.File("captions.txt"), "--out", output, "--json");
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        using JsonDocument said = JsonDocument.Parse(outcome.Output);
        Assert.Equal([captions.Length, 16], said.RootElement.GetProperty("shapes")[0].EnumerateArray().Select(size => size.GetInt32()));
        Assert.Equal(0, said.RootElement.GetProperty("truncated").GetArrayLength());
        Assert.Equal(0, said.RootElement.GetProperty("notices").GetArrayLength());
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("demo", "small.safetensors")), found = Checkpoint.Open(output);
        float[] expected = golden.ReadSingles("text_features"), features = found.ReadSingles("text_features");
        Assert.Equal(expected.Length, features.Length);
        double spread = Math.Sqrt(expected.Average(value => (double)value * value));
        Assert.True(expected.Zip(features, (a, b) => Math.Abs((double)a - b)).Max() <= 2e-5 * spread);
    }

    [Fact]
    public async Task ASentenceThatIsCutIsReportedByNumber()
    {
        string tooLong = string.Join(' ', Enumerable.Repeat("drum", 200));
        ProcessOutcome outcome = await CommandLine.RunAsync("embed", "text", "--model", Demo, "a drum", tooLong, "--out", _folder.File("out.npy"), "--json");
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        using JsonDocument said = JsonDocument.Parse(outcome.Output);
        Assert.Equal([1], said.RootElement.GetProperty("truncated").EnumerateArray().Select(row => row.GetInt32()));
        Assert.Contains("1 of the sentences did not fit 77 ids", outcome.Error);
        Assert.Contains("number 2", outcome.Error);
    }

    [Fact]
    public async Task AModelThatIsNotThereIsNamed()
    {
        ProcessOutcome outcome = await CommandLine.RunAsync("embed", "text", "--model", _folder.File("absent"), "a drum", "--out", _folder.File("out.npy"));
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains(_folder.File("absent"), outcome.Error);
        Assert.Empty(Directory.GetFiles(_folder.Root));
    }

    [Fact]
    public async Task AContradictingActivationRunsOnlyOnRequestAndTheResultSaysSo()
    {
        // The place says QuickGELU (the hub's cache of a file trained so), the configuration of this stand-in says GELU.
        string snapshot = Directory.CreateDirectory(_folder.File("models--timm--vit_base_patch32_clip_224.laion400m_e32", "snapshots", "c")).FullName;
        foreach (string file in Directory.EnumerateFiles(TestData.Path("towers", "vit-gelu"), "open_clip_*"))
            File.Copy(file, Path.Combine(snapshot, Path.GetFileName(file)));
        string golden = TestData.Path("towers", "vit-gelu", "golden.safetensors");
        string[] arguments = ["embed", "raw", "--model", snapshot, "--input", golden, "--out", _folder.File("out.safetensors"), "--json"];

        ProcessOutcome refused = await CommandLine.RunAsync(arguments);
        Assert.Equal(2, refused.ExitCode);
        Assert.Contains("QuickGELU", refused.Error);
        Assert.Contains("--accept-activation-mismatch", refused.Error);
        ProcessOutcome accepted = await CommandLine.RunAsync([.. arguments, "--accept-activation-mismatch"]);
        Assert.True(accepted.ExitCode == 0, accepted.ToString());
        Assert.Contains("activation mismatch", accepted.Error);
        using JsonDocument said = JsonDocument.Parse(accepted.Output);
        Assert.Contains("activation mismatch", said.RootElement.GetProperty("notices")[0].GetString());
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
