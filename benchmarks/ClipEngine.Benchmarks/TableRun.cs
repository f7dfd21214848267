using System.Diagnostics;
using Apache.Arrow;
using Apache.Arrow.Ipc;
using ClipEngine.Cli;
using ClipEngine.Files;
using ClipEngine.Tensors;

namespace ClipEngine.Benchmarks;

/// <summary>What features cost as a table: written with their names and flushed to the disk, and read back whole, in turns.</summary>
internal static class TableRun
{
    private const int RowsAtOnce = 512, Rounds = 3;

    internal static int Execute(string[] arguments)
    {
        if (arguments.Length is < 1 or > 4)
        {
            Console.Error.WriteLine("usage: tables FOLDER [ROWS] [WIDTH] [.npy|.parquet|.arrow]");
            return 2;
        }

        int rows = arguments.Length > 1 ? int.Parse(arguments[1]) : 1_000_000, width = arguments.Length > 2 ? int.Parse(arguments[2]) : 512;
        var random = new Random(1);
        float[] values = [.. Enumerable.Range(0, RowsAtOnce * width).Select(_ => random.NextSingle() - 0.5f)];
        string[] names = [.. Enumerable.Range(0, rows).Select(static row => $"{row / 10_000:d5}/{row:d9}.jpg")];
        string[] extensions = arguments.Length > 3 ? [arguments[3]] : [".npy", ".parquet", ".arrow"];
        for (int round = 0; round < Rounds; round++)
        {
            foreach (string extension in extensions)
            {
                string path = Path.Combine(arguments[0], "features" + extension);
                long start = Stopwatch.GetTimestamp();
                FeatureFile.WriteRows(path, "image_features", new Shape(rows, width), new ListedNames(names), "none", handler =>
                {
                    for (int row = 0; row < rows; row += RowsAtOnce)
                        handler(row, values.AsSpan(0, Math.Min(RowsAtOnce, rows - row) * width));
                });
                TimeSpan written = Stopwatch.GetElapsedTime(start);
                start = Stopwatch.GetTimestamp();
                long read = extension switch
                {
                    ".parquet" => ReadParquet(path),
                    ".arrow" => ReadArrow(path),
                    _ => ReadNpy(path),
                };
                TimeSpan taken = Stopwatch.GetElapsedTime(start);
                if (read != (long)rows * width)
                    throw new InvalidOperationException($"{path}: {read} values were read.");
                Console.WriteLine($"{extension}: written in {written.TotalSeconds:F2} s, read in {taken.TotalSeconds:F2} s, {new FileInfo(path).Length / 1e6:F0} MB");
                File.Delete(path);
            }
        }

        using var process = Process.GetCurrentProcess();
        Console.WriteLine($"{rows} rows of {width}; peak memory {process.PeakWorkingSet64 / 1e6:F0} MB");
        return 0;
    }

    private static long ReadParquet(string path)
    {
        using ParquetFile file = ParquetFile.Open(path);
        long count = 0;
        for (int group = 0; group < file.GroupCount; group++)
        {
            file.ReadText(group, 0);
            count += file.ReadVectors(group, 1).Values.Length;
        }

        return count;
    }

    private static long ReadArrow(string path)
    {
        using FileStream stream = File.OpenRead(path);
        using var reader = new ArrowFileReader(stream);
        long count = 0;
        while (reader.ReadNextRecordBatch() is { } batch)
        {
            using (batch)
            {
                var names = (StringArray)batch.Column(0);
                for (int row = 0; row < names.Length; row++)
                    _ = names.GetString(row);
                count += ((FloatArray)((FixedSizeListArray)batch.Column(1)).Values).Length;
            }
        }

        return count;
    }

    private static long ReadNpy(string path)
    {
        using NpyFile file = NpyFile.Open(path);
        float[] buffer = new float[1 << 20];
        for (long first = 0; first < file.ElementCount; first += buffer.Length)
            file.ReadAsSingle(first, buffer.AsSpan(0, (int)Math.Min(buffer.Length, file.ElementCount - first)));
        return file.ElementCount;
    }
}
