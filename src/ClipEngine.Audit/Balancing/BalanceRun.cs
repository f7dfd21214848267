using System.Globalization;
using System.Text;
using ClipEngine.Audit.Runs;
using ClipEngine.Files;

namespace ClipEngine.Audit.Balancing;

/// <summary>What to balance.</summary>
internal sealed record BalanceRequest
{
    /// <summary>What <see cref="AttributeTable.Open"/> opens: one example a row.</summary>
    public required IReadOnlyList<string> Tables { get; init; }

    /// <summary>Columns of sensitive attributes, each from 0 to 1; groups may overlap.</summary>
    public required IReadOnlyList<string> Sensitive { get; init; }

    /// <summary>Columns of labels, and of proxies of them, each from 0 to 1.</summary>
    public required IReadOnlyList<string> Labels { get; init; }

    /// <summary>π, ε_D, ε_R, η and V.</summary>
    public required BalanceProblem Problem { get; init; }

    /// <summary>A column of utilities u above zero, or null: 1 everywhere.</summary>
    public string? Utility { get; init; }

    /// <summary>Solves until the barrier's share of a weight is below 1e-6, rather than 1e-4.</summary>
    public bool IsExact { get; init; }

    /// <summary>Seed of the training list.</summary>
    public long Seed { get; init; } = 1;

    /// <summary>Also writes how often each example is to be seen, and the examples so.</summary>
    public bool WritesTrainingList { get; init; }

    /// <summary>The level of intervals.</summary>
    public double Level { get; init; } = 0.95;
}

/// <summary>A constraint after balancing.</summary>
/// <param name="Attribute">The sensitive column.</param>
/// <param name="Label">The label column; null: the share of the attribute itself.</param>
/// <param name="Value">E[q·(s − π)·y] or E[q·(s − π)].</param>
/// <param name="Tolerance">ε·E[q].</param>
/// <param name="Price">The larger of its two dual variables.</param>
/// <param name="State">holds, binds or violated.</param>
internal sealed record ConstraintResult(string Attribute, string? Label, double Value, double Tolerance, double Price, string State);

/// <summary>What balancing did.</summary>
/// <param name="Before">The table's bias.</param>
/// <param name="After">Its bias with the weights.</param>
/// <param name="Solution">The dual variables and the objective.</param>
/// <param name="Constraints">What became of each constraint.</param>
/// <param name="Rows">Rows of the table.</param>
/// <param name="DistinctRows">Distinct combinations of values.</param>
/// <param name="Verdict">Whether the targets are met, and what to do where not.</param>
/// <param name="IsMet">Whether every constraint holds.</param>
internal sealed record BalanceResult(
    DataBias Before, DataBias After, BalanceSolution Solution, IReadOnlyList<ConstraintResult> Constraints, long Rows, long DistinctRows, string Verdict, bool IsMet);

/// <summary>Balances a table and writes what comes out.</summary>
internal static class BalanceRun
{
    /// <summary>The barrier's weight at which weights are exact to 1e-6, and to 1e-4 with fewer passes.</summary>
    internal const double ExactBarrier = 1e-13, OrdinaryBarrier = 1e-10;

    private const double Slack = 1e-6;

    /// <summary>Reads the table, solves, and writes <c>weights.csv</c>, <c>balance.json</c>, <c>tables/*.csv</c> and <c>report.html</c>.</summary>
    /// <param name="request">What to balance.</param>
    /// <param name="directory">The folder; made where it is missing.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <exception cref="BadInputException">The table or a value in it is at fault, or an attribute that a target names never occurs.</exception>
    public static BalanceResult Run(BalanceRequest request, string directory, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentException.ThrowIfNullOrEmpty(directory);
        using var culture = InvariantCulture.Begin();
        Check(request);
        AttributeTable table = AttributeTable.Open(request.Tables);
        ResultDirectory.RefuseInputs(directory, table.Files, ["tables", TrainingList.ShardFolder], ["weights.csv", "balance.json", "report.html", TrainingList.RepeatsName, TrainingList.CsvName]);
        using FolderLock held = ResultDirectory.Hold(directory);
        BalanceProblem problem = request.Problem;
        using var rows = new DistinctRows(problem.RowWidth, directory);
        table.Read([.. request.Sensitive, .. request.Labels], request.Utility, row => rows.Add(row), cancellation);
        DataBias before = DataBiasMeasure.Measure(rows, request.Sensitive, request.Labels, problem.Target, null, request.Level);
        RefuseEmptyGroups(table.Path, request, before);
        BalanceSolution solution = BalanceSolver.Solve(problem, rows, request.IsExact ? ExactBarrier : OrdinaryBarrier, cancellation);
        DataBias after = DataBiasMeasure.Measure(rows, request.Sensitive, request.Labels, problem.Target, row => solution.Weight(row), request.Level);
        ConstraintResult[] constraints = Constraints(request, solution);
        (string verdict, bool isMet) = Judge(request, rows, solution, constraints, cancellation);
        var result = new BalanceResult(before, after, solution, constraints, rows.Count, rows.DistinctCount + rows.SpilledCount, verdict, isMet);
        WriteWeights(rows, solution, Path.Combine(directory, "weights.csv"), cancellation);
        if (request.WritesTrainingList)
            TrainingList.Write(table, rows, solution, request.Seed, directory, cancellation);
        BalanceReport.Write(request, result, directory);
        return result;
    }

    /// <summary>The same as <c>balance.json</c>.</summary>
    /// <param name="request">What was balanced.</param>
    /// <param name="result">What came out.</param>
    public static string ToJson(BalanceRequest request, BalanceResult result) => System.Text.Json.JsonSerializer.Serialize(new BalanceRecord(request, result), BalanceJson.Default.BalanceRecord);

    private static void Check(BalanceRequest request)
    {
        BalanceProblem problem = request.Problem;
        if (request.Sensitive.Count == 0 || request.Labels.Count != problem.LabelCount || request.Sensitive.Count != problem.SensitiveCount)
            throw new BadInputException("--target", $"{problem.SensitiveCount} targets for {request.Sensitive.Count} sensitive columns.", "Name one target for each column of --sensitive, in its order.");
        string? twice = request.Sensitive.Concat(request.Labels).GroupBy(name => name, StringComparer.Ordinal).FirstOrDefault(names => names.Count() > 1)?.Key;
        if (twice is not null)
            throw new BadInputException("--sensitive", $"column '{BadInputException.Escape(twice)}' is named twice.", "Name every column once: an attribute is not balanced against itself.");
        foreach (double target in problem.Target)
        {
            if (target is not (>= 0 and <= 1))
                throw new BadInputException("--target", $"{target.ToString(CultureInfo.InvariantCulture)} is no share.", "Name shares from 0 to 1.");
        }

        if (problem.Rate is not (> 0 and < 1))
            throw new BadInputException("--rate", $"{problem.Rate.ToString(CultureInfo.InvariantCulture)} is not between 0 and 1.", "Name the mean weight that rows shall keep, above 0 and below 1, for example 0.9.");
        if (problem.Enforcement is not (> 0 and <= 1e9))
            throw new BadInputException("--enforcement", "is not above 0.", "Name the price of a violation, for example 10.");
        if (problem.AssociationTolerance is not (>= 0 and <= 1) || problem.RepresentationTolerance is not (>= 0 and <= 1))
            throw new BadInputException("--eps-d", "a tolerance lies outside 0 to 1.", "Name --eps-d and --eps-r from 0 to 1.");
    }

    private static void RefuseEmptyGroups(string path, BalanceRequest request, DataBias before)
    {
        for (int k = 0; k < request.Sensitive.Count; k++)
        {
            RepresentationCell cell = before.Representation[k];
            string name = BadInputException.Escape(cell.Attribute, 60);
            if (cell.Share.Value is not double share)
                throw new BadInputException(path, $"column '{name}' has no value in any row.", "Leave it out of --sensitive, or fill it.");
            if (share == 0 && cell.Target > 0)
                throw new BadInputException(path, $"no row has '{name}', and its target is {cell.Target.Value.ToString(CultureInfo.InvariantCulture)}: weights cannot make what is not there.", "Add such rows, or leave the column out.");
            if (share == 1 && cell.Target < 1)
                throw new BadInputException(path, $"every row has '{name}', and its target is {cell.Target!.Value.ToString(CultureInfo.InvariantCulture)}: weights cannot make what is not there.", "Add rows without it, or leave the column out.");
        }
    }

    private static ConstraintResult[] Constraints(BalanceRequest request, BalanceSolution solution)
    {
        BalanceProblem problem = request.Problem;
        int c = problem.LabelCount, pairs = problem.SensitiveCount * c;
        return [.. Enumerable.Range(0, problem.MomentCount).Select(l =>
        {
            double price = Math.Max(solution.Upper[l], solution.Lower[l]);
            string state = solution.Violation(l) > Slack ? "violated" : solution.Violation(l) > -Slack && price > Slack ? "binds" : "holds";
            return new ConstraintResult(
                request.Sensitive[l < pairs ? l / c : l - pairs], l < pairs ? request.Labels[l % c] : null,
                solution.MomentValues[l], problem.Tolerance(l) * solution.MeanWeight, price, state);
        })];
    }

    /// <summary>Whether the targets are met; where not, whether a higher price would meet them or nothing does.</summary>
    private static (string Verdict, bool IsMet) Judge(BalanceRequest request, DistinctRows rows, BalanceSolution solution, ConstraintResult[] constraints, CancellationToken cancellation)
    {
        int violated = constraints.Count(constraint => constraint.State == "violated");
        if (violated == 0)
            return ("All targets are met within their tolerances.", true);
        string how = $"{violated} of {constraints.Length} constraints are violated, by {solution.LargestViolation.ToString("0.0000", CultureInfo.InvariantCulture)} at most.";
        BalanceProblem strict = request.Problem with { Enforcement = Math.Min(1e9, request.Problem.Enforcement * 1000) };
        if (BalanceSolver.Solve(strict, rows, OrdinaryBarrier, cancellation).LargestViolation <= 10 * Slack)
            return ($"The targets are not met: {how} They can be met at this rate; raise --enforcement above {request.Problem.Enforcement.ToString(CultureInfo.InvariantCulture)}.", false);
        return ($"The targets cannot be met: {how} No enforcement would do it with these rows at rate {request.Problem.Rate.ToString(CultureInfo.InvariantCulture)}; lower --rate, widen --eps-d or --eps-r, change --target, or add rows of the rare combinations.", false);
    }

    private static void WriteWeights(DistinctRows rows, BalanceSolution solution, string path, CancellationToken cancellation) =>
        AtomicFile.Write(path, stream =>
        {
            using var text = new StreamWriter(stream, new UTF8Encoding(false), 1 << 16, leaveOpen: true) { NewLine = "\n" };
            text.Write("row,q\n");
            long index = 0;
            // Few distinct rows have few distinct weights: the last one's text is kept.
            double last = double.NaN;
            string lastText = "";
            rows.InOrder(row => solution.Weight(row), q =>
            {
                if ((index & 0xFFFF) == 0)
                    cancellation.ThrowIfCancellationRequested();
                if (q != last)
                    (last, lastText) = (q, q.ToString("R", CultureInfo.InvariantCulture));
                text.Write(index++);
                text.Write(',');
                text.Write(lastText);
                text.Write('\n');
            });
        });
}
