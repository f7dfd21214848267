using System.Globalization;
using System.Text.RegularExpressions;
using ClipEngine.Audit.Results;
using ClipEngine.Files;

namespace ClipEngine.Audit.Verification;

/// <summary>
/// A bound that an audit must keep, for pipelines: <c>rate</c>, <c>gap</c> or <c>ratio</c> of a label, and a number.
/// </summary>
/// <remarks>
/// <c>rate:criminal&lt;=0.05</c>: in no group of any model is the label given to more than 5 % of the images. <c>gap:criminal&lt;=0.1</c>: no two
/// groups of a model are further apart than 10 points. <c>ratio:criminal&gt;=0.8</c>: the lowest rate of a group is at least 80 % of the
/// highest (the four-fifths rule). Rates are point estimates; a label may be a merged label. A group without images has no rate and keeps every bound.
/// </remarks>
internal sealed partial record AuditBound
{
    private AuditBound(string text, string measure, string label, bool isUpper, double value)
    {
        Text = text;
        Measure = measure;
        Label = label;
        IsUpper = isUpper;
        Value = value;
    }

    /// <summary>The bound as it was written.</summary>
    public string Text { get; }

    /// <summary><c>rate</c>, <c>gap</c> or <c>ratio</c>.</summary>
    public string Measure { get; }

    /// <summary>The label or merged label.</summary>
    public string Label { get; }

    /// <summary>Whether values above the number break the bound, or those below it.</summary>
    public bool IsUpper { get; }

    /// <summary>The number, in [0, 1].</summary>
    public double Value { get; }

    /// <summary>Reads a bound.</summary>
    /// <exception cref="BadInputException">The text has another form.</exception>
    public static AuditBound Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        Match match = Form().Match(text);
        return match.Success && NumberText.TryParse(match.Groups["value"].Value, out double value) && value is >= 0 and <= 1
            ? new AuditBound(text, match.Groups["measure"].Value, match.Groups["label"].Value.Trim(), match.Groups["sign"].Value == "<=", value)
            : throw new BadInputException("--bound", $"expected rate:LABEL<=NUMBER, gap:LABEL<=NUMBER or ratio:LABEL>=NUMBER with a number from 0 to 1, found '{BadInputException.Escape(text, 200)}'.", "For instance rate:criminal<=0.05.");
    }

    /// <summary>Holds a result against the bound.</summary>
    /// <returns>A finding for each model and experiment that has the label: what was found, of whom, and whether it keeps the bound.</returns>
    /// <exception cref="BadInputException">No experiment of the audit has such a label.</exception>
    public IReadOnlyList<BoundFinding> Check(AuditResult result)
    {
        ArgumentNullException.ThrowIfNull(result);
        List<BoundFinding> findings = [];
        foreach (ExperimentResult experiment in result.Experiments)
        {
            foreach (ModelExperimentResult model in experiment.Models)
            {
                if (model.ArgmaxFrequency.Concat(model.MergedArgmaxFrequency).FirstOrDefault(frame => frame.Subject == Label) is { } frame)
                    findings.Add(Check(frame, model.Model, experiment.Key));
            }
        }

        if (findings.Count > 0)
            return findings;
        IEnumerable<string> known = result.Experiments.SelectMany(static experiment => experiment.Labels.Select(static label => label.Text).Concat(experiment.MergedLabels.Select(static merged => merged.Name)));
        throw new BadInputException("--bound", $"no experiment has the label '{BadInputException.Escape(Label, 80)}'; there are {string.Join(", ", known.Distinct().Take(40).Select(static label => BadInputException.Escape(label, 60)))}.");
    }

    private BoundFinding Check(GroupMetricFrame frame, string model, string experiment)
    {
        (string Group, double Rate)[] rates = [.. frame.Groups.Where(static group => group.Estimate.Value is not null).Select(static group => (group.Group, group.Estimate.Value!.Value))];
        if (rates.Length == 0)
            return new BoundFinding(model, experiment, null, "", true);
        (string Group, double Rate) lowest = rates.MinBy(static rate => rate.Rate), highest = rates.MaxBy(static rate => rate.Rate);
        (double found, string groups) = Measure switch
        {
            "rate" => IsUpper ? (highest.Rate, highest.Group) : (lowest.Rate, lowest.Group),
            "gap" => (highest.Rate - lowest.Rate, $"{highest.Group} and {lowest.Group}"),
            // Where nobody is given the label everybody is treated alike.
            _ => (highest.Rate == 0 ? 1 : lowest.Rate / highest.Rate, $"{lowest.Group} and {highest.Group}"),
        };
        return new BoundFinding(model, experiment, found, groups, IsUpper ? found <= Value : found >= Value);
    }

    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Measure}:{Label}{(IsUpper ? "<=" : ">=")}{Value}");

    [GeneratedRegex("^(?<measure>rate|gap|ratio):(?<label>.+?)(?<sign><=|>=)(?<value>[0-9.eE+-]+)$", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Form();
}

/// <summary>What a model's results say of a bound.</summary>
/// <param name="Model">The model.</param>
/// <param name="Experiment">The experiment.</param>
/// <param name="Found">The rate, gap or ratio; null where no group has images.</param>
/// <param name="Groups">Whose it is.</param>
/// <param name="IsKept">Whether it keeps the bound.</param>
internal sealed record BoundFinding(string Model, string Experiment, double? Found, string Groups, bool IsKept);

/// <summary>A bound and a model's finding, as JSON output carries them.</summary>
/// <param name="Bound">The bound.</param>
/// <param name="Finding">The finding.</param>
internal sealed record CheckedBound(string Bound, BoundFinding Finding);
