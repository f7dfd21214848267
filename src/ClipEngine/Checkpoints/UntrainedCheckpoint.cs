using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints;

/// <summary>
/// Tensors of given shapes with random values, made when they are borrowed: uniform with the spread of a fresh initialisation, norms
/// around 1, so that nothing overflows and no denormal number slows anything down.
/// </summary>
internal sealed unsafe class UntrainedCheckpoint : ICheckpoint
{
    private const int BlockLength = 1 << 16;

    private static readonly Lazy<float[]> s_block = new(MakeBlock);
    private readonly Dictionary<string, StoredTensor> _tensors = [];

    /// <summary>A checkpoint of these tensors.</summary>
    /// <param name="name">What messages call it.</param>
    /// <param name="shapes">Keys and shapes.</param>
    public UntrainedCheckpoint(string name, IReadOnlyList<(string Key, Shape Shape)> shapes)
    {
        Path = name;
        foreach ((string key, Shape shape) in shapes)
        {
            ImmutableArray<long> dimensions = [.. Enumerable.Range(0, shape.Rank).Select(i => shape[i])];
            _tensors.Add(key, new StoredTensor(key, ElementType.Float32, dimensions, checked(shape.ElementCount * sizeof(float))));
        }
    }

    /// <inheritdoc/>
    public string Path { get; }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, StoredTensor> Tensors => _tensors;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, string> Metadata { get; } = new Dictionary<string, string>();

    /// <inheritdoc/>
    public TensorBytes Borrow(string name)
    {
        StoredTensor tensor = _tensors[name];
        float* values = (float*)NativeMemory.AlignedAlloc((nuint)Math.Max(tensor.ByteLength, 64), 64);
        ImmutableArray<long> dimensions = tensor.Dimensions;
        if (name.EndsWith("logit_scale", StringComparison.Ordinal))
            *values = MathF.Log(100);
        else if (dimensions.Length < 2)
            Fill(values, tensor.ElementCount, 0.1f, name.EndsWith("weight", StringComparison.Ordinal) ? 1 : 0);
        else
            Fill(values, tensor.ElementCount, MathF.Sqrt(3f / Math.Max(1, tensor.ElementCount / dimensions[0])), 0);
        return new TensorBytes((nint)values, tensor.ByteLength, () => NativeMemory.AlignedFree(values));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // What was lent is released by its borrower.
    }

    // The block repeats: what a product costs does not depend on it.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Fill(float* values, long count, float scale, float offset)
    {
        float[] block = s_block.Value;
        for (long start = 0; start < count; start += BlockLength)
        {
            int length = (int)Math.Min(BlockLength, count - start);
            for (int i = 0; i < length; i++)
                values[start + i] = (block[i] * scale) + offset;
        }
    }

    private static float[] MakeBlock()
    {
        var random = new Random(1);
        float[] block = new float[BlockLength];
        for (int i = 0; i < block.Length; i++)
            block[i] = (random.NextSingle() * 2) - 1;
        return block;
    }
}
