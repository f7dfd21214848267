using BenchmarkDotNet.Attributes;
using ClipEngine.Imaging;

namespace ClipEngine.Benchmarks;

/// <summary>
/// An image file to the pixels of ViT-B-32, one thread. The photographs are those that benchmarks/peers/make_photos.py draws; their
/// folder is named by CLIPENGINE_PHOTOS. Pillow and torchvision on the same files: benchmarks/peers/preprocess.py, which runs both sides.
/// </summary>
[MemoryDiagnoser]
public class ImagingBenchmarks
{
    private readonly ImagePreprocessor _preprocessor = new(new PreprocessOptions { Height = 224, Width = 224 });
    private byte[] _encoded = [];
    private float[] _pixels = [];

    /// <summary>The photograph of the published audit's faces, and a small one.</summary>
    [Params("photo_2444x1718.jpg", "photo_640x480.jpg")]
    public string Photo { get; set; } = "";

    [GlobalSetup]
    public void Setup()
    {
        string folder = Environment.GetEnvironmentVariable("CLIPENGINE_PHOTOS")
            ?? throw new InvalidOperationException("CLIPENGINE_PHOTOS names no folder; draw the photographs with benchmarks/peers/make_photos.py");
        _encoded = File.ReadAllBytes(Path.Combine(folder, Photo));
        _pixels = new float[_preprocessor.ElementCount];
    }

    [Benchmark(Baseline = true)]
    public int Decode() => ImagePreprocessor.Decode(_encoded, Photo).Rgb.Length;

    [Benchmark]
    public float Preprocess()
    {
        _preprocessor.Preprocess(_encoded, Photo, _pixels);
        return _pixels[0];
    }
}
