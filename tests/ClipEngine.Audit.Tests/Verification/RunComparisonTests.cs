using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Scores;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Verification;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Verification;

public class RunComparisonTests
{
    [Fact]
    public void ChangesAreCountedImageByImage()
    {
        using var folder = new TemporaryFolder();
        AuditResult first = Audit(folder, "first", "1,A\n2,A\n3,A\n4,B\n", [0.9f, 0.1f, 0.8f, 0.2f, 0.4f, 0.6f, 0.3f, 0.7f]);
        AuditResult second = Audit(folder, "second", "1,A\n2,A\n3,A\n4,B\n", [0.9f, 0.1f, 0.3f, 0.7f, 0.4f, 0.6f, 0.3f, 0.7f]);
        ModelChange change = Assert.Single(RunComparison.Compare(first, second));
        Assert.Equal(0.75, change.SameLabel.Value);
        Assert.Equal(0.5, change.LargestChange, 1e-6);
        RateChange x = change.Rates.Single(rate => rate is { Label: "x", Group: "A" });
        Assert.Equal((2 / 3.0, 1 / 3.0), (x.First!.Value, x.Second!.Value));
        Assert.Equal(-1 / 3.0, x.Difference.Value!.Value, 12);
        Assert.Equal(new McNemarCounts(1, 0, 1), x.McNemar);
    }

    [Fact]
    public void OtherImagesAreRefused()
    {
        using var folder = new TemporaryFolder();
        AuditResult first = Audit(folder, "first", "1,A\n2,A\n", [0.9f, 0.1f, 0.8f, 0.2f]);
        AuditResult second = Audit(folder, "second", "1,A\n3,A\n", [0.9f, 0.1f, 0.8f, 0.2f]);
        Assert.Contains("first difference at row 1", Assert.Throws<BadInputException>(() => RunComparison.Compare(first, second)).Message);
    }

    private static AuditResult Audit(TemporaryFolder folder, string name, string rows, float[] scores)
    {
        File.WriteAllText(folder.File(name + ".csv"), "id,group\n" + rows);
        NpyFile.Write<float>(folder.File(name + ".npy"), scores, scores.Length / 2, 2);
        return ScoreAudit.Run(new ScoreAuditRequest
        {
            SoftmaxFile = folder.File(name + ".npy"),
            MetadataFile = folder.File(name + ".csv"),
            Columns = new ProbeColumns { Group = ["group"] },
            Experiment = LabelSets.Resolve("x,y"),
            Intervals = new IntervalOptions { Resamples = 99 },
        });
    }
}
