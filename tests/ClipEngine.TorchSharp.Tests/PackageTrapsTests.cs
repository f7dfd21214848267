using System.Text.RegularExpressions;
using ClipEngine.Checkpoints;
using ClipEngine.Testing;
using TorchSharp;
using TorchSharp.Modules;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp.Tests;

/// <summary>What TorchSharp 0.107.0 does other than PyTorch without saying so, and that it does not reach anyone through us.</summary>
public partial class PackageTrapsTests
{
    [Fact]
    public void AStateWhoseShapeOnlyBroadcastsIsRefused()
    {
        // The trap: strict, and the one value is repeated.
        using DisposeScope scope = torch.NewDisposeScope();
        Linear linear = torch.nn.Linear(3, 2);
        Dictionary<string, TorchTensor> smaller = linear.state_dict().ToDictionary(pair => pair.Key, pair => pair.Key == "bias" ? torch.full(1, 7.0f) : pair.Value.clone());
        linear.load_state_dict(smaller, strict: true);
        Assert.Equal([7f, 7f], linear.bias!.data<float>().ToArray());

        using ClipModules clip = ClipModules.Load(TestData.Path("towers", "vit-gelu"));
        Dictionary<string, TorchTensor> state = clip.state_dict().ToDictionary(pair => pair.Key, pair => pair.Value.detach().clone() + 1);
        float[] before = clip.state_dict()["visual.ln_pre.bias"].detach().data<float>().ToArray();
        TorchTensor whole = state["visual.ln_pre.bias"];
        state["visual.ln_pre.bias"] = torch.full(1, 7.0f);
        string message = Assert.Throws<ArgumentException>(() => clip.load_state_dict(state)).Message;
        Assert.Contains($"visual.ln_pre.bias: expected [{before.Length}], found [1]", message, StringComparison.Ordinal);
        Assert.Equal(before, clip.state_dict()["visual.ln_pre.bias"].detach().data<float>().ToArray());
        state["visual.ln_pre.bias"] = whole;
        clip.load_state_dict(state);
        Assert.All(before.Zip(clip.state_dict()["visual.ln_pre.bias"].detach().data<float>().ToArray()), pair => Assert.Equal(pair.First + 1, pair.Second));
    }

    [Fact]
    public void ACheckpointWhoseShapeOnlyBroadcastsIsRefused()
    {
        using var folder = new TemporaryFolder();
        Rewrite(TestData.Path("towers", "vit-gelu", "open_clip_model.safetensors"), folder.File("open_clip_model.safetensors"), "visual.ln_pre.bias");
        File.Copy(TestData.Path("towers", "vit-gelu", "open_clip_config.json"), folder.File("open_clip_config.json"));
        Assert.Contains("wrong shape: visual.ln_pre.bias", Assert.ThrowsAny<BadInputException>(() => ClipModules.Load(folder.Root)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ATrainingStateWhoseShapeOnlyBroadcastsIsRefused()
    {
        using var folder = new TemporaryFolder();
        using ClipModules clip = ClipModules.Load(TestData.Path("towers", "vit-gelu"));
        using var trainer = new ClipTrainer(clip, new ClipTrainerOptions { LearningRate = 1e-3, WeightDecay = 0 });
        trainer.Save(folder.File("state"));
        Directory.CreateDirectory(folder.File("damaged"));
        Rewrite(folder.File("state", ClipTrainer.StateName), folder.File("damaged", ClipTrainer.StateName), "exp_avg.visual.ln_pre.bias");
        Assert.Contains("wrong shape: exp_avg.visual.ln_pre.bias", Assert.Throws<BadInputException>(() => trainer.Resume(folder.File("damaged"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void NumbersLiveUntilTheyAreRead()
    {
        // The trap: TorchSharp keeps no reference to a Scalar while libtorch reads it, and one that was made on the fly may be finalized
        // by then. With collections in an endless row a training showed it within a second.
        using var done = new CancellationTokenSource();
        var collector = new Thread(() =>
        {
            while (!done.IsCancellationRequested)
            {
                GC.Collect(0);
                GC.WaitForPendingFinalizers();
            }
        });
        collector.Start();
        try
        {
            using ClipModules clip = ClipModules.Load(TestData.Path("towers", "vit-gelu"));
            using var trainer = new ClipTrainer(clip, new ClipTrainerOptions { LearningRate = 1e-3, WeightDecay = 0.1 });
            using DisposeScope scope = torch.NewDisposeScope();
            TorchTensor pixels = torch.zeros(2, 3, clip.Preprocessor.Options.Height, clip.Preprocessor.Options.Width), ids = torch.ones(2, clip.Encoder.ContextLength, torch.ScalarType.Int64);
            for (int step = 0; step < 8; step++)
                Assert.True(double.IsFinite(trainer.Step(pixels, ids)));
        }
        finally
        {
            done.Cancel();
            collector.Join();
        }
    }

    [Fact]
    public void NeitherRAdamNorTheGaussianLossNorTorchVisionIsUsed()
    {
        // RAdam hardly moves from its sixth step on; gaussian_nll_loss divides by rows alone; TorchVision's bicubic on bytes wraps around and
        // its centre crop begins a pixel early. The steps are AdamW's (ClipTrainerTests), the pixels are the engine's own (TrainingPairsTests).
        string[] files = [.. new[] { "src", "samples" }.SelectMany(folder => Directory.GetFiles(Path.Combine(TestData.RepositoryRoot, folder), "*.cs*", SearchOption.AllDirectories)).Where(file => !file.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal) && !file.Contains($"{Path.DirectorySeparatorChar}bin{Path.DirectorySeparatorChar}", StringComparison.Ordinal))];
        Assert.Contains(files, file => file.EndsWith("ClipTrainer.cs", StringComparison.Ordinal));
        Assert.All(files, file => Assert.False(Traps().IsMatch(File.ReadAllText(file)), file));
    }

    [GeneratedRegex(@"\bRAdam\(|gaussian_nll_loss\(|TorchSharp\.torchvision|Include=""TorchVision""", RegexOptions.None, 60_000)]
    private static partial Regex Traps();

    /// <summary>Copies a file of tensors with one of them cut to its first value.</summary>
    private static void Rewrite(string source, string target, string key)
    {
        using ICheckpoint stored = SafetensorsFile.Open(source);
        var writer = new SafetensorsWriter(stored.Metadata);
        foreach (string name in stored.Tensors.Keys)
        {
            if (name == key)
                writer.Add(name, stored.ReadSingles(name)[..1], 1);
            else
                writer.Add(stored, name);
        }

        writer.Write(target);
    }
}
