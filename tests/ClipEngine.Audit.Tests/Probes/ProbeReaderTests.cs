using System.Text;
using ClipEngine.Audit.Probes;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Probes;

public class ProbeReaderTests
{
    [Fact]
    public void IdsStayTextAndGroupsKeepTheirSpelling()
    {
        Probe probe = Read("id,group,file\n007,B,a.jpg\n7,A,\"b,1.jpg\"\n");
        Assert.Equal(["007", "7"], probe.Images.Select(image => image.Id));
        Assert.Equal(["A", "B"], probe.GroupKeys);
        Assert.Equal("b,1.jpg", probe.Attribute("file")[1]);
        Assert.Empty(probe.Warnings);
    }

    [Fact]
    public void ValuesThatLookAlikeAreReportedAndKeptApart()
    {
        Probe probe = Read("id,group\n1,black man\n2,Black man\n3,black  man\n4,caf\u00e9\n5,cafe\u0301\n");
        Assert.Equal(5, probe.GroupKeys.Count);
        Assert.Equal(2, probe.Warnings.Count(warning => warning.Contains("kept apart", StringComparison.Ordinal)));
    }

    /// <summary>Ages are no groups until somebody says where they part; bins stand in the order of their numbers, and beside the other column on their own.</summary>
    [Fact]
    public void NumbersAreBinnedAsDeclaredOrRefused()
    {
        string text = "id,age,sex\n" + string.Concat(Enumerable.Range(0, 40).Select(row => $"{row},{5 + (2 * row)},{(row % 2 == 0 ? "f" : "m")}\n"));
        BadInputException refused = Assert.Throws<BadInputException>(() => Read(text, "age"));
        Assert.Contains("40 different numbers", refused.Message, StringComparison.Ordinal);
        Assert.Contains("quantiles", refused.Message, StringComparison.Ordinal);

        Probe ages = Read(text, new ProbeColumns { Group = ["age"], Bins = new Dictionary<string, ColumnBins> { ["age"] = new() { Edges = [9, 45] } } });
        Assert.Equal(["below 9", "9 to below 45", "45 or more"], ages.GroupKeys);
        Assert.Equal([2, 18, 20], ages.Grouping.Images.Select(images => images.Length));
        Assert.Equal(5.0, ages.NumericAttribute("age")[0]);

        Probe quarters = Read(text, new ProbeColumns { Group = ["sex", "age"], Bins = new Dictionary<string, ColumnBins> { ["age"] = new() { Quantiles = 4 } } });
        Assert.Equal(8, quarters.GroupKeys.Count);
        Assert.Equal("f below 24.5", quarters.GroupKeys[0]);
        Assert.Equal(["sex", "age"], quarters.GroupSets.Skip(1).Select(set => set.Attribute));
        Assert.Equal(["age=below 24.5", "age=24.5 to below 44", "age=44 to below 63.5", "age=63.5 or more"], quarters.GroupSets[2].Grouping.Keys);
        Assert.All(quarters.GroupSets[2].Grouping.Images, images => Assert.Equal(10, images.Length));
        Assert.Equal((quarters.GroupSets[1], 1), quarters.Find("sex=m"));

        foreach ((ColumnBins bins, string message) in new[] { (new ColumnBins { Edges = [3, 3] }, "rising"), (new ColumnBins(), "either"), (new ColumnBins { Quantiles = 1 }, "2 to 20") })
            Assert.Contains(message, Assert.Throws<BadInputException>(() => Read(text, new ProbeColumns { Group = ["age"], Bins = new Dictionary<string, ColumnBins> { ["age"] = bins } })).Message, StringComparison.Ordinal);
        Assert.Contains("no group is made of", Assert.Throws<BadInputException>(() => Read(text, new ProbeColumns { Group = ["sex"], Bins = new Dictionary<string, ColumnBins> { ["age"] = new() { Quantiles = 2 } } })).Message, StringComparison.Ordinal);
        // Codes are groups: few different numbers.
        Assert.Equal(["0", "1"], Read("id,group\n1,0\n2,1\n").GroupKeys);
    }

    [Theory]
    [InlineData("id,group\n1,A\n1,B\n", "line 3: the id '1' is already that of line 2")]
    [InlineData("id,group\n1,A\n2,\n", "line 3: column 'group' is empty")]
    [InlineData("id,group\n1,A\n2\n", "line 3 has 1 cells, the header has 2")]
    [InlineData("id,group\n", "no row")]
    [InlineData("", "empty")]
    [InlineData("id;group\n1;A\n", "semicolons")]
    [InlineData("id,id,group\n1,2,A\n", "'id' is there more than once")]
    [InlineData("id,race\n1,A\n", "no column 'group'")]
    [InlineData("id,group\n1,\"A\n2,B\n", "no CSV")]
    public void WhatCannotBeMeantIsRefusedByLineAndColumn(string text, string message) =>
        Assert.Contains(message, Assert.Throws<BadInputException>(() => Read(text)).Message);

    [Fact]
    public void OtherEncodingsThanUtf8AreRefusedUnlessMarked()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("latin.csv"), Encoding.Latin1.GetBytes("id,group\n1,caf\u00e9\n"));
        Assert.Contains("UTF-8", Assert.Throws<BadInputException>(() => ProbeReader.ReadCsv(folder.File("latin.csv"), _columns)).Message);
        File.WriteAllText(folder.File("wide.csv"), "id,group\r\n1,caf\u00e9\r\n", Encoding.Unicode);
        Assert.Equal("caf\u00e9", ProbeReader.ReadCsv(folder.File("wide.csv"), _columns).Images[0].Group);
    }

    [Fact]
    public void NumbersAreReadWithAPointAndRefusedOtherwise()
    {
        Probe probe = Read("id,group,width\n1,A,1.5\n2,A,\n");
        Assert.Equal([1.5, null], probe.NumericAttribute("width"));
        Assert.Contains("'1,5'", Assert.Throws<BadInputException>(() => Read("id,group,width\n1,A,\"1,5\"\n").NumericAttribute("width")).Message);
    }

    private static readonly ProbeColumns _columns = new() { Group = ["group"] };

    private static Probe Read(string text, string group = "group") => Read(text, new ProbeColumns { Group = [group] });

    private static Probe Read(string text, ProbeColumns columns)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("probe.csv"), text);
        return ProbeReader.ReadCsv(folder.File("probe.csv"), columns);
    }
}
