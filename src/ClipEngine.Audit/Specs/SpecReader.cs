using System.Text.Json;
using ClipEngine.Audit.Figures;
using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;
using ClipEngine.Files;
using ClipEngine.Imaging;

namespace ClipEngine.Audit.Specs;

/// <summary>Reads and checks specs.</summary>
internal static class SpecReader
{
    /// <summary>The published study: 14 models, its two label sets and its pairings. Its paths are relative to the spec's folder once it is written to a file.</summary>
    public static AuditSpec Paper() => Parse("the shipped spec", PaperText());

    /// <summary>The shipped spec's text, to be copied and changed.</summary>
    public static byte[] PaperText()
    {
        using Stream stream = typeof(SpecReader).Assembly.GetManifestResourceStream("paper.json")
            ?? throw new InvalidOperationException("the shipped spec is not in the assembly");
        using var memory = new MemoryStream();
        stream.CopyTo(memory);
        return memory.ToArray();
    }

    /// <summary>Reads a spec file.</summary>
    /// <exception cref="BadInputException">Missing, no JSON, an unknown or missing key, or contents that contradict each other.</exception>
    public static AuditSpec Read(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return Parse(path, TextFile.ReadDocument(path, "a spec (JSON, as 'clipengine audit spec' prints one)"));
    }

    internal static AuditSpec Parse(string source, byte[] json)
    {
        AuditSpec spec = Deserialize(source, json, SpecJson.Default.AuditSpec, "Keys are spelt as in the shipped spec ('clipengine audit spec'); unknown ones are refused.");
        Check(source, spec);
        return spec;
    }

    /// <summary>The experiment of a spec, with its prompts filled in.</summary>
    internal static LabelExperiment Experiment(ExperimentSpec spec, string source) => new()
    {
        Key = spec.Key,
        Title = spec.Title,
        Labels = [.. spec.Labels.Select(label => new LabelSummary(label.Text, PromptTemplate.Fill(spec.Template, label.Text), label.Group))],
        MergedLabels = [.. spec.Merged.Select(merged => new MergedLabel(merged.Name, merged.Labels))],
        FactorAttributes = spec.Factors,
        IsOffensive = spec.Offensive,
        Source = source,
    };

    internal static IntervalOptions Intervals(IntervalSpec spec) => new()
    {
        Level = spec.Level,
        Resamples = spec.Resamples,
        Seed = spec.Seed,
        Method = spec.Method == "bca" ? BootstrapMethod.BiasCorrectedAccelerated : BootstrapMethod.Percentile,
    };

    /// <summary>What a spec asks for in place of the models' own preprocessing.</summary>
    internal static PreprocessOverrides Preprocessing(AuditSpec spec) => PreprocessOverrides.Parse(spec.Resampler, spec.Rgb, spec.Alpha);

    /// <summary>The bounds of a scale: beyond them a softmax is 0 and 1, or the same for all.</summary>
    internal const double SmallestScale = 1e-6, LargestScale = 1e6;

    /// <summary>The fixed scale of a spec, or null for the checkpoint's own.</summary>
    internal static double? FixedScale(AuditSpec spec) => spec.Scale == "checkpoint" ? null
        : NumberText.TryParse(spec.Scale, out double scale) ? scale
        : throw new BadInputException("scale", $"'{BadInputException.Escape(spec.Scale)}' is no number.");

    /// <summary>Reads a spec of any kind.</summary>
    /// <param name="source">What the text came from, for messages.</param>
    /// <param name="json">The text.</param>
    /// <param name="type">What it is to be.</param>
    /// <param name="remedy">Where the keys are told.</param>
    /// <exception cref="BadInputException">No JSON, an unknown or missing key, or a null.</exception>
    internal static T Deserialize<T>(string source, byte[] json, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type, string remedy)
        where T : class
    {
        try
        {
            RefuseNull(source, json);
            return JsonSerializer.Deserialize(json, type) ?? throw new BadInputException(source, "the file holds null, a spec was expected.");
        }
        catch (JsonException exception)
        {
            throw new BadInputException(source, $"not a spec: {BadInputException.Escape(SpecErrors.Describe(exception, type), 1000)}", remedy, exception);
        }
    }

    /// <summary>
    /// Null is allowed where a key may be left out, which the types say. Elements of lists are beyond them: they are looked at here, and the
    /// message names the place as <c>models[2]</c>.
    /// </summary>
    private static void RefuseNull(string source, byte[] json)
    {
        using JsonDocument document = JsonDocument.Parse(json, new JsonDocumentOptions { AllowTrailingCommas = true, CommentHandling = JsonCommentHandling.Skip, AllowDuplicateProperties = false });
        if (document.RootElement.ValueKind != JsonValueKind.Object)
            throw new BadInputException(source, $"the file holds {document.RootElement.ValueKind switch { JsonValueKind.Null => "null", JsonValueKind.Array => "an array", _ => "a single value" }}, a spec was expected.", "'clipengine audit spec' prints one.");
        if (NullElement(document.RootElement, "") is { } place)
            throw new BadInputException(source, $"{BadInputException.Escape(place)} is null; a value was expected.", "Write it, or take it out.");
    }

    private static string? NullElement(JsonElement element, string place)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Array:
                int index = 0;
                foreach (JsonElement item in element.EnumerateArray())
                {
                    string here = $"{place}[{index++}]";
                    if (item.ValueKind == JsonValueKind.Null)
                        return here;
                    if (NullElement(item, here) is { } found)
                        return found;
                }

                return null;
            case JsonValueKind.Object:
                foreach (JsonProperty property in element.EnumerateObject())
                {
                    if (NullElement(property.Value, place.Length == 0 ? property.Name : $"{place}.{property.Name}") is { } found)
                        return found;
                }

                return null;
            default:
                return null;
        }
    }

    private static void Check(string source, AuditSpec spec)
    {
        var problems = new List<string>();
        void Require(bool holds, string problem)
        {
            if (!holds)
                problems.Add(problem);
        }

        Named(problems, "title", spec.Title);
        foreach (string? text in new[] { spec.Probe.Metadata, spec.Probe.Images, spec.Probe.Id, spec.Probe.Person, spec.Probe.File, spec.Probe.Weight, spec.Probe.Reference, spec.Probe.Name }.Concat(spec.Probe.Group).Concat(spec.Probe.Marginals ?? []).Where(static text => text is not null))
            Named(problems, "a value of probe", text!);
        foreach (ComparisonSpec comparison in spec.Comparisons)
            Named(problems, "a comparison's name", comparison.Name);
        foreach (FamilySpec family in spec.Families)
            Named(problems, "a family's name", family.Name);
        Require(spec.Models.Count > 0, "models is empty");
        Require(spec.Experiments.Count > 0, "experiments is empty");
        Require(spec.Scale == "checkpoint" || (NumberText.TryParse(spec.Scale, out double scale) && scale is >= SmallestScale and <= LargestScale),
            $"scale is '{BadInputException.Escape(spec.Scale, 60)}'; a number from {NumberText.Format(SmallestScale)} to {NumberText.Format(LargestScale)} with a decimal point, or 'checkpoint', was expected");
        Require(spec.ElementType is "fp32" or "bf16" or "fp16" or "int8", $"elementType is '{spec.ElementType}'; fp32, bf16, fp16 or int8 was expected");
        Require(spec.ScorePrecision is "fp32" or "bf16" or "int16" or "int8", $"scorePrecision is '{spec.ScorePrecision}'; fp32, bf16, int16 or int8 was expected");
        try
        {
            Preprocessing(spec);
        }
        catch (BadInputException exception)
        {
            problems.Add($"{exception.InputSource}: {exception.Problem.TrimEnd('.')}");
        }

        Require(spec.Intervals.Level is > 0.5 and < 1, $"intervals.level is {NumberText.Format(spec.Intervals.Level)}; between 0.5 and 1 was expected");
        Require(spec.Intervals.Resamples is >= 99 and <= 1_000_000, $"intervals.resamples is {spec.Intervals.Resamples}; 99 to 1000000 was expected");
        Require(spec.Intervals.Method is "bca" or "percentile", $"intervals.method is '{spec.Intervals.Method}'; bca or percentile was expected");
        Require(spec.CosineError is null or (> 0 and < 1), $"cosineError is {NumberText.Format(spec.CosineError ?? 0)}; between 0 and 1 was expected");
        Unique(problems, "models", spec.Models.Select(model => model.Key));
        Unique(problems, "experiments", spec.Experiments.Select(experiment => experiment.Key));
        Unique(problems, "comparisons", spec.Comparisons.Select(comparison => comparison.Name));
        foreach (ModelSpec model in spec.Models)
            CheckModel(problems, spec, model);
        foreach (ExperimentSpec experiment in spec.Experiments)
            CheckExperiment(problems, experiment);
        foreach (ComparisonSpec comparison in spec.Comparisons)
        {
            foreach (ArmSpec arm in new[] { comparison.First, comparison.Second })
            {
                Require(arm.Models.Count > 0, $"comparison '{comparison.Name}': arm '{arm.Name}' has no models");
                Unique(problems, $"comparison '{comparison.Name}', arm '{arm.Name}'", arm.Models);
                foreach (string key in arm.Models.Where(key => spec.Models.All(model => model.Key != key)))
                    problems.Add($"comparison '{comparison.Name}' names model '{key}', which is not among the models");
            }
        }

        foreach (FamilySpec family in spec.Families)
        {
            foreach (string name in family.Comparisons.Where(name => spec.Comparisons.All(comparison => comparison.Name != name)))
                problems.Add($"family '{family.Name}' names comparison '{name}', which is not declared");
            CheckLabels(problems, spec, $"family '{family.Name}'", family.Experiment, family.Labels);
            foreach (string name in family.Models.Where(name => spec.Models.All(model => model.Key != name)))
                problems.Add($"family '{family.Name}' names model '{name}', which is not among the models");
            Require(family.Comparisons.Count > 0 || family.IsOfGroupPairs, $"family '{family.Name}' names neither comparisons nor a reference nor pairs of groups");
            Require(family.Comparisons.Count == 0 || family.Models.Count == 0, $"family '{family.Name}' names comparisons and models; it is of one or the other");
            Require(family.Labels.Count > 0, $"family '{family.Name}' names no label");
        }

        foreach ((string kind, string note) in spec.FigureNotes)
        {
            Require(FigureKinds.All.Contains(kind), $"figureNotes names '{BadInputException.Escape(kind, 60)}', which is no kind of figure; there are {string.Join(", ", FigureKinds.All)}");
            Named(problems, $"the note of figures '{kind}'", note);
        }

        foreach (CorrelationSpec correlation in spec.Correlations)
            CheckLabels(problems, spec, "a correlation", correlation.Experiment, [correlation.Label]);
        if (spec.Sensitivity is { } sensitivity)
            CheckSensitivity(problems, spec, sensitivity);
        CheckMeasures(problems, spec);
        if (problems.Count > 0)
            throw new BadInputException(source, string.Join("; ", problems.Take(20)) + ".", "Mend the spec.");
    }

    private static void CheckModel(List<string> problems, AuditSpec spec, ModelSpec model)
    {
        bool hasScores = model.Scores.Count > 0;
        bool hasFeatures = model.ImageFeatures is not null || model.TextFeatures.Count > 0;
        int sources = (model.Model is null ? 0 : 1) + (hasScores ? 1 : 0) + (hasFeatures ? 1 : 0);
        Named(problems, "a model's key", model.Key);
        if (model.Scorer is not (null or "features" or "pairs"))
            problems.Add($"model '{model.Key}': scorer is '{model.Scorer}'; features or pairs was expected");
        if (model.Reading is not (null or "softmax" or "sigmoid"))
            problems.Add($"model '{model.Key}': reading is '{model.Reading}'; softmax or sigmoid was expected");
        if (model.Model is null && (model.Scorer ?? model.Reading) is not null)
            problems.Add($"model '{model.Key}': scorer and reading belong to a model that is run; its scores or features are given");
        if (model.PatchSize is <= 0)
            problems.Add($"model '{model.Key}': patchSize is {model.PatchSize}; a number of pixels above 0 was expected");
        if (model.MillionParameters is { } millions && !(millions is > 0 and < 1e9))
            problems.Add($"model '{model.Key}': millionParameters is {NumberText.Format(millions)}; a number above 0 was expected");
        foreach (string? path in new[] { model.Model, model.ImageFeatures }.Concat(model.TextFeatures.Values).Concat(model.Scores.Values.SelectMany(static files => new[] { files.Softmax, files.Cosine })).Where(static path => path is not null))
            Named(problems, $"a path of model '{model.Key}'", path!);
        if (sources != 1 && !(hasScores && model.Model is null))
            problems.Add($"model '{model.Key}' needs exactly one of model, scores, or imageFeatures with textFeatures");
        if (hasFeatures && !hasScores && (model.ImageFeatures is null || spec.Experiments.Any(experiment => !model.TextFeatures.ContainsKey(experiment.Key))))
            problems.Add($"model '{model.Key}' needs imageFeatures, and textFeatures of every experiment");
        if (hasScores && spec.Experiments.Any(experiment => !model.Scores.ContainsKey(experiment.Key)))
            problems.Add($"model '{model.Key}' needs scores of every experiment");
        foreach ((string key, ScoreFiles files) in model.Scores)
        {
            if (files.Softmax is null && files.Cosine is null)
                problems.Add($"model '{model.Key}': scores of '{key}' name neither softmax nor cosine");
        }

        foreach (string key in model.Scores.Keys.Concat(model.TextFeatures.Keys).Distinct().Where(key => spec.Experiments.All(experiment => experiment.Key != key)))
            problems.Add($"model '{model.Key}' has scores or features of '{key}', which is no experiment");
        if (model.Sha256 is { } hash && (hash.Length is < 8 or > 64 || !hash.All(char.IsAsciiHexDigitLower)))
            problems.Add($"model '{model.Key}': sha256 needs 8 to 64 lower-case hexadecimal digits");
    }

    private static void CheckExperiment(List<string> problems, ExperimentSpec experiment)
    {
        Named(problems, "an experiment's key", experiment.Key);
        Named(problems, $"the title of experiment '{experiment.Key}'", experiment.Title);
        Named(problems, $"the template of experiment '{experiment.Key}'", experiment.Template);
        if (experiment.Labels.Count < 2)
            problems.Add($"experiment '{experiment.Key}' needs two labels or more");
        foreach (LabelSpec label in experiment.Labels)
        {
            Named(problems, $"a label of experiment '{experiment.Key}'", label.Text);
            if (label.Group is { } group)
                Named(problems, $"the group of label '{label.Text}' of experiment '{experiment.Key}'", group);
        }

        foreach (string name in experiment.Factors.Concat(experiment.Merged.Select(static merged => merged.Name)))
            Named(problems, $"a factor or merged label of experiment '{experiment.Key}'", name);
        Unique(problems, $"experiment '{experiment.Key}', labels", experiment.Labels.Select(label => label.Text));
        Unique(problems, $"experiment '{experiment.Key}', merged labels", experiment.Merged.Select(merged => merged.Name));
        string[] labels = [.. experiment.Labels.Select(label => label.Text)];
        foreach (MergedLabelSpec merged in experiment.Merged)
        {
            if (labels.Contains(merged.Name))
                problems.Add($"experiment '{experiment.Key}': merged label '{merged.Name}' has the name of a label");
            foreach (string label in merged.Labels.Where(label => !labels.Contains(label)))
                problems.Add($"experiment '{experiment.Key}': merged label '{merged.Name}' names '{label}', which is no label of it");
        }
    }

    private static void CheckSensitivity(List<string> problems, AuditSpec spec, SensitivitySpec sensitivity)
    {
        CheckLabels(problems, spec, "sensitivity", sensitivity.Experiment, [.. sensitivity.Synonyms.Keys], withMerged: false);
        ExperimentSpec? experiment = spec.Experiments.FirstOrDefault(entry => entry.Key == sensitivity.Experiment);
        Unique(problems, "sensitivity, templates", experiment is null ? sensitivity.Templates : sensitivity.Templates.Prepend(experiment.Template));
        Unique(problems, "sensitivity, label sets", sensitivity.LabelSets.Concat(sensitivity.NeutralSets).Select(set => set.Name));
        foreach (LabelSetSpec set in sensitivity.LabelSets.Concat(sensitivity.NeutralSets))
        {
            if (set.Labels.Count < 2)
                problems.Add($"sensitivity: label set '{set.Name}' needs two labels or more");
            Unique(problems, $"sensitivity, label set '{set.Name}'", set.Labels);
        }

        foreach ((string label, IReadOnlyList<string> synonyms) in sensitivity.Synonyms)
        {
            Unique(problems, $"sensitivity, synonyms of '{label}'", synonyms.Prepend(label));
            // A label set with the same word twice would split its probability; and the grid would compare a label with another one.
            // Neutral sets are asked with the label's own word only.
            IEnumerable<(string Set, IEnumerable<string> Labels)> sets = sensitivity.LabelSets.Where(set => set.Labels.Contains(label)).Select(static set => ($"label set '{set.Name}'", (IEnumerable<string>)set.Labels));
            if (experiment is not null)
                sets = sets.Prepend(($"experiment '{experiment.Key}'", experiment.Labels.Select(static entry => entry.Text)));
            foreach ((string set, IEnumerable<string> labels) in sets)
            {
                foreach (string synonym in synonyms.Where(synonym => synonym != label && labels.Contains(synonym)))
                    problems.Add($"sensitivity: the synonym '{synonym}' of '{label}' is a label of {set} itself");
            }
        }
    }

    private static void CheckMeasures(List<string> problems, AuditSpec spec)
    {
        if (spec.HasMeasures && spec.Models.All(model => model.Model is null))
            problems.Add("representationBias, associationBias, ranking, accuracy and retrieval need a model that is a checkpoint, and no model of the spec is one");
        if (spec.RepresentationBias is { } representation)
        {
            CheckTemplates(problems, "representationBias", [representation.Template]);
            CheckPair(problems, "representationBias", representation.First, representation.Second);
        }

        if (spec.AssociationBias is { } association)
        {
            CheckTemplates(problems, "associationBias", [association.Template]);
            if (association.Pairs.Count == 0)
                problems.Add("associationBias: pairs is empty");
            foreach (WordPairSpec pair in association.Pairs)
                CheckPair(problems, "associationBias", pair.First, pair.Second);
            Unique(problems, "associationBias, pairs", association.Pairs.Select(pair => $"{pair.First}/{pair.Second}"));
        }

        if (spec.Ranking is { } ranking)
        {
            if (ranking.Sentences.Count == 0)
                problems.Add("ranking: sentences is empty");
            foreach (string sentence in ranking.Sentences)
                Named(problems, "a sentence of ranking", sentence);
            Unique(problems, "ranking, sentences", ranking.Sentences);
            if (ranking.Top.Count == 0 || ranking.Top.Any(top => top < 1))
                problems.Add("ranking: top needs numbers of images, 1 or more");
            Unique(problems, "ranking, top", ranking.Top.Select(top => $"{top}"));
        }

        if (spec.Accuracy is { } accuracy)
        {
            CheckTemplates(problems, "accuracy", accuracy.Templates);
            if (accuracy.Classes.Count < 2)
                problems.Add("accuracy needs two classes or more");
            foreach ((string name, string text) in accuracy.Classes)
            {
                Named(problems, "a class of accuracy", name);
                Named(problems, $"the words of class '{name}' of accuracy", text);
            }
        }
    }

    private static void CheckPair(List<string> problems, string where, string first, string second)
    {
        Named(problems, $"a word of {where}", first);
        Named(problems, $"a word of {where}", second);
        if (first == second)
            problems.Add($"{where}: '{first}' is held against itself");
    }

    private static void CheckTemplates(List<string> problems, string where, IReadOnlyList<string> templates)
    {
        if (templates.Count == 0)
            problems.Add($"{where}: templates is empty");
        Unique(problems, $"{where}, templates", templates);
        foreach (string template in templates)
        {
            try
            {
                PromptTemplate.Fill(template, "word");
            }
            catch (BadInputException exception)
            {
                problems.Add($"{where}: {exception.InputSource}: {exception.Problem.TrimEnd('.')}");
            }
        }
    }

    private static void CheckLabels(List<string> problems, AuditSpec spec, string where, string experiment, IReadOnlyList<string> labels, bool withMerged = true)
    {
        ExperimentSpec? found = spec.Experiments.FirstOrDefault(entry => entry.Key == experiment);
        if (found is null)
            problems.Add($"{where} names experiment '{experiment}', which is not declared");
        foreach (string label in labels.Where(label => found is not null && found.Labels.All(entry => entry.Text != label) && !(withMerged && found.Merged.Any(entry => entry.Name == label))))
            problems.Add($"{where} names label '{label}', which experiment '{experiment}' does not have");
    }

    private static void Named(List<string> problems, string what, string text)
    {
        if (string.IsNullOrWhiteSpace(text))
            problems.Add($"{what} is empty");
        else if (text.Any(char.IsControl))
            problems.Add($"{what}, '{BadInputException.Escape(text, 60)}', holds a control character");
    }

    private static void Unique(List<string> problems, string where, IEnumerable<string> keys)
    {
        foreach (string key in keys.GroupBy(key => key).Where(group => group.Count() > 1).Select(group => group.Key))
            problems.Add($"{where}: '{key}' is there more than once");
    }
}
