using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Scores;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Verification;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Verification;

public class PublishedValuesTests
{
    /// <summary>Three of four images of group A are given x: 75 %.</summary>
    [Theory]
    [InlineData("""{ "group_counts": { "A": 4 } }""", nameof(Verdict.Matches))]
    [InlineData("""{ "group_counts": { "A": 5 } }""", nameof(Verdict.Differs))]
    [InlineData("""{ "models": { "ViT-X|large": { "human": { "argmax_percent": { "A": { "x": 75.0 } } } } } }""", nameof(Verdict.Matches))]
    [InlineData("""{ "models": { "ViT-X|large": { "human": { "argmax_percent": { "A": { "x": 75.1 } } } } } }""", nameof(Verdict.Differs))]
    [InlineData("""{ "models": { "ViT-X|small": { "human": { "argmax_percent": { "A": { "x": 75.0 } } } } } }""", nameof(Verdict.NotInRun))]
    [InlineData("""{ "models": { "ViT-X|large": { "human": { "medians": { "A": { "x": 75.0 } } } } } }""", nameof(Verdict.NotUnderstood))]
    [InlineData("""{ "paper_statements": { "3 ViT-X large x argmax percent": { "A": 75 } } }""", nameof(Verdict.Matches))]
    [InlineData("""{ "paper_statements": { "3 ViT-X large x argmax percent": { "A": 76 } } }""", nameof(Verdict.Differs))]
    [InlineData("""{ "paper_statements": { "all is well": { "A": 76 } } }""", nameof(Verdict.NotUnderstood))]
    public void AValueMatchesWithinItsRounding(string json, string verdict)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("probe.csv"), "id,group\n1,A\n2,A\n3,A\n4,A\n");
        NpyFile.Write<float>(folder.File("s.npy"), [0.9f, 0.1f, 0.8f, 0.2f, 0.7f, 0.3f, 0.4f, 0.6f], 4, 2);
        File.WriteAllText(folder.File("expected.json"), json);
        AuditResult result = ScoreAudit.Run(new ScoreAuditRequest
        {
            SoftmaxFile = folder.File("s.npy"),
            MetadataFile = folder.File("probe.csv"),
            Columns = new ProbeColumns { Group = ["group"] },
            Experiment = LabelSets.Resolve("x,y") with { Key = "human" },
            Model = "ViT-X/large",
            Intervals = new IntervalOptions { Resamples = 99 },
        });
        Assert.Equal(verdict, Assert.Single(PublishedValues.Verify(result, folder.File("expected.json"))).Verdict.ToString());
    }
}
