using ClipEngine.Native;
using ClipEngine.Scoring;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Scoring;

/// <summary>The sweep on emulated GPUs from the managed side; what the kernels compute is tested in native/tests/cuda.</summary>
public class CudaSweepTests
{
    private const int Width = 8;

    [SkippableFact]
    public void EveryOutputIsThatOfTheProcessor()
    {
        const int Rows = 700;
        var options = new ProbeSweepOptions { SegmentLengths = [5, 3], Probabilities = true, TopCount = 2, Entropy = true, Margin = true, Scale = 20, GroupCount = 3, ReplicateCount = 2 };
        using CudaDevices devices = Open(0);
        SweepTotals expected = Run(options, Rows, null, out float[] expectedRows);
        SweepTotals found = Run(options, Rows, devices, out float[] foundRows);
        Assert.Equal(expectedRows.Length, foundRows.Length);
        for (int i = 0; i < foundRows.Length; i++)
            Assert.Equal(expectedRows[i], foundRows[i], 2e-5f);
        for (int column = 0; column < 8; column++)
        {
            for (int group = 0; group < 3; group++)
            {
                Assert.Equal(expected.GroupRows(group), found.GroupRows(group));
                Assert.Equal(expected.ProbabilitySum(group, column), found.ProbabilitySum(group, column), 1e-3);
            }

            Assert.Equal(expected.WeightedSum(1, column), found.WeightedSum(1, column), 1e-2);
        }

        // Each image has one best column in each segment.
        Assert.Equal(found.GroupRows(1), Enumerable.Range(0, 5).Sum(column => found.ArgmaxCount(1, column)));
    }

    [SkippableFact]
    public void TotalsAreTheSameBytesForAnyDevicesAndShards()
    {
        const int Rows = 1400;
        var options = new ProbeSweepOptions { SegmentLengths = [5, 3], GroupCount = 3 };
        var files = new List<byte[]>();
        foreach (int[] ordinals in new int[][] { [0], [0, 1, 2] })
        {
            using CudaDevices devices = Open(ordinals);
            using var sweep = new ProbeSweep(Prompts(), options, devices);
            Assert.Equal(devices.Name, sweep.InstructionSet);
            files.Add(Bytes(sweep.Run(Input(Rows))));
            var parts = new SweepTotals(3, 8);
            foreach (var (first, count) in new[] { (512L, 888L), (0L, 512L) })
            {
                ProbeSweepInput all = Input(Rows);
                parts.Merge(sweep.Run(new ProbeSweepInput { Images = all.Images, Groups = all.Groups, FirstRow = first, RowCount = count }));
            }

            files.Add(Bytes(parts));
        }

        Assert.All(files, file => Assert.Equal(files[0], file));
    }

    [SkippableFact]
    public void RowsOnTheDevicesGiveTheSameBytesAndServeManySweeps()
    {
        const int Rows = 4500;
        using CudaDevices devices = Open(0, 1);
        ProbeSweepInput streamed = Input(Rows);
        using FeatureSource resident = FeatureSource.LoadOnCuda(streamed.Images, devices, streamed.Groups.Span, groupCount: 3);
        foreach (double scale in new[] { 1.0, 100.0 })
        {
            using var sweep = new ProbeSweep(Prompts(), new ProbeSweepOptions { SegmentLengths = [8], GroupCount = 3, Scale = scale }, devices);
            Assert.Equal(Bytes(sweep.Run(streamed)), Bytes(sweep.Run(new ProbeSweepInput { Images = resident })));
        }

        using var mine = new ProbeSweep(Prompts(), new ProbeSweepOptions { GroupCount = 3 }, devices);
        Assert.Throws<ArgumentException>(() => mine.Run(new ProbeSweepInput { Images = resident, FirstRow = 512 }));
        Assert.Throws<ArgumentException>(() => mine.Run(new ProbeSweepInput { Images = resident, Groups = streamed.Groups }));
        using var other = new ProbeSweep(Prompts(), new ProbeSweepOptions { GroupCount = 2 }, devices);
        Assert.Throws<ArgumentException>(() => other.Run(new ProbeSweepInput { Images = resident }));
        using var processor = new ProbeSweep(Prompts(), new ProbeSweepOptions { GroupCount = 3 });
        Assert.Throws<ArgumentException>(() => processor.Run(new ProbeSweepInput { Images = resident }));
        Assert.Throws<NotSupportedException>(() => resident.ReadRows(0, new float[Width]));
    }

    [SkippableFact]
    public void RowsThatRepeatOnTheDevicesAreThoseRowsAgainAndAgain()
    {
        const int Rows = 300, All = 9000; // the two devices' runs begin within the rows
        using CudaDevices devices = Open(0, 1);
        Half[] values = [.. SweepReference.UnitRows(Rows, Width, 1).Select(static value => (Half)value)];
        using FeatureSource source = FeatureSource.FromMemory(values, Width);
        using FeatureSource repeated = FeatureSource.RepeatOnCuda(source, All, devices, groupCount: 1);
        float[] whole = [.. Enumerable.Range(0, All * Width).Select(i => (float)values[i % values.Length])];
        using var sweep = new ProbeSweep(Prompts(), new ProbeSweepOptions { SegmentLengths = [8], GroupCount = 1, Scale = 10 }, devices);
        using FeatureSource halves = FeatureSource.FromMemory(whole.Select(static value => (Half)value).ToArray(), Width);
        Assert.Equal(Bytes(sweep.Run(new ProbeSweepInput { Images = halves })), Bytes(sweep.Run(new ProbeSweepInput { Images = repeated })));
        Assert.Equal(All, repeated.Rows);
        float[] read = new float[2 * Width];
        halves.ReadRows(Rows - 1, read);
        Assert.Equal(whole.AsSpan((Rows - 1) * Width, 2 * Width).ToArray(), read);
        Assert.Throws<ArgumentOutOfRangeException>(() => FeatureSource.RepeatOnCuda(source, Rows - 1, devices));
    }

    [SkippableFact]
    public void ABadRowAndABadPromptAreNamed()
    {
        using CudaDevices devices = Open(0);
        float[] rows = SweepReference.UnitRows(600, Width, 1);
        rows[(530 * Width) + 3] = float.NaN;
        using var sweep = new ProbeSweep(Prompts(), new ProbeSweepOptions { GroupCount = 1 }, devices);
        BadInputException exception = Assert.Throws<BadInputException>(() => sweep.Run(new ProbeSweepInput { Images = FeatureSource.FromMemory(rows, Width, "faces.npy") }));
        Assert.Equal("faces.npy", exception.InputSource);
        Assert.Contains("row 530", exception.Message, StringComparison.Ordinal);

        float[] prompts = SweepReference.UnitRows(4, Width, 1);
        Array.Clear(prompts, 2 * Width, Width);
        exception = Assert.Throws<BadInputException>(() => new ProbeSweep(FeatureSource.FromMemory(prompts, Width, "texts.npy"), new ProbeSweepOptions(), devices));
        Assert.Contains("row 2", exception.Message, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void ADeviceThatIsNotThereIsRefused()
    {
        BadInputException exception = Assert.Throws<BadInputException>(() => Open(0, 7));
        Assert.Contains("no CUDA device 7", exception.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => Open(1, 1));
    }

    private static SweepTotals Run(ProbeSweepOptions options, int rows, CudaDevices? devices, out float[] outputs)
    {
        var all = new List<float>();
        using var sweep = new ProbeSweep(Prompts(), options, devices);
        ProbeSweepInput input = Input(rows);
        SweepTotals totals = sweep.Run(new ProbeSweepInput
        {
            Images = input.Images,
            Groups = input.Groups,
            Weights = static (first, count, destination) =>
            {
                for (int i = 0; i < destination.Length; i++)
                    destination[i] = (first + (i % count) + (i / count)) % 4;
            },
            Rows = (in SweepRows found) =>
            {
                all.AddRange(found.Probabilities);
                all.AddRange(found.TopProbabilities);
                all.AddRange(found.Entropy);
                all.AddRange(found.Margin);
            },
        });
        outputs = [.. all];
        return totals;
    }

    private static FeatureSource Prompts() => FeatureSource.FromMemory(SweepReference.UnitRows(8, Width, 2), Width, "prompts");

    private static ProbeSweepInput Input(int rows)
    {
        int[] groups = [.. Enumerable.Range(0, rows).Select(static row => (row * 7 % 4) - 1)];
        return new ProbeSweepInput { Images = FeatureSource.FromMemory(SweepReference.UnitRows(rows, Width, 1), Width), Groups = groups };
    }

    private static byte[] Bytes(SweepTotals totals)
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("totals.safetensors");
        totals.Save(path);
        return File.ReadAllBytes(path);
    }

    private static CudaDevices Open(params int[] ordinals)
    {
        string library = Path.Combine(TestData.NativeFolder, "libclipengine_cuda_emulated.so");
        Skip.IfNot(File.Exists(library), "the emulated CUDA device is built by ./test.sh with the native tests");
        return CudaDevices.Open(ordinals, library);
    }
}
