using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using ClipEngine.Native;

namespace ClipEngine.Benchmarks;

/// <summary>What one execution of a benchmark does, as a parameter of it: its sizes, named after where they occur, and what it counts as.</summary>
/// <param name="Name">As in <c>ViT-B-32 fc1 50x768x3072</c>: the sizes stand last.</param>
/// <param name="Operations">A multiply-add is two; 0 where bytes count.</param>
/// <param name="Bytes">Read from memory; 0 where arithmetic counts.</param>
public sealed record Work(string Name, double Operations, double Bytes = 0)
{
    /// <summary>The sizes in the name.</summary>
    public int[] Sizes => [.. Name[(Name.LastIndexOf(' ') + 1)..].Split('x').Select(int.Parse)];

    /// <summary>A matrix product: rows, depth, columns.</summary>
    public static Work Product(string name)
    {
        int[] sizes = new Work(name, 0).Sizes;
        return new Work(name, 2.0 * sizes[0] * sizes[1] * sizes[2]);
    }

    /// <inheritdoc/>
    public override string ToString() => Name;
}

/// <summary>Billions of operations or bytes a second, from the median.</summary>
internal sealed class RateColumn : IColumn
{
    public string Id => nameof(RateColumn);

    public string ColumnName => "Rate";

    public string Legend => "10^9 operations (a multiply-add is two) or bytes a second, of the median";

    public bool AlwaysShow => true;

    public ColumnCategory Category => ColumnCategory.Custom;

    public int PriorityInCategory => 0;

    public bool IsNumeric => true;

    public UnitType UnitType => UnitType.Dimensionless;

    public bool IsAvailable(Summary summary) => summary.BenchmarksCases.Any(benchmark => Of(benchmark) is not null);

    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) => GetValue(summary, benchmarkCase);

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase) =>
        Rate(summary, benchmarkCase) is { } rate ? $"{rate / 1e9:F1} {(Of(benchmarkCase)!.Operations > 0 ? "GFLOP/s" : "GB/s")}" : "";

    internal static Work? Of(BenchmarkCase benchmark) => benchmark.Parameters.Items.Select(item => item.Value).OfType<Work>().FirstOrDefault();

    internal static double? Rate(Summary summary, BenchmarkCase benchmark) =>
        Of(benchmark) is { } work && summary[benchmark]?.ResultStatistics is { } statistics
            ? (work.Operations > 0 ? work.Operations : work.Bytes) / (statistics.Median / 1e9)
            : null;
}

/// <summary>The rate as a share of a ceiling that is measured in this process right behind the benchmarks: multiply-adds or dot products in registers, or reading memory.</summary>
internal sealed class ShareColumn : IColumn
{
    private readonly Dictionary<ProcessorCeiling, double?> _ceilings = [];

    public string Id => nameof(ShareColumn);

    public string ColumnName => "Of ceiling";

    public string Legend => "Share of the processor's own ceiling, measured in the same run";

    public bool AlwaysShow => true;

    public ColumnCategory Category => ColumnCategory.Custom;

    public int PriorityInCategory => 1;

    public bool IsNumeric => true;

    public UnitType UnitType => UnitType.Dimensionless;

    public bool IsAvailable(Summary summary) => summary.BenchmarksCases.Any(benchmark => RateColumn.Of(benchmark) is not null);

    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) => GetValue(summary, benchmarkCase);

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase)
    {
        if (RateColumn.Rate(summary, benchmarkCase) is not { } rate)
            return "";
        ProcessorCeiling kind = RateColumn.Of(benchmarkCase)!.Operations == 0 ? ProcessorCeiling.MemoryRead
            : benchmarkCase.Parameters.Items.Select(item => item.Value).OfType<Tensors.ElementType>().FirstOrDefault(Tensors.ElementType.Float32) switch
            {
                Tensors.ElementType.BFloat16 => ProcessorCeiling.BFloat16,
                Tensors.ElementType.Int8 => ProcessorCeiling.Int8,
                _ => ProcessorCeiling.Float32,
            };
        double? ceiling = Ceiling(kind) ?? Ceiling(ProcessorCeiling.Float32);
        return ceiling is null ? "" : $"{100 * rate / ceiling:F0} % of {ceiling / 1e9:F0}";
    }

    private double? Ceiling(ProcessorCeiling kind)
    {
        if (!_ceilings.TryGetValue(kind, out double? ceiling))
            _ceilings[kind] = ceiling = ProcessorCeilings.Measure(kind, TimeSpan.FromSeconds(0.5));
        return ceiling;
    }
}
