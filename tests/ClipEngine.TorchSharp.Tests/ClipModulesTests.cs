using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Testing;
using ClipEngine.Tests.Models;
using TorchSharp;
using TorchSharp.Modules;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp.Tests;

/// <summary>Models as modules: the checkpoint's keys and values, open_clip's features, gradients, and the way back to a file.</summary>
public class ClipModulesTests
{
    public static TheoryData<string> Towers() =>
    [
        .. new[] { "towers", "tower-options" }
            .SelectMany(set => Directory.GetDirectories(TestData.Path(set)).Select(folder => $"{set}/{Path.GetFileName(folder)}"))
            .Where(tower => !tower.Contains("resnet", StringComparison.Ordinal)),
    ];

    [Theory]
    [MemberData(nameof(Towers))]
    public void TheStateIsTheCheckpoint(string tower)
    {
        using ICheckpoint checkpoint = Checkpoint.Open(TestData.Path(tower));
        using ClipModules modules = ClipModules.Load(TestData.Path(tower));
        Dictionary<string, TorchTensor> state = modules.state_dict();
        Assert.Equal(checkpoint.Tensors.Keys.Order(StringComparer.Ordinal), state.Keys.Order(StringComparer.Ordinal));
        foreach ((string key, TorchTensor value) in state)
        {
            Assert.Equal(checkpoint.Tensors[key].Dimensions, value.shape);
            Assert.Equal(checkpoint.ReadSingles(key), value.detach().data<float>().ToArray());
        }

        Assert.Equal(state.Keys.Order(StringComparer.Ordinal), modules.named_parameters().Select(pair => pair.name).Order(StringComparer.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Towers))]
    public void FeaturesEqualThoseOfOpenClip(string tower)
    {
        using ClipModules modules = ClipModules.Load(TestData.Path(tower));
        using ICheckpoint golden = Checkpoint.Open(TestData.Path(tower, "golden.safetensors"));
        (TorchTensor pixels, TorchTensor ids) = Inputs(golden);
        long before = torch.Tensor.TotalCount;
        using (torch.NewDisposeScope())
        {
            AssertClose(golden, "image_features", modules.Visual.call(pixels));
            AssertClose(golden, "text_features", modules.EncodeTexts(ids));
            (TorchTensor images, TorchTensor texts) = modules.call(pixels, ids);
            AssertClose(golden, "image_features_normalized", images);
            AssertClose(golden, "text_features_normalized", texts);
        }

        Assert.Equal(before, torch.Tensor.TotalCount);
        pixels.Dispose();
        ids.Dispose();
    }

    [Theory]
    [MemberData(nameof(Towers))]
    public void GradientsReachEveryParameterAndEqualFiniteDifferences(string tower)
    {
        const double Step = 1e-5;
        using ClipModules modules = ClipModules.Load(TestData.Path(tower), new TorchBackendOptions { ComputeType = ElementType.Float64 });
        using ICheckpoint golden = Checkpoint.Open(TestData.Path(tower, "golden.safetensors"));
        using DisposeScope scope = torch.NewDisposeScope();
        (TorchTensor pixels, TorchTensor ids) = Inputs(golden);
        TorchTensor Objective()
        {
            (TorchTensor images, TorchTensor texts) = modules.call(pixels, ids);
            return Weighted(images, 1) + Weighted(texts, 2) + modules.LogitScale.exp();
        }

        Objective().backward();
        var unused = new List<string>();
        foreach ((string name, Parameter parameter) in modules.named_parameters())
        {
            if (parameter.grad is not { } gradient)
            {
                unused.Add(name);
                continue;
            }

            TorchTensor along = Numbers(parameter.shape, name.Length);
            double found = (gradient * along).sum().ToDouble();
            double expected;
            using (torch.no_grad())
            using (torch.NewDisposeScope())
            {
                parameter.add_(along * Step);
                double above = Objective().ToDouble();
                parameter.sub_(along * (2 * Step));
                expected = (above - Objective().ToDouble()) / (2 * Step);
                parameter.add_(along * Step);
            }

            Assert.True(Math.Abs(expected - found) <= 1e-6 * Math.Max(1, Math.Abs(expected)), $"{name}: {found:R}, by differences {expected:R}");
        }

        // What features are not made of: the caption decoder, a bias that only shifts logits, and the pooler that another one stands in for.
        Assert.All(unused, name => Assert.True(name.StartsWith("text_decoder.", StringComparison.Ordinal) || name is "logit_bias"
            || (tower.EndsWith("pooler-parallel", StringComparison.Ordinal) && name.StartsWith("visual.attn_pool.", StringComparison.Ordinal)), name));
    }

    [Theory]
    [MemberData(nameof(Towers))]
    public void WhatIsSavedLoadsInTheNativeEngineWithTheSameFeatures(string tower)
    {
        using var folder = new TemporaryFolder();
        using ICheckpoint golden = Checkpoint.Open(TestData.Path(tower, "golden.safetensors"));
        float[] images, texts;
        Shape shape = GoldenFeatures.ShapeOf(golden, "pixels");
        using (DisposeScope scope = torch.NewDisposeScope())
        using (ClipModules modules = ClipModules.Load(TestData.Path(tower)))
        {
            (TorchTensor pixels, TorchTensor ids) = Inputs(golden);
            using (torch.no_grad())
            {
                // As if trained: every parameter somewhere else.
                foreach ((string name, Parameter parameter) in modules.named_parameters())
                    parameter.add_(0.02 * Numbers(parameter.shape, name.Length).to(torch.ScalarType.Float32));
            }

            modules.SaveCheckpoint(folder.File("tuned"));
            images = modules.EncodeImages(pixels, normalize: true).detach().data<float>().ToArray();
            texts = modules.EncodeTexts(ids, normalize: true).detach().data<float>().ToArray();
        }

        using ClipModel native = ClipModel.Load(folder.File("tuned"));
        GoldenFeatures.AssertWithin(images, GoldenFeatures.Images(native.Encoder, golden.ReadSingles("pixels"), shape, normalize: true), 1e-5);
        GoldenFeatures.AssertWithin(texts, GoldenFeatures.Texts(native.Encoder, GoldenFeatures.Ids(golden), (int)GoldenFeatures.ShapeOf(golden, "tokens")[1], normalize: true), 1e-5);
    }

    [Fact]
    public void SavingAndLoadingAgainChangesNothing()
    {
        using var folder = new TemporaryFolder();
        string demo = DemoModel();
        using (ClipModules modules = ClipModules.Load(demo))
            modules.SaveCheckpoint(folder.File("first"));
        using (ClipModules modules = ClipModules.Load(folder.File("first")))
            modules.SaveCheckpoint(folder.File("second"));
        foreach (string name in new[] { "open_clip_model.safetensors", "open_clip_config.json" })
            Assert.Equal(File.ReadAllBytes(folder.File("first", name)), File.ReadAllBytes(folder.File("second", name)));
        Assert.Equal(File.ReadAllBytes(Path.Combine(demo, "open_clip_config.json")), File.ReadAllBytes(folder.File("first", "open_clip_config.json")));
        using ICheckpoint original = Checkpoint.Open(demo), saved = Checkpoint.Open(folder.File("first"));
        Assert.Equal(ElementType.Float16, original.Tensors["visual.proj"].Type);
        Assert.Equal(ElementType.Float32, saved.Tensors["visual.proj"].Type); // what was trained in
        Assert.Equal(original.ReadSingles("visual.proj"), saved.ReadSingles("visual.proj"));
    }

    [Fact]
    public void ATokenizerBesideTheWeightsTravelsWithThem()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder.File("model"));
        foreach (string file in Directory.GetFiles(DemoModel()))
            File.Copy(file, folder.File("model", Path.GetFileName(file)));
        File.WriteAllText(folder.File("model", "tokenizer.json"), """{"not": "read here"}""");
        using ClipModules modules = ClipModules.Load(folder.File("model"));
        modules.SaveCheckpoint(folder.File("tuned"));
        Assert.Equal("""{"not": "read here"}""", File.ReadAllText(folder.File("tuned", "tokenizer.json")));
        Assert.Contains("original", Assert.Throws<BadInputException>(() => modules.SaveCheckpoint(folder.File("model"))).Message);
    }

    [Fact]
    public void TrainingLowersTheLoss()
    {
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", "vit-gelu", "golden.safetensors"));
        using ClipModules modules = ClipModules.Load(TestData.Path("towers", "vit-gelu"));
        using var optimizer = torch.optim.AdamW(modules.parameters(), lr: 1e-3);
        using DisposeScope scope = torch.NewDisposeScope();
        (TorchTensor pixels, TorchTensor ids) = Inputs(golden);
        long count = Math.Min(pixels.shape[0], ids.shape[0]);
        (pixels, ids) = (pixels.narrow(0, 0, count), ids.narrow(0, 0, count));
        double first = 0, last = 0;
        for (int step = 0; step < 15; step++)
        {
            using DisposeScope inner = torch.NewDisposeScope();
            optimizer.zero_grad();
            TorchTensor loss = modules.Loss(pixels, ids);
            loss.backward();
            optimizer.step();
            modules.ClampLogitScale();
            last = loss.ToDouble();
            if (step == 0)
                first = last;
        }

        Assert.True(last < 0.5 * first, $"from {first} to {last}");
    }

    [Fact]
    public void TheScaleStaysWithinItsBounds()
    {
        using ClipModules modules = ClipModules.Load(DemoModel());
        using DisposeScope scope = torch.NewDisposeScope();
        using (torch.no_grad())
            modules.LogitScale.fill_(9);
        modules.ClampLogitScale();
        Assert.Equal(Math.Log(100), modules.LogitScale.ToDouble(), 1e-6);
        Assert.True(modules.LogitScale.requires_grad);
    }

    [Fact]
    public void WhatCannotBeTrainedIsRefusedWithTheReason()
    {
        Assert.Contains("batch norm", Assert.Throws<BadInputException>(() => ClipModules.Load(TestData.Path("towers", "resnet-tiny"))).Message);
        Assert.ThrowsAny<BadInputException>(() => ClipModules.Load(TestData.Path("towers", "nowhere")));
        using ClipModules sigmoid = ClipModules.Load(TestData.Path("tower-options", "custom-text-bias"));
        using DisposeScope scope = torch.NewDisposeScope();
        Assert.Contains("logit_bias", Assert.Throws<InvalidOperationException>(() => sigmoid.Loss(torch.zeros(1), torch.zeros(1))).Message);
    }

    [Fact]
    public void ADisposedModelRefusesWork()
    {
        ClipModules modules = ClipModules.Load(DemoModel());
        modules.Dispose();
        modules.Dispose();
        using DisposeScope scope = torch.NewDisposeScope();
        Assert.Throws<ObjectDisposedException>(() => modules.EncodeImages(torch.zeros(1, 3, 32, 32)));
    }

    private static string DemoModel() => Path.Combine(TestData.RepositoryRoot, "src", "ClipEngine.Cli", "Demo", "Data", "models", "large");

    private static (TorchTensor Pixels, TorchTensor Ids) Inputs(ICheckpoint golden)
    {
        TorchTensor pixels = torch.tensor(golden.ReadSingles("pixels"));
        TorchTensor ids = torch.tensor(golden.ReadInt64s("tokens"));
        using (pixels)
        using (ids)
            return (pixels.reshape([.. golden.Tensors["pixels"].Dimensions]), ids.reshape([.. golden.Tensors["tokens"].Dimensions]));
    }

    private static TorchTensor Weighted(TorchTensor values, int seed) => (values * Numbers(values.shape, seed)).sum();

    private static TorchTensor Numbers(long[] shape, int seed)
    {
        var random = new Random(seed);
        double[] values = [.. Enumerable.Range(0, (int)shape.Aggregate(1L, (a, b) => a * b)).Select(_ => (2 * random.NextDouble()) - 1)];
        return torch.tensor(values).reshape(shape);
    }

    private static void AssertClose(ICheckpoint golden, string name, TorchTensor found) => GoldenFeatures.AssertClose(golden, name, found.detach().contiguous().data<float>().ToArray(), 2e-5);
}
