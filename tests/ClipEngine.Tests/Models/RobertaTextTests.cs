using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>RoBERTa as a text tower: what padding may not change.</summary>
public class RobertaTextTests
{
    private const int PaddingId = 1;

    [SkippableFact]
    public void PaddingAndNeighboursChangeNoBit()
    {
        string folder = TestData.SharedPath("goldens", "families", "roberta-b32");
        using IBackend backend = BackendsUnderTest.Create(BackendsUnderTest.Names[0]);
        using LoadedModel model = LoadedModel.Load(folder, backend);
        // Padding in the midst of the second sentence, as a literal <pad> in a text makes it.
        int[] ids =
        [
            0, 17, 250, 33, 2, PaddingId, PaddingId, PaddingId,
            0, 17, PaddingId, 33, 90, 91, 2, PaddingId,
            0, 2, PaddingId, PaddingId, PaddingId, PaddingId, PaddingId, PaddingId,
        ];
        float[] together = GoldenFeatures.Texts(model.Encoder, ids, 8, normalize: false);
        int width = model.Encoder.EmbedDimension;
        for (int n = 0; n < 3; n++)
        {
            int[] sentence = ids[(n * 8)..((n + 1) * 8)];
            float[] alone = GoldenFeatures.Texts(model.Encoder, sentence, 8, normalize: false);
            float[] longer = GoldenFeatures.Texts(model.Encoder, [.. sentence, PaddingId, PaddingId], 10, normalize: false);
            Assert.Equal(together[(n * width)..((n + 1) * width)], alone);
            Assert.Equal(alone, longer);
        }
    }

    /// <summary>Hidden from the others and without a position of its own, padding in the midst of a sentence is as if it were not there.</summary>
    [SkippableFact]
    public void PaddingInTheMidstIsAsIfItWereNotThere()
    {
        string folder = TestData.SharedPath("goldens", "families", "xlm-roberta-b32");
        using IBackend backend = BackendsUnderTest.Create(BackendsUnderTest.Names[0]);
        using LoadedModel model = LoadedModel.Load(folder, backend);
        float[] expected = GoldenFeatures.Texts(model.Encoder, [0, 17, 33, 90, 2], 5, normalize: true);
        float[] found = GoldenFeatures.Texts(model.Encoder, [0, 17, PaddingId, 33, 90, 2], 6, normalize: true);
        for (int i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], found[i], 1e-6f);
    }
}
