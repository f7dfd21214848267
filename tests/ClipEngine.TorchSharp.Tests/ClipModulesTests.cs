using ClipEngine.Checkpoints;
using ClipEngine.Checkpoints.Layouts;
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
        .. new[] { "towers", "tower-options", "families" }
            .SelectMany(set => Directory.GetDirectories(TestData.Path(set)).Select(folder => $"{set}/{Path.GetFileName(folder)}")),
    ];

    [Theory]
    [MemberData(nameof(Towers))]
    public void TheStateIsTheCheckpoint(string tower)
    {
        using ICheckpoint checkpoint = ModelConfiguration.Plan(TestData.Path(tower)).Arrange(Checkpoint.OpenAsStored(TestData.Path(tower)));
        using ClipModules modules = ClipModules.Load(TestData.Path(tower));
        Dictionary<string, TorchTensor> state = modules.state_dict();
        Assert.Equal(checkpoint.Tensors.Keys.Order(StringComparer.Ordinal), state.Keys.Order(StringComparer.Ordinal));
        foreach ((string key, TorchTensor value) in state)
        {
            Assert.Equal(checkpoint.Tensors[key].Dimensions, value.shape);
            if (value.is_floating_point())
                Assert.Equal(checkpoint.ReadSingles(key), value.detach().data<float>().ToArray());
            else
                Assert.Equal(checkpoint.ReadInt64s(key), value.data<long>().ToArray());
        }

        string[] buffers = [.. state.Keys.Where(key => key.Contains("running_", StringComparison.Ordinal) || key.EndsWith("num_batches_tracked", StringComparison.Ordinal))];
        Assert.Equal(tower.Contains("resnet", StringComparison.Ordinal), buffers.Length > 0);
        Assert.Equal(state.Keys.Except(buffers).Order(StringComparer.Ordinal), modules.named_parameters().Select(pair => pair.name).Order(StringComparer.Ordinal));
        Assert.Equal(buffers.Order(StringComparer.Ordinal), modules.named_buffers().Select(pair => pair.name).Order(StringComparer.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Towers))]
    public void FeaturesEqualThoseOfOpenClip(string tower)
    {
        using ClipModules modules = ClipModules.Load(TestData.Path(tower));
        using ICheckpoint golden = OpenGolden(tower);
        (TorchTensor pixels, TorchTensor ids) = Inputs(golden);
        long before = LiveTensors.Count();
        using (torch.NewDisposeScope())
        {
            AssertClose(golden, "image_features", modules.Visual.call(pixels));
            AssertClose(golden, "text_features", modules.EncodeTexts(ids));
            (TorchTensor images, TorchTensor texts) = modules.call(pixels, ids);
            AssertClose(golden, "image_features_normalized", images);
            AssertClose(golden, "text_features_normalized", texts);
        }

        LiveTensors.AssertAtMost(before);
        pixels.Dispose();
        ids.Dispose();
    }

    [Theory]
    [MemberData(nameof(Towers))]
    public void GradientsReachEveryParameterAndEqualFiniteDifferences(string tower) => AssertGradients(tower, trains: false);

    [Fact]
    public void GradientsFlowThroughTheStatisticsOfABatch() => AssertGradients("towers/resnet-tiny", trains: true);

    [Fact]
    public void ABatchNormUsesTheBatchWhileItTrainsAndItsRunningStatisticsFollow()
    {
        // y = (x - mean) / sqrt(variance + 1e-5) over n, h and w; running = 0.9 running + 0.1 of the batch's, the variance over n - 1.
        using ClipModules modules = ClipModules.Load(TestData.Path("towers", "resnet-tiny"), new TorchBackendOptions { ComputeType = ElementType.Float64 });
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", "resnet-tiny", "golden.safetensors"));
        using DisposeScope scope = torch.NewDisposeScope();
        (TorchTensor pixels, _) = Inputs(golden);
        Dictionary<string, TorchTensor> state = modules.state_dict();
        double[] before = state["visual.bn1.running_mean"].data<double>().ToArray(), beforeVariance = state["visual.bn1.running_var"].data<double>().ToArray();
        long tracked = state["visual.bn1.num_batches_tracked"].ToInt64();
        float[] evaluated = Singles(modules.EncodeImages(pixels));
        modules.train();
        float[] trained = Singles(modules.EncodeImages(pixels));
        modules.eval();
        float[] afterwards = Singles(modules.EncodeImages(pixels));
        Assert.Contains(evaluated.Zip(trained), pair => Math.Abs(pair.First - pair.Second) > 1e-3);
        Assert.Contains(evaluated.Zip(afterwards), pair => Math.Abs(pair.First - pair.Second) > 1e-5);

        TorchTensor maps = torch.nn.functional.conv2d(pixels.to(torch.ScalarType.Float64), state["visual.conv1.weight"], null, [2, 2], [1, 1]);
        long channels = maps.shape[1];
        double[] values = maps.transpose(0, 1).contiguous().data<double>().ToArray();
        int each = values.Length / (int)channels;
        for (int c = 0; c < channels; c++)
        {
            double[] channel = values[(c * each)..((c + 1) * each)];
            double mean = channel.Average(), variance = channel.Sum(value => (value - mean) * (value - mean)) / (each - 1);
            Assert.Equal((0.9 * before[c]) + (0.1 * mean), state["visual.bn1.running_mean"][c].Number(), 1e-9);
            Assert.Equal((0.9 * beforeVariance[c]) + (0.1 * variance), state["visual.bn1.running_var"][c].Number(), 1e-9);
        }

        Assert.Equal(tracked + 1, state["visual.bn1.num_batches_tracked"].ToInt64());
    }

    private static void AssertGradients(string tower, bool trains)
    {
        // Shorter where ReLUs have kinks that a step must not reach, and shorter still where a few values are normalised by themselves:
        // there the gradient changes fast, and the rounding of a short step is what is left.
        double step = tower.Contains("resnet", StringComparison.Ordinal) ? (trains ? 1e-9 : 1e-7) : 1e-5;
        using ClipModules modules = ClipModules.Load(TestData.Path(tower), new TorchBackendOptions { ComputeType = ElementType.Float64 });
        modules.train(trains);
        using ICheckpoint golden = OpenGolden(tower);
        using DisposeScope scope = torch.NewDisposeScope();
        (TorchTensor pixels, TorchTensor ids) = Inputs(golden);
        TorchTensor Objective()
        {
            (TorchTensor images, TorchTensor texts) = modules.call(pixels, ids);
            return Weighted(images, 1).Plus(Weighted(texts, 2)).Plus(modules.LogitScale.exp());
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
            double found = (gradient * along).sum().Number();
            double expected;
            using (torch.no_grad())
            using (torch.NewDisposeScope())
            {
                parameter.AddInPlace(along, step);
                double above = Objective().Number();
                parameter.AddInPlace(along, -2 * step);
                expected = (above - Objective().Number()) / (2 * step);
                parameter.AddInPlace(along, step);
            }

            Assert.True(Math.Abs(expected - found) <= (trains ? 1e-4 : 3e-6) * Math.Max(1, Math.Abs(expected)), $"{name}: {found:R}, by differences {expected:R}");
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
        using ICheckpoint golden = OpenGolden(tower);
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
                    parameter.AddInPlace(Numbers(parameter.shape, name.Length).to(torch.ScalarType.Float32), 0.02);
            }

            modules.SaveCheckpoint(folder.File("tuned"));
            images = modules.EncodeImages(pixels, normalize: true).detach().data<float>().ToArray();
            texts = modules.EncodeTexts(ids, normalize: true).detach().data<float>().ToArray();
        }

        // Under the file's own keys, in the file's own shapes: what loaded the original loads it.
        using (ICheckpoint original = Checkpoint.OpenAsStored(TestData.Path(tower)), saved = Checkpoint.OpenAsStored(folder.File("tuned")))
        {
            string[] buffers = [.. original.Tensors.Keys.Where(key => key.EndsWith("position_ids", StringComparison.Ordinal))];
            Assert.Equal(original.Tensors.Keys.Except(buffers).Order(StringComparer.Ordinal), saved.Tensors.Keys.Order(StringComparer.Ordinal));
            Assert.All(saved.Tensors, pair => Assert.Equal(original.Tensors[pair.Key].Dimensions.AsEnumerable(), pair.Value.Dimensions));
            Assert.Equal("pt", saved.Metadata["format"]);
        }

        using ClipModel native = ClipModel.Load(folder.File("tuned"));
        GoldenFeatures.AssertWithin(images, GoldenFeatures.Images(native.Encoder, golden.ReadSingles("pixels"), shape, normalize: true), 1e-5);
        GoldenFeatures.AssertWithin(texts, GoldenFeatures.Texts(native.Encoder, GoldenFeatures.Ids(golden), (int)GoldenFeatures.ShapeOf(golden, "tokens")[1], normalize: true), 1e-5);
    }

    // What they are made of is computed when they are loaded, in ways that gradients cannot follow.
    private static readonly string[] s_refused = ["hf-siglip2-naflex", "mt5-b32", "mobileclip2-s0", "mobileclip2-s3"];

    public static TheoryData<string> TrainedFamilies() => [.. FamilyGoldenTests.SharedFamilies.Except(s_refused)];

    public static TheoryData<string> RefusedFamilies() => [.. s_refused];

    [SkippableTheory]
    [MemberData(nameof(RefusedFamilies))]
    public void WhatGradientsCannotReachIsRefused(string family)
    {
        string original = TestData.SharedPath("goldens", "families", family);
        Assert.Contains("cannot be trained", Assert.Throws<BadInputException>(() => ClipModules.Load(original)).Message, StringComparison.Ordinal);
    }

    /// <summary>
    /// Every other family of two towers: the features are the original's, the loss reaches every parameter that features are made of with a finite
    /// gradient, and what is saved after a step gives the same features in the native engine.
    /// </summary>
    [SkippableTheory]
    [MemberData(nameof(TrainedFamilies))]
    public void EveryFamilyTrainsAndIsSaved(string family)
    {
        string original = TestData.SharedPath("goldens", "families", family);
        using var folder = new TemporaryFolder();
        using ICheckpoint golden = Renamed(SafetensorsFile.Open(Path.Combine(original, "golden.safetensors")));
        Shape shape = GoldenFeatures.ShapeOf(golden, "pixels");
        float[] images, texts;
        using (DisposeScope scope = torch.NewDisposeScope())
        using (ClipModules modules = ClipModules.Load(original))
        {
            (TorchTensor pixels, TorchTensor ids) = Inputs(golden);
            AssertClose(golden, "image_features", modules.EncodeImages(pixels));
            AssertClose(golden, "text_features", modules.EncodeTexts(ids));
            long pairs = Math.Min(pixels.shape[0], ids.shape[0]);
            modules.train();
            modules.Loss(pixels[..(int)pairs], ids[..(int)pairs]).backward();
            string[] unused = [.. modules.named_parameters().Where(static pair => pair.parameter.grad is null).Select(static pair => pair.name)];
            Assert.All(unused, static name => Assert.StartsWith("text_decoder.", name, StringComparison.Ordinal));
            using (torch.no_grad())
            {
                foreach ((string name, Parameter parameter) in modules.named_parameters().Where(static pair => pair.parameter.grad is not null))
                {
                    Assert.True(parameter.grad!.isfinite().all().ToBoolean(), name);
                    parameter.AddInPlace(parameter.grad!, -1e-3);
                }
            }

            modules.eval();
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
            last = loss.Number();
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
            modules.LogitScale.FillInPlace(9);
        modules.ClampLogitScale();
        Assert.Equal(Math.Log(100), modules.LogitScale.Number(), 1e-6);
        Assert.True(modules.LogitScale.requires_grad);
    }

    [Fact]
    public void WhatIsNotThereIsRefused()
    {
        Assert.ThrowsAny<BadInputException>(() => ClipModules.Load(TestData.Path("towers", "nowhere")));
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

    /// <summary>The reference, with open_clip's names for the inputs.</summary>
    private static ICheckpoint OpenGolden(string tower) => Renamed(SafetensorsFile.Open(TestData.Path(tower, "golden.safetensors")));

    private static ICheckpoint Renamed(ICheckpoint golden)
    {
        return MappedCheckpoint.Create(golden, golden.Tensors.Keys.Select(static key => new Recipe.Rename(key switch { "pixel_values" => "pixels", "input_ids" => "tokens", _ => key }, key)));
    }

    private static float[] Singles(TorchTensor values) => values.detach().to(torch.ScalarType.Float32).contiguous().data<float>().ToArray();

    private static TorchTensor Weighted(TorchTensor values, int seed) => (values * Numbers(values.shape, seed)).sum();

    private static TorchTensor Numbers(long[] shape, int seed)
    {
        var random = new Random(seed);
        double[] values = [.. Enumerable.Range(0, (int)shape.Aggregate(1L, (a, b) => a * b)).Select(_ => (2 * random.NextDouble()) - 1)];
        return torch.tensor(values).reshape(shape);
    }

    private static void AssertClose(ICheckpoint golden, string name, TorchTensor found) => GoldenFeatures.AssertClose(golden, name, found.detach().contiguous().data<float>().ToArray(), 2e-5);
}
