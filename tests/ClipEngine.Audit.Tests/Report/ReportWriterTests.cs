using System.Text.RegularExpressions;
using System.Xml.Linq;
using ClipEngine.Audit.Figures;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Report;

public partial class ReportWriterTests
{
    private static readonly AuditResult Result = SampleResult.Make();
    private static readonly IReadOnlyList<AuditFigure> Figures = FigureSet.Make(Result);
    private static readonly string Page = ReportWriter.Compose(Result, Figures);

    [Fact]
    public void ThePageAndEveryFigureAreWrittenAndOldFiguresRemoved()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder.File("figures"));
        File.WriteAllText(folder.File("figures", "of-an-earlier-run.svg"), "<svg/>");
        new ReportWriter().Write(Result, folder.Root);
        Assert.True(File.Exists(folder.File("report.html")));
        Assert.Equal(Figures.Select(figure => figure.Name + ".svg").Order(StringComparer.Ordinal),
            Directory.GetFiles(folder.File("figures")).Select(path => Path.GetFileName(path)!).Order(StringComparer.Ordinal));
        if (Environment.GetEnvironmentVariable("CLIPENGINE_FIGURES") is { Length: > 0 } shown)
            new ReportWriter().Write(Result, Directory.CreateDirectory(shown).FullName);
    }

    [Fact]
    public void TheSameResultGivesTheSameBytes() => Assert.Equal(Page, ReportWriter.Compose(SampleResult.Make(), FigureSet.Make(SampleResult.Make())));

    [Fact]
    public void NothingIsLoadedAndNothingRuns()
    {
        Assert.DoesNotContain("<script", Page, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("<link", Page, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("default-src 'none'", Page, StringComparison.Ordinal);
        Assert.All(References().Matches(Page), match => Assert.True(match.Groups["target"].Value.StartsWith('#') || match.Groups["target"].Value.StartsWith("data:", StringComparison.Ordinal), match.Value));
    }

    [Fact]
    public void HostileNamesAreText()
    {
        Assert.DoesNotContain("<b>copper", Page, StringComparison.Ordinal);
        Assert.Contains("&lt;b&gt;copper&lt;/b&gt;", Page, StringComparison.Ordinal);
    }

    [Fact]
    public void TheMarkupIsBalancedAndEveryAnchorExistsOnce()
    {
        // Written without shorthand, the page is XML but for the doctype and the two void elements in the head.
        string xml = VoidElements().Replace(Page.Replace("<!doctype html>", "", StringComparison.Ordinal), "${tag}/>");
        XElement root = XDocument.Parse(xml).Root!;
        var ids = root.Descendants().Attributes("id").Where(attribute => attribute.Parent!.Name.LocalName != "pattern").Select(attribute => attribute.Value).ToList();
        Assert.Equal(ids.Count, ids.Distinct(StringComparer.Ordinal).Count());
        Assert.All(root.Descendants("a").Attributes("href"), target => Assert.Contains(target.Value[1..], ids));
    }

    [Fact]
    public void TheContentNoteComesBeforeAnyLabel() =>
        Assert.True(Page.IndexOf("Before you read on", StringComparison.Ordinal) < Page.IndexOf("granite", StringComparison.Ordinal));

    /// <summary>The note stands where a label set asks for it, whatever its labels are, and nowhere else.</summary>
    [Fact]
    public void TheNoteOnInsultsStandsWhereTheLabelSetAsksForIt()
    {
        AuditResult harmless = Result with { Experiments = [.. Result.Experiments.Select(experiment => experiment with { HasOffensiveLabels = false })] };
        Assert.DoesNotContain("insult", ReportWriter.Compose(harmless, Figures), StringComparison.Ordinal);
        AuditResult one = Result with { Experiments = [Result.Experiments[0] with { HasOffensiveLabels = false }, Result.Experiments[1] with { HasOffensiveLabels = true }] };
        Assert.Contains("words that insult and dehumanise people", ReportWriter.Compose(one, Figures), StringComparison.Ordinal);
    }

    /// <summary>A caption names a study's figure where the spec says which, and only for that kind.</summary>
    [Fact]
    public void CaptionsNameAFigureOfAStudyOnlyWhereTheSpecDoes()
    {
        Assert.All(Figures, figure => Assert.DoesNotContain("study", figure.Caption.Replace("in the study", "", StringComparison.Ordinal), StringComparison.Ordinal));
        IReadOnlyList<AuditFigure> noted = FigureSet.Make(Result with { FigureNotes = new Dictionary<string, string> { ["confusion"] = "Figure 9 of the study" } });
        Assert.All(noted, figure => Assert.Equal(figure.Kind == "confusion", figure.Caption.EndsWith(". Figure 9 of the study.", StringComparison.Ordinal)));
        Assert.Contains(noted, figure => figure.Kind == "confusion");
        Assert.All(Figures, figure => Assert.Contains(figure.Kind, FigureKinds.All));
    }

    [Fact]
    public void AnEmptyGroupIsUndefinedAndNeverZero()
    {
        Assert.Contains("undefined (n = 0)", Page, StringComparison.Ordinal);
        Assert.DoesNotContain("NaN", Page, StringComparison.Ordinal);
    }

    [Fact]
    public void TheFailedModelAndTheMismatchAreSaidInTheSummary()
    {
        string summary = Page[Page.IndexOf("id=\"summary\"", StringComparison.Ordinal)..Page.IndexOf("<nav", StringComparison.Ordinal)];
        Assert.Contains("the file ends inside the header", summary, StringComparison.Ordinal);
        Assert.Contains("Activation mismatch", summary, StringComparison.Ordinal);
        Assert.Contains("Checkpoints of one training run count as one", summary, StringComparison.Ordinal);
    }

    [Fact]
    public void ARunsOwnNoteTakesThePlaceOfTheStandingOne()
    {
        Assert.Contains("Replaced by the run.", Page, StringComparison.Ordinal);
        Assert.DoesNotContain("Rates swing with the template", Page, StringComparison.Ordinal);
    }

    [Fact]
    public void EveryFigureStandsInThePageAndIsWellFormed()
    {
        Assert.Equal(Figures.Count, Figures.Select(figure => figure.Name).Distinct(StringComparer.Ordinal).Count());
        foreach (AuditFigure figure in Figures)
        {
            XDocument.Parse(figure.Svg);
            Assert.Contains($"<figure id=\"{figure.Name}\">", Page, StringComparison.Ordinal);
        }
    }

    [GeneratedRegex("(href|src)=\"(?<target>[^\"]*)\"", RegexOptions.ExplicitCapture, 5000)]
    private static partial Regex References();

    [GeneratedRegex("(?<tag><meta [^>]*)>", RegexOptions.ExplicitCapture, 5000)]
    private static partial Regex VoidElements();
}
