using System.Diagnostics;
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
    public async Task SkippedImagesAreListedBesideTheFeaturesAndWhatElseLaysThereIsCounted()
    {
        string pictures = _folder.File("pictures"), output = _folder.File("out.safetensors");
        Directory.CreateDirectory(Path.Combine(pictures, ".cache"));
        foreach (string name in new[] { "tiny.png", "rgba.png", "gray.jpg" })
            File.Copy(TestData.Path("preprocess", "images", name), Path.Combine(pictures, name));
        File.WriteAllText(Path.Combine(pictures, "page.jpg"), "<html>");
        File.WriteAllText(Path.Combine(pictures, "notes.txt"), "");
        string[] arguments = ["embed", "image", pictures, "--model", Demo, "--out", output, "--resampler", "torchvision", "--alpha", "white"];

        ProcessOutcome stopped = await CommandLine.RunAsync(arguments);
        Assert.Equal(2, stopped.ExitCode);
        Assert.False(File.Exists(output));

        ProcessOutcome outcome = await CommandLine.RunAsync([.. arguments, "--skip-bad", "--json"]);
        Assert.True(outcome.ExitCode == 0, outcome.Error);
        using JsonDocument said = JsonDocument.Parse(outcome.Output);
        JsonElement skipped = said.RootElement.GetProperty("skipped")[0];
        Assert.Equal((1, Path.Combine(pictures, "page.jpg")), (skipped.GetProperty("index").GetInt32(), skipped.GetProperty("image").GetString()));
        Assert.Equal((1, 1), (said.RootElement.GetProperty("left_out").GetProperty(".txt").GetInt32(), said.RootElement.GetProperty("left_out").GetProperty("hidden").GetInt32()));
        Assert.Equal(("torchvision", "first", "white"), (Said("resampler"), Said("rgb"), Said("alpha")));
        string listed = Assert.Single(File.ReadAllLines(output + ".skipped.jsonl"));
        Assert.Equal(skipped.GetRawText(), listed);
        using ICheckpoint found = Checkpoint.Open(output);
        Assert.Equal([3, 16], found.Tensors["image_features"].Dimensions.Select(size => (int)size));
        Assert.Equal(new[] { "gray.jpg", "rgba.png", "tiny.png" }, JsonSerializer.Deserialize<string[]>(found.Metadata["names"])!.Select(Path.GetFileName));
        Assert.Contains("resampler torchvision, RGB first, alpha white", found.Metadata["preprocessing"], StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFiles(_folder.File("."), "*.partial"));

        File.Delete(Path.Combine(pictures, "page.jpg"));
        ProcessOutcome whole = await CommandLine.RunAsync([.. arguments[..5], "--out", _folder.File("whole.safetensors"), .. arguments[7..]]);
        Assert.True(whole.ExitCode == 0, whole.Error);
        Assert.Contains("left out 2 files that are no images (.txt 1, hidden 1)", whole.Error, StringComparison.Ordinal);
        using ICheckpoint expected = Checkpoint.Open(_folder.File("whole.safetensors"));
        Assert.Equal(expected.ReadSingles("image_features"), found.ReadSingles("image_features"));

        string Said(string member) => said.RootElement.GetProperty("preprocessing").GetProperty(member).GetString()!;
    }

    [Fact]
    public async Task NothingIsWrittenWhereNoImageCanBeRead()
    {
        File.WriteAllText(_folder.File("page.jpg"), "<html>");
        ProcessOutcome outcome = await CommandLine.RunAsync("embed", "image", _folder.File("page.jpg"), "--model", Demo, "--out", _folder.File("out.npy"), "--skip-bad");
        Assert.Equal(2, outcome.ExitCode);
        Assert.Equal(["page.jpg"], Directory.EnumerateFileSystemEntries(_folder.File(".")).Select(Path.GetFileName));
    }

    /// <summary>The image is decoded while the weights are read; what is told of both stays in its order.</summary>
    [Fact]
    public async Task ABadModelIsToldBeforeABadImage()
    {
        string image = _folder.File("page.jpg"), model = _folder.File("model"), output = _folder.File("out.npy");
        File.WriteAllText(image, "<html>");
        ProcessOutcome badImage = await CommandLine.RunAsync("embed", "image", image, "--model", Demo, "--out", output);
        Assert.Equal(2, badImage.ExitCode);
        Assert.StartsWith($"clipengine: {image}: ", badImage.Error, StringComparison.Ordinal);
        Assert.Single(badImage.Error.Trim().Split('\n'));

        Directory.CreateDirectory(model);
        File.Copy(Path.Combine(Demo, "open_clip_config.json"), Path.Combine(model, "open_clip_config.json"));
        byte[] weights = await File.ReadAllBytesAsync(Path.Combine(Demo, "open_clip_model.safetensors"));
        await File.WriteAllBytesAsync(Path.Combine(model, "open_clip_model.safetensors"), weights[..^1]);
        ProcessOutcome badModel = await CommandLine.RunAsync("embed", "image", image, "--model", model, "--out", output);
        Assert.Equal(2, badModel.ExitCode);
        Assert.StartsWith($"clipengine: {Path.Combine(model, "open_clip_model.safetensors")}: ", badModel.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("page.jpg", badModel.Error, StringComparison.Ordinal);
        Assert.False(File.Exists(output));
    }

    /// <summary>
    /// The same features as a checkpoint whose positions PyTorch resized (bicubic, antialias) beforehand and whose configuration
    /// states the size.
    /// </summary>
    [Theory]
    [InlineData("48", 48, 48)]
    [InlineData("24x40", 24, 40)]
    public async Task AnotherImageSizeResizesThePositionsAsPyTorchDoes(string size, int height, int width)
    {
        string trained = TestData.Path("towers", "vit-gelu"), resized = _folder.File("resized"), image = TestData.Path("preprocess", "images", "chelsea.q92.jpg");
        Directory.CreateDirectory(resized);
        var config = System.Text.Json.Nodes.JsonNode.Parse(File.ReadAllText(Path.Combine(trained, "open_clip_config.json")))!;
        config["model_cfg"]!["vision_cfg"]!["image_size"] = new System.Text.Json.Nodes.JsonArray(height, width);
        File.WriteAllText(Path.Combine(resized, "open_clip_config.json"), config.ToJsonString());
        using (ICheckpoint source = Checkpoint.Open(trained), positions = Checkpoint.Open(TestData.Path("tower-options", "vit-gelu-positions.safetensors")))
        {
            var writer = new SafetensorsWriter();
            foreach (string key in source.Tensors.Keys.Where(key => key != "visual.positional_embedding"))
                writer.Add(source, key);
            writer.Add(positions, $"visual.positional_embedding at {size}", "visual.positional_embedding");
            writer.Write(Path.Combine(resized, "open_clip_model.safetensors"));
        }

        foreach ((string output, string[] model) in new[] { ("expected", new[] { "--model", resized }), ("found", ["--model", trained, "--image-size", size]) })
        {
            ProcessOutcome outcome = await CommandLine.RunAsync(["embed", "image", image, .. model, "--out", _folder.File(output + ".safetensors")]);
            Assert.True(outcome.ExitCode == 0, outcome.Error);
        }

        using ICheckpoint expected = Checkpoint.Open(_folder.File("expected.safetensors")), found = Checkpoint.Open(_folder.File("found.safetensors"));
        float[] left = expected.ReadSingles("image_features"), right = found.ReadSingles("image_features");
        double spread = Math.Sqrt(left.Average(value => (double)value * value));
        Assert.True(left.Zip(right, (a, b) => Math.Abs((double)a - b)).Max() <= 2e-5 * spread);

        ProcessOutcome preprocessed = await CommandLine.RunAsync("preprocess", image, "--model", trained, "--image-size", size, "--out", _folder.File("crops"));
        Assert.True(preprocessed.ExitCode == 0, preprocessed.Error);
        Assert.Contains($"[{height}, {width}, 3]", preprocessed.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("vit-gelu", "0", "--image-size")]
    [InlineData("vit-gelu", "x48", "--image-size")]
    [InlineData("vit-gelu", "4", "at least one patch")]
    [InlineData("vit-gelu", "99999", "at most")]
    [InlineData("resnet-tiny", "64", "ResNet")]
    public async Task AnImageSizeThatCannotBeIsRefused(string tower, string size, string reason)
    {
        ProcessOutcome outcome = await CommandLine.RunAsync("classify", "--labels", "a,b", TestData.Path("preprocess", "images", "one.png"), "--model", TestData.Path("towers", tower), "--image-size", size);
        Assert.True(outcome.ExitCode == 2, outcome.ToString());
        Assert.Contains(reason, outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WeightsThatAreNotFiniteAreRefusedAndNothingIsWritten()
    {
        string model = _folder.File("model");
        Directory.CreateDirectory(model);
        File.Copy(TestData.Path("towers", "vit-gelu", "open_clip_config.json"), Path.Combine(model, "open_clip_config.json"));
        byte[] weights = File.ReadAllBytes(TestData.Path("towers", "vit-gelu", "open_clip_model.safetensors"));
        BitConverter.TryWriteBytes(weights.AsSpan(weights.Length - sizeof(float)), float.NaN);
        File.WriteAllBytes(Path.Combine(model, "open_clip_model.safetensors"), weights);
        ProcessOutcome outcome = await CommandLine.RunAsync("embed", "raw", "--model", model, "--input", TestData.Path("towers", "vit-gelu", "golden.safetensors"), "--out", _folder.File("f.safetensors"));
        Assert.True(outcome.ExitCode == 2, outcome.ToString());
        Assert.Contains("1 NaN", outcome.Error, StringComparison.Ordinal);
        Assert.False(File.Exists(_folder.File("f.safetensors")));
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
    [InlineData("id,File", "{0},\"{1}\"", null)]
    [InlineData("file,img_neutral", "no,\"{1}\"", "img_neutral")]
    public async Task ATableGivesTheImagesOfItsColumnBelowItsOwnFolder(string header, string row, string? column)
    {
        string[] pictures = [.. Directory.EnumerateFiles(Path.Combine(DemoCommand.Data, "probe", "images"), "*.png").Order(StringComparer.Ordinal).Take(3).Reverse()];
        Directory.CreateDirectory(_folder.File("probe", "images, all"));
        File.WriteAllLines(_folder.File("probe", "people.csv"), [header, .. pictures.Select((picture, number) => string.Format(row, number, "images, all/" + Path.GetFileName(picture)))]);
        foreach (string picture in pictures)
            File.Copy(picture, _folder.File("probe", "images, all", Path.GetFileName(picture)));
        string[] choice = column is null ? [] : ["--column", column];
        ProcessOutcome rows = await CommandLine.RunAsync(["embed", "image", "--model", Demo, "--file", _folder.File("probe", "people.csv"), .. choice, "--out", _folder.File("rows.npy")]);
        Assert.True(rows.ExitCode == 0, rows.ToString());
        ProcessOutcome files = await CommandLine.RunAsync(["embed", "image", "--model", Demo, .. pictures, "--out", _folder.File("files.npy")]);
        Assert.True(files.ExitCode == 0, files.ToString());
        Assert.Equal(File.ReadAllBytes(_folder.File("files.npy")), File.ReadAllBytes(_folder.File("rows.npy")));
    }

    [Fact]
    public async Task ShardsGiveTheFeaturesOfTheirImagesAndTheSummarySaysWhereTheTimeWent()
    {
        string[] pictures = [.. Directory.EnumerateFiles(Path.Combine(DemoCommand.Data, "probe", "images"), "*.png").Order(StringComparer.Ordinal).Take(9)];
        Directory.CreateDirectory(_folder.File("shards"));
        TarBuilder.Write(_folder.File("shards", "000.tar"), pictures[..5].SelectMany(file => new (string, byte[])[] { (Path.GetFileName(file), File.ReadAllBytes(file)), (Path.ChangeExtension(Path.GetFileName(file), ".txt"), [65]) }));
        TarBuilder.Write(_folder.File("shards", "001.tar"), pictures[5..].Select(file => (Path.GetFileName(file), File.ReadAllBytes(file))));
        foreach (string extension in new[] { ".npy", ".safetensors" })
        {
            ProcessOutcome files = await CommandLine.RunAsync(["embed", "image", "--model", Demo, .. pictures, "--out", _folder.File("files" + extension)]);
            Assert.True(files.ExitCode == 0, files.ToString());
            ProcessOutcome shards = await CommandLine.RunAsync("embed", "image", "--model", Demo, _folder.File("shards"), "--out", _folder.File("shards" + extension), "--json");
            Assert.True(shards.ExitCode == 0, shards.ToString());
            using JsonDocument said = JsonDocument.Parse(shards.Output);
            Assert.Equal(9, said.RootElement.GetProperty("images").GetInt32());
            Assert.True(said.RootElement.GetProperty("images_per_second").GetDouble() > 0);
            Assert.True(said.RootElement.GetProperty("load_seconds").GetDouble() > 0);
            Assert.Contains(said.RootElement.GetProperty("bottleneck").GetString(), new[] { "decode", "encode", "write" });
            foreach (string stage in new[] { "decode", "encode", "write" })
                Assert.InRange(said.RootElement.GetProperty("stages").GetProperty(stage).GetProperty("busy").GetDouble(), 0, 1);
        }

        Assert.Equal(File.ReadAllBytes(_folder.File("files.npy")), File.ReadAllBytes(_folder.File("shards.npy")));
        using ICheckpoint expected = Checkpoint.Open(_folder.File("files.safetensors")), found = Checkpoint.Open(_folder.File("shards.safetensors"));
        Assert.Equal(expected.ReadSingles("image_features"), found.ReadSingles("image_features"));
        Assert.Equal(expected.ReadSingles("image_features_normalized"), found.ReadSingles("image_features_normalized"));
        Assert.Equal(pictures.Select(Path.GetFileName), JsonSerializer.Deserialize<string[]>(found.Metadata["names"]));
        Assert.Equal(pictures, JsonSerializer.Deserialize<string[]>(expected.Metadata["names"]));
    }

    [Fact]
    public async Task ABadMemberIsNamedWithItsShardAndNothingIsWritten()
    {
        string picture = Directory.EnumerateFiles(Path.Combine(DemoCommand.Data, "probe", "images"), "*.png").First();
        string shard = TarBuilder.Write(_folder.File("shard.tar"), Enumerable.Range(0, 100).Select(i => ($"{i:d3}.png", i == 57 ? "no image"u8.ToArray() : File.ReadAllBytes(picture))));
        ProcessOutcome outcome = await CommandLine.RunAsync("embed", "image", "--model", Demo, shard, "--out", _folder.File("out.npy"));
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains($"{shard}: member 057.png", outcome.Error);
        Assert.Equal(["shard.tar"], Directory.GetFiles(_folder.Root).Select(Path.GetFileName));
    }

    [Fact]
    public async Task CancelledHalfWayNothingIsLeft()
    {
        string[] pictures = [.. Directory.EnumerateFiles(Path.Combine(DemoCommand.Data, "probe", "images"), "*.png")];
        File.WriteAllLines(_folder.File("list.txt"), Enumerable.Range(0, 2000).SelectMany(_ => pictures));
        Directory.CreateDirectory(_folder.File("out"));
        using Process process = CommandLine.Start("embed", "image", "--model", Demo, "--file", _folder.File("list.txt"), "--out", _folder.File("out", "features.safetensors"));
        while (!process.HasExited && Directory.GetFiles(_folder.File("out")).Length == 0)
            await Task.Delay(20);
        await ProcessRunner.RunAsync("kill", ["-INT", $"{process.Id}"]);
        ProcessOutcome outcome = await ProcessRunner.FinishAsync(process);
        Assert.True(outcome.ExitCode == 1, outcome.ToString());
        Assert.Contains("cancelled", outcome.Error);
        Assert.Empty(Directory.GetFiles(_folder.File("out")));
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
        const string Tokenizer = "sentences as open_clip, CLIP's own tokenizer, clean lower";
        Assert.Equal((Tokenizer, Tokenizer), (said.RootElement.GetProperty("tokenizer").GetString(), found.Metadata["preprocessing"]));
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
