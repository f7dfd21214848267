using System.Text;
using ClipEngine.Audit.Statistics;
using ClipEngine.Audit.Tables;
using ClipEngine.Files;
using CsvHelper;

namespace ClipEngine.Audit.Balancing;

/// <summary>
/// The table's rows as OpenCLIP's trainer reads them (<c>--train-data train.csv --dataset-type csv</c>), each as often as its weight asks:
/// as many rows as the table has, some left out, some repeated.
/// </summary>
internal static class TrainingList
{
    /// <summary>
    /// Writes the list. Row i occurs floor or ceiling of q_i/E[q] times, q_i/E[q] on average (systematic sampling: one random start, then steps of
    /// one along the running sum of the weights), so that the list is as long as the table and the same for a seed.
    /// </summary>
    public static void Write(string tablePath, DistinctRows rows, BalanceSolution solution, long seed, string path, CancellationToken cancellation)
    {
        SplitMix64 random = SplitMix64.For(seed, SplitMix64.Stream("training list"), 0);
        double start = (random.Next() >> 11) * (1.0 / (1L << 53));
        using FileStream input = File.OpenRead(tablePath);
        using CsvReader reader = CsvReader.Create(input, CsvTable.Options(tablePath));
        AtomicFile.Write(path, stream =>
        {
            reader.Read();
            var line = new MemoryStream();
            Record(reader, line);
            line.WriteTo(stream);
            double sum = 0;
            long written = 0, index = 0;
            rows.InOrder(row => solution.Weight(row), q =>
            {
                if ((index++ & 0xFFFF) == 0)
                    cancellation.ThrowIfCancellationRequested();
                reader.Read();
                sum += q / solution.MeanWeight;
                // The points start, start + 1, ... that the running sum has passed.
                long due = Math.Min(rows.Count, (long)Math.Floor(sum - start) + 1);
                if (written >= due)
                    return;
                line.SetLength(0);
                Record(reader, line);
                for (; written < due; written++)
                    line.WriteTo(stream);
            });
        });
    }

    private static void Record(CsvReader reader, MemoryStream line)
    {
        for (int column = 0; column < reader.FieldCount; column++)
        {
            if (column > 0)
                line.WriteByte((byte)',');
            ReadOnlySpan<byte> cell = reader.GetSpan(column);
            if (cell.IndexOfAny(",\"\r\n"u8) < 0)
            {
                line.Write(cell);
                continue;
            }

            line.Write(Encoding.UTF8.GetBytes($"\"{Encoding.UTF8.GetString(cell).Replace("\"", "\"\"", StringComparison.Ordinal)}\""));
        }

        line.WriteByte((byte)'\n');
    }
}
