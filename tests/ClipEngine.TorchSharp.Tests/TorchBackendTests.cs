using System.Runtime.InteropServices;
using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Testing;
using ClipEngine.Tests.Models;
using TorchSharp;

namespace ClipEngine.TorchSharp.Tests;

/// <summary>What is this backend's own: tensors given back, element types, devices, refusals. The numbers are compared by the parity suite.</summary>
public unsafe class TorchBackendTests
{
    public static TheoryData<string> Towers() => [.. Directory.GetDirectories(TestData.Path("towers")).Select(folder => Path.GetFileName(folder)!)];

    [Theory]
    [MemberData(nameof(Towers))]
    public void EveryTensorOfAForwardPassIsGivenBack(string tower)
    {
        using TorchBackend backend = TorchBackend.Create();
        using LoadedModel model = LoadedModel.Load(TestData.Path("towers", tower), backend);
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", tower, "golden.safetensors"));
        Shape shape = GoldenFeatures.ShapeOf(golden, "pixels");
        float[] pixels = golden.ReadSingles("pixels");
        int[] ids = GoldenFeatures.Ids(golden);
        int length = (int)GoldenFeatures.ShapeOf(golden, "tokens")[1];
        for (int i = 0; i < 3; i++)
        {
            long before = LiveTensors.Count();
            GoldenFeatures.Images(model.Encoder, pixels, shape, normalize: true);
            LiveTensors.AssertAtMost(before);
            GoldenFeatures.Texts(model.Encoder, ids, length, normalize: true);
            LiveTensors.AssertAtMost(before);
        }
    }

    [Fact]
    public void APassThatFailsGivesItsTensorsBackToo()
    {
        using TorchBackend backend = TorchBackend.Create();
        using LoadedModel model = LoadedModel.Load(TestData.Path("towers", "vit-gelu"), backend);
        long before = LiveTensors.Count();
        int[] ids = [model.Encoder.VocabularySize];
        Assert.Throws<ArgumentOutOfRangeException>(() => GoldenFeatures.Texts(model.Encoder, ids, 1, normalize: false));
        Assert.Throws<ArgumentException>(() => GoldenFeatures.Images(model.Encoder, new float[12], new Shape(1, 3, 2, 2), normalize: false));
        LiveTensors.AssertAtMost(before);
    }

    [Fact]
    public void WeightsAreGivenBackWithTheirModel()
    {
        using TorchBackend backend = TorchBackend.Create();
        long before = LiveTensors.Count();
        LoadedModel.Load(TestData.Path("towers", "vit-gelu"), backend).Dispose();
        LiveTensors.AssertAtMost(before);
    }

    [Fact]
    public void TheCallersDisposeScopeNeitherOwnsNorLosesAnything()
    {
        using TorchBackend backend = TorchBackend.Create();
        LoadedModel model;
        using (torch.NewDisposeScope())
            model = LoadedModel.Load(TestData.Path("towers", "vit-gelu"), backend);
        using (model)
        using (ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", "vit-gelu", "golden.safetensors")))
        using (DisposeScope scope = torch.NewDisposeScope())
        {
            GoldenFeatures.AssertEqual(model.Encoder, golden, 2e-5);
            Assert.Equal(0, scope.DisposablesCount);
        }
    }

    [Theory]
    [InlineData(ElementType.BFloat16, 0.9999)]
    [InlineData(ElementType.Float16, 0.99999)]
    public void LowerPrecisionKeepsTheFeaturesDirection(ElementType type, double smallest)
    {
        using TorchBackend backend = TorchBackend.Create(new TorchBackendOptions { ComputeType = type });
        foreach (string tower in Directory.GetDirectories(TestData.Path("towers")))
        {
            using LoadedModel model = LoadedModel.Load(tower, backend);
            using ICheckpoint golden = Checkpoint.Open(Path.Combine(tower, "golden.safetensors"));
            AssertCosines(golden, tower, "image_features_normalized", GoldenFeatures.Images(model.Encoder, golden.ReadSingles("pixels"), GoldenFeatures.ShapeOf(golden, "pixels"), normalize: true), smallest);
            AssertCosines(golden, tower, "text_features_normalized", GoldenFeatures.Texts(model.Encoder, GoldenFeatures.Ids(golden), (int)GoldenFeatures.ShapeOf(golden, "tokens")[1], normalize: true), smallest);
        }
    }

    [Theory]
    [InlineData(ElementType.Float16)]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Float32)]
    [InlineData(ElementType.Float64)]
    public void EveryStoredTypeIsReadExactly(ElementType type)
    {
        float[] values = [0, 1, -2.5f, 0.15625f, 384, -0.0078125f]; // exact in all of them
        byte[] bytes = type switch
        {
            ElementType.Float16 => MemoryMarshal.AsBytes(Array.ConvertAll(values, value => (Half)value).AsSpan()).ToArray(),
            ElementType.BFloat16 => MemoryMarshal.AsBytes(Array.ConvertAll(values, value => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)).AsSpan()).ToArray(),
            ElementType.Float32 => MemoryMarshal.AsBytes(values.AsSpan()).ToArray(),
            _ => MemoryMarshal.AsBytes(Array.ConvertAll(values, value => (double)value).AsSpan()).ToArray(),
        };
        using TorchBackend backend = TorchBackend.Create();
        byte[] unaligned = [0, .. bytes]; // a mapped tensor need not be aligned
        fixed (byte* address = unaligned)
        {
            using Weight weight = backend.CreateWeight(new WeightData("tokens", new Shape(2, 3), type, (nint)(address + 1)), WeightRole.Tokens);
            Assert.Equal((type, 24L), (weight.StoredType, weight.ByteLength));
            using IPass pass = backend.BeginPass();
            float[] found = new float[6];
            pass.Read(pass.BroadcastTokens(weight, 1), found);
            Assert.Equal(values, found);
        }
    }

    [Fact]
    public void ConcurrentPassesDoNotDisturbEachOther()
    {
        using TorchBackend backend = TorchBackend.Create();
        using LoadedModel model = LoadedModel.Load(TestData.Path("towers", "vit-gelu"), backend);
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", "vit-gelu", "golden.safetensors"));
        long before = LiveTensors.Count();
        Parallel.For(0, 16, new ParallelOptions { MaxDegreeOfParallelism = 4 }, _ => GoldenFeatures.AssertEqual(model.Encoder, golden, 2e-5));
        LiveTensors.AssertAtMost(before);
    }

    [Fact]
    public void WhatThereIsNotIsRefused()
    {
        Assert.Contains("tpu", Assert.Throws<BadInputException>(() => TorchBackend.Create(new TorchBackendOptions { Device = "tpu" })).Message);
        Assert.Throws<BadInputException>(() => TorchBackend.Create(new TorchBackendOptions { Device = "cuda:x" }));
        Assert.Contains("cuda:77", Assert.Throws<BadInputException>(() => TorchBackend.Create(new TorchBackendOptions { Device = "cuda:77" })).Message);
        Assert.Contains("Int8", Assert.Throws<NotSupportedException>(() => TorchBackend.Create(new TorchBackendOptions { ComputeType = ElementType.Int8 })).Message);
    }

    [Fact]
    public void WhatIsDisposedOrAnothersRefusesWork()
    {
        TorchBackend backend = TorchBackend.Create();
        using var toy = new ToyBackend();
        float[] numbers = new float[6];
        fixed (float* address = numbers)
        {
            var data = new WeightData("m", new Shape(2, 3), ElementType.Float32, (nint)address);
            using Weight matrix = backend.CreateWeight(data, WeightRole.Linear), foreign = toy.CreateWeight(data, WeightRole.Linear);
            IPass pass = backend.BeginPass();
            Tensor input = pass.Upload([1f, 2f, 3f], new Shape(1, 3));
            Assert.Contains("another backend", Assert.Throws<ArgumentException>(() => pass.Linear(input, foreign, null)).Message);
            Assert.Contains("[1, 2]", Assert.Throws<ArgumentException>(() => pass.Linear(pass.Upload([1f, 2f], new Shape(1, 2)), matrix, null)).Message);
            matrix.Dispose();
            Assert.Throws<ObjectDisposedException>(() => pass.Linear(input, matrix, null));
            pass.Dispose();
            Assert.Throws<ObjectDisposedException>(() => pass.Activate(input, Activation.Relu));
            backend.Dispose();
            Assert.Throws<ObjectDisposedException>(() => backend.BeginPass());
        }
    }

    private static void AssertCosines(ICheckpoint golden, string tower, string name, float[] found, double smallest)
    {
        float[] expected = golden.ReadSingles(name);
        int width = (int)GoldenFeatures.ShapeOf(golden, name)[1];
        for (int i = 0; i < expected.Length; i += width)
        {
            double dot = 0;
            for (int j = i; j < i + width; j++)
                dot += (double)expected[j] * found[j];
            Assert.True(dot >= smallest, $"{Path.GetFileName(tower)} {name}[{i / width}]: cosine {dot:F6}, at least {smallest} wanted");
        }
    }
}
