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

    private static Probe Read(string text)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("probe.csv"), text);
        return ProbeReader.ReadCsv(folder.File("probe.csv"), _columns);
    }
}
