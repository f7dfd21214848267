using System.Globalization;
using ClipEngine.Audit.Balancing;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Balancing;

public class BalanceRunTests
{
    [Fact]
    public void APlantedBiasIsRemovedToWithinTheTolerances()
    {
        using var folder = new TemporaryFolder();
        BalanceResult result = BalanceRun.Run(Request(Table(folder, 4000)), folder.File("out"));
        Assert.True(result.IsMet, result.Verdict);
        Assert.InRange(result.Before.AssociationBias.Value!.Value, 0.2, 0.4);
        Assert.All(result.Constraints, constraint => Assert.InRange(Math.Abs(constraint.Value), 0, constraint.Tolerance + 1e-6));
        Assert.InRange(result.Solution.MeanWeight, 0.5 - 1e-6, 0.5 + 1e-6);
        string[] lines = File.ReadAllLines(folder.File("out", "weights.csv"));
        Assert.Equal("row,q", lines[0]);
        Assert.Equal(4001, lines.Length);
        double[] weights = [.. lines.Skip(1).Select(line => double.Parse(line.Split(',')[1], CultureInfo.InvariantCulture))];
        Assert.All(weights, q => Assert.InRange(q, 0, 1));
        Assert.InRange(weights.Average(), 0.5 - 1e-6, 0.5 + 1e-6);
    }

    /// <summary>Systematic sampling: as long as the table, and no row more than one copy away from its share.</summary>
    [Fact]
    public void TheTrainingListRepeatsEachRowAsItsWeightAsks()
    {
        using var folder = new TemporaryFolder();
        string table = Table(folder, 1000);
        BalanceRun.Run(Request(table) with { WritesTrainingList = true }, folder.File("out"));
        string[] source = File.ReadAllLines(table), list = File.ReadAllLines(folder.File("out", "train.csv"));
        Assert.Equal(source[0], list[0]);
        Assert.Equal(source.Length, list.Length);
        ILookup<string, string> copies = list.Skip(1).ToLookup(line => line);
        string[] weights = File.ReadAllLines(folder.File("out", "weights.csv"));
        for (int i = 1; i < source.Length; i++)
        {
            double share = double.Parse(weights[i].Split(',')[1], CultureInfo.InvariantCulture) / 0.5;
            Assert.InRange(copies[source[i]].Count(), Math.Floor(share - 1e-6), Math.Ceiling(share + 1e-6));
        }
    }

    [Theory]
    [InlineData("b", "y", new[] { 0.5, 0.5 }, "no row has 'b'")]
    [InlineData("a", "zz", new[] { 0.5, 0.5 }, "no column 'zz'")]
    [InlineData("a", "id", new[] { 0.5, 0.5 }, "from 0 to 1")]
    [InlineData("a", "y", new[] { 0.5 }, "1 targets for 2")]
    [InlineData("a", "y", new[] { 0.5, 1.5 }, "no share")]
    public void WhatCannotBeBalancedIsRefused(string second, string label, double[] target, string message)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("t.csv"), "id,s,a,b,y\n7,1,0,0,1\n8,0,1,0,0\n9,1,1,0,1\n");
        BalanceRequest request = Request(folder.File("t.csv")) with { Sensitive = ["s", second], Labels = [label] };
        request = request with { Problem = request.Problem with { Target = target, LabelCount = 1 } };
        Assert.Contains(message, Assert.Throws<BadInputException>(() => BalanceRun.Run(request, folder.File("out"))).Message);
        Assert.False(File.Exists(folder.File("out", "weights.csv")));
    }

    /// <summary>What other programs write for a missing value, tabs, and an id that keeps its place.</summary>
    [Theory]
    [InlineData("t.csv", "s,y\n1,1\n0,N/A\n1,\n0,<NA>\n1,0.25\n0,1\n", 6)]
    [InlineData("t.tsv", "s\ty\n1\t1\n0\tNULL\n", 2)]
    public void TablesAreReadAsEveryOtherTable(string name, string content, int count)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File(name), content);
        var rows = new List<double[]>();
        AttributeTable.Open([folder.File(name)]).Read(["s", "y"], utility: null, row => rows.Add([.. row]), CancellationToken.None);
        Assert.Equal(count, rows.Count);
        Assert.Equal(1, rows[0][1]);
        Assert.True(double.IsNaN(rows[1][1]));
    }

    [Theory]
    [InlineData("t.csv", "s;y\n1;0,5\n", "semicolons")]
    [InlineData("t.csv", "s,y\n1,\"0,5\"\n", "decimals have a point")]
    [InlineData("t.csv", "s,y\n1,unknown\n", "from 0 to 1")]
    [InlineData("t.csv", "PAR1", "Parquet")]
    public void ATableOfAnotherKindIsToldByIt(string name, string content, string message)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File(name), content);
        Assert.Contains(message, Assert.Throws<BadInputException>(() => AttributeTable.Open([folder.File(name)]).Read(["s", "y"], utility: null, static _ => { }, CancellationToken.None)).Message, StringComparison.Ordinal);
        File.WriteAllText(folder.File(name), "s,y\n1,1\n", System.Text.Encoding.Unicode);
        Assert.Contains("UTF-8", Assert.Throws<BadInputException>(() => AttributeTable.Open([folder.File(name)]).Read(["s", "y"], utility: null, static _ => { }, CancellationToken.None)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TargetsOutOfReachAreSaidAndTheNearestWeightsWritten()
    {
        using var folder = new TemporaryFolder();
        BalanceRequest request = Request(Table(folder, 1000));
        BalanceResult result = BalanceRun.Run(request with { Problem = request.Problem with { Target = [0.05], Rate = 0.9 } }, folder.File("out"));
        Assert.False(result.IsMet);
        Assert.Contains("cannot be met", result.Verdict);
        BalanceResult weak = BalanceRun.Run(request with { Problem = request.Problem with { Enforcement = 0.01 } }, folder.File("out"));
        Assert.Contains("raise --enforcement", weak.Verdict);
    }

    /// <summary>Bias of a table whose means are known, with a missing value and probabilities, against plain arithmetic.</summary>
    [Fact]
    public void BiasOfASmallTableEqualsPlainArithmetic()
    {
        double[][] data = [[1, 1, 1], [1, 0, 1], [0, double.NaN, 1], [0, 0.5, 1], [double.NaN, 1, 1]];
        using var rows = new DistinctRows(3, Path.GetTempPath());
        foreach (double[] row in data)
            rows.Add(row);
        DataBias bias = DataBiasMeasure.Measure(rows, ["s"], ["y"], [0.8], null, 0.95);
        Assert.Equal(0.5, bias.Representation[0].Share.Value!.Value, 12);
        Assert.Equal(0.3, bias.RepresentationBias.Value!.Value, 12);
        Assert.Equal(0.5, bias.Association[0].With.Value!.Value, 12);
        Assert.Equal(0.5, bias.Association[0].Without.Value!.Value, 12);
        Assert.Equal(0, bias.AssociationBias.Value!.Value, 12);
    }

    /// <summary>400 data sets with a known gap: the interval of the gap holds it in 95 ± 3 % of them, with its sign; and balancing removes it from each to within the tolerances.</summary>
    [Fact]
    public void TheIntervalOfAPlantedGapHoldsIt()
    {
        int held = 0, signs = 0, shares = 0;
        var problem = new BalanceProblem { Target = [0.5], LabelCount = 1, AssociationTolerance = 0.01, RepresentationTolerance = 0.01, Rate = 0.5, Enforcement = 20 };
        for (int seed = 0; seed < 400; seed++)
        {
            var random = new Random(seed);
            using var rows = new DistinctRows(3, Path.GetTempPath());
            for (int i = 0; i < 600; i++)
            {
                double s = random.NextDouble() < 0.6 ? 1 : 0;
                rows.Add([s, random.NextDouble() < 0.2 + (0.25 * s) ? 1 : 0, 1]);
            }

            DataBias bias = DataBiasMeasure.Measure(rows, ["s"], ["y"], [0.5], null, 0.95);
            Results.Interval gap = bias.Association[0].Gap.Interval!, share = bias.Representation[0].Share.Interval!;
            held += gap.Lower <= 0.25 && 0.25 <= gap.Upper ? 1 : 0;
            shares += share.Lower <= 0.6 && 0.6 <= share.Upper ? 1 : 0;
            signs += bias.Association[0].Gap.Value > 0 ? 1 : 0;
            BalanceSolution solution = BalanceSolver.Solve(problem, rows, BalanceRun.OrdinaryBarrier);
            Assert.InRange(solution.LargestViolation, double.NegativeInfinity, 1e-6);
            DataBias after = DataBiasMeasure.Measure(rows, ["s"], ["y"], [0.5], row => solution.Weight(row), 0.95);
            // |E_q[(s - pi) y]| <= eps bounds the gap: with a share p of s it is the gap times p(1 - p), and what the share itself is off.
            Assert.InRange(after.AssociationBias.Value!.Value, 0, 2 * (0.01 + 0.01) / 0.5);
            Assert.InRange(after.RepresentationBias.Value!.Value, 0, 0.01 + 1e-5);
        }

        Assert.Equal(400, signs);
        Assert.InRange(held, 368, 392);
        Assert.InRange(shares, 368, 392);
    }

    private static BalanceRequest Request(string table) => new()
    {
        Tables = [table],
        Sensitive = ["s"],
        Labels = ["y", "z"],
        Problem = new BalanceProblem { Target = [0.5], LabelCount = 2, AssociationTolerance = 0.01, RepresentationTolerance = 0.01, Rate = 0.5, Enforcement = 20 },
    };

    private static string Table(TemporaryFolder folder, int rows)
    {
        var random = new Random(1);
        string path = folder.File("table.csv");
        File.WriteAllLines(path, ["id,s,y,z", .. Enumerable.Range(0, rows).Select(i =>
        {
            int s = random.NextDouble() < 0.65 ? 1 : 0;
            return $"{i},{s},{(random.NextDouble() < 0.2 + (0.3 * s) ? 1 : 0)},{(random.NextDouble() < 0.5 ? 1 : 0)}";
        })]);
        return path;
    }
}
