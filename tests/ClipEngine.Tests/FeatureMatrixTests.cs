using System.Numerics;

namespace ClipEngine.Tests;

public sealed class FeatureMatrixTests
{
    /// <summary>Widths around the number of lanes, and those of models.</summary>
    public static TheoryData<int> Widths { get; } = new(1, 2, 7, 8, 9, 15, 16, 17, 31, 64, 512, 1000);

    [Theory]
    [MemberData(nameof(Widths))]
    public void RowsAreDividedByTheirLength(int width)
    {
        const int Rows = 5;
        var random = new Random(width);
        float[] values = new float[Rows * width];
        for (int i = 0; i < values.Length; i++)
            values[i] = (random.NextSingle() - 0.5f) * MathF.Pow(10, random.Next(-3, 4));
        values.AsSpan(2 * width, width).Clear();
        values[(3 * width) + (width / 2)] = 1e30f; // its square is no float

        float[] normalized = new float[values.Length];
        FeatureMatrix.NormalizeRows(values, width, normalized);
        for (int row = 0; row < Rows; row++)
        {
            BigInteger squares = 0; // in units of 2^-298, in which the square of every float is whole
            for (int i = 0; i < width; i++)
                squares += Exact(values[(row * width) + i]) * Exact(values[(row * width) + i]);
            double length = Math.Max(Math.Sqrt((double)squares * Math.Pow(2, -298)), 1e-12);
            for (int i = 0; i < width; i++)
            {
                float expected = (float)(values[(row * width) + i] / length), found = normalized[(row * width) + i];
                Assert.InRange(found, MathF.BitDecrement(expected), MathF.BitIncrement(expected));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void ARowDoesNotDependOnOthersOrOnWhereItIsWritten(int width)
    {
        const int Rows = 4;
        var random = new Random(width);
        float[] values = [.. Enumerable.Range(0, Rows * width).Select(_ => random.NextSingle() - 0.5f)], together = new float[values.Length], alone = new float[width];
        FeatureMatrix.NormalizeRows(values, width, together);
        for (int row = 0; row < Rows; row++)
        {
            FeatureMatrix.NormalizeRows(values.AsSpan(row * width, width), width, alone);
            Assert.Equal(alone, together[(row * width)..((row + 1) * width)]);
        }

        FeatureMatrix.NormalizeRows(values, width, values);
        Assert.Equal(together, values);
    }

    [Fact]
    public void WhatIsNoNumberStaysInItsRow()
    {
        float[] values = [.. Enumerable.Repeat(1f, 16), .. Enumerable.Repeat(1f, 16)];
        values[3] = float.NaN;
        FeatureMatrix.NormalizeRows(values, 16, values);
        Assert.All(values[..16], static value => Assert.True(float.IsNaN(value)));
        Assert.All(values[16..], static value => Assert.Equal(0.25f, value));
    }

    /// <summary>A float in units of 2^-149.</summary>
    private static BigInteger Exact(float value)
    {
        int bits = BitConverter.SingleToInt32Bits(value), exponent = (bits >> 23) & 0xff, fraction = bits & 0x7fffff;
        return exponent == 0 ? fraction : new BigInteger(fraction | 0x800000) << (exponent - 1);
    }
}
