using BenchmarkDotNet.Attributes;
using ClipEngine.Scoring;

namespace ClipEngine.Benchmarks;

/// <summary>The scoring sweep: softmax(100 I T^T) of unit rows 512 wide, totals of 14 groups only. Beside numpy and PyTorch: benchmarks/peers/sweep.py.</summary>
[MemoryDiagnoser]
public class SweepBenchmarks
{
    private const int Width = 512, Groups = 14;

    private FeatureSource? _images;
    private ProbeSweep? _sweep;
    private SweepTotals? _totals;
    private ProbeSweepInput? _input;

    /// <summary>Images and prompts. With eight columns the images are only read: bytes count; with many it is arithmetic.</summary>
    public static IEnumerable<Work> Shapes =>
    [
        new("images by prompts 200000x8", 0, 200000.0 * Width * sizeof(float)),
        new("images by prompts 20000x1000", 2.0 * 20000 * 1000 * Width),
        new("images by prompts 4000x20000", 2.0 * 4000 * 20000 * Width),
    ];

    /// <summary>What is scored.</summary>
    [ParamsSource(nameof(Shapes))]
    public Work? Shape { get; set; }

    /// <summary>Makes random unit rows and packs the prompts.</summary>
    [GlobalSetup]
    public void Setup()
    {
        (int images, int prompts) = (Shape!.Sizes[0], Shape.Sizes[1]);
        _images = FeatureSource.FromMemory(UnitRows(images, 1), Width);
        using FeatureSource texts = FeatureSource.FromMemory(UnitRows(prompts, 2), Width);
        _sweep = new ProbeSweep(texts, new ProbeSweepOptions { GroupCount = Groups });
        _totals = new SweepTotals(Groups, prompts, 0);
        _input = new ProbeSweepInput { Images = _images, Groups = Enumerable.Range(0, images).Select(row => row * 7919 % Groups).ToArray() };
    }

    /// <summary>One sweep; totals are added to.</summary>
    [Benchmark]
    public void Sweep() => _sweep!.Run(_input!, _totals!);

    /// <summary>Releases everything.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _sweep?.Dispose();
        _images?.Dispose();
    }

    private static float[] UnitRows(int rows, int seed)
    {
        float[] values = LinearBenchmarks.Values(rows * Width, seed);
        FeatureMatrix.NormalizeRows(values, Width, values);
        return values;
    }
}
