using System.Collections.Immutable;
using ClipEngine.Checkpoints;
using ClipEngine.Files;
using ClipEngine.Native;
using ClipEngine.Scoring;
using ClipEngine.Tensors;
using ClipEngine.Testing;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;

namespace ClipEngine.Tests.Scoring;

public sealed class ProbeSweepTests : IDisposable
{
    private const int Width = 24;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(1, new[] { 1 })]
    [InlineData(77, new[] { 8 })]
    [InlineData(600, new[] { 8, 8, 3, 1 })]
    [InlineData(130, new[] { 300, 7 })]
    public void ProbabilitiesAreThoseOfTheFormula(int rows, int[] segments)
    {
        float[] images = SweepReference.UnitRows(rows, Width, 1);
        float[] prompts = SweepReference.UnitRows(segments.Sum(), Width, 2);
        double[][] expected = SweepReference.Probabilities(images, prompts, Width, segments, 100);

        float[] found = Probabilities(images, prompts, new ProbeSweepOptions { SegmentLengths = [.. segments] });

        for (int i = 0; i < found.Length; i++)
        {
            double truth = expected[i / segments.Sum()][i % segments.Sum()];
            Assert.Equal(truth, found[i], (1e-4 * truth) + 1e-37);
        }
    }

    [Fact]
    public void SigmoidHasABiasAndNoSegments()
    {
        float[] images = SweepReference.UnitRows(50, Width, 1);
        float[] prompts = SweepReference.UnitRows(9, Width, 2);
        double[][] expected = SweepReference.Probabilities(images, prompts, Width, [9], 117.3, -12.9, SweepActivation.Sigmoid);
        float[] found = Probabilities(images, prompts, new ProbeSweepOptions { Scale = 117.3, Bias = -12.9, Activation = SweepActivation.Sigmoid });
        for (int i = 0; i < found.Length; i++)
            Assert.Equal(expected[i / 9][i % 9], found[i], (1e-4 * expected[i / 9][i % 9]) + 1e-37);
    }

    [Fact]
    public void RowOutputsAreThoseOfTheProbabilities()
    {
        const int Rows = 700, Columns = 12;
        float[] images = SweepReference.UnitRows(Rows, Width, 3);
        float[] prompts = SweepReference.UnitRows(Columns, Width, 4);
        var options = new ProbeSweepOptions { SegmentLengths = [8, 4], Probabilities = true, TopCount = 3, Entropy = true, Margin = true, Scale = 20 };
        using var sweep = Sweep(prompts, options);
        int seen = 0;
        sweep.Run(new ProbeSweepInput
        {
            Images = FeatureSource.FromMemory(images, Width),
            Rows = (in SweepRows rows) =>
            {
                Assert.Equal(seen, rows.FirstRow);
                seen += rows.RowCount;
                for (int cell = 0; cell < rows.RowCount * 2; cell++)
                {
                    int offset = cell % 2 == 0 ? 0 : 8;
                    float[] segment = rows.Probabilities.Slice((cell / 2 * Columns) + offset, cell % 2 == 0 ? 8 : 4).ToArray();
                    int[] order = [.. Enumerable.Range(0, segment.Length).OrderByDescending(i => segment[i])];
                    Assert.Equal(order[..3].Select(i => i + offset), rows.TopColumns.Slice(cell * 3, 3).ToArray());
                    for (int t = 0; t < 3; t++)
                        Assert.Equal(segment[order[t]], rows.TopProbabilities[(cell * 3) + t], 1e-6 * segment[order[t]]);
                    Assert.Equal(segment[order[0]] - segment[order[1]], rows.Margin[cell], 1e-6);
                    Assert.Equal(-segment.Sum(p => p * Math.Log(p)), rows.Entropy[cell], 1e-5);
                }
            },
        });
        Assert.Equal(Rows, seen);
    }

    [Fact]
    public void TotalsAreThoseOfTheProbabilities()
    {
        const int Rows = 1500, Columns = 10, Groups = 4, Replicates = 3;
        float[] images = SweepReference.UnitRows(Rows, Width, 3);
        float[] prompts = SweepReference.UnitRows(Columns, Width, 4);
        int[] groups = Groupings(Rows, Groups);
        double[][] truth = SweepReference.Probabilities(images, prompts, Width, [7, 3], 100);
        using var sweep = Sweep(prompts, new ProbeSweepOptions { SegmentLengths = [7, 3], GroupCount = Groups, ReplicateCount = Replicates });

        SweepTotals totals = sweep.Run(new ProbeSweepInput { Images = FeatureSource.FromMemory(images, Width), Groups = groups, Weights = Weights });

        Assert.Equal(Rows, totals.RowCount);
        for (int group = 0; group < Groups; group++)
        {
            int[] members = [.. Enumerable.Range(0, Rows).Where(row => groups[row] == group)];
            Assert.Equal(members.Length, totals.GroupRows(group));
            for (int column = 0; column < Columns; column++)
            {
                double sum = members.Sum(row => truth[row][column]);
                Assert.Equal(sum, totals.ProbabilitySum(group, column), 1e-4 * sum);
                Assert.Equal(sum / members.Length, totals.MeanProbability(group, column), 1e-4 * sum);
            }

            // Each image has one best column in each segment.
            Assert.Equal(members.Length, Enumerable.Range(0, 7).Sum(column => totals.ArgmaxCount(group, column)));
            Assert.Equal(members.Length, Enumerable.Range(7, 3).Sum(column => totals.ArgmaxCount(group, column)));
            Assert.Equal(members.Count(row => Array.IndexOf(truth[row], truth[row].Take(7).Max()) == 2), totals.ArgmaxCount(group, 2));
        }

        for (int replicate = 0; replicate < Replicates; replicate++)
        {
            double sum = Enumerable.Range(0, Rows).Sum(row => Weight(replicate, row) * truth[row][5]);
            Assert.Equal(sum, totals.WeightedSum(replicate, 5), 1e-4 * sum);
        }
    }

    [Fact]
    public void AGroupWithoutImagesHasNoMean()
    {
        using var sweep = Sweep(SweepReference.UnitRows(2, Width, 4), new ProbeSweepOptions { GroupCount = 2 });
        SweepTotals totals = sweep.Run(new ProbeSweepInput { Images = FeatureSource.FromMemory(SweepReference.UnitRows(3, Width, 1), Width), Groups = new[] { 0, 0, -1 } });
        Assert.Equal(2, totals.GroupRows(0));
        Assert.True(double.IsNaN(totals.MeanProbability(1, 0)));
    }

    /// <summary>However rows are cut at chunk borders and in whatever order the parts are merged: the same bytes.</summary>
    [Property(MaxTest = 20)]
    public Property MergingIsAssociative(byte first, byte second, int seed)
    {
        const int Chunks = 6, Rows = (Chunks * ProbeSweep.ChunkRows) - 37;
        int[] borders = [0, .. new[] { first % (Chunks + 1), second % (Chunks + 1) }.Order(), Chunks];
        float[] images = SweepReference.UnitRows(Rows, Width, seed);
        int[] groups = Groupings(Rows, 3);
        using var sweep = Sweep(SweepReference.UnitRows(11, Width, 4), new ProbeSweepOptions { SegmentLengths = [8, 3], GroupCount = 3, ReplicateCount = 2 });
        SweepTotals[] parts = [.. Enumerable.Range(0, 3).Select(i =>
        {
            long start = Math.Min(borders[i] * ProbeSweep.ChunkRows, Rows);
            return sweep.Run(new ProbeSweepInput
            {
                Images = FeatureSource.FromMemory(images, Width),
                Groups = groups,
                Weights = Weights,
                FirstRow = borders[i] * ProbeSweep.ChunkRows > Rows ? 0 : start,
                RowCount = borders[i] * ProbeSweep.ChunkRows > Rows ? 0 : Math.Min(borders[i + 1] * ProbeSweep.ChunkRows, Rows) - start,
            });
        })];
        byte[] whole = Bytes(sweep.Run(new ProbeSweepInput { Images = FeatureSource.FromMemory(images, Width), Groups = groups, Weights = Weights }));

        SweepTotals left = Sum(Sum(parts[0], parts[1]), parts[2]);
        SweepTotals right = Sum(parts[0], Sum(parts[2], parts[1]));
        return (Bytes(left).SequenceEqual(whole) && Bytes(right).SequenceEqual(whole)).ToProperty();
    }

    [Property(MaxTest = 20)]
    public Property ShufflingRowsLeavesCountsEqual(int seed)
    {
        const int Rows = 1100;
        float[] images = SweepReference.UnitRows(Rows, Width, 7);
        int[] groups = Groupings(Rows, 5);
        int[] order = [.. Enumerable.Range(0, Rows)];
        new Random(seed).Shuffle(order);
        float[] shuffled = [.. order.SelectMany(row => images[(row * Width)..((row + 1) * Width)])];
        using var sweep = Sweep(SweepReference.UnitRows(8, Width, 4), new ProbeSweepOptions { GroupCount = 5 });
        SweepTotals straight = sweep.Run(new ProbeSweepInput { Images = FeatureSource.FromMemory(images, Width), Groups = groups });
        SweepTotals mixed = sweep.Run(new ProbeSweepInput { Images = FeatureSource.FromMemory(shuffled, Width), Groups = order.Select(row => groups[row]).ToArray() });
        return (from @group in Enumerable.Range(0, 5) from column in Enumerable.Range(0, 8) select (@group, column))
            .All(cell => straight.ArgmaxCount(cell.group, cell.column) == mixed.ArgmaxCount(cell.group, cell.column)
                && Math.Abs(straight.ProbabilitySum(cell.group, cell.column) - mixed.ProbabilitySum(cell.group, cell.column)) < 1e-9).ToProperty();
    }

    [Property(MaxTest = 30)]
    public Property ProbabilitiesOfASegmentSumToOne(PositiveInt rows, PositiveInt length, int seed)
    {
        int columns = (length.Get % 400) + 1;
        float[] found = Probabilities(SweepReference.UnitRows((rows.Get % 40) + 1, Width, seed), SweepReference.UnitRows(columns, Width, seed + 1), new ProbeSweepOptions());
        return found.Chunk(columns).All(row => Math.Abs(row.Sum(p => (double)p) - 1) < 2e-6).ToProperty();
    }

    [Fact]
    public void ThreadsDoNotChangeABit()
    {
        float[] images = SweepReference.UnitRows(3000, Width, 1);
        float[] prompts = SweepReference.UnitRows(8, Width, 2);
        int before = NativeThreads.Count;
        byte[][] results = [.. new[] { 1, 2, 5 }.Select(threads =>
        {
            NativeThreads.Count = threads;
            using var sweep = Sweep(prompts, new ProbeSweepOptions { GroupCount = 1 });
            return Bytes(sweep.Run(new ProbeSweepInput { Images = FeatureSource.FromMemory(images, Width) }));
        })];
        NativeThreads.Count = before;
        Assert.Equal(results[0], results[1]);
        Assert.Equal(results[0], results[2]);
    }

    [Theory]
    [InlineData(SweepPrecision.BFloat16)]
    [InlineData(SweepPrecision.Int16)]
    [InlineData(SweepPrecision.Int8)]
    public void FewerBitsGiveTheSameBestColumnsAndProbabilitiesWithinTheBound(SweepPrecision precision)
    {
        const int Rows = 1500;
        int[] segments = [300, 40, 7];
        float[] images = SweepReference.UnitRows(Rows, Width, 1);
        float[] prompts = SweepReference.UnitRows(segments.Sum(), Width, 2);
        prompts.AsSpan(0, 20 * Width).CopyTo(prompts.AsSpan(100 * Width)); // ties
        FeatureSource matrix = FeatureSource.FromMemory(images, Width);
        int[] groups = Groupings(Rows, 3);
        var options = new ProbeSweepOptions { SegmentLengths = [.. segments], TopCount = 3, Margin = true, Probabilities = true, Entropy = true, GroupCount = 3, ReplicateCount = 2 };
        (SweepTotals Totals, int[] Top, float[] Values, float[] Margins, float[] Bounds) Run(ProbeSweepOptions asked)
        {
            using var sweep = Sweep(prompts, asked);
            Assert.True(sweep.Precision == asked.Precision || sweep.Precision == SweepPrecision.Float32);
            int[] top = [];
            float[] values = [], margins = [], bounds = [];
            SweepTotals totals = sweep.Run(new ProbeSweepInput
            {
                Images = matrix,
                Groups = groups,
                Weights = Weights,
                Rows = (in SweepRows rows) =>
                {
                    top = [.. top, .. rows.TopColumns];
                    values = [.. values, .. rows.Probabilities];
                    margins = [.. margins, .. rows.Margin];
                    bounds = [.. bounds, .. rows.Bounds];
                },
            });
            return (totals, top, values, margins, sweep.Precision == SweepPrecision.Float32 ? new float[Rows] : bounds);
        }

        var expected = Run(options);
        Assert.Equal((0, 0f, 0f, 0.0), (expected.Totals.OpenScores, expected.Totals.ProbabilityBound, expected.Totals.EntropyBound, expected.Totals.ProbabilitySumBound(1)));
        var found = Run(options with { Precision = precision });
        Assert.Equal(expected.Top, found.Top);
        for (int i = 0; i < found.Values.Length; i++)
            Assert.Equal(expected.Values[i], found.Values[i], (double)found.Bounds[i / segments.Sum()]);
        for (int i = 0; i < found.Margins.Length; i++)
            Assert.Equal(expected.Margins[i], found.Margins[i], (double)found.Bounds[i / segments.Length]);
        Assert.Equal(found.Bounds.Max(), found.Totals.ProbabilityBound);
        Assert.InRange(found.Totals.OpenScores, 0, Rows * (long)segments.Sum());
        for (int prompt = 0; prompt < segments.Sum(); prompt++)
        {
            for (int group = 0; group < 3; group++)
            {
                Assert.Equal(expected.Totals.ArgmaxCount(group, prompt), found.Totals.ArgmaxCount(group, prompt));
                Assert.Equal(expected.Totals.ProbabilitySum(group, prompt), found.Totals.ProbabilitySum(group, prompt), found.Totals.ProbabilitySumBound(group));
                Assert.Equal(expected.Totals.MeanProbability(group, prompt), found.Totals.MeanProbability(group, prompt), found.Totals.MeanProbabilityBound(group));
            }

            for (int replicate = 0; replicate < 2; replicate++)
                Assert.Equal(expected.Totals.WeightedSum(replicate, prompt), found.Totals.WeightedSum(replicate, prompt), found.Totals.WeightedSumBound(replicate));
        }

        SweepTotals twice = Sum(found.Totals, found.Totals);
        Assert.Equal(2 * found.Totals.OpenScores, twice.OpenScores);
        Assert.Equal(2 * found.Totals.ProbabilitySumBound(2), twice.ProbabilitySumBound(2));
        twice.Save(_folder.File("narrow.safetensors"));
        SweepTotals loaded = SweepTotals.Load(_folder.File("narrow.safetensors"));
        Assert.Equal((twice.OpenScores, twice.ProbabilityBound, twice.EntropyBound), (loaded.OpenScores, loaded.ProbabilityBound, loaded.EntropyBound));
        Assert.Equal(twice.WeightedSumBound(1), loaded.WeightedSumBound(1));
        Assert.Equal(Bytes(twice), Bytes(loaded));
    }

    [Fact]
    public void ForFewPromptsFewerBitsAreNotUsed()
    {
        using var sweep = Sweep(SweepReference.UnitRows(8, Width, 2), new ProbeSweepOptions { Precision = SweepPrecision.Int8 });
        Assert.Equal(SweepPrecision.Float32, sweep.Precision);
    }

    [Fact]
    public void FilesOfEveryTypeAreStreamed()
    {
        const int Rows = 1300;
        float[] images = [.. SweepReference.UnitRows(Rows, Width, 1).Select(value => (float)(Half)value)];
        float[] prompts = SweepReference.UnitRows(8, Width, 2);
        float[] expected = Probabilities(images, prompts, new ProbeSweepOptions());
        NpyFile.Write<float>(_folder.File("f4.npy"), images, Rows, Width);
        NpyFile.Write<Half>(_folder.File("f2.npy"), images.Select(value => (Half)value).ToArray(), Rows, Width);
        NpyFile.Write<double>(_folder.File("f8.npy"), images.Select(value => (double)value).ToArray(), Rows, Width);
        var writer = new SafetensorsWriter();
        writer.Add("image_features", images, Rows, Width);
        writer.Write(_folder.File("f4.safetensors"));
        foreach (string name in new[] { "f4.npy", "f2.npy", "f8.npy", "f4.safetensors" })
        {
            using FeatureSource matrix = FeatureSource.Open(_folder.File(name));
            Assert.Equal((Rows, Width), (matrix.Rows, matrix.Width));
            Assert.Equal(expected, Probabilities(matrix, prompts, new ProbeSweepOptions()));
        }
    }

    [Fact]
    public void BrainFloatsAreReadFromSafetensors()
    {
        float[] images = [.. SweepReference.UnitRows(40, Width, 1).Select(Truncate)];
        byte[] bytes = [.. images.SelectMany(value => BitConverter.GetBytes((ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)))];
        var writer = new SafetensorsWriter();
        writer.Add("image_features", ElementType.BFloat16, [40, Width], bytes);
        writer.Add("text_features", new float[2 * Width], 2, Width);
        writer.Write(_folder.File("bf16.safetensors"));
        float[] prompts = SweepReference.UnitRows(8, Width, 2);

        Assert.Contains("image_features (BF16 [40, 24])", Assert.Throws<BadInputException>(() => FeatureSource.Open(_folder.File("bf16.safetensors"))).Message);
        using FeatureSource matrix = FeatureSource.Open(_folder.File("bf16.safetensors"), "image_features");
        Assert.Equal(Probabilities(images, prompts, new ProbeSweepOptions()), Probabilities(matrix, prompts, new ProbeSweepOptions()));

        static float Truncate(float value) => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) & 0xFFFF0000);
    }

    [Theory]
    [InlineData(float.NaN, "not finite")]
    [InlineData(float.PositiveInfinity, "not finite")]
    [InlineData(0f, "all zeros")]
    public void ARowWithoutAScoreIsRefusedByNumber(float bad, string reason)
    {
        float[] images = SweepReference.UnitRows(3000, Width, 1);
        images.AsSpan(2345 * Width, Width).Fill(bad);
        images.AsSpan(2600 * Width, Width).Fill(float.NaN);
        float[] prompts = SweepReference.UnitRows(8, Width, 2);
        using var sweep = Sweep(prompts, new ProbeSweepOptions { GroupCount = 1 });
        var exception = Assert.Throws<BadInputException>(() => sweep.Run(new ProbeSweepInput { Images = FeatureSource.FromMemory(images, Width, "images.npy") }));
        Assert.Contains("images.npy: row 2345 ", exception.Message);
        Assert.Contains(reason, exception.Message);

        prompts.AsSpan(3 * Width, Width).Fill(bad);
        exception = Assert.Throws<BadInputException>(() => Sweep(prompts, new ProbeSweepOptions()));
        Assert.Contains("prompts: row 3 ", exception.Message);
        Assert.Contains(reason, exception.Message);
    }

    [Fact]
    public void OptionsAndInputsThatContradictAreRefused()
    {
        float[] prompts = SweepReference.UnitRows(8, Width, 2);
        foreach (ProbeSweepOptions options in new ProbeSweepOptions[]
        {
            new() { SegmentLengths = [7] }, new() { SegmentLengths = [8, 0] }, new() { SegmentLengths = [4, 4], TopCount = 5 }, new() { TopCount = -1 },
            new() { Scale = double.NaN }, new() { Activation = SweepActivation.Sigmoid, Entropy = true }, new() { GroupCount = -1 }, new() { ReplicateCount = -1 },
            new() { Precision = (SweepPrecision)4 },
        })
        {
            Assert.ThrowsAny<ArgumentException>(() => Sweep(prompts, options));
        }

        float[] images = SweepReference.UnitRows(600, Width, 2);
        FeatureSource matrix = FeatureSource.FromMemory(images, Width);
        using var sweep = Sweep(prompts, new ProbeSweepOptions { GroupCount = 2 });
        Assert.Throws<ArgumentException>(() => sweep.Run(new ProbeSweepInput { Images = matrix, Groups = new int[599] }));
        Assert.Throws<ArgumentException>(() => sweep.Run(new ProbeSweepInput { Images = matrix, Groups = Enumerable.Repeat(2, 600).ToArray() }));
        Assert.Throws<ArgumentException>(() => sweep.Run(new ProbeSweepInput { Images = matrix, FirstRow = 100 }));
        Assert.Throws<ArgumentException>(() => sweep.Run(new ProbeSweepInput { Images = matrix, RowCount = 513 }));
        Assert.Throws<ArgumentException>(() => sweep.Run(new ProbeSweepInput { Images = matrix }, new SweepTotals(2, 7)));
        Assert.Throws<BadInputException>(() => sweep.Run(new ProbeSweepInput { Images = FeatureSource.FromMemory(images, 25) }));
        using var perRow = Sweep(prompts, new ProbeSweepOptions { Margin = true, ReplicateCount = 1 });
        Assert.Throws<ArgumentException>(() => perRow.Run(new ProbeSweepInput { Images = matrix, Weights = Weights }));
        Assert.Throws<ArgumentException>(() => perRow.Run(new ProbeSweepInput { Images = matrix, Rows = (in SweepRows _) => { } }));
        Assert.Throws<OperationCanceledException>(() => sweep.Run(new ProbeSweepInput { Images = matrix }, new CancellationToken(canceled: true)));
    }

    [Fact]
    public void ASteadyStateAllocatesNothing()
    {
        FeatureSource matrix = FeatureSource.FromMemory(SweepReference.UnitRows(20000, Width, 2), Width);
        using var sweep = Sweep(SweepReference.UnitRows(8, Width, 2), new ProbeSweepOptions { GroupCount = 2, Margin = true, TopCount = 1 });
        var totals = new SweepTotals(2, 8);
        long Allocated(long rows)
        {
            var input = new ProbeSweepInput { Images = matrix, RowCount = rows, Rows = static (in SweepRows _) => { } };
            sweep.Run(input, totals);
            long before = GC.GetAllocatedBytesForCurrentThread();
            sweep.Run(input, totals);
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }

        // A run costs a handful of objects; its number of rows must not matter.
        Assert.Equal(Allocated(ProbeSweep.ChunkRows), Allocated(20000));
    }

    [Fact]
    public void TotalsComeBackFromAFile()
    {
        using var sweep = Sweep(SweepReference.UnitRows(8, Width, 4), new ProbeSweepOptions { GroupCount = 3, ReplicateCount = 2 });
        SweepTotals totals = sweep.Run(new ProbeSweepInput { Images = FeatureSource.FromMemory(SweepReference.UnitRows(900, Width, 1), Width), Groups = Groupings(900, 3), Weights = Weights });
        totals.Save(_folder.File("totals.safetensors"));
        SweepTotals loaded = SweepTotals.Load(_folder.File("totals.safetensors"));
        Assert.Equal(900, loaded.RowCount);
        Assert.Equal(totals.MeanProbability(2, 7), loaded.MeanProbability(2, 7));
        Assert.Equal(Bytes(totals), Bytes(loaded));

        new SafetensorsWriter().Write(_folder.File("other.safetensors"));
        Assert.Contains("no totals", Assert.Throws<BadInputException>(() => SweepTotals.Load(_folder.File("other.safetensors"))).Message);
    }

    private static ProbeSweep Sweep(float[] prompts, ProbeSweepOptions options) => new(FeatureSource.FromMemory(prompts, Width, "prompts"), options);

    private static float[] Probabilities(float[] images, float[] prompts, ProbeSweepOptions options) =>
        Probabilities(FeatureSource.FromMemory(images, Width), prompts, options);

    private static float[] Probabilities(FeatureSource images, float[] prompts, ProbeSweepOptions options)
    {
        using var sweep = Sweep(prompts, options with { Probabilities = true });
        float[] result = new float[images.Rows * sweep.PromptCount];
        sweep.Run(new ProbeSweepInput { Images = images, Rows = (in SweepRows rows) => rows.Probabilities.CopyTo(result.AsSpan((int)rows.FirstRow * sweep.PromptCount)) });
        return result;
    }

    private static int[] Groupings(int rows, int groups) => [.. Enumerable.Range(0, rows).Select(row => (row * 7919 % (groups + 1)) - 1)];

    private static float Weight(int replicate, long row) => (row + replicate) % 3;

    private static void Weights(long firstRow, int rowCount, Span<float> destination)
    {
        for (int i = 0; i < destination.Length; i++)
            destination[i] = Weight(i / rowCount, firstRow + (i % rowCount));
    }

    private static SweepTotals Sum(SweepTotals left, SweepTotals right)
    {
        var sum = new SweepTotals(left.GroupCount, left.PromptCount, left.ReplicateCount);
        sum.Merge(left);
        sum.Merge(right);
        return sum;
    }

    private byte[] Bytes(SweepTotals totals)
    {
        string path = _folder.File("bytes.safetensors");
        totals.Save(path);
        return File.ReadAllBytes(path);
    }
}
