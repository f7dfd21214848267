using System.Numerics;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints;

/// <summary>Stored floating-point elements as fp32: exact from F16, BF16 and F32, rounded to nearest (ties to even) from F64.</summary>
internal static class ElementConversion
{
    /// <summary>Converts little-endian elements.</summary>
    /// <param name="source">Whole elements; need not be aligned.</param>
    /// <param name="type">A floating-point type.</param>
    /// <param name="destination">As many elements as <paramref name="source"/> holds.</param>
    /// <exception cref="ArgumentException">Not a floating-point type, or lengths that do not agree.</exception>
    public static void ToSingle(ReadOnlySpan<byte> source, ElementType type, Span<float> destination)
    {
        if (!type.IsFloatingPoint())
            throw new ArgumentException($"{type} is not a floating-point type.", nameof(type));
        if (source.Length != (long)destination.Length * type.SizeInBytes())
            throw new ArgumentException($"{source.Length} bytes of {type} do not make {destination.Length} elements.", nameof(destination));
        switch (type)
        {
            case ElementType.Float32:
                source.CopyTo(MemoryMarshal.AsBytes(destination));
                break;
            case ElementType.Float16:
                TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<byte, Half>(source), destination);
                break;
            case ElementType.Float64:
                TensorPrimitives.ConvertTruncating(MemoryMarshal.Cast<byte, double>(source), destination);
                break;
            default:
                WidenBFloat16(MemoryMarshal.Cast<byte, ushort>(source), MemoryMarshal.Cast<float, uint>(destination));
                break;
        }
    }

    // A bfloat16 is the upper half of a single.
    private static void WidenBFloat16(ReadOnlySpan<ushort> source, Span<uint> destination)
    {
        int i = 0;
        for (; i <= source.Length - Vector<ushort>.Count; i += Vector<ushort>.Count)
        {
            Vector.Widen(new Vector<ushort>(source[i..]), out Vector<uint> low, out Vector<uint> high);
            (low << 16).CopyTo(destination[i..]);
            (high << 16).CopyTo(destination[(i + Vector<uint>.Count)..]);
        }

        for (; i < source.Length; i++)
            destination[i] = (uint)source[i] << 16;
    }
}
