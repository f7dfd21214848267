using BenchmarkDotNet.Attributes;
using ClipEngine.Native;
using ClipEngine.Tensors;

namespace ClipEngine.Benchmarks;

/// <summary>Softmax attention of named models' blocks, all heads: two products over pairs of tokens; the softmax is not counted.</summary>
[MemoryDiagnoser]
public class AttentionBenchmarks
{
    private CpuBackend? _backend;
    private float[] _input = [], _output = [];
    private int[] _sizes = [];

    /// <summary>Images or sentences, tokens, width, heads.</summary>
    public static IEnumerable<Work> Shapes => [Of("ViT-B-32 image 8x50x768x12"), Of("ViT-L-14 image 2x257x1024x16"), Of("ViT-B-32 text 8x77x512x8")];

    /// <summary>What is computed.</summary>
    [ParamsSource(nameof(Shapes))]
    public Work? Shape { get; set; }

    /// <summary>Makes random operands.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _sizes = Shape!.Sizes;
        _backend = CpuBackend.Create();
        _output = new float[_sizes[0] * _sizes[1] * _sizes[2]];
        _input = LinearBenchmarks.Values(3 * _output.Length, 1);
    }

    /// <summary>One attention, the upload of its input and the reading of its output included.</summary>
    [Benchmark]
    public void Attention()
    {
        using IPass pass = _backend!.BeginPass();
        Tensor input = pass.Upload(_input, new Shape(_sizes[0], _sizes[1], 3 * _sizes[2]));
        pass.Read(pass.SelfAttention(input, _sizes[3]), _output);
    }

    /// <summary>Releases the backend's memory.</summary>
    [GlobalCleanup]
    public void Cleanup() => _backend?.Dispose();

    private static Work Of(string name)
    {
        int[] sizes = new Work(name, 0).Sizes;
        return new Work(name, 4.0 * sizes[0] * sizes[1] * sizes[1] * sizes[2]);
    }
}

/// <summary>Layer norm on its own, beyond the caches: bytes read a second. Inside a block it is part of packing a product's rows.</summary>
[MemoryDiagnoser]
public class LayerNormBenchmarks
{
    private CpuBackend? _backend;
    private Weight? _weight, _bias;
    private IPass? _pass;
    private Tensor _input;

    /// <summary>Rows and width.</summary>
    public static IEnumerable<Work> Shapes => [Of("beyond the caches 65536x768"), Of("ViT-B-32 400x768")];

    /// <summary>What is computed.</summary>
    [ParamsSource(nameof(Shapes))]
    public Work? Shape { get; set; }

    /// <summary>Makes random operands.</summary>
    [GlobalSetup]
    public unsafe void Setup()
    {
        int[] sizes = Shape!.Sizes;
        _backend = CpuBackend.Create();
        fixed (float* values = LinearBenchmarks.Values(sizes[1], 1))
        {
            _weight = _backend.CreateWeight(new WeightData("weight", new Shape(sizes[1]), ElementType.Float32, (nint)values), WeightRole.Vector);
            _bias = _backend.CreateWeight(new WeightData("bias", new Shape(sizes[1]), ElementType.Float32, (nint)values), WeightRole.Vector);
        }

        _pass = _backend.BeginPass();
        _input = _pass.Upload(LinearBenchmarks.Values(sizes[0] * sizes[1], 2), new Shape(sizes[0], sizes[1]));
    }

    /// <summary>One norm, memory to memory.</summary>
    [Benchmark]
    public void LayerNorm()
    {
        long mark = _pass!.EnterScope();
        Tensor small = _pass.Upload([0f], new Shape(1));
        _pass.LayerNorm(_input, _weight!, _bias!, 1e-5f);
        _pass.LeaveScope(mark, small);
    }

    /// <summary>Releases everything.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _pass?.Dispose();
        _weight?.Dispose();
        _bias?.Dispose();
        _backend?.Dispose();
    }

    private static Work Of(string name)
    {
        int[] sizes = new Work(name, 0).Sizes;
        return new Work(name, 0, (double)sizes[0] * sizes[1] * sizeof(float));
    }
}
