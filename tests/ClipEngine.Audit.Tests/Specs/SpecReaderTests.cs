using System.Text;
using ClipEngine.Audit.Specs;
using ClipEngine.Imaging;

namespace ClipEngine.Audit.Tests.Specs;

public class SpecReaderTests
{
    private const string Minimal = """{ "title": "T", "probe": { "metadata": "p.csv", "group": ["g"] }, "models": [{ "key": "m", "model": "m" }], "experiments": [{ "key": "e", "title": "E", "template": "{label}", "labels": [{ "text": "x" }, { "text": "y" }] }] }""";

    [Fact]
    public void DefaultsAreTheDocumentedOnes()
    {
        AuditSpec spec = SpecReader.Parse("spec.json", Encoding.UTF8.GetBytes(Minimal));
        Assert.Equal(("100", "fp32", 0.95, 9999), (spec.Scale, spec.ElementType, spec.Intervals.Level, spec.Intervals.Resamples));
        Assert.Empty(spec.Comparisons);
        Assert.Equal(["N"], spec.Probe.Expressions);
    }

    [Theory]
    [InlineData("\"title\": \"T\"", "\"title\": \"T\", \"tilte\": 1", "not a spec: unknown key 'tilte', line 1; the keys there are title, question, probe")]
    [InlineData("{ \"text\": \"y\" }", "{ \"text\": \"y\", \"gruop\": \"A\" }", "unknown key 'gruop'")]
    [InlineData("\"key\": \"m\", ", "", "key")]
    [InlineData("\"title\": \"T\"", "\"title\": \"T\", \"scorePrecision\": \"int4\"", "scorePrecision is 'int4'; fp32, bf16, int16 or int8 was expected")]
    [InlineData("\"title\": \"T\"", "\"title\": \"T\", \"scale\": \"-1\", \"elementType\": \"fp8\"", "scale is '-1'; a number from 1E-06 to 1000000 with a decimal point, or 'checkpoint', was expected; elementType is 'fp8'")]
    [InlineData("\"title\": \"T\"", "\"title\": \"T\", \"resampler\": \"pillow\"", "resampler: expected pillow-13, pillow-12 or torchvision, found 'pillow'")]
    [InlineData("\"title\": \"T\"", "\"title\": \"T\", \"rgb\": \"never\"", "rgb: expected last or first, found 'never'")]
    [InlineData("\"title\": \"T\"", "\"title\": \"T\", \"alpha\": \"\"", "alpha: expected drop or white, found ''")]
    [InlineData("{ \"text\": \"y\" }", "{ \"text\": \"x\" }", "'x' is there more than once")]
    [InlineData("\"model\": \"m\"", "\"architecture\": \"a\"", "needs exactly one of model, scores")]
    public void UnknownKeysAndContradictionsAreRefusedTogether(string old, string replacement, string message)
    {
        byte[] json = Encoding.UTF8.GetBytes(Minimal.Replace(old, replacement, StringComparison.Ordinal));
        Assert.Contains(message, Assert.Throws<BadInputException>(() => SpecReader.Parse("spec.json", json)).Message);
    }

    [Fact]
    public void TheShippedSpecPairsWhatThePaperPairs()
    {
        AuditSpec spec = SpecReader.Paper();
        ComparisonSpec scaling = spec.Comparisons.Single(comparison => comparison.Name == "ViT-B-32, 400M to 2B");
        Assert.Equal(4, scaling.First.Models.Count);
        Assert.Equal(["ViT-B-32/laion2b_e16", "ViT-B-32/laion2b_s34b_b79k"], scaling.Second.Models);
        FamilySpec primary = spec.Families[0];
        Assert.Equal((3, "criminal"), (primary.Comparisons.Count, Assert.Single(primary.Labels)));
        // The question of equity: how much more one group changed than white men, and the gaps and ratios that the larger training set leaves.
        Assert.Contains(spec.Families, family => family is { Primary: true, Reference: "WM", Comparisons.Count: 3 });
        Assert.Contains(spec.Families, family => family is { Primary: true, Reference: "WM", Comparisons.Count: 0, Models.Count: 4 });
        Assert.Contains(spec.Families, family => family.Pairs.Any(pair => pair is { First: "race=B", Second: "race=W" }) && family.Comparisons.Count == 3);
    }

    [Fact]
    public void ThePublishedStudyIsRunWithThePillowThatItsAuthorsHad()
    {
        Assert.Equal(new PreprocessOverrides { Resampler = Resampler.Pillow12 }, SpecReader.Preprocessing(SpecReader.Paper()));
        Assert.Equal(new PreprocessOverrides(), SpecReader.Preprocessing(SpecReader.Parse("spec.json", Encoding.UTF8.GetBytes(Minimal))));
    }
}
