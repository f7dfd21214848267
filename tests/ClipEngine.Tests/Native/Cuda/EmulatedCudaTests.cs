using ClipEngine.Checkpoints;
using ClipEngine.Native;
using ClipEngine.Tensors;
using ClipEngine.Testing;
using ClipEngine.Tests.Models;

namespace ClipEngine.Tests.Native.Cuda;

/// <summary>
/// The CUDA backend with the emulator for a device: everything but the driver and the hardware itself. Products and attention run
/// thread by thread on the CPU, so the towers are the tiny ones.
/// </summary>
public class EmulatedCudaTests
{
    private const double Float32Tolerance = 2e-5;
    private const double SixteenBitCosine = 0.9999;

    public static TheoryData<string> Towers { get; } = new("coca-tiny", "resnet-tiny", "vit-attnpool", "vit-gap-nolnpre", "vit-gelu", "vit-layerscale", "vit-patch14-oddgrid", "vit-plus240-like", "vit-quickgelu");

    [SkippableTheory]
    [MemberData(nameof(Towers))]
    public void FeaturesInFloat32EqualThoseOfOpenClip(string tower)
    {
        using CudaBackend backend = Open(ElementType.Float32);
        using LoadedModel model = LoadedModel.Load(TestData.Path("towers", tower), backend);
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", tower, "golden.safetensors"));
        GoldenFeatures.AssertEqual(model.Encoder, golden, Float32Tolerance);
    }

    [SkippableTheory]
    [InlineData("siglip-b16")]
    [InlineData("hf-siglip")]
    [InlineData("convnext-base-w")]
    public void OtherFamiliesFeaturesInFloat32EqualThoseOfTheOriginal(string family)
    {
        using CudaBackend backend = Open(ElementType.Float32);
        using LoadedModel model = LoadedModel.Load(TestData.Path("families", family), backend);
        using ICheckpoint golden = Checkpoint.OpenAsStored(TestData.Path("families", family, "golden.safetensors"));
        FamilyGoldenTests.Check(model.Encoder, golden);
    }

    public static TheoryData<string> SharedFamilies() => [.. FamilyGoldenTests.SharedFamilies];

    [SkippableTheory]
    [MemberData(nameof(SharedFamilies))]
    public void SharedFamiliesFeaturesInFloat32EqualThoseOfTheOriginal(string family)
    {
        using CudaBackend backend = Open(ElementType.Float32);
        string folder = TestData.SharedPath("goldens", "families", family);
        using LoadedModel model = LoadedModel.Load(folder, backend);
        using ICheckpoint golden = Checkpoint.OpenAsStored(Path.Combine(folder, "golden.safetensors"));
        FamilyGoldenTests.Check(model.Encoder, golden);
    }

    [SkippableFact]
    public void BlipInFloat32EqualsTheOriginal()
    {
        using CudaBackend backend = Open(ElementType.Float32);
        foreach (string name in new[] { "blip-tiny", "transformers-itm-tiny", "transformers-blip2-tiny" })
            BlipGoldenTests.CheckImageText(TestData.SharedPath("goldens", "blip", name), backend);
        BlipGoldenTests.CheckCaptions(TestData.SharedPath("goldens", "blip", "transformers-caption-tiny"), backend);
    }

    public static TheoryData<string, ElementType> SixteenBitTowers()
    {
        var all = new TheoryData<string, ElementType> { { "vit-quickgelu", ElementType.Float16 }, { "vit-patch14-oddgrid", ElementType.Float16 } };
        foreach (string tower in Towers)
            all.Add(tower, ElementType.BFloat16);
        return all;
    }

    [SkippableTheory]
    [MemberData(nameof(SixteenBitTowers))]
    public void FeaturesInSixteenBitsPointTheSameWay(string tower, ElementType type)
    {
        using CudaBackend backend = Open(type);
        using LoadedModel model = LoadedModel.Load(TestData.Path("towers", tower), backend);
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", tower, "golden.safetensors"));
        AssertSameWay("image", golden, GoldenFeatures.Images(model.Encoder, golden.ReadSingles("pixels"), GoldenFeatures.ShapeOf(golden, "pixels"), normalize: true));
        AssertSameWay("text", golden, GoldenFeatures.Texts(model.Encoder, GoldenFeatures.Ids(golden), (int)GoldenFeatures.ShapeOf(golden, "tokens")[1], normalize: true));
    }

    [SkippableTheory]
    [InlineData("mt5-b32", ElementType.BFloat16)]
    [InlineData("mt5-b32", ElementType.Float16)]
    [InlineData("nllb-clip-siglip", ElementType.BFloat16)]
    [InlineData("coca-roberta-b32", ElementType.BFloat16)]
    public void TextTowersOfTransformersInSixteenBitsPointTheSameWay(string family, ElementType type)
    {
        string folder = TestData.SharedPath("goldens", "families", family);
        using CudaBackend backend = Open(type);
        using LoadedModel model = LoadedModel.Load(folder, backend);
        using ICheckpoint golden = Checkpoint.OpenAsStored(Path.Combine(folder, "golden.safetensors"));
        AssertSameWay("text", golden, GoldenFeatures.Texts(model.Encoder, GoldenFeatures.Ids(golden), (int)GoldenFeatures.ShapeOf(golden, "tokens")[1], normalize: true));
    }

    private static void AssertSameWay(string kind, ICheckpoint golden, float[] found)
    {
        float[] expected = golden.ReadSingles($"{kind}_features_normalized");
        int width = (int)GoldenFeatures.ShapeOf(golden, $"{kind}_features_normalized")[1];
        Assert.Equal(expected.Length, found.Length);
        for (int row = 0; row < expected.Length / width; row++)
        {
            double cosine = 0;
            for (int i = 0; i < width; i++)
                cosine += (double)expected[(row * width) + i] * found[(row * width) + i];
            Assert.True(cosine >= SixteenBitCosine, $"{kind} {row}: cosine {cosine}");
        }
    }

    [SkippableFact]
    public void AnImagesFeaturesAreTheSameBitsAloneAndAmongOthers()
    {
        using CudaBackend backend = Open(ElementType.BFloat16);
        using LoadedModel model = LoadedModel.Load(TestData.Path("towers", "vit-gelu"), backend);
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", "vit-gelu", "golden.safetensors"));
        Shape shape = GoldenFeatures.ShapeOf(golden, "pixels");
        float[] pixels = golden.ReadSingles("pixels");
        float[] together = GoldenFeatures.Images(model.Encoder, pixels, shape, normalize: true);
        int one = pixels.Length / (int)shape[0];
        float[] alone = GoldenFeatures.Images(model.Encoder, pixels.AsSpan(one, one), new Shape(1, shape[1], shape[2], shape[3]), normalize: true);
        Assert.Equal(together.AsSpan(alone.Length, alone.Length).ToArray(), alone);
    }

    [SkippableFact]
    public void EqualPassesGetEqualAddresses()
    {
        using CudaBackend backend = Open(ElementType.Float32);
        var addresses = new List<nint>();
        for (int round = 0; round < 2; round++)
        {
            using IPass pass = backend.BeginPass();
            Tensor input = pass.Upload([3f, 4f], new Shape(1, 2));
            long mark = pass.EnterScope();
            Tensor kept = pass.LeaveScope(mark, pass.L2Normalize(pass.Add(input, input)));
            var values = new float[2];
            pass.Read(kept, values);
            Assert.Equal(0.6f, values[0], 1e-6f);
            addresses.Add(kept.Address);
        }

        Assert.Equal(addresses[0], addresses[1]);
    }

    [SkippableFact]
    public void EqualPassesBecomeAGraphAndOthersDoNot()
    {
        using CudaBackend backend = Open(ElementType.Float32);
        float[] expected = [0.6f, 0.8f];
        var launches = new List<long>();
        for (int round = 0; round < 12; round++)
        {
            // Two shapes in turn, and in the end only new ones, more than are remembered.
            int rows = round < 6 ? 1 + (round % 2) : round;
            using IPass pass = backend.BeginPass();
            Tensor input = pass.Upload(Enumerable.Repeat(new[] { 3f, 4f }, rows).SelectMany(static row => row).ToArray(), new Shape(rows, 2));
            Tensor output = pass.L2Normalize(pass.Add(input, input));
            var values = new float[2 * rows];
            pass.Read(output, values);
            for (int i = 0; i < values.Length; i++)
                Assert.Equal(expected[i % 2], values[i], 1e-6f);
            launches.Add(((CudaPass)pass).GraphLaunches);
        }

        Assert.Equal([0, 0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4], launches);
    }

    [SkippableFact]
    public void ATowerAsAGraphGivesTheSameBits()
    {
        using CudaBackend backend = Open(ElementType.BFloat16);
        using LoadedModel model = LoadedModel.Load(TestData.Path("towers", "vit-gelu"), backend);
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", "vit-gelu", "golden.safetensors"));
        Shape shape = GoldenFeatures.ShapeOf(golden, "pixels");
        float[] pixels = golden.ReadSingles("pixels");
        float[] first = GoldenFeatures.Images(model.Encoder, pixels, shape, normalize: true);
        for (int round = 0; round < 2; round++)
            Assert.Equal(first, GoldenFeatures.Images(model.Encoder, pixels, shape, normalize: true));
        using IPass pass = backend.BeginPass();
        Assert.True(((CudaPass)pass).GraphLaunches > 0, "no graph was launched");
    }

    [SkippableFact]
    public void AnIdBeyondTheTableIsRefusedBeforeTheDeviceSeesIt()
    {
        using CudaBackend backend = Open(ElementType.Float32);
        using LoadedModel model = LoadedModel.Load(TestData.Path("towers", "vit-gelu"), backend);
        int[] ids = Enumerable.Repeat(512, 16).ToArray();
        Assert.ThrowsAny<ArgumentException>(() => GoldenFeatures.Texts(model.Encoder, ids, 16, normalize: true));
    }

    [Fact]
    public void WithoutADriverTheDeviceIsRefusedAndNothingFallsBack()
    {
        if (File.Exists("/usr/lib/x86_64-linux-gnu/libcuda.so.1") || File.Exists("/dev/nvidia0"))
            return;
        NotSupportedException exception = Assert.Throws<NotSupportedException>(() => CudaBackend.Create());
        Assert.Contains("libcuda.so.1", exception.Message, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void ATowerInTf32PointsTheSameWayAndIsNotFp32()
    {
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", "vit-gelu", "golden.safetensors"));
        float[] pixels = golden.ReadSingles("pixels");
        float[][] found = [.. new[] { false, true }.Select(isTf32 =>
        {
            using CudaBackend backend = Open(ElementType.Float32, isTf32);
            using LoadedModel model = LoadedModel.Load(TestData.Path("towers", "vit-gelu"), backend);
            return GoldenFeatures.Images(model.Encoder, pixels, GoldenFeatures.ShapeOf(golden, "pixels"), normalize: true);
        })];
        float largest = found[0].Zip(found[1], static (exact, rounded) => Math.Abs(exact - rounded)).Max();
        Assert.InRange(largest, 1e-6f, 2e-3f);
        Assert.Throws<NotSupportedException>(() => Open(ElementType.BFloat16, isTf32: true));
        Assert.Throws<NotSupportedException>(() => Open(ElementType.Float32, isFp8: true));
    }

    // 3 bits of mantissa for weights and activations of every linear layer: what was found stands in benchmarks/RESULTS.md.
    [SkippableTheory]
    [InlineData("vit-gelu")]
    [InlineData("vit-quickgelu")]
    [InlineData("vit-plus240-like")]
    public void FeaturesInFp8PointNearlyTheSameWay(string tower)
    {
        using CudaBackend backend = Open(ElementType.BFloat16, isFp8: true);
        Assert.Contains("fp8 (e4m3)", backend.Description, StringComparison.Ordinal);
        using LoadedModel model = LoadedModel.Load(TestData.Path("towers", tower), backend);
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", tower, "golden.safetensors"));
        float[] expected = golden.ReadSingles("image_features_normalized");
        float[] found = GoldenFeatures.Images(model.Encoder, golden.ReadSingles("pixels"), GoldenFeatures.ShapeOf(golden, "pixels"), normalize: true);
        int width = (int)GoldenFeatures.ShapeOf(golden, "image_features_normalized")[1];
        var cosines = new List<double>();
        for (int row = 0; row < expected.Length / width; row++)
            cosines.Add(Enumerable.Range(row * width, width).Sum(i => (double)expected[i] * found[i]));
        // Not bf16 by another name, and not far from it.
        Assert.InRange(cosines.Min(), 0.997, 0.99999);
    }

    [Fact]
    public void E4m3HasTheNumbersThatItShould()
    {
        Assert.Equal(1f / 512, Float8.ToSingle(0x01));
        Assert.Equal(1f, Float8.ToSingle(0x38));
        Assert.Equal(-448f, Float8.ToSingle(0xfe));
        Assert.Equal(0x7e, Float8.FromSingle(float.PositiveInfinity));
        Assert.True(float.IsNaN(Float8.ToSingle(Float8.FromSingle(float.NaN))));
        for (int bits = 0; bits < 256; bits++)
        {
            if ((bits & 127) == 127)
                continue;
            float value = Float8.ToSingle((byte)bits);
            Assert.Equal(bits, Float8.FromSingle(value));
            if ((bits & 127) == 126)
                continue;
            float next = Float8.ToSingle((byte)(bits + 1)), middle = (value + next) / 2;
            Assert.Equal(bits + (bits & 1), Float8.FromSingle(middle));
            Assert.Equal(bits + 1, Float8.FromSingle(middle + ((next - middle) / 64)));
        }
    }

    private static CudaBackend Open(ElementType type, bool isTf32 = false, bool isFp8 = false)
    {
        string library = Path.Combine(TestData.NativeFolder, "libclipengine_cuda_emulated.so");
        Skip.IfNot(File.Exists(library), "the emulated CUDA device is built by ./test.sh with the native tests");
        return CudaBackend.Create(new CudaBackendOptions { ComputeType = type, Tf32 = isTf32, Fp8 = isFp8, LibraryPath = library });
    }
}
