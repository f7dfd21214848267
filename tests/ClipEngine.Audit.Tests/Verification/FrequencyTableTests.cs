using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Verification;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Verification;

public class FrequencyTableTests
{
    private const string Header = ",model_name,dataset_name,model_size,good,bad\n";

    [Fact]
    public void DeclaredPairingsAreAveragedByArm()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("t.csv"), Header + "0,B,small_1,1.5,20,80\n1,B,small_2,1.5,40,60\n2,B,large,1.5,90,10\n");
        var pairing = new ComparisonSpec
        {
            Name = "growth",
            First = new ArmSpec { Name = "small", Models = ["B/small_1", "B/small_2"] },
            Second = new ArmSpec { Name = "large", Models = ["B/large"] },
        };
        IReadOnlyList<FrequencyDifference> differences = FrequencyTable.Read(folder.File("t.csv")).Compare([pairing]);
        Assert.Equal([60.0, -60.0], differences.Select(difference => difference.Points));
    }

    [Theory]
    [InlineData("0,B,x,1,20,70\n", "B/x (line 2) adds up to 90")]
    [InlineData("0,B,x,1,0,0\n", "adds up to 0")]
    [InlineData("0,B,x,1,120,-20\n", "column 'good' is '120'")]
    [InlineData("0,B,x,1,,100\n", "column 'good' is ''")]
    public void WhatIsNoTableOfWinnersIsRefused(string rows, string message)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("t.csv"), Header + rows);
        Assert.Contains(message, Assert.Throws<BadInputException>(() => FrequencyTable.Read(folder.File("t.csv"))).Message);
    }

    [SkippableFact]
    public void TheSoundPublishedTablesAreReadAndTheOthersRefused()
    {
        string folder = TestData.SharedPath("data", "cfd", "frequencies");
        string[] groups = ["asian man", "asian woman", "black man", "black woman", "latina woman", "latino man", "white man", "white woman"];
        foreach (string group in groups)
        {
            Assert.Equal(8, FrequencyTable.Read(Path.Combine(folder, $"ViT-B-{group}.csv")).Labels.Count);
            foreach (string family in new[] { "ViT-L", "ViT-B-16", "ViT-B-32" })
                Assert.Throws<BadInputException>(() => FrequencyTable.Read(Path.Combine(folder, $"{family}-{group}.csv")));
        }

        FrequencyTable.Read(Path.Combine(folder, "results-ViT-B.csv"));
        FrequencyTable.Read(Path.Combine(folder, "results-ViT-L.csv"));
    }

    [SkippableTheory]
    [InlineData("black man", -19.9)]
    [InlineData("latino man", -47.1)]
    public void ThePublishedScalingEffectsComeOut(string group, double points)
    {
        FrequencyTable table = FrequencyTable.Read(TestData.SharedPath("data", "cfd", "frequencies", $"ViT-B-{group}.csv"));
        FrequencyDifference difference = table.Compare(SpecReader.Paper().Comparisons).Single(entry => entry.Comparison == "ViT-B-32, 400M to 2B" && entry.Label == "criminal");
        Assert.Equal(points, difference.Points, 0.05);
    }
}
