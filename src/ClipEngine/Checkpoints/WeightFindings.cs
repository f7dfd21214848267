using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints;

/// <summary>What is odd about the values of one tensor.</summary>
/// <param name="Name">Its key.</param>
/// <param name="NanCount">Elements that are not a number.</param>
/// <param name="InfinityCount">Elements that are infinite.</param>
/// <param name="IsAllZero">Every element is zero (of either sign); only said of tensors with more than one element.</param>
/// <param name="IsDenormalOnly">No element is as large as the smallest normal number of its type, and some are not zero.</param>
internal readonly record struct WeightFinding(string Name, long NanCount, long InfinityCount, bool IsAllZero, bool IsDenormalOnly)
{
    /// <summary>Whether every element is a finite number.</summary>
    public bool IsFinite => NanCount == 0 && InfinityCount == 0;

    /// <summary>The finding as a sentence.</summary>
    public override string ToString()
    {
        string name = BadInputException.Escape(Name, 120);
        if (!IsFinite)
            return $"{name}: {NanCount} NaN, {InfinityCount} infinite";
        return IsAllZero ? $"{name}: all zero" : $"{name}: denormal numbers only";
    }

    /// <summary>Whether nothing is odd about a tensor whose largest magnitude has these bits.</summary>
    /// <param name="type">fp32, fp16 or bf16.</param>
    /// <param name="largest">The bits without the sign.</param>
    internal static bool IsOrdinary(ElementType type, uint largest) => type switch
    {
        ElementType.Float16 => largest is >= 0x0400 and < 0x7C00,
        ElementType.BFloat16 => largest is >= 0x0080 and < 0x7F80,
        ElementType.Float32 => largest is >= 0x00800000 and < 0x7F800000,
        _ => false,
    };

    /// <summary>Looks at every element once.</summary>
    /// <returns>Null where nothing is odd, and for integers.</returns>
    internal static WeightFinding? Of(StoredTensor tensor, TensorBytes bytes) => tensor.Type switch
    {
        ElementType.Float16 => Of<ushort>(tensor, bytes, 0x7FFF, 0x7C00, 0x0400),
        ElementType.BFloat16 => Of<ushort>(tensor, bytes, 0x7FFF, 0x7F80, 0x0080),
        ElementType.Float32 => Of<uint>(tensor, bytes, 0x7FFFFFFF, 0x7F800000, 0x00800000),
        ElementType.Float64 => Of<ulong>(tensor, bytes, 0x7FFFFFFFFFFFFFFF, 0x7FF0000000000000, 0x0010000000000000),
        _ => null,
    };

    // Without its sign bit a floating-point number is ordered like an integer: the largest one decides all four questions.
    private static WeightFinding? Of<T>(StoredTensor tensor, TensorBytes bytes, T magnitudeMask, T infinity, T smallestNormal)
        where T : unmanaged, IBinaryInteger<T>
    {
        T largest = T.Zero;
        var gate = new Lock();
        ForEachChunk<T>(bytes, chunk =>
        {
            T found = LargestMagnitude(chunk, magnitudeMask);
            lock (gate)
                largest = T.Max(largest, found);
        });
        if (largest < infinity && largest >= smallestNormal)
            return null;
        if (largest == T.Zero)
            return tensor.ElementCount > 1 ? new WeightFinding(tensor.Name, 0, 0, IsAllZero: true, IsDenormalOnly: false) : null;
        if (largest < smallestNormal)
            return new WeightFinding(tensor.Name, 0, 0, IsAllZero: false, IsDenormalOnly: true);
        long nanCount = 0;
        long infinityCount = 0;
        ForEachChunk<T>(bytes, chunk =>
        {
            long nans = 0, infinities = 0;
            foreach (T element in chunk)
            {
                T magnitude = element & magnitudeMask;
                nans += magnitude > infinity ? 1 : 0;
                infinities += magnitude == infinity ? 1 : 0;
            }

            Interlocked.Add(ref nanCount, nans);
            Interlocked.Add(ref infinityCount, infinities);
        });
        return new WeightFinding(tensor.Name, nanCount, infinityCount, IsAllZero: false, IsDenormalOnly: false);
    }

    // Compiled in full on its first call: a load that is over before the runtime has found out what is hot would spend its time here.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static T LargestMagnitude<T>(ReadOnlySpan<T> elements, T mask)
        where T : unmanaged, IBinaryInteger<T>
    {
        ReadOnlySpan<Vector<T>> vectors = MemoryMarshal.Cast<T, Vector<T>>(elements);
        var maskVector = new Vector<T>(mask);
        Vector<T> even = Vector<T>.Zero, odd = Vector<T>.Zero;
        int i = 0;
        for (; i + 1 < vectors.Length; i += 2)
        {
            even = Vector.Max(even, vectors[i] & maskVector);
            odd = Vector.Max(odd, vectors[i + 1] & maskVector);
        }

        if (i < vectors.Length)
            even = Vector.Max(even, vectors[i] & maskVector);
        Vector<T> largestVector = Vector.Max(even, odd);
        T largest = T.Zero;
        for (int lane = 0; lane < Vector<T>.Count; lane++)
            largest = T.Max(largest, largestVector[lane]);
        foreach (T element in elements[(vectors.Length * Vector<T>.Count)..])
            largest = T.Max(largest, element & mask);
        return largest;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void OnAllProcessors(int chunks, Action<int> run) => Parallel.For(0, chunks, run);

    /// <summary>What is large on all processors: this is the first time that a large tensor is read, and the system's work for it counts more than the reading.</summary>
    private static void ForEachChunk<T>(TensorBytes bytes, Action<ReadOnlySpan<T>> action)
        where T : unmanaged
    {
        const int ChunkLength = 1 << 20, Large = 4 << 20; // below, one thread is as fast, and .NET's parallel loops need not be there at all
        int chunks = checked((int)((bytes.ByteLength + ChunkLength - 1) / ChunkLength));
        if (bytes.ByteLength > Large)
        {
            OnAllProcessors(chunks, Run);
        }
        else
        {
            for (int chunk = 0; chunk < chunks; chunk++)
                Run(chunk);
        }

        void Run(int chunk)
        {
            long start = (long)chunk * ChunkLength;
            action(MemoryMarshal.Cast<byte, T>(bytes.Slice(start, (int)Math.Min(ChunkLength, bytes.ByteLength - start))));
        }
    }
}
