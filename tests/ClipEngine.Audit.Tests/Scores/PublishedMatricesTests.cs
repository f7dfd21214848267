using System.Text.Json;
using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Scores;
using ClipEngine.Audit.Specs;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Scores;

/// <summary>The matrices that the authors published, against what must come out of them.</summary>
public class PublishedMatricesTests
{
    [SkippableTheory]
    [InlineData("openai")]
    [InlineData("laion400m_e32")]
    [InlineData("laion2b_s32b_b82k")]
    public void GroupTablesEqualThePublishedOnes(string tag)
    {
        using JsonDocument expected = JsonDocument.Parse(File.ReadAllText(TestData.SharedPath("data", "cfd", "expected.json")));
        JsonElement model = expected.RootElement.GetProperty("models").GetProperty($"ViT-L-14|{tag}");
        foreach (string experiment in new[] { "human", "racegender" })
        {
            AuditResult result = Audit(tag, experiment);
            ModelExperimentResult measured = result.Experiments[0].Models[0];
            foreach ((string table, IReadOnlyList<GroupMetricFrame> frames) in new[] { ("argmax_percent", measured.ArgmaxFrequency), ("mean_percent", measured.MeanProbability) })
            {
                foreach (JsonProperty group in model.GetProperty(experiment).GetProperty(table).EnumerateObject())
                {
                    foreach (JsonProperty label in group.Value.EnumerateObject())
                    {
                        Estimate estimate = frames.Single(frame => frame.Subject == label.Name)[group.Name];
                        Assert.Equal(label.Value.GetDouble(), 100 * estimate.Value!.Value, 1e-6);
                        Assert.Equal(expected.RootElement.GetProperty("group_counts").GetProperty(group.Name).GetInt32(), estimate.Count);
                        // A rate always has an interval; a mean has one unless it does not vary at all.
                        Assert.True(estimate.Interval!.Lower <= estimate.Value && estimate.Value <= estimate.Interval.Upper);
                    }
                }
            }
        }
    }

    [SkippableFact]
    public void TheConfusionsOfThePapersAppendixComeOut()
    {
        (string Tag, double LatinaAsAsian)[] rows = [("openai", 0.411), ("laion400m_e32", 0.125), ("laion2b_s32b_b82k", 0.179)];
        foreach ((string tag, double latinaAsAsian) in rows)
        {
            Confusion confusion = Audit(tag, "racegender").Experiments[0].Models[0].Confusion!;
            Assert.Equal(latinaAsAsian, confusion.Shares[4][0]!.Value, 0.0005);
            Assert.Equal(["race", "gender"], confusion.MisclassifiedByAttribute.Select(frame => frame.Subject));
        }
    }

    private static AuditResult Audit(string tag, string experiment) => ScoreAudit.Run(new ScoreAuditRequest
    {
        SoftmaxFile = TestData.SharedPath("data", "cfd", $"ViT-L-14.{tag}.{experiment}.softmax.npy"),
        MetadataFile = TestData.SharedPath("data", "cfd", "cfd.csv"),
        Columns = new ProbeColumns { Group = ["r_g"], File = "img_neutral" },
        Experiment = LabelSets.Resolve(experiment),
        Intervals = new IntervalOptions { Resamples = 199 },
    });
}
