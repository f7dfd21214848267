using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Cli.Commands;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Commands;

public sealed class ScoreCommandTests : IDisposable
{
    private const int Images = 40, Texts = 6, Width = 5;

    private readonly TemporaryFolder _folder = new();
    private readonly StringWriter _errors = new();
    private readonly double[][] _images = Rows(Images, 1);
    private readonly double[][] _texts = Rows(Texts, 2);

    public ScoreCommandTests()
    {
        Save("I.npy", _images);
        Save("T.npy", _texts);
    }

    public void Dispose()
    {
        _folder.Dispose();
        _errors.Dispose();
    }

    [Fact]
    public void ProbabilitiesAreThoseOfTheFormula()
    {
        Run(Request() with { Scale = 20 });
        (float[] found, var shape) = NpyFile.ReadAll<float>(_folder.File("S.npy"));
        Assert.Equal(new long[] { Images, Texts }, shape);
        for (int row = 0; row < Images; row++)
            AssertClose(Softmax(row, 0, Texts, 20), found.AsSpan(row * Texts, Texts));
        Assert.Empty(_errors.ToString());
    }

    [Theory]
    [InlineData("portable", 0)]
    [InlineData("sse9", 2)]
    public async Task TheInstructionSetIsThatOfTheVariable(string value, int exitCode)
    {
        string[] arguments = ["score", "--images", _folder.File("I.npy"), "--texts", _folder.File("T.npy"), "--out", _folder.File("S.npy")];
        ProcessOutcome outcome = await CommandLine.RunWithVariableAsync("CLIPENGINE_CPU", value, arguments);
        Assert.True(outcome.ExitCode == exitCode, outcome.ToString());
        if (exitCode != 0)
            Assert.Contains("clipengine: CLIPENGINE_CPU: ", outcome.Error);
    }

    [Theory]
    [InlineData("cuda:x")]
    [InlineData("gpu")]
    [InlineData("cuda:0,cpu")]
    [InlineData("cuda:1,cuda:1")]
    [InlineData("")]
    public void ADeviceThatIsNoneIsRefused(string device)
    {
        BadInputException exception = Assert.Throws<BadInputException>(() => Run(Request() with { Device = device }));
        Assert.Equal("--device", exception.InputSource);
        Assert.False(File.Exists(_folder.File("S.npy")));
    }

    [Theory]
    [InlineData("cuda")]
    [InlineData("cuda:all")]
    [InlineData("cuda:0,cuda:1")]
    public void WithoutADriverNothingFallsBack(string device)
    {
        if (File.Exists("/usr/lib/x86_64-linux-gnu/libcuda.so.1") || File.Exists("/dev/nvidia0"))
            return;
        BadInputException exception = Assert.Throws<BadInputException>(() => Run(Request() with { Device = device }));
        Assert.Contains("libcuda.so.1", exception.Message);
        Assert.False(File.Exists(_folder.File("S.npy")));
    }

    [Fact]
    public void EverySegmentHasASoftmaxOfItsOwn()
    {
        Run(Request() with { Segments = "4, 2" });
        float[] found = NpyFile.ReadAll<float>(_folder.File("S.npy")).Values;
        for (int row = 0; row < Images; row++)
        {
            AssertClose(Softmax(row, 0, 4, 100), found.AsSpan(row * Texts, 4));
            AssertClose(Softmax(row, 4, 2, 100), found.AsSpan((row * Texts) + 4, 2));
        }
    }

    [Fact]
    public void TheBestColumnsAndTheirNumbersGoToTwoFiles()
    {
        Run(Request() with { TopCount = 2 });
        (float[] found, var shape) = NpyFile.ReadAll<float>(_folder.File("S.npy"));
        (int[] columns, var columnShape) = NpyFile.ReadAll<int>(_folder.File("S.indices.npy"));
        Assert.Equal(new long[] { Images, 2 }, shape);
        Assert.Equal(new long[] { Images, 2 }, columnShape);
        for (int row = 0; row < Images; row++)
        {
            double[] truth = Softmax(row, 0, Texts, 100);
            Assert.Equal(truth.Max(), truth[columns[row * 2]]);
            AssertClose([truth[columns[row * 2]], truth[columns[(row * 2) + 1]]], found.AsSpan(row * 2, 2));
        }
    }

    [Fact]
    public void GroupTotalsNeedNoScores()
    {
        long[] groups = [.. Enumerable.Range(0, Images).Select(i => (long)(i % 4) - 1)];
        groups[2] = 4;
        NpyFile.Write<long>(_folder.File("G.npy"), groups, Images);
        Run(Request() with { Output = null, Groups = _folder.File("G.npy"), GroupTable = _folder.File("table.csv") });
        string[][] table = [.. File.ReadAllLines(_folder.File("table.csv")).Skip(1).Select(line => line.Split(','))];
        Assert.Equal(5 * Texts, table.Length);
        foreach (string[] line in table)
        {
            int[] members = [.. Enumerable.Range(0, Images).Where(row => groups[row] == long.Parse(line[0]))];
            int column = int.Parse(line[3]);
            Assert.Equal(members.Length, int.Parse(line[1]));
            Assert.Equal(members.Count(row => Softmax(row, 0, Texts, 100)[column] == Softmax(row, 0, Texts, 100).Max()), int.Parse(line[4]));
            if (members.Length == 0)
                Assert.Empty(line[5]);
            else
                Assert.Equal(members.Average(row => Softmax(row, 0, Texts, 100)[column]), double.Parse(line[5]), 1e-5);
        }

        Assert.False(File.Exists(_folder.File("S.npy")));
    }

    [Theory]
    [InlineData("bf16")]
    [InlineData("int16")]
    [InlineData("int8")]
    public void FewerBitsGiveTheColumnsAndCountsOfFp32(string precision)
    {
        Save("many.npy", Rows(90, 3));
        ScoreCommand.Request request = Request() with { Texts = _folder.File("many.npy"), TopCount = 3, GroupTable = _folder.File("table.csv"), Scale = 20 };
        Run(request);
        Assert.Empty(_errors.ToString());
        byte[] columns = File.ReadAllBytes(_folder.File("S.indices.npy"));
        string[][] table = Table();
        Run(request with { Precision = precision });
        Assert.Equal(columns, File.ReadAllBytes(_folder.File("S.indices.npy")));
        Assert.Equal(table.Select(line => string.Join(',', line[..5])), Table().Select(line => string.Join(',', line[..5])));
        // Either what was left open, or that fp32 was used.
        Assert.Matches("multiplied in " + precision + ".* of the scores again in fp32|--precision " + precision + " would not be faster .* fp32 was used", _errors.ToString());

        string[][] Table() => [.. File.ReadLines(_folder.File("table.csv")).Select(line => line.Split(','))];
    }

    [Fact]
    public void FewerBitsAreOfTheProcessor() => Refused(Request() with { Precision = "int8", Device = "cuda" }, "--precision", "int8", "cuda");

    [Fact]
    public void TheSummaryIsOneLineOfJson()
    {
        using var summary = new MemoryStream();
        ScoreCommand.Run(Request(), summary, _errors, CancellationToken.None);
        summary.Position = 0;
        using JsonDocument json = JsonDocument.Parse(summary);
        Assert.Equal(Images, json.RootElement.GetProperty("images").GetInt32());
        Assert.Equal(_folder.File("S.npy"), json.RootElement.GetProperty("out").GetString());
        foreach (string rate in new[] { "images_per_second", "scores_per_second", "gigaflops", "gigabytes_read_per_second" })
            Assert.True(json.RootElement.GetProperty(rate).GetDouble() > 0, rate);
    }

    [Fact]
    public void RowsThatAreNotUnitVectorsAreScoredAndMentioned()
    {
        Save("I.npy", [.. _images.Select((row, i) => row.Select(value => i == 3 ? 2 * value : value).ToArray())]);
        Run(Request());
        Assert.Contains("I.npy: row 3 has length 2,", _errors.ToString());
        Assert.True(File.Exists(_folder.File("S.npy")));
    }

    [Fact]
    public void InputsThatCannotBeScoredAreRefusedByName()
    {
        Save("wide.npy", Rows(3, 1, Width + 1));
        NpyFile.Write<float>(_folder.File("empty.npy"), [], 0, Width);
        NpyFile.Write<float>(_folder.File("flat.npy"), new float[Width], Width);
        NpyFile.Write<long>(_folder.File("whole.npy"), new long[Width], 1, Width);
        NpyFile.Write<int>(_folder.File("groups.npy"), new int[Images - 1], Images - 1);
        Save("zero.npy", [.. _images.Take(7), new double[Width]]);
        Save("nan.npy", [.. _images.Take(3), [double.NaN, 0, 0, 0, 0]]);
        new SafetensorsWriter().Write(_folder.File("none.safetensors"));

        Refused(Request() with { Images = _folder.File("missing.npy") }, "missing.npy", "does not exist");
        Refused(Request() with { Texts = _folder.File("wide.npy") }, "I.npy", "5 wide", "6");
        Refused(Request() with { Images = _folder.File("empty.npy") }, "empty.npy", "is empty");
        Refused(Request() with { Images = _folder.File("flat.npy") }, "flat.npy", "[rows, width]");
        Refused(Request() with { Texts = _folder.File("whole.npy") }, "whole.npy", "Int64");
        Refused(Request() with { Images = _folder.File("zero.npy") }, "zero.npy", "row 7", "all zeros");
        Refused(Request() with { Texts = _folder.File("nan.npy") }, "nan.npy", "row 3", "not finite");
        Refused(Request() with { Images = _folder.File("none.safetensors") }, "none.safetensors", "matrix");
        Refused(Request() with { Groups = _folder.File("groups.npy"), GroupTable = _folder.File("t.csv") }, "groups.npy", "[40]", "[39]");
    }

    [Fact]
    public void OptionsThatMakeNoSenseAreRefusedByName()
    {
        Refused(Request() with { Output = null }, "--out");
        Refused(Request() with { TopCount = 0 }, "--top-k");
        Refused(Request() with { TopCount = 7 }, "--top-k", "6");
        Refused(Request() with { TopCount = 3, Segments = "4,2" }, "--top-k", "2");
        Refused(Request() with { Segments = "4,3" }, "--segments", "7", "6");
        Refused(Request() with { Segments = "4,x,2" }, "--segments", "'x'");
        Refused(Request() with { Scale = double.NaN }, "--scale");
        Refused(Request() with { Groups = "G.npy" }, "--groups", "--group-table");
        Refused(Request() with { Output = _folder.File("I.npy") }, "I.npy", "input as well as an output");
        Refused(Request() with { Output = _folder.File("other", "..", "T.npy") }, "T.npy", "input as well as an output");
        File.CreateSymbolicLink(_folder.File("link.npy"), _folder.File("T.npy"));
        Refused(Request() with { Output = _folder.File("link.npy") }, "link.npy", "input as well as an output");
        Refused(Request() with { GroupTable = _folder.File("S.npy") }, "S.npy", "two outputs");
    }

    [Fact]
    public void AnOutputThatCannotBeWrittenIsAnIOFailure()
    {
        var exception = Assert.Throws<IOException>(() => Run(Request() with { Output = "/dev/null/S.npy" }));
        Assert.Contains("/dev/null/S.npy", exception.Message);
    }

    [Fact]
    public async Task TheProgramTakesTheContractsCommandLine()
    {
        ProcessOutcome outcome = await CommandLine.RunAsync("score", "--images", _folder.File("I.npy"), "--texts", _folder.File("T.npy"), "--top-k", "3", "--scale", "50", "--out", _folder.File("S.npy"), "--json");
        Assert.Equal(0, outcome.ExitCode);
        Assert.Equal(new long[] { Images, 3 }, NpyFile.ReadAll<float>(_folder.File("S.npy")).Dimensions);
        Assert.Equal(50, JsonDocument.Parse(outcome.Output).RootElement.GetProperty("scale").GetDouble());

        outcome = await CommandLine.RunAsync("score", "--images", _folder.File("no.npy"), "--texts", _folder.File("T.npy"), "--out", _folder.File("S.npy"));
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains("no.npy: there is no such file", outcome.Error);
    }

    private static double[][] Rows(int rows, int seed, int width = Width)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, rows).Select(_ =>
        {
            double[] row = [.. Enumerable.Range(0, width).Select(_ => (double)(float)(random.NextDouble() - 0.5))];
            double length = Math.Sqrt(row.Sum(value => value * value));
            return row.Select(value => (double)(float)(value / length)).ToArray();
        })];
    }

    private static void AssertClose(double[] expected, Span<float> found)
    {
        for (int i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], found[i], (1e-4 * expected[i]) + 1e-37);
    }

    private ScoreCommand.Request Request() => new(_folder.File("I.npy"), _folder.File("T.npy"), _folder.File("S.npy"));

    private void Run(ScoreCommand.Request request) => Assert.Equal(0, ScoreCommand.Run(request, summary: null, _errors, CancellationToken.None));

    private void Refused(ScoreCommand.Request request, params string[] parts)
    {
        int before = Directory.GetFiles(_folder.Root).Length;
        var exception = Assert.Throws<BadInputException>(() => Run(request));
        foreach (string part in parts)
            Assert.Contains(part, exception.Message);
        Assert.Equal(before, Directory.GetFiles(_folder.Root).Length);
    }

    private void Save(string name, double[][] rows) =>
        NpyFile.Write<float>(_folder.File(name), rows.SelectMany(row => row).Select(value => (float)value).ToArray(), rows.Length, rows[0].Length);

    private double[] Softmax(int row, int start, int count, double scale)
    {
        double[] scores = [.. _texts[start..(start + count)].Select(text => scale * text.Zip(_images[row], (a, b) => a * b).Sum())];
        double[] exponentials = [.. scores.Select(score => Math.Exp(score - scores.Max()))];
        return [.. exponentials.Select(value => value / exponentials.Sum())];
    }
}
