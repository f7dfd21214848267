using ClipEngine.Tensors;
using ClipEngine.Testing;
using TorchSharp;
using TorchSharp.Modules;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp.Tests;

/// <summary>Training steps against their formulas: pieces of a batch, several batches, AdamW, lower precision, and a training that is gone on with.</summary>
public class ClipTrainerTests
{
    private static readonly ClipTrainerOptions s_options = new() { LearningRate = 1e-3, WeightDecay = 0.1 };

    [Theory]
    [InlineData("towers", "vit-gelu", 1)]
    [InlineData("towers", "vit-gelu", 2)]
    [InlineData("towers", "coca-tiny", 2)]
    [InlineData("tower-options", "custom-text-bias", 2)]
    [InlineData("families", "hf-siglip", 2)]
    public void PiecesOfABatchHaveTheGradientsOfTheWholeBatch(string set, string tower, int pairsAtOnce)
    {
        using DisposeScope scope = torch.NewDisposeScope();
        using ClipModules clip = Load(set, tower);
        (TorchTensor pixels, TorchTensor ids) = Pairs(clip, 5);
        TorchTensor weights = torch.tensor(new double[] { 1, 0.5, 0, 2, 1 });
        TorchTensor loss = clip.Loss(pixels, ids, weights);
        loss.backward();
        Dictionary<string, TorchTensor> expected = Gradients(clip);
        clip.zero_grad();
        using var trainer = new ClipTrainer(clip, s_options with { PairsAtOnce = pairsAtOnce, LogitRows = 2 });
        Assert.Equal(loss.Number(), trainer.Accumulate(pixels, ids, weights), 1e-10);
        AssertSame(expected, Gradients(clip), 1e-9);
    }

    [Fact]
    public void SeveralBatchesAreTheMeanOfTheirGradients()
    {
        using DisposeScope scope = torch.NewDisposeScope();
        using ClipModules clip = Load("towers", "vit-gelu"), other = Load("towers", "vit-gelu");
        (TorchTensor pixels, TorchTensor ids) = Pairs(clip, 6);
        using var trainer = new ClipTrainer(clip, s_options);
        using var plain = torch.optim.AdamW(other.parameters(), s_options.LearningRate, s_options.Beta1, s_options.Beta2, s_options.Epsilon, weight_decay: 0);
        foreach (int first in new[] { 0, 3 })
        {
            trainer.Accumulate(pixels.narrow(0, first, 3), ids.narrow(0, first, 3));
            other.Loss(pixels.narrow(0, first, 3), ids.narrow(0, first, 3)).DividedBy(2).backward();
        }

        Dictionary<string, TorchTensor> before = other.named_parameters().ToDictionary(pair => pair.name, pair => pair.parameter.detach().clone());
        Assert.True(trainer.Apply());
        plain.step();
        Assert.Equal(1, trainer.Steps);
        // AdamW with decay for matrices is AdamW without it after p (1 - learning rate times decay).
        foreach ((string name, Parameter parameter) in clip.named_parameters())
        {
            TorchTensor expected = other.state_dict()[name] - (parameter.dim() >= 2 && other.state_dict()[name].grad is not null ? before[name].Times(s_options.LearningRate * s_options.WeightDecay) : torch.zeros_like(before[name]));
            if (name == "logit_scale")
                expected = expected.ClampInPlace(0, Math.Log(100));
            Assert.True((expected - parameter).abs().max().Number() < 1e-9, name);
        }

        Assert.Throws<InvalidOperationException>(() => trainer.Apply());
    }

    [Fact]
    public void AStepIsThatOfTheFormula()
    {
        // arXiv:1711.05101, algorithm 2, in doubles, for eight steps of every parameter: TorchSharp's RAdam, for one, comes to a stop at its sixth.
        using DisposeScope scope = torch.NewDisposeScope();
        using ClipModules clip = Load("towers", "vit-gelu");
        (TorchTensor pixels, TorchTensor ids) = Pairs(clip, 4);
        using var trainer = new ClipTrainer(clip, s_options);
        var means = new Dictionary<string, TorchTensor>();
        var squares = new Dictionary<string, TorchTensor>();
        for (int step = 1; step <= 8; step++)
        {
            trainer.Accumulate(pixels, ids);
            Dictionary<string, TorchTensor> gradients = Gradients(clip);
            Dictionary<string, TorchTensor> before = clip.named_parameters().ToDictionary(pair => pair.name, pair => pair.parameter.detach().clone());
            trainer.Apply();
            foreach ((string name, TorchTensor gradient) in gradients)
            {
                TorchTensor mean = means[name] = means.GetValueOrDefault(name, torch.zeros_like(gradient)).Times(0.9).Plus(gradient.Times(0.1));
                TorchTensor square = squares[name] = squares.GetValueOrDefault(name, torch.zeros_like(gradient)).Times(0.98).Plus((gradient * gradient).Times(0.02));
                TorchTensor decayed = before[name].Times(1 - (gradient.dim() >= 2 ? 1e-3 * 0.1 : 0));
                TorchTensor expected = decayed - (mean.Times(1e-3 / (1 - Math.Pow(0.9, step))) / square.DividedBy(1 - Math.Pow(0.98, step)).sqrt().Plus(1e-6));
                if (name == "logit_scale")
                    expected = expected.ClampInPlace(0, Math.Log(100));
                Assert.True((expected - clip.state_dict()[name]).abs().max().Number() < 1e-10, $"{name}, step {step}");
            }
        }
    }

    [Theory]
    [InlineData("vit-gelu", ElementType.Float32)]
    [InlineData("vit-gelu", ElementType.BFloat16)]
    [InlineData("vit-gelu", ElementType.Float16)]
    [InlineData("resnet-tiny", ElementType.Float32)]
    [InlineData("resnet-tiny", ElementType.BFloat16)]
    public void TrainingLowersTheLossInEveryType(string tower, ElementType type)
    {
        using DisposeScope scope = torch.NewDisposeScope();
        using ClipModules clip = Load("towers", tower, type);
        (TorchTensor pixels, TorchTensor ids) = Pairs(clip, 6);
        using var trainer = new ClipTrainer(clip, s_options with { PairsAtOnce = 3 });
        double[] losses = [.. Enumerable.Range(0, 20).Select(_ => trainer.Step(pixels, ids))];
        Assert.True(losses[^1] < 0.6 * losses[0], string.Join(", ", losses));
        Assert.All(clip.parameters(), parameter => Assert.Equal(torch.ScalarType.Float32, parameter.dtype));
        Assert.Equal(20, trainer.Steps);
    }

    [Fact]
    public void AStepThatOverflowsIsLeftOutAndTheScaleHalved()
    {
        using DisposeScope scope = torch.NewDisposeScope();
        using ClipModules clip = Load("towers", "vit-gelu", ElementType.Float16);
        (TorchTensor pixels, TorchTensor ids) = Pairs(clip, 3);
        using var trainer = new ClipTrainer(clip, s_options);
        trainer.Accumulate(pixels, ids);
        (string name, Parameter first) = clip.named_parameters().First(pair => pair.parameter.grad is not null);
        using (torch.no_grad())
            first.grad!.FillInPlace(double.PositiveInfinity);
        TorchTensor before = clip.state_dict()["visual.proj"].detach().clone();
        Assert.False(trainer.Apply(), name);
        Assert.Equal(32768, trainer.LossScale);
        Assert.Equal(0, (before - clip.state_dict()["visual.proj"]).abs().max().Number());

        // From there the scale finds its place.
        Assert.Contains(Enumerable.Range(0, 16).Select(_ =>
        {
            trainer.Accumulate(pixels, ids);
            return trainer.Apply();
        }), taken => taken);
    }

    [Theory]
    [InlineData("vit-gelu")]
    [InlineData("resnet-tiny")]
    public void ATrainingThatIsGoneOnWithIsTheOneThatWasNotInterrupted(string tower)
    {
        using var folder = new TemporaryFolder();
        using DisposeScope scope = torch.NewDisposeScope();
        using ClipModules whole = Load("towers", tower, ElementType.Float32);
        (TorchTensor pixels, TorchTensor ids) = Pairs(whole, 4);
        using var trainer = new ClipTrainer(whole, s_options);
        trainer.Step(pixels, ids);
        trainer.Step(pixels, ids);
        trainer.Save(folder.File("state"));
        using ClipModules resumed = ClipModules.Load(folder.File("state"));
        using var second = new ClipTrainer(resumed, s_options);
        second.Resume(folder.File("state"));
        Assert.Equal(2, second.Steps);
        for (int step = 0; step < 3; step++)
            Assert.Equal(trainer.Step(pixels, ids), second.Step(pixels, ids));
        foreach ((string name, TorchTensor value) in whole.state_dict())
            Assert.True(value.Equals(resumed.state_dict()[name]), name);
        second.Save(folder.File("state")); // its own folder, whole or not at all
        Assert.Equal(["state"], Directory.GetDirectories(folder.Root).Select(Path.GetFileName));
    }

    [Fact]
    public void AStateOfAnotherModelIsRefused()
    {
        using var folder = new TemporaryFolder();
        using ClipModules clip = Load("towers", "vit-gelu"), other = Load("towers", "resnet-tiny");
        using var trainer = new ClipTrainer(clip, s_options);
        using var second = new ClipTrainer(other, s_options);
        trainer.Save(folder.File("state"));
        string message = Assert.Throws<BadInputException>(() => second.Resume(folder.File("state"))).Message;
        Assert.Contains("missing: exp_avg.", message, StringComparison.Ordinal);
        Assert.Contains("no such file", Assert.Throws<BadInputException>(() => second.Resume(folder.File("nowhere"))).Message, StringComparison.Ordinal);
        Directory.CreateDirectory(folder.File("full"));
        File.WriteAllText(folder.File("full", "notes.txt"), "mine");
        Assert.Contains("is there already", Assert.Throws<BadInputException>(() => trainer.Save(folder.File("full"))).Message, StringComparison.Ordinal);
        Assert.True(File.Exists(folder.File("full", "notes.txt")));
    }

    [Fact]
    public void AStepLeavesNothingBehind()
    {
        using ClipModules clip = Load("towers", "vit-gelu");
        using DisposeScope scope = torch.NewDisposeScope();
        (TorchTensor pixels, TorchTensor ids) = Pairs(clip, 4);
        using var trainer = new ClipTrainer(clip, s_options with { PairsAtOnce = 2 });
        trainer.Step(pixels, ids);
        long before = LiveTensors.Count();
        for (int step = 0; step < 3; step++)
            trainer.Step(pixels, ids);
        LiveTensors.AssertAtMost(before);
    }

    private static ClipModules Load(string set, string tower, ElementType type = ElementType.Float64) => ClipModules.Load(TestData.Path(set, tower), new TorchBackendOptions { ComputeType = type });

    /// <summary>Random pixels and sentences that end somewhere.</summary>
    private static (TorchTensor Pixels, TorchTensor Ids) Pairs(ClipModules clip, int count)
    {
        var random = new Random(3);
        (int height, int width) = (clip.Preprocessor.Options.Height, clip.Preprocessor.Options.Width);
        float[] pixels = [.. Enumerable.Range(0, count * 3 * height * width).Select(_ => (random.NextSingle() * 4) - 2)];
        (int length, int vocabulary) = (clip.Encoder.ContextLength, clip.Encoder.VocabularySize);
        int[] ids = new int[count * length];
        for (int i = 0; i < count; i++)
        {
            int used = 3 + (i % (length - 3));
            for (int j = 0; j < used; j++)
                ids[(i * length) + j] = j == used - 1 ? vocabulary - 1 : random.Next(1, vocabulary - 2);
        }

        return (torch.tensor(pixels, [count, 3, height, width]), torch.tensor(ids, [count, length]));
    }

    private static Dictionary<string, TorchTensor> Gradients(ClipModules clip) =>
        clip.named_parameters().Where(pair => pair.parameter.grad is not null).ToDictionary(pair => pair.name, pair => pair.parameter.grad!.detach().clone());

    private static void AssertSame(Dictionary<string, TorchTensor> expected, Dictionary<string, TorchTensor> found, double tolerance)
    {
        Assert.Equal(expected.Keys.Order(StringComparer.Ordinal), found.Keys.Order(StringComparer.Ordinal));
        foreach ((string name, TorchTensor gradient) in expected)
            Assert.True((gradient - found[name]).abs().max().Number() <= tolerance * Math.Max(1, gradient.abs().max().Number()), name);
    }
}
