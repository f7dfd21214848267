using ClipEngine.Checkpoints;
using ClipEngine.Cli;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>What enters the blocks of a tower and what each block makes, compared with the golden's <c>stage.*</c> in their order: the first wrong stage is the one that fails.</summary>
public class StageGoldenTests
{
    /// <summary>Of a stage's own spread; the goldens' rounding reaches 1.3e-5.</summary>
    private const double Tolerance = 1e-4;

    [SkippableTheory]
    [InlineData("siglip-b16")]
    [InlineData("siglip-so400m14")]
    [InlineData("siglip-so400m16-i18n")]
    [InlineData("siglip2-b16")]
    [InlineData("siglip2-gopt16")]
    [InlineData("hf-siglip")]
    [InlineData("hf-siglip2-naflex")]
    [InlineData("clipa-h14")]
    public void StagesEqualThoseOfTheOriginal(string family)
    {
        string folder = TestData.SharedPath("goldens", "families", family);
        using var backend = new ToyBackend();
        using LoadedModel model = LoadedModel.Load(folder, backend);
        using ICheckpoint golden = Checkpoint.OpenAsStored(Path.Combine(folder, "golden.safetensors"));
        bool isOpenClip = golden.Tensors.ContainsKey("pixels");
        using var pass = new StagePass(backend.BeginPass());
        Tensor pixels = model.Encoder.Packing is { } packing
            ? pass.Upload(RawInput.Pack(golden, "pixel_values", packing, out long count), new Shape(count, 3, packing.Size.Height, packing.Size.Width))
            : pass.Upload(golden.ReadSingles(isOpenClip ? "pixels" : "pixel_values"), GoldenFeatures.ShapeOf(golden, isOpenClip ? "pixels" : "pixel_values"));
        model.Encoder.EncodeImages(pass, pixels);
        string tokens = isOpenClip ? "tokens" : "input_ids";
        model.Encoder.EncodeTexts(pass, [.. golden.ReadInt64s(tokens).Select(static id => (int)id)], (int)GoldenFeatures.ShapeOf(golden, tokens)[1]);

        Assert.Equal(2, pass.Stacks.Count);
        foreach ((string tower, List<(Shape Shape, float[] Values)> stages) in new[] { ("image", pass.Stacks[0]), ("text", pass.Stacks[1]) })
        {
            for (int stage = 0; stage < stages.Count; stage++)
                Compare(golden, $"stage.{tower}.{(stage == 0 ? "embed" : $"block.{stage - 1}")}", stages[stage]);
        }
    }

    /// <summary>As many sequences and tokens as both have: some goldens keep the first image alone, and some models leave padding out.</summary>
    private static void Compare(ICheckpoint golden, string name, (Shape Shape, float[] Values) found)
    {
        Shape shape = GoldenFeatures.ShapeOf(golden, name);
        Assert.Equal(shape[2], found.Shape[2]);
        float[] expected = golden.ReadSingles(name);
        double mean = expected.Average(static value => (double)value), spread = Math.Sqrt(expected.Average(value => (value - mean) * (value - mean))), largest = 0;
        for (int n = 0; n < Math.Min(shape[0], found.Shape[0]); n++)
        {
            for (int i = 0; i < Math.Min(shape[1], found.Shape[1]) * shape[2]; i++)
                largest = Math.Max(largest, Math.Abs((double)expected[(n * shape[1] * shape[2]) + i] - found.Values[(n * found.Shape[1] * shape[2]) + i]));
        }

        Assert.True(largest / spread <= Tolerance, $"{name}: {largest / spread:E2} of the stage's spread, at most {Tolerance:E0} allowed");
    }
}
