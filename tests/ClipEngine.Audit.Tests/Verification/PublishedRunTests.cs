using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Tests.Runs;
using ClipEngine.Audit.Verification;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Verification;

/// <summary>The published matrices through a whole run, held against the published values.</summary>
public class PublishedRunTests
{
    [SkippableFact]
    public void ARunOverThePublishedMatricesReproducesAllButTheAveragedIncrease()
    {
        string data = TestData.SharedPath("data", "cfd");
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("spec.json"), PublishedSpec(data));
        AuditResult result = new AuditRun(folder.File("spec.json"), folder.File("out"), new FakeModels(), new ReportWriter()).Execute();

        IReadOnlyList<VerifiedValue> values = PublishedValues.Verify(ResultDirectory.Read(folder.File("out")), Path.Combine(data, "expected.json"));
        Assert.Equal(8 + (3 * 2 * 2 * 64) + 4 + 2 + 5, values.Count);
        // The text averages e31 and e32; only e32's matrix is published.
        VerifiedValue[] others = [.. values.Where(value => value.Verdict != Verdict.Matches)];
        Assert.All(others, value => Assert.Contains("increase", value.Statement));
        Assert.All(others, value => Assert.Equal(Verdict.Differs, value.Verdict));
        Assert.All(values, value => Assert.NotEqual(Verdict.NotInRun, value.Verdict));

        ArmComparison blackMen = result.Comparisons.Single(entry => entry is { Experiment: "human", Label: "criminal", Group: "BM" });
        Assert.Equal(77.42 - 13.98, 100 * blackMen.RateDifference.Value!.Value, 0.01);
        Assert.True(blackMen.RateDifference.Interval!.Lower > 0.5);
        Assert.True(blackMen.RateTest!.Holm < 0.05);
        Assert.NotNull(result.Experiments[0].Models[0].Margin);
        Assert.Equal(1, result.Experiments[0].Models[0].TextSimilarity![0][0], 1e-6);
    }

    /// <summary>The shipped spec with the three published models, their matrices and their text features.</summary>
    internal static string PublishedSpec(string data)
    {
        string File(string tag, string kind) => Path.Combine(data, $"ViT-L-14.{tag}.{kind}.npy").Replace("\\", "/", StringComparison.Ordinal);
        IEnumerable<string> models = new[] { "openai", "laion400m_e32", "laion2b_s32b_b82k" }.Select(tag => $$"""
            { "key": "ViT-L-14/{{tag}}", "architecture": "ViT-L-14", "patchSize": 14,
              "scores": { "human": { "softmax": "{{File(tag, "human.softmax")}}", "cosine": "{{File(tag, "human.cosine")}}" },
                          "racegender": { "softmax": "{{File(tag, "racegender.softmax")}}", "cosine": "{{File(tag, "racegender.cosine")}}" } },
              "textFeatures": { "human": "{{File(tag, "human.text_features")}}", "racegender": "{{File(tag, "racegender.text_features")}}" } }
            """);
        AuditSpec paper = SpecReader.Paper();
        string Labels(string key) => string.Join(", ", paper.Experiments.Single(experiment => experiment.Key == key).Labels
            .Select(label => label.Group is null ? $$"""{ "text": "{{label.Text}}" }""" : $$"""{ "text": "{{label.Text}}", "group": "{{label.Group}}" }"""));
        return $$"""
            {
              "title": "The published ViT-L-14 matrices",
              "probe": { "name": "Chicago Face Database, neutral", "layout": "Cfd", "metadata": "{{Path.Combine(data, "cfd.csv")}}" },
              "models": [{{string.Join(", ", models)}}],
              "experiments": [
                { "key": "human", "title": "Human-being experiment", "template": "A photo of {a} {label}", "labels": [{{Labels("human")}}] },
                { "key": "racegender", "title": "Race-gender experiment", "template": "A photo of {a} {label}", "labels": [{{Labels("racegender")}}], "factors": ["race", "gender"] }],
              "intervals": { "resamples": 499 },
              "cosineError": 0.0005,
              "comparisons": [{ "name": "ViT-L-14, 400M to 2B", "architecture": "ViT-L-14",
                "first": { "name": "400M", "models": ["ViT-L-14/laion400m_e32"] }, "second": { "name": "2B", "models": ["ViT-L-14/laion2b_s32b_b82k"] } }],
              "families": [{ "name": "primary", "primary": true, "comparisons": ["ViT-L-14, 400M to 2B"], "experiment": "human", "labels": ["criminal"] }]
            }
            """;
    }
}
