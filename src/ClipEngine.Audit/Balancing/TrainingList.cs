using System.Globalization;
using System.Text;
using ClipEngine.Audit.Statistics;
using ClipEngine.Files;

namespace ClipEngine.Audit.Balancing;

/// <summary>
/// How often each row shall be seen (<c>repeats.csv</c>: <c>row</c> from 0, <c>times</c>), and the examples themselves as OpenCLIP's trainer reads them:
/// as many as the table has, some left out, some repeated.
/// </summary>
internal static class TrainingList
{
    /// <summary>The keep-and-repeat list.</summary>
    public const string RepeatsName = "repeats.csv";

    /// <summary>The rows of tables (<c>--train-data train.csv --dataset-type csv --csv-separator ,</c>).</summary>
    public const string CsvName = "train.csv";

    /// <summary>The samples of shards (<c>--train-data train/{00000..00009}.tar --dataset-type webdataset</c>).</summary>
    public const string ShardFolder = "train";

    /// <summary>
    /// Writes both. Row i occurs floor or ceiling of q_i/E[q] times, q_i/E[q] on average (systematic sampling: one random start, then steps of
    /// one along the running sum of the weights), so that the list is as long as the table and the same for a seed.
    /// </summary>
    /// <param name="table">The table.</param>
    /// <param name="rows">Its rows, in its order.</param>
    /// <param name="solution">Their weights.</param>
    /// <param name="seed">Of the random start.</param>
    /// <param name="directory">The folder.</param>
    /// <param name="cancellation">Ends the writing.</param>
    public static void Write(AttributeTable table, DistinctRows rows, BalanceSolution solution, long seed, string directory, CancellationToken cancellation)
    {
        SplitMix64 random = SplitMix64.For(seed, SplitMix64.Stream("training list"), 0);
        double start = (random.Next() >> 11) * (1.0 / (1L << 53));
        string path = Path.Combine(directory, RepeatsName);
        AtomicFile.Write(path, stream =>
        {
            using var text = new StreamWriter(stream, new UTF8Encoding(false), 1 << 16, leaveOpen: true) { NewLine = "\n" };
            text.Write("row,times\n");
            double sum = 0;
            long written = 0, index = 0;
            rows.InOrder(row => solution.Weight(row), q =>
            {
                if ((index & 0xFFFF) == 0)
                    cancellation.ThrowIfCancellationRequested();
                sum += q / solution.MeanWeight;
                // The points start, start + 1, ... that the running sum has passed.
                long due = Math.Min(rows.Count, (long)Math.Floor(sum - start) + 1);
                long times = Math.Max(0, due - written);
                written += times;
                text.Write(index++);
                text.Write(',');
                text.Write(times);
                text.Write('\n');
            });
        });
        table.WriteExamples(File.ReadLines(path).Skip(1).Select(static line => long.Parse(line.AsSpan(line.IndexOf(',', StringComparison.Ordinal) + 1), CultureInfo.InvariantCulture)), directory, cancellation);
    }
}
