using BenchmarkDotNet.Attributes;
using ClipEngine.Native;
using ClipEngine.Tensors;

namespace ClipEngine.Benchmarks;

/// <summary>The matrix products of named models' blocks; GFLOP/s = 2 rows depth columns / time.</summary>
[MemoryDiagnoser]
public unsafe class LinearBenchmarks
{
    private CpuBackend? _backend;
    private Weight? _weight;
    private float[] _input = [], _output = [];
    private long _depth;

    /// <summary>Rows, depth and columns, named after where they occur.</summary>
    public static IEnumerable<Work> Products =>
        [.. new[] { "ViT-B-32 qkv 50x768x2304", "ViT-B-32 fc1 50x768x3072", "ViT-B-32 fc2 50x3072x768", "ViT-B-32 fc1 400x768x3072", "ViT-L-14 fc1 257x1024x4096" }.Select(Work.Product)];

    /// <summary>What is multiplied.</summary>
    [ParamsSource(nameof(Products))]
    public Work? Product { get; set; }

    /// <summary>What the product is computed in.</summary>
    [Params(ElementType.Float32, ElementType.BFloat16, ElementType.Int8)]
    public ElementType ComputeType { get; set; }

    /// <summary>Packs the weight and compares a few results with a plain sum first: a fast wrong product is no result.</summary>
    [GlobalSetup]
    public void Setup()
    {
        int[] sizes = Product!.Sizes;
        (long rows, _depth, long columns) = (sizes[0], sizes[1], sizes[2]);
        _backend = CpuBackend.Create(new CpuBackendOptions { ComputeType = ComputeType });
        float[] values = Values((int)(columns * _depth), 1);
        fixed (float* data = values)
            _weight = _backend.CreateWeight(new WeightData("weight", new Shape(columns, _depth), ElementType.Float32, (nint)data), WeightRole.Linear);
        _input = Values((int)(rows * _depth), 2);
        _output = new float[rows * columns];
        Run();
        for (int i = 0; i < _output.Length; i += 9973)
        {
            double expected = 0;
            for (int k = 0; k < _depth; k++)
                expected += (double)_input[(i / columns * _depth) + k] * values[(i % columns * _depth) + k];
            double bound = ComputeType == ElementType.Float32 ? 1e-3 : 1;
            if (Math.Abs(expected - _output[i]) > bound)
                throw new InvalidOperationException($"{Product}: expected {expected}, found {_output[i]}.");
        }
    }

    /// <summary>One product, the upload of its input and the reading of its output included.</summary>
    [Benchmark]
    public void Run()
    {
        using IPass pass = _backend!.BeginPass();
        Tensor input = pass.Upload(_input, new Shape(_input.Length / _depth, _depth));
        pass.Read(pass.Linear(input, _weight!, null), _output);
    }

    /// <summary>Releases the weight.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _weight?.Dispose();
        _backend?.Dispose();
    }

    /// <summary>Uniform in [-1, 1).</summary>
    internal static float[] Values(int count, int seed)
    {
        var random = new Random(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
            values[i] = (random.NextSingle() * 2) - 1;
        return values;
    }
}
