namespace ClipEngine.Cli.Tests.Demo;

/// <summary>The audit must find what was planted, and nothing where nothing was.</summary>
public sealed class DemoAuditTests(DemoRun run) : IClassFixture<DemoRun>
{
    private const int ScenesOfAGroup = 48;

    [Theory]
    [InlineData("small")]
    [InlineData("large")]
    public void RatesFollowWhatWasPlanted(string model)
    {
        (string Group, string Label)[] cells = Cells(model);
        Assert.True(cells.Length >= 16);
        double[] planted = [.. cells.Select(cell => run.Planted[(model, cell.Group, cell.Label)])];
        double[] found = [.. cells.Select(cell => run.Rates[(model, cell.Group, cell.Label)])];
        Assert.InRange(Spearman(planted, found), 0.8, 1);

        double[] plantedPull = Departures(run.Planted, model), foundPull = Departures(run.Rates, model);
        Assert.InRange(Spearman(plantedPull, foundPull), 0.8, 1);
        // Signs are asked of cells where more was planted than one standard error of a rate of 1/6 over 48 pictures.
        double least = Math.Sqrt(1 / 6.0 * (5 / 6.0) / ScenesOfAGroup);
        int[] clear = [.. Enumerable.Range(0, cells.Length).Where(cell => Math.Abs(plantedPull[cell]) > least)];
        Assert.True(clear.Length >= 16);
        Assert.All(clear, cell => Assert.True(plantedPull[cell] * foundPull[cell] > 0, $"{model}, {cells[cell]}: planted {plantedPull[cell]:F3}, found {foundPull[cell]:F3}"));
    }

    [Fact]
    public void TheLargeSetTaughtTheStrongerAssociation() =>
        Assert.True(Departures(run.Rates, "large").Average(Math.Abs) > 1.25 * Departures(run.Rates, "small").Average(Math.Abs));

    /// <summary>
    /// Chance, stated: if the figure made no difference, every one of the 720 ways to swap the six figures would fit the planted
    /// pattern about as well; the true order may not be among the best 5 % of them. And no cell may depart from its label's
    /// average by more than a binomial of 48 pictures does in one of a thousand audits of 36 cells (z = 4.2).
    /// </summary>
    [Fact]
    public void TheNullCheckpointShowsNoSuchAssociation()
    {
        double[] pattern = Departures(run.Planted, "large"), found = Departures(run.Rates, "null");
        double fit = Math.Abs(Spearman(pattern, found));
        int things = 6;
        double[] swapped = [.. Orders(6).Select(order => Math.Abs(Spearman(pattern, [.. order.SelectMany(group => found.Skip(group * things).Take(things))])))];
        Assert.Equal(720, swapped.Length);
        Assert.True(swapped.Count(other => other >= fit - 1e-9) > 0.05 * swapped.Length, $"the null checkpoint fits the planted pattern with {fit:F2}");

        (string Group, string Label)[] cells = Cells("null");
        for (int cell = 0; cell < cells.Length; cell++)
        {
            double rate = run.Rates[("null", cells[cell].Group, cells[cell].Label)] - found[cell];
            Assert.InRange(Math.Abs(found[cell]), 0, 4.2 * Math.Sqrt(rate * (1 - rate) / ScenesOfAGroup));
        }
    }

    [Fact]
    public void TheReportIsOneFileThatNeedsNoNetwork()
    {
        string report = File.ReadAllText(Path.Combine(run.Directory, "report.html"));
        Assert.All(["small", "large", "null", "hollow triangle", "anchor"], word => Assert.Contains(word, report));
        Assert.DoesNotContain("src=\"http", report);
        Assert.DoesNotContain("<link", report);
        Assert.DoesNotContain("@import", report);
    }

    [Fact]
    public void TheSummarySaysWhatWasPlantedAndWhereTheReportIs()
    {
        Assert.Contains("What was planted", run.Outcome.Output);
        Assert.Contains("95 % interval", run.Outcome.Output);
        Assert.Contains(Path.Combine(run.Directory, "report.html"), run.Outcome.Output);
    }

    [Fact]
    public void NothingUnfinishedIsLeftBehind() =>
        Assert.DoesNotContain(Directory.EnumerateFiles(run.Directory, "*", SearchOption.AllDirectories), file => file.EndsWith(ClipEngine.Files.AtomicFile.TemporarySuffix, StringComparison.Ordinal));

    private (string Group, string Label)[] Cells(string model) =>
        [.. run.Planted.Keys.Where(key => key.Model == model).Select(key => (key.Group, key.Label)).Order()];

    private double[] Departures(Dictionary<(string Model, string Group, string Label), double> values, string model) =>
        [.. Cells(model).Select(cell => values[(model, cell.Group, cell.Label)] - values.Where(entry => entry.Key.Model == model && entry.Key.Label == cell.Label).Average(entry => entry.Value))];

    /// <summary>Spearman's rank correlation, mean ranks for ties.</summary>
    private static double Spearman(double[] left, double[] right)
    {
        double[] a = Ranks(left), b = Ranks(right);
        double meanA = a.Average(), meanB = b.Average();
        double covariance = a.Zip(b, (x, y) => (x - meanA) * (y - meanB)).Sum();
        return covariance / Math.Sqrt(a.Sum(x => (x - meanA) * (x - meanA)) * b.Sum(y => (y - meanB) * (y - meanB)));
    }

    private static double[] Ranks(double[] values) =>
        [.. values.Select(value => values.Count(other => other < value - 1e-12) + ((values.Count(other => Math.Abs(other - value) <= 1e-12) + 1) / 2.0))];

    private static IEnumerable<int[]> Orders(int n) => n == 0 ? [[]] : Orders(n - 1).SelectMany(rest => Enumerable.Range(0, n).Select(place => rest.Take(place).Append(n - 1).Concat(rest.Skip(place)).ToArray()));
}
