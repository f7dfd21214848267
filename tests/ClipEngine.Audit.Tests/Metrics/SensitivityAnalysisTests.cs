using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Specs;

namespace ClipEngine.Audit.Tests.Metrics;

public class SensitivityAnalysisTests
{
    /// <summary>Two templates x three words x two label sets, worked out by hand.</summary>
    [Fact]
    public void AHandComputedGridMatches()
    {
        var grid = new SensitivitySpec
        {
            Experiment = "e",
            Templates = ["{label}!"],
            Synonyms = new Dictionary<string, IReadOnlyList<string>> { ["x"] = ["w", "v"] },
            LabelSets = [new LabelSetSpec { Name = "pair", Labels = ["y", "x"] }],
        };
        var experiment = new ExperimentSpec { Key = "e", Title = "E", Template = "{a} {label}", Labels = [new LabelSpec { Text = "x" }, new LabelSpec { Text = "y" }, new LabelSpec { Text = "z" }] };
        IReadOnlyList<Wording> wordings = SensitivityAnalysis.Wordings(grid, experiment);
        Assert.Equal(
            ["a x|a y|a z", "a w|a y|a z", "a v|a y|a z", "x!|y!|z!", "w!|y!|z!", "v!|y!|z!", "a y|a x", "a y|a w", "a y|a v", "y!|x!", "y!|w!", "y!|v!"],
            wordings.Select(wording => string.Join('|', wording.Prompts)));
        Assert.True(wordings[0].IsPublished);
        Assert.Single(wordings, wording => wording.IsPublished);

        // Images that go to the concept, out of group A's four and group B's two.
        (int A, int B)[] wins = [(2, 1), (4, 0), (1, 1), (3, 1), (0, 1), (2, 1), (4, 1), (1, 1), (2, 1), (3, 1), (2, 1), (2, 1)];
        ScoreMatrix[] scores = [.. wordings.Select((wording, index) => Scores(wording, wins[index].A, wins[index].B))];
        ProbeImage[] images = [.. Enumerable.Range(0, 6).Select(i => new ProbeImage($"{i}", $"{i}", $"{i}", i < 4 ? "A" : "B"))];
        var builder = new FrameBuilder(new Grouping(["A", "B"], images), new IntervalOptions { Resamples = 99 });
        SensitivityStatement[] statements = [.. SensitivityAnalysis.Statements("m", wordings, [], scores, builder)];

        Assert.Equal(2, statements.Length);
        Assert.Equal((0.5, 0.0, 0.5, 1.0), (statements[0].Published.Value!.Value, statements[0].Lowest!.Value, statements[0].Median!.Value, statements[0].Highest!.Value));
        Assert.Equal((0.5, 0.0, 0.5, 0.5), (statements[1].Published.Value!.Value, statements[1].Lowest!.Value, statements[1].Median!.Value, statements[1].Highest!.Value));
        Assert.Equal([0.5, 1, 0.25, 0.75, 0, 0.5, 1, 0.25, 0.5, 0.75, 0.5, 0.5], statements[0].Cells.Select(cell => cell.Rate.Value!.Value));
        Assert.Equal(0.75, statements[0].Cells.Single(cell => cell is { Template: "{label}!", Synonym: "x", LabelSet: "published" }).Rate.Value);
    }

    /// <summary>A merged label over the words of both its labels: what was not replaced counts once, and a set without one of the two is left out.</summary>
    [Fact]
    public void MergedLabelsHaveStatementsOverTheWordsOfAllTheirLabels()
    {
        var grid = new SensitivitySpec
        {
            Experiment = "e",
            Synonyms = new Dictionary<string, IReadOnlyList<string>> { ["x"] = ["w"], ["y"] = ["v"] },
            LabelSets = [new LabelSetSpec { Name = "pair", Labels = ["z", "x"] }],
        };
        var experiment = new ExperimentSpec { Key = "e", Title = "E", Template = "{label}", Labels = [new LabelSpec { Text = "x" }, new LabelSpec { Text = "y" }, new LabelSpec { Text = "z" }] };
        IReadOnlyList<Wording> wordings = SensitivityAnalysis.Wordings(grid, experiment);
        // One of two images goes to x, one to z.
        ScoreMatrix[] scores = [.. wordings.Select(wording => new ScoreMatrix(2, wording.Prompts.Count, [.. Enumerable.Range(0, 2).SelectMany(row =>
            wording.Labels.Select(label => label == (row == 0 ? "x" : "z") ? 0.8f : 0.2f / (wording.Prompts.Count - 1)))]))];
        ProbeImage[] images = [new("0", "0", "0", "A"), new("1", "1", "1", "A")];
        var builder = new FrameBuilder(new Grouping(["A"], images), new IntervalOptions { Resamples = 99 });
        SensitivityStatement[] statements = [.. SensitivityAnalysis.Statements("m", wordings, [new MergedLabel("x or y", ["x", "y"])], scores, builder)];

        SensitivityStatement merged = statements.Single(statement => statement.Label == "x or y");
        Assert.Equal(["x, y", "w, y", "x, v"], merged.Cells.Select(cell => cell.Synonym));
        Assert.All(merged.Cells, cell => Assert.Equal(0.5, cell.Rate.Value));
        Assert.Equal(0.5, merged.Published.Value);
        // 0.8 + 0.1 of the one image, 0.1 + 0.1 of the other.
        Assert.Equal(0.55, merged.Cells[0].Mean.Value!.Value, 6);
    }

    [Fact]
    public void ControlsAreNoPartOfTheRange()
    {
        var grid = new SensitivitySpec
        {
            Experiment = "e",
            Synonyms = new Dictionary<string, IReadOnlyList<string>> { ["x"] = [] },
            NeutralSets = [new LabelSetSpec { Name = "neutral", Labels = ["x", "y", "face"] }],
            BagOfWords = true,
        };
        var experiment = new ExperimentSpec { Key = "e", Title = "E", Template = "A photo of {a} {label}", Labels = [new LabelSpec { Text = "x" }, new LabelSpec { Text = "y" }] };
        IReadOnlyList<Wording> wordings = SensitivityAnalysis.Wordings(grid, experiment);
        Assert.Equal([WordingKind.Grid, WordingKind.Neutral, WordingKind.BagOfWords], wordings.Select(wording => wording.Kind));
        Assert.Equal("x a of photo A", wordings[2].Prompts[0]);
    }

    private static ScoreMatrix Scores(Wording wording, int winsA, int winsB)
    {
        int columns = wording.Prompts.Count;
        var values = new float[6 * columns];
        for (int row = 0; row < 6; row++)
        {
            bool wins = row < 4 ? row < winsA : row - 4 < winsB;
            values[(row * columns) + (wins ? wording.Column : (wording.Column + 1) % columns)] = 1;
        }

        return new ScoreMatrix(6, columns, values);
    }
}
