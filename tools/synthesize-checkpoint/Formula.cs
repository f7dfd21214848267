using System.Text;

namespace ClipEngine.Synthesis;

/// <summary>
/// Weights as a function of key and shape, so that a full-size checkpoint needs no download: SplitMix64 seeded with the
/// FNV-1a hash of the key, scaled by what the key says the tensor is. The reference features were computed from the same rule.
/// </summary>
public static class Formula
{
    /// <summary>Elements [<paramref name="start"/>, start + length) of the tensor, row-major.</summary>
    /// <param name="key">The checkpoint's key.</param>
    /// <param name="dimensions">The tensor's sizes.</param>
    /// <param name="start">The first element wanted.</param>
    /// <param name="destination">Filled, in single precision.</param>
    public static void Fill(string key, ReadOnlySpan<long> dimensions, long start, Span<float> destination)
    {
        if (key.EndsWith("logit_scale", StringComparison.Ordinal))
            destination.Fill((float)4.605170185988092);
        else if (key.EndsWith("logit_bias", StringComparison.Ordinal))
            destination.Fill(-10);
        else if (key.EndsWith("running_var", StringComparison.Ordinal))
            Uniform(key, 0.5, 1, start, destination);
        else if (dimensions.Length <= 1)
            Uniform(key, 0.1, key.EndsWith("weight", StringComparison.Ordinal) ? 1 : 0, start, destination);
        else
            Uniform(key, Math.Sqrt(3.0 / Product(dimensions[1..])), 0, start, destination);
    }

    /// <summary>Pixels in [-scale, scale), any shape, row-major.</summary>
    /// <param name="seed">The seed key that the golden names.</param>
    /// <param name="scale">Times this.</param>
    /// <param name="destination">Filled, in single precision.</param>
    public static void FillPixels(string seed, double scale, Span<float> destination) => Uniform(seed, scale, 0, 0, destination);

    /// <summary>The product of the sizes.</summary>
    public static long Product(ReadOnlySpan<long> dimensions)
    {
        long product = 1;
        foreach (long size in dimensions)
            product = checked(product * size);
        return product;
    }

    /// <summary>offset + scale * r with r uniform in [-1, 1), computed in double.</summary>
    private static void Uniform(string key, double scale, double offset, long start, Span<float> destination)
    {
        ulong seed = Fnv1a(key);
        for (int i = 0; i < destination.Length; i++)
        {
            ulong z = unchecked(seed + ((ulong)(start + i + 1) * 0x9E3779B97F4A7C15));
            z = unchecked((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9);
            z = unchecked((z ^ (z >> 27)) * 0x94D049BB133111EB);
            z ^= z >> 31;
            double r = ((z >> 40) / (double)(1 << 23)) - 1;
            destination[i] = (float)(offset + (scale * r));
        }
    }

    private static ulong Fnv1a(string key)
    {
        ulong hash = 0xCBF29CE484222325;
        foreach (byte value in Encoding.UTF8.GetBytes(key))
            hash = unchecked((hash ^ value) * 0x100000001B3);
        return hash;
    }
}
