using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Commands;

/// <summary><c>inspect</c> and <c>convert</c> as users start them.</summary>
public class CheckpointCommandTests
{
    [Fact]
    public async Task InspectSaysOnOneScreenWhetherAModelLoads()
    {
        ProcessOutcome outcome = await CommandLine.RunAsync("inspect", TestData.Path("towers", "vit-gelu"));
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        Assert.Contains("loads    yes", outcome.Output);
        Assert.Contains("OpenCLIP", outcome.Output);
        Assert.InRange(outcome.Output.Split('\n').Length, 5, 24);
    }

    [Fact]
    public async Task InspectListsWhatDoesNotFit()
    {
        string config = TestData.Path("towers", "vit-gelu", "open_clip_config.json");
        ProcessOutcome outcome = await CommandLine.RunAsync("inspect", TestData.Path("towers", "vit-layerscale"), "--config", config, "--json");
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        using var json = JsonDocument.Parse(outcome.Output);
        Assert.False(json.RootElement.GetProperty("loads").GetBoolean());
        Assert.Contains(json.RootElement.GetProperty("problems").EnumerateArray(), problem => problem.GetString()!.StartsWith("unexpected: visual.transformer.resblocks.0.ls_1.gamma", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(384, "ViT-S-32")]
    [InlineData(383, null)]
    public async Task InspectNamesTheModelsWhoseShapesWeightsWithoutConfigurationHave(int width, string? expected)
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("weights.safetensors");
        WriteSmallModel(path, width);
        ProcessOutcome outcome = await CommandLine.RunAsync("inspect", path, "--json");
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        using var json = JsonDocument.Parse(outcome.Output);
        Assert.Equal(expected is null ? [] : [expected], json.RootElement.GetProperty("modelsOfTheseShapes").EnumerateArray().Select(static name => name.GetString()));
        outcome = await CommandLine.RunAsync("inspect", path);
        Assert.Equal(expected is not null, outcome.Output.Contains($"The shapes are those of {expected} in the catalogue", StringComparison.Ordinal));
    }

    [Fact]
    public async Task WhatIsNoCheckpointEndsInCodeTwo()
    {
        ProcessOutcome outcome = await CommandLine.RunAsync("inspect", Path.Combine(TestData.RepositoryRoot, "ClipEngine.sln"));
        Assert.True(outcome.ExitCode == 2, outcome.ToString());
        Assert.Contains("ClipEngine.sln", outcome.Error);
    }

    [Fact]
    public async Task ConvertGoesThereAndBackWithoutLoss()
    {
        using var folder = new TemporaryFolder();
        string original = TestData.Path("towers", "vit-quickgelu");
        foreach ((string from, string to, string layout) in new[] { (original, folder.File("hf"), "transformers"), (folder.File("hf"), folder.File("oc"), "openclip") })
        {
            ProcessOutcome outcome = await CommandLine.RunAsync("convert", from, "--to", layout, "--out", to);
            Assert.True(outcome.ExitCode == 0, outcome.ToString());
            Assert.Empty(outcome.Output);
        }

        Assert.Equal(["config.json", "model.safetensors", "preprocessor_config.json"], Directory.GetFiles(folder.File("hf")).Select(Path.GetFileName).Order());
        Assert.Equal(["open_clip_config.json", "open_clip_model.safetensors"], Directory.GetFiles(folder.File("oc")).Select(Path.GetFileName).Order());
        using ICheckpoint expected = Checkpoint.OpenAsStored(original);
        using ICheckpoint found = Checkpoint.OpenAsStored(folder.File("oc"));
        Assert.Equal(expected.Tensors.Keys.Order(), found.Tensors.Keys.Order());
        foreach (string key in expected.Tensors.Keys)
            Assert.Equal(expected.ReadSingles(key), found.ReadSingles(key));
    }

    /// <summary>A state dict that PyTorch wrote, into both layouts: the same bits as the safetensors file that it was made from.</summary>
    [Fact]
    public async Task ConvertReadsAnArchiveOfPyTorch()
    {
        using var folder = new TemporaryFolder();
        string archive = TestData.Path("towers", "vit-quickgelu", "state_dict.pt");
        foreach ((string from, string to, string layout) in new[] { (archive, folder.File("oc"), "openclip"), (archive, folder.File("hf"), "transformers"), (folder.File("hf"), folder.File("back"), "openclip") })
        {
            ProcessOutcome outcome = await CommandLine.RunAsync("convert", from, "--to", layout, "--out", to);
            Assert.True(outcome.ExitCode == 0, outcome.ToString());
        }

        using ICheckpoint expected = Checkpoint.OpenAsStored(TestData.Path("towers", "vit-quickgelu"));
        foreach (string result in new[] { "oc", "back" })
        {
            using ICheckpoint found = Checkpoint.OpenAsStored(folder.File(result));
            Assert.Equal(expected.Tensors.Keys.Order(), found.Tensors.Keys.Order());
            foreach (string key in expected.Tensors.Keys)
            {
                using TensorBytes left = expected.Borrow(key), right = found.Borrow(key);
                Assert.True(left.Slice(0, (int)left.ByteLength).SequenceEqual(right.Slice(0, (int)right.ByteLength)), key);
            }
        }

        ProcessOutcome inspected = await CommandLine.RunAsync("inspect", folder.File("hf"));
        Assert.Contains("transformers", inspected.Output, StringComparison.Ordinal);
        Assert.Contains("loads    yes", inspected.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AConfigurationMayBeAModelOfTheCatalogue()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("weights.safetensors");
        WriteSmallModel(path, 384);
        ProcessOutcome outcome = await CommandLine.RunAsync("inspect", path, "--config", "ViT-S-32");
        Assert.Contains("loads    yes", outcome.Output, StringComparison.Ordinal);
        outcome = await CommandLine.RunAsync("inspect", path, "--config", "ViT-B-32");
        Assert.Contains("loads    no", outcome.Output, StringComparison.Ordinal);
        Assert.Contains("ViT-S-32 in the catalogue", outcome.Output, StringComparison.Ordinal);
        outcome = await CommandLine.RunAsync("embed", "text", "a cat", "--model", path, "--out", folder.File("f.npy"));
        Assert.True(outcome.ExitCode == 2, outcome.ToString());
        Assert.Contains("ViT-S-32", outcome.Error, StringComparison.Ordinal);
    }

    public static TheoryData<string, byte[], string> NoCheckpoints => new()
    {
        { "empty.safetensors", [], "empty" },
        { "huge-header.safetensors", [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, (byte)'{', (byte)'}'], "header" },
        { "cut.safetensors", File.ReadAllBytes(TestData.Path("towers", "vit-gelu", "open_clip_model.safetensors"))[..5000], "ends after 5000 bytes" },
        { "cut.pt", File.ReadAllBytes(TestData.Path("checkpoints", "types.pt"))[..2000], "truncated" },
        { "pickle.safetensors", [0x80, 2, (byte)'}', (byte)'.'], "before 1.6" },
        { "page.safetensors", "<!DOCTYPE html><html></html>"u8.ToArray(), "web page" },
        { "pointer.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0"u8.ToArray(), "Git LFS" },
    };

    [Theory]
    [MemberData(nameof(NoCheckpoints))]
    public async Task WhatIsDamagedOrSomethingElseIsNamed(string name, byte[] bytes, string reason)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File(name), bytes);
        foreach (string[] verb in new string[][] { ["inspect", folder.File(name)], ["convert", folder.File(name), "--to", "openclip", "--out", folder.File("out")] })
        {
            ProcessOutcome outcome = await CommandLine.RunAsync(verb);
            Assert.True(outcome.ExitCode == 2, outcome.ToString());
            Assert.Contains(name, outcome.Error, StringComparison.Ordinal);
            Assert.Contains(reason, outcome.Error, StringComparison.OrdinalIgnoreCase);
            Assert.Empty(outcome.Output);
        }

        Assert.False(Directory.Exists(folder.File("out")));
    }

    [Fact]
    public async Task ConvertRefusesWhatTheLayoutCannotSayAndLeavesNothing()
    {
        using var folder = new TemporaryFolder();
        ProcessOutcome outcome = await CommandLine.RunAsync("convert", TestData.Path("towers", "vit-attnpool"), "--to", "transformers", "--out", folder.File("out"));
        Assert.True(outcome.ExitCode == 2, outcome.ToString());
        Assert.Contains("attentional pooler", outcome.Error);
        Assert.False(Directory.Exists(folder.File("out")));
    }

    [Theory]
    [InlineData("openclip")]
    [InlineData("transformers")]
    public async Task ConvertHandsOnNoWeightsThatAreNotFinite(string layout)
    {
        using var folder = new TemporaryFolder();
        string model = folder.File("model");
        Directory.CreateDirectory(model);
        File.Copy(TestData.Path("towers", "vit-gelu", "open_clip_config.json"), Path.Combine(model, "open_clip_config.json"));
        byte[] weights = File.ReadAllBytes(TestData.Path("towers", "vit-gelu", "open_clip_model.safetensors"));
        BitConverter.TryWriteBytes(weights.AsSpan(weights.Length - sizeof(float)), float.PositiveInfinity);
        File.WriteAllBytes(Path.Combine(model, "open_clip_model.safetensors"), weights);
        ProcessOutcome outcome = await CommandLine.RunAsync("convert", model, "--to", layout, "--out", folder.File("out"));
        Assert.True(outcome.ExitCode == 2, outcome.ToString());
        Assert.Contains("0 NaN, 1 infinite", outcome.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder.File("out")));
    }

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Pt01OnlyTheArchiveItselfIsRead(bool isHostile)
    {
        Skip.IfNot(File.Exists("/usr/bin/strace"), "strace is not installed");
        using var folder = new TemporaryFolder();
        string canary = folder.File("canary");
        string archive = folder.File("model.pt");
        string innocent = folder.File("model.safetensors");
        if (isHostile)
            WriteHostile(archive, canary);
        else
            File.Copy(TestData.Path("checkpoints", "script.pt"), archive);
        var writer = new SafetensorsWriter();
        writer.Add("a", new float[1], 1);
        writer.Write(innocent);

        // What the runtime itself opens shows in a run over a plain file; beyond it there must be the archive and nothing else.
        HashSet<string> usual = [.. (await TraceAsync(folder, innocent, expectedCode: 0)).Select(WithoutFlags)];
        string[] seen = await TraceAsync(folder, archive, isHostile ? 2 : 0);
        string[] foreign = [.. seen.Where(line => !usual.Contains(WithoutFlags(line)) && !line.Contains(archive, StringComparison.Ordinal))];
        Assert.True(foreign.Length == 0, string.Join('\n', foreign));
        string[] own = [.. seen.Where(line => line.Contains(archive, StringComparison.Ordinal))];
        Assert.NotEmpty(own);
        Assert.All(own, line => Assert.Matches("^openat\\(.*(O_RDONLY|unfinished)", line));
        Assert.False(File.Exists(canary));
    }

    // Up to the closing quote of the path: a call that another thread interrupts is written in two lines, the first without flags.
    private static string WithoutFlags(string line) => line.LastIndexOf('"') is var end and > 0 ? line[..end] : line;

    // One line for each distinct thing done to the outside: a file opened, a program started, a socket made. Numbers differ from run to run.
    private static async Task<string[]> TraceAsync(TemporaryFolder folder, string path, int expectedCode)
    {
        string log = folder.File("trace.log");
        string program = Path.Combine(AppContext.BaseDirectory, "ClipEngine.Cli.dll");
        var quiet = new Dictionary<string, string?> { ["DOTNET_EnableDiagnostics"] = "0", ["DOTNET_TieredCompilation"] = "0" };
        ProcessOutcome outcome = await ProcessRunner.RunAsync("/usr/bin/strace",
            ["-f", "-qq", "-s", "300", "-e", "trace=open,openat,openat2,creat,execve,execveat,socket,connect,unlink,unlinkat,rename,renameat,mkdir,mkdirat", "-o", log, "dotnet", program, "inspect", path], environment: quiet);
        Skip.If(outcome.Error.Contains("Operation not permitted", StringComparison.Ordinal), "strace may not trace here");
        Assert.True(outcome.ExitCode == expectedCode, outcome.ToString());
        return [.. File.ReadLines(log)
            .Where(line => line.Contains('(', StringComparison.Ordinal))
            .Select(line => line[(line.IndexOf(' ', StringComparison.Ordinal) + 1)..].Trim())
            .Where(line => !line.Contains("/proc/", StringComparison.Ordinal) && !line.Contains("/sys/", StringComparison.Ordinal))
            .Select(line => line.Split(" = ")[0])
            // The runtime loads a library of its own when a format's reader first needs it; its folder is the program's or .NET's.
            .Where(line => !line.Contains(AppContext.BaseDirectory, StringComparison.Ordinal) && !line.Contains("/dotnet/", StringComparison.Ordinal) && !line.Contains(".so", StringComparison.Ordinal))];
    }

    // ViT-S-32 as the paper's arithmetic has it: 12 blocks in both towers, patches of 32, a grid of 7 x 7, features as long as the text tower is wide.
    private static void WriteSmallModel(string path, int width)
    {
        const int Blocks = 12, Patch = 32, Positions = (7 * 7) + 1, Context = 77, Vocabulary = 49408;
        var writer = new SafetensorsWriter();
        Add("visual.class_embedding", width);
        Add("visual.conv1.weight", width, 3, Patch, Patch);
        Add("visual.positional_embedding", Positions, width);
        Add("visual.proj", width, width);
        Add("token_embedding.weight", Vocabulary, width);
        Add("positional_embedding", Context, width);
        Add("text_projection", width, width);
        Add("logit_scale");
        foreach (string norm in new[] { "visual.ln_pre", "visual.ln_post", "ln_final" })
            AddPair(norm, width);
        foreach (string tower in new[] { "visual.", "" })
        {
            for (int block = 0; block < Blocks; block++)
            {
                string prefix = $"{tower}transformer.resblocks.{block}.";
                AddPair(prefix + "ln_1", width);
                AddPair(prefix + "ln_2", width);
                Add(prefix + "attn.in_proj_weight", 3 * width, width);
                Add(prefix + "attn.in_proj_bias", 3 * width);
                Add(prefix + "attn.out_proj.weight", width, width);
                Add(prefix + "attn.out_proj.bias", width);
                Add(prefix + "mlp.c_fc.weight", 4 * width, width);
                Add(prefix + "mlp.c_fc.bias", 4 * width);
                Add(prefix + "mlp.c_proj.weight", width, 4 * width);
                Add(prefix + "mlp.c_proj.bias", width);
            }
        }

        writer.Write(path);

        void AddPair(string norm, int length)
        {
            Add(norm + ".weight", length);
            Add(norm + ".bias", length);
        }

        void Add(string key, params long[] dimensions) => writer.Add(key, new float[dimensions.Aggregate(1L, static (product, size) => product * size)], dimensions);
    }

    private static void WriteHostile(string path, string canary)
    {
        using var zip = new System.IO.Compression.ZipArchive(File.Create(path), System.IO.Compression.ZipArchiveMode.Create);
        byte[] pickle = [0x80, 2, .. System.Text.Encoding.ASCII.GetBytes($"cposix\nsystem\nX"), .. BitConverter.GetBytes($"touch {canary}".Length),
            .. System.Text.Encoding.ASCII.GetBytes($"touch {canary}"), 0x85, (byte)'R', (byte)'.'];
        using Stream member = zip.CreateEntry("archive/data.pkl", System.IO.Compression.CompressionLevel.NoCompression).Open();
        member.Write(pickle);
    }
}
