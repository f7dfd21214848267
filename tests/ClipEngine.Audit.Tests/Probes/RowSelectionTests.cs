using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Specs;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Probes;

public sealed class RowSelectionTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public RowSelectionTests() => File.WriteAllText(_folder.File("t.csv"), "id,race,set\na,B,one\nb,W,two\nc,B,two\nd,unknown,two\ne,NaN,two\n");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void RowsOutsideTheChoiceAreLeftOutAndMatricesFollow()
    {
        Probe probe = Read(new() { ["set"] = ["two"], ["race"] = ["B", "W"] });
        Assert.Equal(["b", "c"], probe.Images.Select(static image => image.Id));
        Assert.Equal(5, probe.SourceRows);
        ScoreMatrix kept = probe.Select(new ScoreMatrix(5, 2, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
        Assert.Equal([2f, 3, 4, 5], kept.Values);
        Assert.Contains(probe.Warnings, static warning => warning.Contains("rows were left out: set is not two", StringComparison.Ordinal));
    }

    [Fact]
    public void RowsWithoutAValueMakeTheNamedGroup()
    {
        Probe probe = Read([], missing: ["unknown"], group: "not said");
        Assert.Equal(["B", "W", "B", "not said", "not said"], probe.Images.Select(static image => image.Group));
        Assert.Contains(probe.Warnings, static warning => warning.StartsWith("2 of 5 rows have no value in race", StringComparison.Ordinal));
    }

    [Fact]
    public void AGapWithoutAGroupIsRefusedWithItsLine()
    {
        Assert.Contains("line 6", Assert.Throws<BadInputException>(() => Read([])).Message, StringComparison.Ordinal);
        Assert.Contains("line 5", Assert.Throws<BadInputException>(() => Read([], missing: ["unknown"])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AValueThatNeverOccursIsRefused() =>
        Assert.Contains("no row has 'three'", Assert.Throws<BadInputException>(() => Read(new() { ["set"] = ["three"] })).Message, StringComparison.Ordinal);

    private Probe Read(Dictionary<string, IReadOnlyList<string>> where, string[]? missing = null, string? group = null) =>
        ProbeLayouts.Read(new ProbeSpec { Metadata = _folder.File("t.csv"), Group = ["race"], Where = where, MissingValues = missing ?? [], MissingGroup = group }, static path => path);
}
