using ClipEngine.Audit.Figures;
using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Scores;
using ClipEngine.Audit.Specs;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Scores;

/// <summary>Six faces, three groups, three labels; every expected number is worked out by hand.</summary>
public class ScoreAuditTests
{
    private static readonly float[] _softmax =
    [
        0.7f, 0.2f, 0.1f, // 01, A: x
        0.1f, 0.6f, 0.3f, // 02, A: y
        0.5f, 0.3f, 0.2f, // 03, A: x
        0.2f, 0.2f, 0.6f, // 04, B: z
        0.4f, 0.4f, 0.2f, // 05, B: x (the first of equal ones)
        0.1f, 0.8f, 0.1f, // 06, C: y
    ];

    private const string Metadata = "id,group\n01,A\n02,A\n03,A\n04,B\n05,B\n06,C\n";

    [Fact]
    public void ArgmaxFrequenciesAndMeansAreThoseWorkedOutByHand()
    {
        using var folder = new TemporaryFolder();
        AuditResult result = ScoreAudit.Run(Request(folder));
        ModelExperimentResult model = result.Experiments[0].Models[0];

        GroupMetricFrame x = model.ArgmaxFrequency[0];
        Assert.Equal("x", x.Subject);
        Assert.Equal(2 / 3.0, x["A"].Value!.Value, 12);
        Assert.Equal(0.5, x["B"].Value);
        Assert.Equal(0, x["C"].Value);
        Assert.Equal(0.5, x.Overall.Value);
        Assert.Equal((3, 2, 1, 6), (x["A"].Count, x["B"].Count, x["C"].Count, x.Overall.Count));
        // Wilson, 2 of 3 at 95 %: (2/3 + z²/6 ± z sqrt(2/27 + z²/36)) / (1 + z²/3), z = 1.959964.
        Assert.Equal(0.20765960080204, x["A"].Interval!.Lower, 8);
        Assert.Equal(0.93850805529937, x["A"].Interval!.Upper, 8);

        GroupMetricFrame y = model.MeanProbability[1];
        Assert.Equal((0.2 + 0.6 + 0.3) / 3, y["A"].Value!.Value, 7);
        Assert.Equal(0.3, y["B"].Value!.Value, 7);
        Assert.Equal(0.8, y["C"].Value!.Value, 7);
        Assert.Null(y["C"].Interval);
        Assert.Equal(2.5 / 6, y.Overall.Value!.Value, 7);

        GroupGap gap = x.Gaps.Single(entry => entry.First == "A" && entry.Second == "B");
        Assert.Equal((2 / 3.0) - 0.5, gap.Difference.Value!.Value, 12);
        Assert.True(gap.Difference.Interval!.Lower < 0 && gap.Difference.Interval.Upper > 0);
    }

    /// <summary>Four digits of thirds add up to 0.9999; images that are left out need no scores.</summary>
    [Fact]
    public void WhatATableOfFewDigitsGaveIsReadAgainAndImagesThatAreLeftOutNeedNoScores()
    {
        using var folder = new TemporaryFolder();
        ScoreAuditRequest request = Request(folder);
        File.WriteAllText(folder.File("weighted.csv"), "id,group,w\n01,A,1\n02,A,2\n03,A,0\n04,B,1\n05,B,1\n06,C,0\n");
        File.WriteAllText(folder.File("few.csv"), "id,x,y,z\n01,0.3333,0.3333,0.3333\n02,0.1,0.6,0.3\n04,0.2,0.2,0.6\n05,0.4,0.4,0.2\n99,1,0,0\n");
        AuditResult result = ScoreAudit.Run(request with { SoftmaxFile = folder.File("few.csv"), MetadataFile = folder.File("weighted.csv"), Columns = request.Columns with { Weight = "w" } });
        Assert.Equal(4, result.Probe.Images.Count);
        Assert.Contains(result.Probe.Warnings, warning => warning.StartsWith("1 of 5 rows", StringComparison.Ordinal));
        ResultDirectory.Write(result, folder.File("out"));
        Assert.Equal(result.Experiments[0].Models[0].Probabilities!.Values, ResultDirectory.Read(folder.File("out")).Experiments[0].Models[0].Probabilities!.Values);
    }

    /// <summary>Image 05 gives x and y exactly 0.4 each; images 01 to 04 have one highest label, though two lower ones are equal in 04 and 06.</summary>
    [Fact]
    public void ExactTiesOfTheHighestProbabilityAreCountedAndShown()
    {
        using var folder = new TemporaryFolder();
        AuditResult result = ScoreAudit.Run(Request(folder));
        Assert.Equal([new("A", 3, 0), new("B", 2, 1), new("C", 1, 0)], result.Experiments[0].Models[0].ExactTies!);
        ResultDirectory.Write(result, folder.File("out"));
        string[] rows = File.ReadAllLines(folder.File("out", "tables", "ties.csv"));
        Assert.Contains(rows, row => row.StartsWith("labels,softmax,B,2,1,", StringComparison.Ordinal));
        Assert.Contains(rows, row => row.StartsWith("labels,softmax,(all),6,1,", StringComparison.Ordinal));
        Assert.Contains("for 1 of 6 images two labels or more have exactly the same highest probability", ReportWriter.Compose(result, FigureSet.Make(result)), StringComparison.Ordinal);
    }

    /// <summary>The same numbers as a matrix in the metadata's order, and as tables with other orders of rows and columns, with rows and columns of others.</summary>
    [Theory]
    [InlineData("scores.csv")]
    [InlineData("scores.tsv")]
    [InlineData("scores.parquet")]
    public void TablesAreJoinedByTheirIds(string name)
    {
        using var folder = new TemporaryFolder();
        ScoreAuditRequest request = Request(folder) with { Model = "m" };
        WriteTable(folder.File(name), [5, 2, 6, 0, 1, 3, 4], row => row == 6 ? [0.5f, 0.25f, 0.25f] : _softmax[(row * 3)..((row * 3) + 3)]);
        AuditResult matrix = ScoreAudit.Run(request), table = ScoreAudit.Run(request with { SoftmaxFile = folder.File(name) });
        Assert.Equal(matrix.Experiments[0].Models[0].Probabilities!.Values, table.Experiments[0].Models[0].Probabilities!.Values);
        Assert.Equal(matrix.Experiments[0].Models[0].ArgmaxFrequency[0]["A"], table.Experiments[0].Models[0].ArgmaxFrequency[0]["A"]);
        Assert.Contains(table.Probe.Warnings, warning => warning.StartsWith("1 of 7 rows of the scores", StringComparison.Ordinal));
    }

    [Fact]
    public void ATableThatCannotBeJoinedIsRefusedWithTheImage()
    {
        using var folder = new TemporaryFolder();
        ScoreAuditRequest request = Request(folder);
        string Of(string text)
        {
            File.WriteAllText(folder.File("s.csv"), text);
            return Refusal(() => ScoreAudit.Run(request with { SoftmaxFile = folder.File("s.csv") }));
        }

        const string Rows = "02,0.1,0.6,0.3\n03,0.5,0.3,0.2\n04,0.2,0.2,0.6\n05,0.4,0.4,0.2\n06,0.1,0.8,0.1\n";
        Assert.Contains("no row of 1 of the metadata's 6 images, the first: '01'", Of("id,x,y,z\n1,0.7,0.2,0.1\n" + Rows), StringComparison.Ordinal);
        Assert.Contains("'02' is there twice (rows 1 and 2)", Of("id,x,y,z\n02,0.7,0.2,0.1\n" + Rows), StringComparison.Ordinal);
        Assert.Contains("no column 'z'", Of("id,x,y\n01,0.7,0.3\n"), StringComparison.Ordinal);
        Assert.Contains("image '01', column 'y' is missing", Of("id,x,y,z\n01,0.7,,0.1\n" + Rows), StringComparison.Ordinal);
        Assert.Contains("image '01' add up to 0.9", Of("id,x,y,z\n01,0.7,0.1,0.1\n" + Rows), StringComparison.Ordinal);
        Assert.Contains("line 2: column 'y' is 'two'", Of("id,x,y,z\n01,0.7,two,0.1\n" + Rows), StringComparison.Ordinal);
        Assert.Contains("is -0.2", Of("id,x,y,z\n01,0.7,0.5,-0.2\n" + Rows), StringComparison.Ordinal);
    }

    /// <summary>A shipped label set has sentences of its own; that the scores were made with them nobody said.</summary>
    [Fact]
    public void NoPromptIsStatedThatNobodyGave()
    {
        using var folder = new TemporaryFolder();
        ScoreAuditRequest request = Request(folder);
        NpyFile.Write<float>(folder.File("eight.npy"), [.. Enumerable.Repeat(0.125f, 48)], 6, 8);
        AuditResult result = ScoreAudit.Run(request with { SoftmaxFile = folder.File("eight.npy"), Experiment = LabelSets.Resolve("human") });
        Assert.All(result.Experiments[0].Labels, label => Assert.Equal("", label.Prompt));
        Assert.DoesNotContain("photo of", ReportWriter.Compose(result, FigureSet.Make(result)), StringComparison.OrdinalIgnoreCase);
        Assert.True(result.Experiments[0].HasOffensiveLabels);
        Assert.False(ScoreAudit.Run(request).Experiments[0].HasOffensiveLabels);
    }

    [Fact]
    public void MergedLabelsNamesAndFamiliesAreTakenAndBadOnesRefused()
    {
        using var folder = new TemporaryFolder();
        ScoreAuditRequest request = Request(folder);
        File.WriteAllText(folder.File("f.json"), """{ "families": [{ "name": "f", "primary": true, "experiment": "labels", "labels": ["x or z"], "pairs": [{ "first": "A", "second": "B" }] }] }""");
        LabelExperiment merged = LabelSets.WithMerged(request.Experiment, ["x or z=x,z"]);
        AuditResult result = ScoreAudit.Run(request with { Experiment = merged, Families = FamilyList.Read(folder.File("f.json")), GroupNames = new Dictionary<string, string> { ["A"] = "first people" } });
        Assert.Equal(2 / 3.0, result.Experiments[0].Models[0].MergedArgmaxFrequency[0]["A"].Value!.Value, 12);
        Assert.Equal((2 / 3.0) - 1, result.GroupComparisons.Single().RateDifference.Value!.Value, 12);
        Assert.Equal("first people", result.Probe.Groups[0].Description);
        Assert.Contains("no group 'D'", Refusal(() => ScoreAudit.Run(request with { GroupNames = new Dictionary<string, string> { ["D"] = "d" } })), StringComparison.Ordinal);
        Assert.Contains("names experiment 'human'", Refusal(() => ScoreAudit.Run(request with { Families = [new FamilySpec { Name = "f", Experiment = "human", Labels = ["x"], Reference = "A" }] })), StringComparison.Ordinal);
        foreach ((string text, string problem) in new[] { ("x=x,y", "is a label or merged label already"), ("n=x,q", "has no label 'q'"), ("n=", "NAME=label,label was expected"), ("=x", "NAME=label,label was expected") })
            Assert.Contains(problem, Refusal(() => LabelSets.WithMerged(request.Experiment, [text])), StringComparison.Ordinal);
        File.WriteAllText(folder.File("f.json"), """{ "families": [{ "nam": "f" }] }""");
        Assert.Contains("unknown key 'nam'", Refusal(() => FamilyList.Read(folder.File("f.json"))), StringComparison.Ordinal);
    }

    [Fact]
    public void ARunRecordAndADatabaseAreWritten()
    {
        using var folder = new TemporaryFolder();
        AuditResult result = ScoreAudit.Run(Request(folder) with { Command = "clipengine audit scores --merge 'x or z=x,z'" });
        ScoreAudit.Write(result, folder.File("out"), new ReportWriter());
        Assert.Contains("--merge", File.ReadAllText(folder.File("out", "run.json")), StringComparison.Ordinal);
        Assert.Contains("--merge 'x or z=x,z'", System.Text.Encoding.UTF8.GetString(File.ReadAllBytes(folder.File("out", "results.sqlite"))), StringComparison.Ordinal);
    }

    private static void WriteTable(string path, int[] rows, Func<int, float[]> values)
    {
        if (path.EndsWith(".parquet", StringComparison.Ordinal))
        {
            var id = new TextColumn("id");
            ValueColumn<float>[] columns = [new("z"), new("x"), new("y")];
            TableFile.Write(path, [columns[0], id, columns[1], columns[2]], table =>
            {
                foreach (int row in rows)
                {
                    id.Add($"0{row + 1}");
                    columns[0].Add(values(row)[2]);
                    columns[1].Add(values(row)[0]);
                    columns[2].Add(values(row)[1]);
                    table.EndRow();
                }
            }, new Dictionary<string, string>());
            return;
        }

        char separator = path.EndsWith(".tsv", StringComparison.Ordinal) ? '\t' : ',';
        File.WriteAllLines(path, rows.Select(row => string.Join(separator, values(row)[2].ToString("R"), "0" + (row + 1), values(row)[0].ToString("R"), "any", values(row)[1].ToString("R")))
            .Prepend(string.Join(separator, "z", "id", "x", "other", "y")));
    }

    [Fact]
    public void LeavingALabelOutHandsItsImagesToTheRunnerUp()
    {
        using var folder = new TemporaryFolder();
        ModelExperimentResult model = ScoreAudit.Run(Request(folder)).Experiments[0].Models[0];

        LeaveOneOut withoutX = model.LeaveOneLabelOut.Single(entry => entry.LeftOut == "x");
        Assert.Equal(["y", "z"], withoutX.ArgmaxFrequency.Select(frame => frame.Subject));
        Assert.Equal(1, withoutX.ArgmaxFrequency[0]["A"].Value);
        Assert.Equal(0.5, withoutX.ArgmaxFrequency[0]["B"].Value);
    }

    [Fact]
    public void MergedLabelsCountTheWinnerOnceAndAddProbabilities()
    {
        using var folder = new TemporaryFolder();
        ScoreAuditRequest request = Request(folder);
        ModelExperimentResult model = ScoreAudit.Run(request with
        {
            Experiment = request.Experiment with { MergedLabels = [new MergedLabel("x or z", ["x", "z"])] },
        }).Experiments[0].Models[0];

        Assert.Equal(2 / 3.0, model.MergedArgmaxFrequency[0]["A"].Value!.Value, 12);
        Assert.Equal(1, model.MergedArgmaxFrequency[0]["B"].Value);
        Assert.Equal((0.8 + 0.4 + 0.7) / 3, model.MergedMeanProbability[0]["A"].Value!.Value, 7);
    }

    [Fact]
    public void AStatedErrorFlipsWhatIsCloserThanTwiceOfIt()
    {
        using var folder = new TemporaryFolder();
        // Margins in cosine are ln(p1 / p2) / 100: 0.0125, 0.0069, 0.0051, 0.0110, 0, 0.0208.
        ModelExperimentResult model = ScoreAudit.Run(Request(folder) with { Scale = 100, CosineError = 0.003 }).Experiments[0].Models[0];

        Assert.Equal(1 / 3.0, model.Flips!.Flippable["A"].Value!.Value, 12);
        Assert.Equal(0.5, model.Flips.Flippable["B"].Value);
        FlipRange x = model.Flips.Rates.Single(range => range.Group == "A" && range.Label == "x");
        Assert.Equal((1 / 3.0, 2 / 3.0, 2 / 3.0), (x.Lowest!.Value, x.Measured!.Value, x.Highest!.Value));
        FlipRange y = model.Flips.Rates.Single(range => range.Group == "B" && range.Label == "y");
        Assert.Equal((0, 0, 0.5), (y.Lowest!.Value, y.Measured!.Value, y.Highest!.Value));
        Assert.Equal((Math.Log(0.7 / 0.2) + Math.Log(2) + Math.Log(0.5 / 0.3)) / 300, model.Margin!["A"].Value!.Value, 7);
    }

    [Fact]
    public void ConfusionCountsWholeLabelsAndEachAttribute()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("groups.csv"), "id,group,race,gender\n1,PF,P,F\n2,PF,P,F\n3,PM,P,M\n4,QF,Q,F\n");
        // Predicted: PF, PM (gender wrong), QM (race wrong), PM (both wrong).
        NpyFile.Write<float>(folder.File("s.npy"), [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0], 4, 4);
        LabelExperiment experiment = LabelSets.WithGroups(LabelSets.Resolve("p woman,p man,q woman,q man"), ["PF=p woman", "PM=p man", "QF=q woman", "QM=q man"]) with { FactorAttributes = ["race", "gender"] };
        File.AppendAllText(folder.File("groups.csv"), "5,QM,Q,M\n");
        NpyFile.Write<float>(folder.File("s.npy"), [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1], 5, 4);

        Confusion confusion = ScoreAudit.Run(Request(folder) with { SoftmaxFile = folder.File("s.npy"), MetadataFile = folder.File("groups.csv"), Experiment = experiment }).Experiments[0].Models[0].Confusion!;

        Assert.Equal([0.5, 0.5, 0, 0], confusion.Shares[0].Select(share => share!.Value));
        Assert.Equal(3 / 5.0, confusion.Misclassified.Overall.Value!.Value, 12);
        Assert.Equal(["race", "gender"], confusion.MisclassifiedByAttribute.Select(frame => frame.Subject));
        Assert.Equal(2 / 5.0, confusion.MisclassifiedByAttribute[0].Overall.Value!.Value, 12);
        Assert.Equal(2 / 5.0, confusion.MisclassifiedByAttribute[1].Overall.Value!.Value, 12);
    }

    [Fact]
    public void PersonsShownTwiceAreResampledAsOne()
    {
        using var folder = new TemporaryFolder();
        ScoreAuditRequest request = Request(folder);
        File.WriteAllText(request.MetadataFile, "id,group,who\n01,A,p\n02,A,p\n03,A,q\n04,B,r\n05,B,r\n06,C,s\n");
        ModelExperimentResult model = ScoreAudit.Run(request with { Columns = request.Columns with { Person = "who" } }).Experiments[0].Models[0];

        // One of p's two images and q's only one: a half and one, over two persons.
        Assert.Equal(0.75, model.ArgmaxFrequency[0]["A"].Value!.Value, 12);
        Assert.Equal("Wilson, over persons", model.ArgmaxFrequency[0]["A"].Interval!.Method);
        // Both images of B are one person's: no interval can be had of one person.
        Assert.Null(model.ArgmaxFrequency[0]["B"].Interval);
    }

    /// <summary>Gaps against a reference as a family of its own; merged labels in it; what cannot be is refused.</summary>
    [Fact]
    public void GroupsAreComparedWithAReference()
    {
        using var folder = new TemporaryFolder();
        ScoreAuditRequest request = Request(folder);
        LabelExperiment merged = request.Experiment with { MergedLabels = [new MergedLabel("x or y", ["x", "y"])] };
        FamilySpec Family(params string[] labels) => new() { Name = "against A", Experiment = "labels", Labels = labels, Reference = "A" };
        AuditResult result = ScoreAudit.Run(request with { Experiment = merged, Families = [Family("x", "x or y")] });
        ModelExperimentResult model = result.Experiments[0].Models[0];
        Assert.Equal([("x", "B"), ("x", "C"), ("x or y", "B"), ("x or y", "C")], result.GroupComparisons.Select(entry => (entry.Label, entry.First)));
        Assert.All(result.GroupComparisons, entry =>
        {
            Assert.Equal((4, "A"), (entry.RateTest!.FamilySize, entry.Second));
            GroupMetricFrame frame = model.ArgmaxFrequency.Concat(model.MergedArgmaxFrequency).Single(frame => frame.Subject == entry.Label);
            Assert.Equal(frame[entry.First].Value - frame["A"].Value, entry.RateDifference.Value);
        });
        Assert.Contains("no label 'w'", Assert.Throws<BadInputException>(() => ScoreAudit.Run(request with { Families = [Family("w")] })).Message, StringComparison.Ordinal);
        Assert.Contains("no group 'D'", Assert.Throws<BadInputException>(() => ScoreAudit.Run(request with { Families = [Family("x") with { Reference = "D" }] })).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(2, 0.9f, "row 2 adds up to")]
    [InlineData(4, float.NaN, "row 4, column 0 is NaN")]
    [InlineData(1, -0.1f, "row 1, column 0 is -0.1")]
    public void AMatrixThatIsNoSoftmaxIsRefused(int row, float value, string message)
    {
        using var folder = new TemporaryFolder();
        ScoreAuditRequest request = Request(folder);
        float[] broken = [.. _softmax];
        broken[row * 3] = value;
        NpyFile.Write<float>(request.SoftmaxFile, broken, 6, 3);

        var exception = Assert.Throws<BadInputException>(() => ScoreAudit.Run(request));
        Assert.Contains(message, exception.Message);
        Assert.Contains(request.SoftmaxFile, exception.Message);
    }

    [Fact]
    public void MissingFilesAndOtherSizesAreRefused()
    {
        using var folder = new TemporaryFolder();
        ScoreAuditRequest request = Request(folder);

        Assert.Contains("5 rows", Refusal(() =>
        {
            NpyFile.Write<float>(folder.File("short.npy"), _softmax.AsSpan(0, 15), 5, 3);
            ScoreAudit.Run(request with { SoftmaxFile = folder.File("short.npy") });
        }));
        Assert.Contains("3 columns, 2 labels", Refusal(() => ScoreAudit.Run(request with { Experiment = LabelSets.Resolve("x,y") })));
        Assert.Contains("none.npy", Refusal(() => ScoreAudit.Run(request with { SoftmaxFile = folder.File("none.npy") })));
        Assert.Contains("none.csv", Refusal(() => ScoreAudit.Run(request with { MetadataFile = folder.File("none.csv") })));
    }

    [Fact]
    public void AResultReadsBackAsItWasWritten()
    {
        using var folder = new TemporaryFolder();
        AuditResult result = ScoreAudit.Run(Request(folder) with { Scale = 100, CosineError = 0.003 });
        ResultDirectory.Write(result, folder.File("a"));
        ResultDirectory.Write(ResultDirectory.Read(folder.File("a")), folder.File("b"));

        string[] files = [.. Directory.GetFiles(folder.File("a"), "*", SearchOption.AllDirectories).Select(file => Path.GetRelativePath(folder.File("a"), file))];
        Assert.Contains("results.json", files);
        Assert.Contains(Path.Combine("tables", "groups.csv"), files);
        foreach (string file in files)
            Assert.Equal(File.ReadAllBytes(folder.File("a", file)), File.ReadAllBytes(folder.File("b", file)));
    }

    private static string Refusal(Action action) => Assert.Throws<BadInputException>(action).Message;

    private static ScoreAuditRequest Request(TemporaryFolder folder)
    {
        File.WriteAllText(folder.File("probe.csv"), Metadata);
        NpyFile.Write<float>(folder.File("softmax.npy"), _softmax, 6, 3);
        return new ScoreAuditRequest
        {
            SoftmaxFile = folder.File("softmax.npy"),
            MetadataFile = folder.File("probe.csv"),
            Columns = new ProbeColumns { Group = ["group"] },
            Experiment = LabelSets.Resolve("x,y,z"),
            Intervals = new IntervalOptions { Resamples = 999 },
        };
    }
}
