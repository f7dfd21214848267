using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Report;

/// <summary>How numbers are written for the eye: percent with one decimal, an interval beside each, undefined said in words.</summary>
internal static class Wording
{
    /// <summary><c>77.4 % (67.9–84.7)</c>; <c>undefined (n = 0)</c> where nothing was measured.</summary>
    public static string Percent(Estimate estimate) => estimate.Value is not { } value
        ? $"undefined (n = {estimate.Count})"
        : estimate.Interval is { } interval ? $"{value * 100:0.0} % ({interval.Lower * 100:0.0}–{interval.Upper * 100:0.0})" : $"{value * 100:0.0} %";

    /// <summary>The same with two decimals, as published tables have them, for the report's own tables.</summary>
    public static string Percent2(Estimate estimate) => estimate.Value is not { } value
        ? $"undefined (n = {estimate.Count})"
        : estimate.Interval is { } interval ? $"{value * 100:0.00} % ({interval.Lower * 100:0.00}–{interval.Upper * 100:0.00})" : $"{value * 100:0.00} %";

    /// <summary><c>+63.4 points (+52.1 to +73.0)</c>.</summary>
    public static string Points(Estimate estimate) => estimate.Value is not { } value
        ? "undefined"
        : estimate.Interval is { } interval ? $"{Signed(value)} points ({Signed(interval.Lower)} to {Signed(interval.Upper)})" : $"{Signed(value)} points";

    /// <summary><c>0.67 (0.54 to 0.79)</c>.</summary>
    public static string Ratio(Estimate estimate) => estimate.Value is not { } value
        ? "undefined"
        : estimate.Interval is { } interval ? $"{value:0.00} ({interval.Lower:0.00} to {interval.Upper:0.00})" : $"{value:0.00}";

    /// <summary>A value in its own unit, three decimals, with its interval.</summary>
    public static string Plain(Estimate? estimate)
    {
        if (estimate?.Value is not { } value)
            return "undefined";
        string text = value.ToString("0.000");
        if (estimate.Interval is { } interval)
            text += $" ({interval.Lower:0.000} to {interval.Upper:0.000})";
        return text.Replace('-', '−');
    }

    /// <summary><c>p &lt; 0.001</c> or <c>p = 0.012</c>.</summary>
    public static string PValue(double value) => value < 0.001 ? "p < 0.001" : $"p = {value:0.000}";

    /// <summary>A bare share as percent; a dash where undefined.</summary>
    public static string Share(double? value) => value is { } share ? $"{share * 100:0.0} %" : "undefined";

    /// <summary>A group as a reader calls it: <c>latino man (LM)</c>; the key alone where nothing better is known.</summary>
    public static string Group(AuditResult result, string key)
    {
        GroupSummary? group = result.Probe.Groups.FirstOrDefault(entry => entry.Key == key);
        return group is null || group.Description == key ? key : $"{group.Description} ({key})";
    }

    /// <summary>What counts the same, and by what images are weighed, in a sentence or two; empty where every image shows another person and none has a weight.</summary>
    public static string Weighting(AuditResult result)
    {
        string weighed = result.Probe.WeightColumn is { } column
            ? $"All numbers are weighted by '{column}': what is estimated is a weighted share or mean, and {Count(result.Probe.PersonCount, "person")} weigh as {result.Probe.EffectivePersons:0.0} of equal weight would (Kish's effective number)."
            : "";
        string counting = result.Probe.PersonCount == result.Probe.Images.Count ? ""
            : result.Probe.Weighting == Results.Weighting.Person
                ? $"Every person of a group counts {(weighed.Length > 0 ? "by its weight" : "the same")}, with however many images: in every rate, mean, difference and test."
                : $"Every image counts {(weighed.Length > 0 ? "by its weight" : "the same")}, so that a person with many images counts as many times: in every rate, mean, difference and test.";
        return weighed.Length > 0 && counting.Length > 0 ? $"{weighed} {counting}" : weighed + counting;
    }

    /// <summary><c>1 model</c>, <c>3 models</c>.</summary>
    public static string Count(int number, string noun) => $"{number} {noun}{(number == 1 ? "" : "s")}";

    private static string Signed(double share) => (share > 0 ? "+" : "") + (share * 100).ToString("0.0").Replace('-', '−');
}
