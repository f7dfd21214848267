namespace ClipEngine.Audit.Statistics;

/// <summary>
/// A counter-based generator: draw i of stream s is a function of seed, s and i alone, so that resamples can be made on any
/// thread in any order and come out the same. Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators".
/// </summary>
internal struct SplitMix64
{
    private ulong _state;

    private SplitMix64(ulong state) => _state = state;

    /// <summary>The generator of one resample.</summary>
    /// <param name="seed">The run's seed.</param>
    /// <param name="stream">What is being resampled; different streams are independent.</param>
    /// <param name="item">The resample's number.</param>
    public static SplitMix64 For(long seed, ulong stream, int item)
    {
        ulong state = Mix(unchecked((ulong)seed) + 0x9E3779B97F4A7C15);
        state = Mix(state ^ stream);
        return new SplitMix64(Mix(state ^ (ulong)(uint)item));
    }

    /// <summary>A stream's number from its name (FNV-1a, 64 bits).</summary>
    public static ulong Stream(string name)
    {
        ulong hash = 0xCBF29CE484222325;
        foreach (byte value in System.Text.Encoding.UTF8.GetBytes(name))
            hash = (hash ^ value) * 0x100000001B3;
        return hash;
    }

    /// <summary>64 random bits.</summary>
    public ulong Next()
    {
        _state += 0x9E3779B97F4A7C15;
        return Mix(_state);
    }

    /// <summary>An index below <paramref name="count"/> (multiply and shift; the bias is below count / 2^64).</summary>
    public int Below(int count) => (int)Math.BigMul(Next(), (ulong)count, out _);

    private static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}
