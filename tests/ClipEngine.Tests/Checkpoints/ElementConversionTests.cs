using System.Runtime.InteropServices;
using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Tests.Checkpoints;

public class ElementConversionTests
{
    [Fact]
    public void EveryHalfIsExact()
    {
        ushort[] bits = [.. Enumerable.Range(0, 65536).Select(value => (ushort)value)];
        float[] converted = Convert(MemoryMarshal.AsBytes(bits), ElementType.Float16, bits.Length);
        for (int i = 0; i < bits.Length; i++)
            Assert.Equal(HalfByDefinition(bits[i]), converted[i]);
    }

    [Fact]
    public void EveryBFloat16IsTheUpperHalfOfASingle()
    {
        ushort[] bits = [.. Enumerable.Range(0, 65536).Select(value => (ushort)value)];
        float[] converted = Convert(MemoryMarshal.AsBytes(bits), ElementType.BFloat16, bits.Length);
        for (int i = 0; i < bits.Length; i++)
            Assert.Equal((uint)bits[i] << 16, BitConverter.SingleToUInt32Bits(converted[i]));
    }

    [Fact]
    public void DoublesAreRoundedToNearestEven()
    {
        // Halfway between 1 and its neighbours in fp32: to the even side, down and up.
        double[] values = [1 + Math.Pow(2, -24), 1 + 3 * Math.Pow(2, -24), 1 + Math.Pow(2, -24) + 1e-12, -1e300, double.NaN, 1e-46, 0.1];
        double[] padded = [.. Enumerable.Repeat(values, 5).SelectMany(x => x)];
        float[] converted = Convert(MemoryMarshal.AsBytes(padded), ElementType.Float64, padded.Length);
        float[] expected = [1, BitConverter.UInt32BitsToSingle(0x3F800002), BitConverter.UInt32BitsToSingle(0x3F800001), float.NegativeInfinity, float.NaN, 0, 0.1f];
        for (int i = 0; i < padded.Length; i++)
            Assert.Equal(expected[i % expected.Length], converted[i]);
    }

    [Theory]
    [InlineData(ElementType.Int64)]
    [InlineData(ElementType.Boolean)]
    public void IntegersAreNotTakenForFloats(ElementType type) =>
        Assert.Throws<ArgumentException>(() => ElementConversion.ToSingle(new byte[8], type, new float[1]));

    private static float[] Convert(ReadOnlySpan<byte> bytes, ElementType type, int count)
    {
        // One byte further than aligned, as in a file.
        byte[] shifted = new byte[bytes.Length + 1];
        bytes.CopyTo(shifted.AsSpan(1));
        float[] converted = new float[count];
        ElementConversion.ToSingle(shifted.AsSpan(1), type, converted);
        return converted;
    }

    // IEEE 754: sign, 5 bits of exponent biased by 15, 10 bits of fraction.
    private static float HalfByDefinition(ushort bits)
    {
        int sign = bits >> 15;
        int exponent = (bits >> 10) & 31;
        int fraction = bits & 1023;
        double magnitude = exponent switch
        {
            0 => fraction * Math.Pow(2, -24),
            31 => fraction == 0 ? double.PositiveInfinity : double.NaN,
            _ => (1 + fraction / 1024.0) * Math.Pow(2, exponent - 15),
        };
        return (float)(sign == 0 ? magnitude : -magnitude);
    }
}
