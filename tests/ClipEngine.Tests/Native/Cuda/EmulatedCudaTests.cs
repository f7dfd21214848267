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
    [InlineData("vit-gelu", ElementType.BFloat16)]
    [InlineData("vit-plus240-like", ElementType.BFloat16)]
    [InlineData("vit-attnpool", ElementType.BFloat16)]
    [InlineData("vit-quickgelu", ElementType.Float16)]
    [InlineData("vit-patch14-oddgrid", ElementType.Float16)]
    public void FeaturesInSixteenBitsPointTheSameWay(string tower, ElementType type)
    {
        using CudaBackend backend = Open(type);
        using LoadedModel model = LoadedModel.Load(TestData.Path("towers", tower), backend);
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", tower, "golden.safetensors"));
        float[] expected = golden.ReadSingles("image_features_normalized");
        float[] found = GoldenFeatures.Images(model.Encoder, golden.ReadSingles("pixels"), GoldenFeatures.ShapeOf(golden, "pixels"), normalize: true);
        int width = (int)GoldenFeatures.ShapeOf(golden, "image_features_normalized")[1];
        for (int row = 0; row < expected.Length / width; row++)
        {
            double cosine = 0;
            for (int i = 0; i < width; i++)
                cosine += (double)expected[(row * width) + i] * found[(row * width) + i];
            Assert.True(cosine >= SixteenBitCosine, $"image {row}: cosine {cosine}");
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

    private static CudaBackend Open(ElementType type)
    {
        string library = Path.Combine(TestData.RepositoryRoot, "artifacts", "native", "Release", "libclipengine_cuda_emulated.so");
        Skip.IfNot(File.Exists(library), "the emulated CUDA device is built by ./test.sh with the native tests");
        return CudaBackend.Create(new CudaBackendOptions { ComputeType = type, LibraryPath = library });
    }
}
