using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Tensors;

namespace ClipEngine.Tests.Models;

/// <summary>Runs a model over a golden's inputs and compares.</summary>
internal static class GoldenFeatures
{
    public static void AssertEqual(IDualEncoder encoder, ICheckpoint golden, double tolerance)
    {
        Shape pixels = ShapeOf(golden, "pixels");
        int length = (int)ShapeOf(golden, "tokens")[1];
        float[] values = golden.ReadSingles("pixels");
        AssertClose(golden, "image_features", Images(encoder, values, pixels, normalize: false), tolerance);
        AssertClose(golden, "image_features_normalized", Images(encoder, values, pixels, normalize: true), tolerance);
        int[] ids = Ids(golden);
        AssertClose(golden, "text_features", Texts(encoder, ids, length, normalize: false), tolerance);
        AssertClose(golden, "text_features_normalized", Texts(encoder, ids, length, normalize: true), tolerance);
    }

    public static float[] Images(IDualEncoder encoder, ReadOnlySpan<float> pixels, Shape shape, bool normalize)
    {
        using IPass pass = encoder.Backend.BeginPass();
        return Read(pass, encoder.EncodeImages(pass, pass.Upload(pixels, shape)), normalize);
    }

    public static float[] Texts(IDualEncoder encoder, ReadOnlySpan<int> ids, int length, bool normalize)
    {
        using IPass pass = encoder.Backend.BeginPass();
        return Read(pass, encoder.EncodeTexts(pass, ids, length), normalize);
    }

    public static int[] Ids(ICheckpoint golden) => [.. golden.ReadInt64s("tokens").Select(id => checked((int)id))];

    public static Shape ShapeOf(ICheckpoint golden, string name) => new(golden.Tensors[name].Dimensions.AsSpan());

    /// <summary>The largest difference, in units of the golden's own standard deviation.</summary>
    public static void AssertClose(ICheckpoint golden, string name, ReadOnlySpan<float> found, double tolerance)
    {
        float[] expected = golden.ReadSingles(name);
        Assert.Equal(expected.Length, found.Length);
        double mean = expected.Average(value => (double)value);
        double deviation = Math.Sqrt(expected.Average(value => (value - mean) * (value - mean)));
        double largest = 0;
        for (int i = 0; i < expected.Length; i++)
            largest = Math.Max(largest, Math.Abs((double)expected[i] - found[i]));
        Assert.True(largest / deviation <= tolerance, $"{name}: {largest / deviation:E2} of the golden's spread, at most {tolerance:E0} allowed");
    }

    public static void AssertWithin(ReadOnlySpan<float> expected, ReadOnlySpan<float> found, double bound)
    {
        for (int i = 0; i < expected.Length; i++)
            Assert.True(Math.Abs((double)expected[i] - found[i]) <= bound, $"element {i}: {expected[i]:R} and {found[i]:R}");
    }

    private static float[] Read(IPass pass, Tensor features, bool normalize)
    {
        if (normalize)
            features = pass.L2Normalize(features);
        float[] values = new float[features.Shape.ElementCount];
        pass.Read(features, values);
        return values;
    }
}
