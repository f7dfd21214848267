using ClipEngine.Audit.Figures;

namespace ClipEngine.Audit.Tests.Figures;

/// <summary>One sample of every figure, with awkward names and gaps; CLIPENGINE_FIGURES=DIR writes them out to be looked at.</summary>
internal static class Samples
{
    private static readonly string[] Groups = ["AF", "AM", "BF", "BM", "LF", "LM", "WF", "WM"];
    private static readonly string[] Labels = ["granite", "a label with a long name", "sunshine", "hammer & nail", "copper", "fog", "chisel", "marble"];

    public static Heatmap Change { get; } = new()
    {
        Title = "Change of the share of faces, 400M to 2B",
        Description = "Percentage points by group and label.",
        Rows = ["first group", "second", "third"],
        Columns = Labels,
        Values = Enumerable.Range(0, 24).Select(i => i == 5 ? double.NaN : i == 6 ? -0.001 : Math.Sin(i) * 60).ToArray(),
        Scale = HeatScale.Change,
        Maximum = 60,
        RowCaption = "group",
        ColumnCaption = "label",
        Unit = "points",
    };

    public static IntervalBars Bars { get; } = new()
    {
        Title = "Share of faces called a label",
        Description = "Bars by group.",
        Panels = ["ViT-B-16", "ViT-L-14"],
        Categories = Groups,
        Series = ["LAION-400M", "LAION-2B"],
        Values = Enumerable.Range(0, 32).Select(i => i == 9 ? new IntervalBar(double.NaN, double.NaN, double.NaN) : new IntervalBar(20 + (i * 2), 15 + (i * 2), 27 + (i * 2))).ToArray(),
        Unit = "% of faces",
    };

    public static IntervalRows Intervals { get; } = new()
    {
        Title = "A model whose name is longer than a line of a phone is wide: each group minus another",
        Description = "Rows.",
        Rows =
        [
            IntervalRow.Heading("'a label with a long name that goes on and on, and then some more of it'"),
            new("first", "+25.0 (+20.0 to +30.0)", 25, 20, 30), new("a group with a name of many words that need two lines", "−75.0 (−80.0 to −70.0)", -75, -80, -70, IsFilled: false, Tick: -72),
            new("averyverylongnamethatcannotbebrokenanywhereandiscut", "undefined", double.NaN, double.NaN, double.NaN),
        ],
        Unit = "difference in percentage points, with interval",
        HasZeroLine = true,
    };

    public static StackedRows Stacked { get; } = new()
    {
        Title = "Labels by group and arm of a comparison with a long name",
        Description = "Stacked.",
        Groups = ["first group", "second"],
        Series = ["LAION-400M, epochs 31 and 32", "2B"],
        Parts = ["granite", "a label with a long name", "fog"],
        Values = [0.5, 0.25, 0.25, 0, 1, 0, double.NaN, double.NaN, double.NaN, 0.1, 0.2, 0.7],
    };

    public static IEnumerable<(string Name, string Svg)> All()
    {
        var figures = Make().ToList();
        if (Environment.GetEnvironmentVariable("CLIPENGINE_FIGURES") is { Length: > 0 } folder)
        {
            Directory.CreateDirectory(folder);
            foreach (var (name, svg) in figures)
                File.WriteAllText(Path.Combine(folder, name + ".svg"), svg);
        }

        return figures;
    }

    private static IEnumerable<(string Name, string Svg)> Make()
    {
        var random = new Random(5);
        yield return ("change", Change.ToSvg());
        yield return ("interval-rows", Intervals.ToSvg());
        yield return ("stacked-rows", Stacked.ToSvg());
        yield return ("scatter", new ScatterPlot
        {
            Title = "A model with a long name: 'a label with a long name' against 'a column with a long name, in square centimetres'",
            Description = "Points.",
            Series = Groups,
            Points = [.. Enumerable.Range(0, 300).Select(i => (1e6 + (1e4 * random.NextDouble()), random.NextDouble(), i % 8))],
            HorizontalUnit = "a column with a long name, in square centimetres of the printed page, all in all",
            VerticalUnit = "probability of 'a label with a long name that goes on and on'",
        }.ToSvg());
        yield return ("amount", (Change with { Scale = HeatScale.Amount, Maximum = 100, Title = "Mean probability", Values = Change.Values.Select(Math.Abs).ToArray(), Unit = "%" }).ToSvg());
        yield return ("bars", Bars.ToSvg());
        yield return ("box", new BoxPlot
        {
            Title = "Probability of a label by patch size (confounded with model size)",
            Description = "Box plots.",
            Categories = Groups,
            Series = ["patch 32", "patch 16", "patch 14"],
            Values = Enumerable.Range(0, 24).Select(i => (IReadOnlyList<double>)Enumerable.Range(0, i == 7 ? 0 : 60).Select(_ => random.NextDouble() * random.NextDouble()).ToArray()).ToArray(),
            Unit = "probability",
        }.ToSvg());
        yield return ("forest", new ForestPlot
        {
            Title = "Scaling effect",
            Description = "Differences in points.",
            Rows =
            [
                new("ViT-B-32", double.NaN, double.NaN, double.NaN, "", IsClear: false, IsHeading: true),
                new("BM", -19.9, -27, -12, "p < 0.001", IsClear: true),
                new("LM", -47.1, -60, -34, "p < 0.001", IsClear: true),
                new("ViT-L-14", double.NaN, double.NaN, double.NaN, "", IsClear: false, IsHeading: true),
                new("BM", 63.4, 52, 73, "p < 0.001", IsClear: true),
                new("AM", 2, -7, 11, "p = 0.71", IsClear: false),
                new("nobody", double.NaN, double.NaN, double.NaN, "n = 0", IsClear: false),
            ],
            Unit = "percentage points",
            LeftCaption = "less often with more data",
            RightCaption = "more often",
        }.ToSvg());
        yield return ("persons", new PersonHeatmap
        {
            Title = "Softmax of every person",
            Description = "Rows by group.",
            RowGroups = Groups.Select((group, index) => (group, 50 + (index * 5))).ToArray(),
            ColumnGroups = Labels.Select(label => (label, 1)).ToArray(),
            Values = Enumerable.Range(0, 8 * 540).Select(i => i == 12 ? float.NaN : (float)Math.Pow(random.NextDouble(), 4)).ToArray(),
            Unit = "probability",
        }.ToSvg());
        yield return ("table", new PersonTable
        {
            Title = "Label given to each person",
            Description = "By file name.",
            Persons = Enumerable.Range(200, 12).Select(i => $"CFD-AF-{i}-228-N").ToArray(),
            Models = ["ViT-B-16 laion400m_e31", "ViT-B-32-quickgelu laion400m_e32", "ViT-L-14 laion2b_s32b_b82k"],
            Labels = Labels,
            Choices = Enumerable.Range(0, 36).Select(i => i == 4 ? -1 : i % 8).ToArray(),
        }.ToSvg());
    }
}
