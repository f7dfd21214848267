using System.Text.Json;
using System.Text.RegularExpressions;
using ClipEngine.Audit.Results;
using ClipEngine.Files;

namespace ClipEngine.Audit.Verification;

/// <summary>How a published value compares with a run's.</summary>
internal enum Verdict
{
    /// <summary>The same within the rounding that it was published with.</summary>
    Matches,

    /// <summary>Another value.</summary>
    Differs,

    /// <summary>The run has not what the statement is about.</summary>
    NotInRun,

    /// <summary>The statement is not one that can be read here.</summary>
    NotUnderstood,
}

/// <summary>One published value beside the run's.</summary>
/// <param name="Statement">What is stated.</param>
/// <param name="Published">The published value, as written; percent, percentage points or share as the statement says.</param>
/// <param name="Measured">The run's, in the same unit; null where it has none.</param>
/// <param name="Tolerance">How far apart rounding alone can put them; 1 where the value was cut off, not rounded.</param>
/// <param name="Verdict">What came out.</param>
/// <param name="Remark">What limits the comparison; may be empty.</param>
internal sealed record VerifiedValue(string Statement, string Published, double? Measured, double Tolerance, Verdict Verdict, string Remark);

/// <summary>Holds a run against published values.</summary>
/// <remarks>
/// The file has <c>models</c> (<c>architecture|tag</c>, experiment, <c>argmax_percent</c> or <c>mean_percent</c>, group, label),
/// <c>group_counts</c>, and <c>paper_statements</c>: sentences of the forms
/// <c>... ARCHITECTURE TRAINING LABEL argmax percent</c>, <c>... ARCHITECTURE LABEL increase 400M-&gt;2B, percentage points</c> and
/// <c>... race-gender: GROUP-&gt;LABEL</c>, with values by group or by tag. <c>(floor)</c> marks values that were cut off.
/// </remarks>
internal static partial class PublishedValues
{
    private const double TableTolerance = 1e-6;

    /// <summary>Checks every value of a file.</summary>
    /// <param name="result">The run.</param>
    /// <param name="path">The file.</param>
    /// <exception cref="BadInputException">Missing, no JSON, or without any value.</exception>
    public static IReadOnlyList<VerifiedValue> Verify(AuditResult result, string path)
    {
        using var culture = InvariantCulture.Begin();
        ArgumentNullException.ThrowIfNull(result);
        var values = new List<VerifiedValue>();
        try
        {
            using JsonDocument document = JsonDocument.Parse(TextFile.ReadDocument(path, "published values (JSON)"));
            JsonElement root = document.RootElement;
            if (root.TryGetProperty("group_counts", out JsonElement counts))
                values.AddRange(counts.EnumerateObject().Select(group => Count(result, group)));
            if (root.TryGetProperty("models", out JsonElement models))
                values.AddRange(models.EnumerateObject().SelectMany(model => Tables(result, model)));
            if (root.TryGetProperty("paper_statements", out JsonElement statements))
                values.AddRange(statements.EnumerateObject().SelectMany(statement => Statement(result, statement)));
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or FormatException)
        {
            throw new BadInputException(path, $"not a file of published values: {BadInputException.Escape(exception.Message, 200)}", "It needs models, group_counts or paper_statements, with numbers.", exception);
        }

        return values.Count > 0 ? values : throw new BadInputException(path, "the file holds no published values.", "It needs models, group_counts or paper_statements.");
    }

    private static VerifiedValue Count(AuditResult result, JsonProperty group)
    {
        int? measured = result.Probe.Groups.FirstOrDefault(entry => entry.Key == group.Name)?.ImageCount;
        return Value($"images of {group.Name}", group.Value.GetRawText(), measured, 0, "");
    }

    private static IEnumerable<VerifiedValue> Tables(AuditResult result, JsonProperty model)
    {
        string key = model.Name.Replace('|', '/');
        foreach (JsonProperty experiment in model.Value.EnumerateObject())
        {
            ModelExperimentResult? measured = Find(result, experiment.Name, key);
            foreach (JsonProperty table in experiment.Value.EnumerateObject())
            {
                IReadOnlyList<GroupMetricFrame>? frames = table.Name switch
                {
                    "argmax_percent" => measured?.ArgmaxFrequency ?? [],
                    "mean_percent" => measured?.MeanProbability ?? [],
                    _ => null,
                };
                foreach (JsonProperty group in table.Value.EnumerateObject())
                {
                    foreach (JsonProperty label in group.Value.EnumerateObject())
                    {
                        string text = $"{key}, {experiment.Name}, {table.Name}, {group.Name}, {label.Name}";
                        yield return frames is null
                            ? new VerifiedValue(text, label.Value.GetRawText(), null, 0, Verdict.NotUnderstood, $"'{table.Name}' is no table that is known here")
                            : Value(text, label.Value.GetRawText(), 100 * Share(frames, label.Name, group.Name), TableTolerance, "");
                    }
                }
            }
        }
    }

    private static IEnumerable<VerifiedValue> Statement(AuditResult result, JsonProperty statement)
    {
        bool isCut = statement.Name.Contains("(floor)", StringComparison.Ordinal);
        Match level = LevelPattern().Match(statement.Name);
        Match increase = IncreasePattern().Match(statement.Name);
        Match confusion = ConfusionPattern().Match(statement.Name);
        foreach (JsonProperty value in statement.Value.EnumerateObject())
        {
            string published = value.Value.GetRawText();
            double tolerance = isCut ? 1 : Rounding(published);
            string text = $"{statement.Name}: {value.Name}";
            if (confusion.Success)
            {
                IEnumerable<ModelExperimentResult> models = Models(result, "racegender", "", value.Name);
                yield return Averaged(text, published, models, confusion.Groups["label"].Value, confusion.Groups["group"].Value, 1, tolerance, isCut);
            }
            else if (level.Success)
            {
                IEnumerable<ModelExperimentResult> models = Models(result, "human", level.Groups["architecture"].Value, level.Groups["training"].Value);
                yield return Averaged(text, published, models, level.Groups["label"].Value, value.Name, 100, tolerance, isCut);
            }
            else if (increase.Success)
            {
                string architecture = increase.Groups["architecture"].Value;
                VerifiedValue first = Averaged(text, published, Models(result, "human", architecture, increase.Groups["first"].Value), increase.Groups["label"].Value, value.Name, 100, tolerance, false);
                VerifiedValue second = Averaged(text, published, Models(result, "human", architecture, increase.Groups["second"].Value), increase.Groups["label"].Value, value.Name, 100, tolerance, false);
                string remark = $"from {first.Remark} to {second.Remark}";
                yield return Value(text, published, second.Measured - first.Measured, tolerance, remark, isCut);
            }
            else
            {
                yield return new VerifiedValue(text, published, null, tolerance, Verdict.NotUnderstood, "the sentence has none of the known forms");
            }
        }
    }

    /// <summary>Models whose key names the architecture and the training: <c>400M</c> and <c>2B</c> stand for the training sets' tags.</summary>
    private static IEnumerable<ModelExperimentResult> Models(AuditResult result, string experiment, string architecture, string training) =>
        result.Experiments.FirstOrDefault(entry => entry.Key == experiment)?.Models.Where(model =>
        {
            int split = model.Model.LastIndexOf('/');
            string name = split < 0 ? "" : model.Model[..split];
            string tag = model.Model[(split + 1)..];
            return (architecture.Length == 0 || name == architecture)
                && (tag == training || tag.Contains(training.ToLowerInvariant() is "400m" or "2b" ? $"laion{training.ToLowerInvariant()}" : training + "_", StringComparison.Ordinal));
        }) ?? [];

    private static VerifiedValue Averaged(
        string text, string published, IEnumerable<ModelExperimentResult> models, string label, string group, double factor, double tolerance, bool isCut)
    {
        ModelExperimentResult[] found = [.. models];
        double?[] shares = [.. found.Select(model => Share(model.ArgmaxFrequency, label, group))];
        double? measured = shares.Length == 0 || shares.Contains(null) ? null : factor * shares.Average();
        return Value(text, published, measured, tolerance, string.Join(" and ", found.Select(model => model.Model)), isCut);
    }

    private static VerifiedValue Value(string text, string published, double? measured, double tolerance, string remark, bool isCut = false)
    {
        if (!NumberText.TryParse(published, out double expected))
            throw new FormatException($"{text}: '{BadInputException.Escape(published, 60)}' is no number");
        // A hair more than the rounding: 0.5 in binary may come out on either side.
        bool matches = measured is double value && (isCut ? Math.Floor(value + 1e-9) == expected : Math.Abs(value - expected) <= tolerance + 1e-9);
        Verdict verdict = measured is null ? Verdict.NotInRun : matches ? Verdict.Matches : Verdict.Differs;
        return new VerifiedValue(text, published, measured, tolerance, verdict, remark);
    }

    private static double? Share(IReadOnlyList<GroupMetricFrame> frames, string label, string group) =>
        frames.FirstOrDefault(frame => frame.Subject == label)?.Groups.FirstOrDefault(entry => entry.Group == group)?.Estimate.Value;

    private static ModelExperimentResult? Find(AuditResult result, string experiment, string model) =>
        result.Experiments.FirstOrDefault(entry => entry.Key == experiment)?.Models.FirstOrDefault(entry => entry.Model == model);

    /// <summary>Half a unit of the last digit that was written.</summary>
    private static double Rounding(string published)
    {
        int point = published.IndexOf('.', StringComparison.Ordinal);
        int decimals = point < 0 ? 0 : published.Length - point - 1;
        return 0.5 * Math.Pow(10, -decimals);
    }

    [GeneratedRegex(@"(?<architecture>ViT-\S+) (?<training>\S+) (?<label>.+?) argmax percent", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex LevelPattern();

    [GeneratedRegex(@"(?<architecture>ViT-\S+) (?<label>.+?) increase (?<first>[^\s>]+)->(?<second>[^\s,]+), percentage points", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex IncreasePattern();

    [GeneratedRegex(@"race-gender: (?<group>\S+?)->(?<label>.+)$", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex ConfusionPattern();
}
