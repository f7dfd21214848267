using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Tests.Report;

/// <summary>A small invented result with everything that a result can have: empty groups, a failed model, hostile names.</summary>
internal static class SampleResult
{
    private static readonly string[] Groups = ["circle", "square", "empty", "star"];
    private static readonly int[] Counts = [40, 52, 0, 33];
    private static readonly string[] Labels = ["granite", "fog & mist", "<b>copper</b>"];

    public static AuditResult Make()
    {
        var images = Enumerable.Range(0, Groups.Length).SelectMany(group => Enumerable.Range(0, Counts[group])
            .Select(image => new ProbeImage($"{group}-{image:000}", $"{Groups[group]}-{image:000}.png", $"p{group}-{image}", Groups[group]))).ToArray();
        string[] models = ["Tiny-16/small", "Tiny-16/large", "Tiny-32/large"];
        return new AuditResult
        {
            Title = "A sample audit",
            Question = "Does the label that a model chooses depend on the shape?",
            Probe = new ProbeSummary
            {
                Name = "Invented shapes",
                GroupAttribute = "shape",
                Groups = Groups.Select((group, index) => new GroupSummary(group, "a " + group, Counts[index], Counts[index])).ToArray(),
                Images = images,
                PersonCount = images.Length,
                ReferenceGroup = "square",
                Warnings = ["'Circle' and 'circle' differ by case only; both were kept as written."],
            },
            Models =
            [
                Model(models[0], 16, "run-a"), Model(models[1], 16, "run-b"), Model(models[2], 32, "run-b") with { Remarks = ["Activation mismatch: the weights were trained with QuickGELU and run with GELU, as in the study."] },
                Model("Broken/one", null, "") with { Failure = "open_clip_model.safetensors: the file ends inside the header." },
            ],
            Experiments = [Experiment(models, images, "material", "Materials", false), Experiment(models, images, "shape", "Names of shapes", true)],
            Comparisons = models.Length == 0 ? [] : Groups.SelectMany((group, index) => Labels.Select(label => Comparison(group, index, label))).ToArray(),
            Sensitivity =
            [
                new SensitivityStatement
                {
                    Statement = "granite, square, Tiny-16/large", Model = models[1], Group = "square", Label = "granite", Published = Rate(40, 52), Lowest = 0.21, Median = 0.5, Highest = 0.88,
                    Cells = [new("A photo of {a} {label}", "granite", "material", WordingKind.Grid, true, Rate(40, 52), Rate(38, 52)), new("granite of photo", "granite", "material", WordingKind.BagOfWords, false, Rate(11, 52), Rate(12, 52))],
                },
            ],
            Correlations = [new AttributeCorrelation(models[0], "material", "granite", "width", Rate(10, 52), Rate(12, 52))],
            NumericColumns = new Dictionary<string, IReadOnlyList<double?>> { ["width"] = [.. images.Select((_, image) => image == 3 ? (double?)null : 100 + (Math.Sin(image) * 20))] },
            Notes = [new Note(NoteKind.Warning, "Invented", "Nothing here was measured."), new Note(NoteKind.Limitation, "Wording", "Replaced by the run.")],
            Provenance = new Provenance
            {
                Version = "0.0.0",
                Command = "clipengine audit run sample.json --out out",
                Spec = "{ \"title\": \"</pre><script>\" }",
                Device = "cpu",
                ElementType = "fp32",
                ConfidenceLevel = 0.95,
                Resamples = 1000,
                Seed = 1,
                Inputs = [new InputFile("metadata", "probe.csv", new string('a', 64), 123)],
            },
        };
    }

    private static ModelSummary Model(string key, int? patch, string run) => new()
    {
        Key = key,
        Architecture = key.Split('/')[0],
        TrainingSet = key.Split('/')[1],
        TrainingRun = run,
        PatchSize = patch,
        MillionParameters = 1.5,
        Scoring = "softmax(100 · cosine)",
        Sha256 = new string('b', 64),
        Source = "cpu, fp32",
    };

    private static Estimate Rate(int hits, int count) => count == 0
        ? Estimate.Undefined
        : new Estimate(count, (double)hits / count, new Interval(Math.Max(0, ((double)hits / count) - 0.1), Math.Min(1, ((double)hits / count) + 0.1), 0.95, "Wilson"));

    private static GroupMetricFrame Frame(Metric metric, string subject, int seed)
    {
        int[] hits = Counts.Select((count, index) => (int)(count * (0.15 + (0.25 * ((seed + index) % 4))))).ToArray();
        var groups = Groups.Select((group, index) => new GroupEstimate(group, Rate(hits[index], Counts[index]))).ToArray();
        var gaps = from first in Enumerable.Range(0, Groups.Length)
                   from second in Enumerable.Range(first + 1, Groups.Length - first - 1)
                   let left = groups[first].Estimate
                   let right = groups[second].Estimate
                   select new GroupGap(Groups[first], Groups[second], left.Value is { } a && right.Value is { } b
                       ? new Estimate(left.Count + right.Count, a - b, new Interval(a - b - 0.15, a - b + 0.15, 0.95, "Newcombe"))
                       : new Estimate(left.Count + right.Count, null, null));
        return new GroupMetricFrame { Metric = metric, Unit = MetricUnit.Proportion, Subject = subject, Groups = groups, Overall = Rate(hits.Sum(), Counts.Sum()), Gaps = gaps.ToArray() };
    }

    private static ExperimentResult Experiment(string[] models, ProbeImage[] images, string key, string title, bool namesGroups)
    {
        string[] labels = namesGroups ? Groups : Labels;
        return new ExperimentResult
        {
            Key = key,
            Title = title,
            Labels = labels.Select(label => new LabelSummary(label, "A photo of a " + label, namesGroups ? label : null)).ToArray(),
            MergedLabels = [new MergedLabel("any solid", [labels[0], labels[2]])],
            Models = models.Select((model, index) => ModelResult(model, index, images, labels, namesGroups)).ToArray(),
        };
    }

    private static ModelExperimentResult ModelResult(string model, int seed, ProbeImage[] images, string[] labels, bool namesGroups)
    {
        var random = new Random(seed);
        var values = new float[images.Length * labels.Length];
        for (int image = 0; image < images.Length; image++)
        {
            var row = values.AsSpan(image * labels.Length, labels.Length);
            float sum = 0;
            for (int label = 0; label < labels.Length; label++)
                sum += row[label] = (float)Math.Exp(4 * random.NextDouble());
            for (int label = 0; label < labels.Length; label++)
                row[label] /= sum;
        }

        return new ModelExperimentResult
        {
            Model = model,
            ArgmaxFrequency = labels.Select((label, index) => Frame(Metric.ArgmaxFrequency, label, seed + index)).ToArray(),
            MeanProbability = labels.Select((label, index) => Frame(Metric.MeanProbability, label, seed + index)).ToArray(),
            Distributions = [],
            MergedArgmaxFrequency = [Frame(Metric.MergedArgmaxFrequency, "any solid", seed)],
            MergedMeanProbability = [Frame(Metric.MergedMeanProbability, "any solid", seed)],
            Entropy = Frame(Metric.Entropy, "", seed),
            Margin = Frame(Metric.TopTwoMargin, "", seed),
            Flips = new FlipReport(0.0001, Frame(Metric.TopTwoMargin, "", 0), [new FlipRange("square", labels[0], 0.1, 0.2, 0.3)]),
            LeaveOneLabelOut = [new LeaveOneOut(labels[0], [Frame(Metric.ArgmaxFrequency, labels[1], seed)])],
            Confusion = namesGroups ? new Confusion
            {
                Shares = Counts.Select((count, row) => (IReadOnlyList<double?>)labels.Select((_, column) => count == 0 ? (double?)null : row == column ? 0.7 : 0.1).ToArray()).ToArray(),
                Misclassified = Frame(Metric.MisclassificationRate, "", 0),
                MisclassifiedByAttribute = [Frame(Metric.MisclassificationRate, "corners", 0), Frame(Metric.MisclassificationRate, "colour", 1)],
            } : null,
            TextSimilarity = labels.Select((_, row) => (IReadOnlyList<double>)labels.Select((_, column) => row == column ? 1 : 0.6).ToArray()).ToArray(),
            ImageSimilarity = Counts.Select((first, row) => (IReadOnlyList<double?>)Counts.Select((second, column) => first == 0 || second == 0 ? (double?)null : row == column ? 0.9 : 0.7).ToArray()).ToArray(),
            Probabilities = new ScoreMatrix(images.Length, labels.Length, values),
        };
    }

    private static ArmComparison Comparison(string group, int index, string label)
    {
        int count = Counts[index];
        bool isPrimary = label == "granite";
        return new ArmComparison
        {
            Name = "Tiny-16, small to large",
            Kind = "scaling",
            Architecture = "Tiny-16",
            ConfoundedWith = "samples seen",
            First = new Arm("small", ["Tiny-16/small"], 1),
            Second = new Arm("large", ["Tiny-16/large"], 1),
            Experiment = "material",
            Label = label,
            Group = group,
            FirstRate = Rate(count / 5, count),
            SecondRate = Rate(count / 2, count),
            RateDifference = count == 0 ? Estimate.Undefined : new Estimate(count, 0.3, new Interval(0.12, 0.44, 0.95, "bootstrap BCa")),
            McNemar = count == 0 ? null : new McNemarCounts(3, 15, 0.0075),
            RateTest = count == 0 ? null : new TestResult(isPrimary ? "primary" : "exploratory: other labels", isPrimary, 9, 0.001, 0.009, 0.004),
            MeanDifference = count == 0 ? Estimate.Undefined : new Estimate(count, 0.21, new Interval(0.1, 0.33, 0.95, "bootstrap BCa")),
            MeanTest = null,
            EffectSize = 0.6,
        };
    }
}
