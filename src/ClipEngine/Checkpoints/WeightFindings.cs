using System.Numerics;
using System.Runtime.InteropServices;
using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints;

/// <summary>What is odd about the values of one tensor.</summary>
/// <param name="Name">Its key.</param>
/// <param name="NanCount">Elements that are not a number.</param>
/// <param name="InfinityCount">Elements that are infinite.</param>
/// <param name="IsAllZero">Every element is zero (of either sign); only said of tensors with more than one element.</param>
/// <param name="IsDenormalOnly">No element is as large as the smallest normal number of its type, and some are not zero.</param>
public readonly record struct WeightFinding(string Name, long NanCount, long InfinityCount, bool IsAllZero, bool IsDenormalOnly)
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
        ForEachChunk<T>(bytes, chunk => largest = T.Max(largest, LargestMagnitude(chunk, magnitudeMask)));
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
            foreach (T element in chunk)
            {
                T magnitude = element & magnitudeMask;
                nanCount += magnitude > infinity ? 1 : 0;
                infinityCount += magnitude == infinity ? 1 : 0;
            }
        });
        return new WeightFinding(tensor.Name, nanCount, infinityCount, IsAllZero: false, IsDenormalOnly: false);
    }

    private static T LargestMagnitude<T>(ReadOnlySpan<T> elements, T mask)
        where T : unmanaged, IBinaryInteger<T>
    {
        var largestVector = Vector<T>.Zero;
        var maskVector = new Vector<T>(mask);
        int i = 0;
        for (; i <= elements.Length - Vector<T>.Count; i += Vector<T>.Count)
            largestVector = Vector.Max(largestVector, new Vector<T>(elements[i..]) & maskVector);
        T largest = T.Zero;
        for (int lane = 0; lane < Vector<T>.Count; lane++)
            largest = T.Max(largest, largestVector[lane]);
        for (; i < elements.Length; i++)
            largest = T.Max(largest, elements[i] & mask);
        return largest;
    }

    private static void ForEachChunk<T>(TensorBytes bytes, Action<ReadOnlySpan<T>> action)
        where T : unmanaged
    {
        const int ChunkLength = 1 << 24;
        for (long start = 0; start < bytes.ByteLength; start += ChunkLength)
            action(MemoryMarshal.Cast<byte, T>(bytes.Slice(start, (int)Math.Min(ChunkLength, bytes.ByteLength - start))));
    }
}
