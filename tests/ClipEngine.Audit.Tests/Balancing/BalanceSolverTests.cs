using System.Text.Json;
using ClipEngine.Audit.Balancing;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Balancing;

/// <summary>The exact solutions in <c>goldens/balance</c> are an interior point solver's, made apart from this project.</summary>
public class BalanceSolverTests
{
    public static TheoryData<string> Goldens => ["four-exclusive", "infeasible", "large", "one-group", "soft-attributes", "two-overlapping", "unbiased", "utilities", "weak-enforcement", "zero-tolerance"];

    [SkippableTheory]
    [MemberData(nameof(Goldens))]
    public void WeightsEqualTheExactSolution(string name)
    {
        Golden golden = Golden.Read(name);
        using DistinctRows rows = golden.Rows();
        BalanceSolution solution = BalanceSolver.Solve(golden.Problem, rows);
        var found = new List<double>();
        rows.InOrder(row => solution.Weight(row), found.Add);
        double most = found.Zip(golden.Weights, (mine, exact) => Math.Abs(mine - exact)).Max();
        Assert.True(most <= 1e-4, $"{name}: {most:0.0e0} apart after {solution.Passes} passes");
        Assert.InRange(solution.Objective, golden.Objective - 1e-6, golden.Objective + 1e-6);
    }

    /// <summary>Without <c>--exact</c>, and with rows that are streamed from a temporary file, q is within the 1e-4 that docs/bias.md states.</summary>
    [SkippableTheory]
    [MemberData(nameof(Goldens))]
    public void FewerPassesOverStreamedRowsStayWithinTheStatedTolerance(string name)
    {
        Golden golden = Golden.Read(name);
        using DistinctRows rows = golden.Rows(capacity: 7);
        Assert.True(rows.SpilledCount > 0 || rows.DistinctCount <= 7);
        BalanceSolution solution = BalanceSolver.Solve(golden.Problem, rows, BalanceRun.OrdinaryBarrier);
        var found = new List<double>();
        rows.InOrder(row => solution.Weight(row), found.Add);
        double most = found.Zip(golden.Weights, (mine, exact) => Math.Abs(mine - exact)).Max();
        Assert.True(most <= 1e-4, $"{name}: {most:0.0e0} apart after {solution.Passes} passes");
    }

    /// <summary>The conditions of optimality themselves: with them, no better weights exist (the problem is convex).</summary>
    [SkippableTheory]
    [MemberData(nameof(Goldens))]
    public void TheConditionsOfOptimalityHold(string name)
    {
        Golden golden = Golden.Read(name);
        using DistinctRows rows = golden.Rows();
        BalanceSolution solution = BalanceSolver.Solve(golden.Problem, rows);
        Assert.InRange(solution.MeanWeight, golden.Problem.Rate - 1e-7, golden.Problem.Rate + 1e-7);
        for (int l = 0; l < golden.Problem.MomentCount; l++)
        {
            foreach ((double sign, double v) in new[] { (1.0, solution.Upper[l]), (-1.0, solution.Lower[l]) })
            {
                double value = (sign * solution.MomentValues[l]) - (golden.Problem.Tolerance(l) * solution.MeanWeight);
                Assert.InRange(v, 0, golden.Problem.Enforcement);
                // A violated constraint has its full price, one with room to spare none.
                if (value > 1e-5)
                    Assert.InRange(v, golden.Problem.Enforcement - 1e-3, golden.Problem.Enforcement);
                if (value < -1e-5)
                    Assert.InRange(v, 0, 1e-3);
            }
        }
    }

    [Fact]
    public void RowsInATemporaryFileGiveTheSameWeights()
    {
        (BalanceProblem problem, double[][] data) = Random(seed: 3, rows: 500, soft: true);
        double[] inMemory = Solve(problem, data, 0), spilled = Solve(problem, data, 10);
        Assert.All(inMemory.Zip(spilled), pair => Assert.InRange(pair.First - pair.Second, -1e-6, 1e-6));
    }

    [Fact]
    public void TheOrderOfRowsChangesNoBit()
    {
        (BalanceProblem problem, double[][] data) = Random(seed: 4, rows: 400, soft: false);
        double[] forwards = Solve(problem, data, 0), backwards = Solve(problem, [.. data.Reverse()], 0);
        Assert.Equal(forwards, backwards.Reverse());
    }

    [Fact]
    public void UnbiasedDataKeepsTheRateEverywhere()
    {
        double[][] rows = [[1, 0, 1, 1], [1, 0, 0, 1], [0, 1, 1, 1], [0, 1, 0, 1]];
        double[] weights = Solve(new BalanceProblem { Target = [0.5, 0.5], LabelCount = 1, AssociationTolerance = 0.01, RepresentationTolerance = 0.01, Rate = 0.7, Enforcement = 10 }, rows, 0);
        Assert.All(weights, q => Assert.InRange(q, 0.7 - 1e-6, 0.7 + 1e-6));
    }

    [Fact]
    public void WithHardlyAnyEnforcementTheRateStays()
    {
        (BalanceProblem problem, double[][] data) = Random(seed: 5, rows: 300, soft: false);
        Assert.All(Solve(problem with { Enforcement = 1e-9 }, data, 0), q => Assert.InRange(q, problem.Rate - 1e-6, problem.Rate + 1e-6));
    }

    private static double[] Solve(BalanceProblem problem, double[][] data, int capacity)
    {
        using var rows = new DistinctRows(problem.RowWidth, Path.GetTempPath(), capacity);
        foreach (double[] row in data)
            rows.Add(row);
        BalanceSolution solution = BalanceSolver.Solve(problem, rows);
        var found = new List<double>();
        rows.InOrder(row => solution.Weight(row), found.Add);
        return [.. found];
    }

    private static (BalanceProblem Problem, double[][] Rows) Random(int seed, int rows, bool soft)
    {
        var random = new Random(seed);
        double Draw(double p) => soft ? Math.Clamp(p + (0.3 * (random.NextDouble() - 0.5)), 0, 1) : random.NextDouble() < p ? 1 : 0;
        double[][] data = [.. Enumerable.Range(0, rows).Select(_ =>
        {
            double s = Draw(0.7);
            return new[] { s, Draw(0.4), Draw(0.2 + (0.5 * s)), Draw(0.5), 1.0 };
        })];
        return (new BalanceProblem { Target = [0.5, 0.5], LabelCount = 2, AssociationTolerance = 0.01, RepresentationTolerance = 0.01, Rate = 0.5, Enforcement = 20 }, data);
    }

    private sealed record Golden(BalanceProblem Problem, double[][] Data, double[] Weights, double Objective)
    {
        public static Golden Read(string name)
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(TestData.SharedPath("goldens", "balance", name + ".json")));
            JsonElement root = json.RootElement;
            double[][] sensitive = Matrix(root.GetProperty("sensitive")), labels = Matrix(root.GetProperty("labels"));
            double[] utility = Vector(root.GetProperty("utility")), target = Vector(root.GetProperty("target"));
            double Number(string key) => root.GetProperty(key).GetDouble();
            var problem = new BalanceProblem
            {
                Target = target,
                LabelCount = labels[0].Length,
                AssociationTolerance = Number("eps_d"),
                RepresentationTolerance = Number("eps_r"),
                Rate = Number("rate"),
                Enforcement = Number("enforcement"),
            };
            double[][] data = [.. Enumerable.Range(0, utility.Length).Select(i => (double[])[.. sensitive[i], .. labels[i], utility[i]])];
            return new Golden(problem, data, Vector(root.GetProperty("q")), Number("objective"));
        }

        public DistinctRows Rows(int capacity = 0)
        {
            var rows = new DistinctRows(Problem.RowWidth, Path.GetTempPath(), capacity);
            foreach (double[] row in Data)
                rows.Add(row);
            return rows;
        }

        private static double[][] Matrix(JsonElement rows) => [.. rows.EnumerateArray().Select(Vector)];

        private static double[] Vector(JsonElement values) => [.. values.EnumerateArray().Select(value => value.GetDouble())];
    }
}
