using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Runs;

/// <summary>Whole runs with a checkpoint of the demo on the processor, in each element type.</summary>
public class ElementTypeTests
{
    // Operands with 8 bits (bf16) or 7 (int8) of precision turn a feature of these small towers by a hundredth at most; at the
    // spec's scale of 10 that is a tenth in a logit, a fortieth in a probability. fp16 rounds weights alone, to 11 bits.
    [Theory]
    [InlineData("bf16", 0.025)]
    [InlineData("fp16", 0.003)]
    [InlineData("int8", 0.025)]
    public void ElementTypesHaveStagesAndRecordsOfTheirOwnAndAgreeClosely(string elementType, double tolerance)
    {
        using var folder = new TemporaryFolder();
        AuditResult reference = Run(folder, "out", "fp32");
        Dictionary<string, string> before = AuditRunTests.Contents(folder.File("out"));
        AuditResult other = Run(folder, "out", elementType);
        Dictionary<string, string> after = AuditRunTests.Contents(folder.File("out"));

        Assert.Equal("fp32", reference.Provenance.ElementType);
        Assert.Equal(elementType, other.Provenance.ElementType);
        Assert.EndsWith(", fp32", reference.Models[0].Source);
        Assert.EndsWith($", {elementType}", other.Models[0].Source);
        Assert.Contains($"\"elementType\":\"{elementType}\"", File.ReadAllText(folder.File("out", "run.json")));

        // Nothing of the first run was taken for the second's: its stages are those of a run that found an empty folder.
        string[] stages = [Path.Combine("embeddings", "small.images.safetensors"), Path.Combine("embeddings", "small.texts.safetensors")];
        foreach (string stage in stages)
            Assert.NotEqual(before[stage], after[stage]);
        Run(folder, "fresh", elementType);
        Assert.Equal(AuditRunTests.Contents(folder.File("fresh")), after);

        float[] expected = reference.Experiments[0].Models[0].Probabilities!.Values;
        float[] found = other.Experiments[0].Models[0].Probabilities!.Values;
        // The checkpoint is stored in fp16: kept so, its weights lose nothing.
        if (elementType != "fp16")
            Assert.NotEqual(expected, found);
        for (int i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], found[i], tolerance);
    }

    private static AuditResult Run(TemporaryFolder folder, string directory, string elementType)
    {
        string demo = Path.Combine(TestData.RepositoryRoot, "src", "ClipEngine.Cli", "Demo", "Data");
        File.WriteAllText(folder.File("spec.json"), $$"""
            {
              "title": "Test",
              "probe": { "metadata": "{{demo}}/probe/manifest.csv", "images": "{{demo}}/probe", "id": "image", "file": "image", "group": ["group"] },
              "models": [{ "key": "small", "model": "{{demo}}/models/small" }],
              "experiments": [{ "key": "things", "title": "Things", "template": "a photo of {a} {label}",
                "labels": [{ "text": "anchor" }, { "text": "basket" }, { "text": "candle" }] }],
              "scale": "10",
              "elementType": "{{elementType}}",
              "intervals": { "resamples": 99 }
            }
            """);
        return new AuditRun(folder.File("spec.json"), folder.File(directory), new ClipProbeModels(), new ReportWriter()).Execute();
    }
}
