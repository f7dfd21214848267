namespace ClipEngine.Native;

/// <summary>
/// e4m3: 1 sign, 4 exponent and 3 mantissa bits, bias 7, up to 448, no infinities, NaN where all bits but the sign's are set
/// (Micikevicius et al. 2022, "FP8 formats for deep learning").
/// </summary>
internal static class Float8
{
    /// <summary>To nearest, ties to even; what is too large becomes 448, a NaN stays one.</summary>
    internal static byte FromSingle(float value)
    {
        if (float.IsNaN(value))
            return 0x7f;
        int sign = float.IsNegative(value) ? 0x80 : 0;
        float size = Math.Min(Math.Abs(value), 448f);
        // Below 2^-6 numbers stand 2^-9 apart.
        int exponent = size == 0 ? -6 : Math.Max(Math.ILogB(size), -6);
        int steps = (int)Math.Round(Math.ScaleB(size, 3 - exponent), MidpointRounding.ToEven);
        return (byte)(sign | (((exponent + 6) * 8) + steps));
    }

    /// <summary>The number that the bits stand for.</summary>
    internal static float ToSingle(byte bits)
    {
        int exponent = (bits >> 3) & 15, mantissa = bits & 7;
        float size = (bits & 0x7f) == 0x7f ? float.NaN : exponent == 0 ? MathF.ScaleB(mantissa, -9) : MathF.ScaleB(8 + mantissa, exponent - 10);
        return (bits & 0x80) != 0 ? -size : size;
    }
}
