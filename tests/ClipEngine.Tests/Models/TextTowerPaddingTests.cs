using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>Text towers of transformers: what padding may not change.</summary>
public class TextTowerPaddingTests
{
    [SkippableTheory]
    [InlineData("roberta-b32", 1, true)]
    [InlineData("coca-roberta-b32", 1, true)]
    [InlineData("mt5-b32", 0, true)]
    [InlineData("nllb-clip-b32", 1, true)]
    [InlineData("hf-altclip", 1, false)]
    [InlineData("hf-chinese-clip", 0, false)]
    public void PaddingAndNeighboursChangeNoBit(string family, int paddingId, bool hasInnerPadding)
    {
        string folder = TestData.SharedPath("goldens", "families", family);
        using IBackend backend = BackendsUnderTest.Create(BackendsUnderTest.Names[0]);
        using LoadedModel model = LoadedModel.Load(folder, backend);
        // Padding in the midst of the second sentence, as a literal <pad> in a text makes it: open_clip hides it there.
        int[] ids =
        [
            5, 17, 250, 33, 2, paddingId, paddingId, paddingId,
            5, 17, hasInnerPadding ? paddingId : 44, 33, 90, 91, 2, paddingId,
            5, 2, paddingId, paddingId, paddingId, paddingId, paddingId, paddingId,
        ];
        float[] together = GoldenFeatures.Texts(model.Encoder, ids, 8, normalize: false);
        int width = model.Encoder.EmbedDimension;
        for (int n = 0; n < 3; n++)
        {
            int[] sentence = ids[(n * 8)..((n + 1) * 8)];
            float[] alone = GoldenFeatures.Texts(model.Encoder, sentence, 8, normalize: false);
            float[] longer = GoldenFeatures.Texts(model.Encoder, [.. sentence, paddingId, paddingId], 10, normalize: false);
            Assert.Equal(together[(n * width)..((n + 1) * width)], alone);
            Assert.Equal(alone, longer);
        }
    }

    /// <summary>Hidden from the others and without a position of its own, padding in the midst of a sentence is as if it were not there.</summary>
    [SkippableTheory]
    [InlineData("xlm-roberta-b32")]
    [InlineData("nllb-clip-siglip")]
    public void PaddingInTheMidstIsAsIfItWereNotThere(string family)
    {
        const int PaddingId = 1;
        string folder = TestData.SharedPath("goldens", "families", family);
        using IBackend backend = BackendsUnderTest.Create(BackendsUnderTest.Names[0]);
        using LoadedModel model = LoadedModel.Load(folder, backend);
        float[] expected = GoldenFeatures.Texts(model.Encoder, [0, 17, 33, 90, 2], 5, normalize: true);
        float[] found = GoldenFeatures.Texts(model.Encoder, [0, 17, PaddingId, 33, 90, 2], 6, normalize: true);
        for (int i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], found[i], 1e-6f);
    }
}
