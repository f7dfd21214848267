using System.Diagnostics;
using ClipEngine.Cli.Parts;
using ClipEngine.Files;
using ClipEngine.Tensors;

namespace ClipEngine.Benchmarks;

/// <summary>What merging parts costs, against reading and writing as many bytes: turns, each with its file flushed to the disk.</summary>
internal static class MergeRun
{
    internal static int Execute(string[] arguments)
    {
        if (arguments.Length is < 1 or > 5)
        {
            Console.Error.WriteLine("usage: merge FOLDER [PARTS] [ROWS] [WIDTH] [.npy|.safetensors|.parquet]");
            return 2;
        }

        int Number(int index, int otherwise) => arguments.Length > index ? int.Parse(arguments[index]) : otherwise;
        int count = Number(1, 1000), rows = Number(2, 1000), width = Number(3, 512);
        string folder = arguments[0], output = Path.Combine(folder, "merged" + (arguments.Length > 4 ? arguments[4] : ".npy")), copy = Path.Combine(folder, "copy");
        string[] parts = Make(folder, count, rows, width);
        var ratios = new List<double>();
        for (int round = 0; round < 5; round++)
        {
            long start = Stopwatch.GetTimestamp();
            FeatureMerge.Open(parts, default).Write(output);
            TimeSpan merged = Stopwatch.GetElapsedTime(start);
            long length = new FileInfo(output).Length;
            File.Delete(output);
            start = Stopwatch.GetTimestamp();
            Copy(parts, copy, length);
            TimeSpan copied = Stopwatch.GetElapsedTime(start);
            File.Delete(copy);
            ratios.Add(merged / copied);
            Console.WriteLine($"merge {merged.TotalSeconds:F2} s, reading the parts and writing {length / 1e6:F0} MB {copied.TotalSeconds:F2} s, ratio {merged / copied:F2}");
        }

        ratios.Sort();
        using var process = Process.GetCurrentProcess();
        Console.WriteLine($"{count} parts of {rows} rows of {width}: ratio {ratios[2]:F2} ({ratios[0]:F2} to {ratios[^1]:F2}); peak memory {process.PeakWorkingSet64 / 1e6:F0} MB");
        return 0;
    }

    private static string[] Make(string folder, int count, int rows, int width)
    {
        string[] paths = [.. Enumerable.Range(1, count).Select(index => new PartNumber(index, count).FileBeside(Path.Combine(folder, $"f{rows}x{width}.npy"), ".safetensors"))];
        var run = new PartRun([new("inputs", "random")]);
        var random = new Random(1);
        float[] values = [.. Enumerable.Range(0, rows * width).Select(_ => random.NextSingle() - 0.5f)];
        for (int index = 0; index < count; index++)
        {
            if (File.Exists(paths[index]))
                continue;
            string[] names = [.. Enumerable.Range(0, rows).Select(row => $"{index:d5}{row:d4}.jpg")];
            FeaturePart.Write(paths[index], new PartNumber(index + 1, count), run, "", new Shape(rows, width), names, "none", null, handler => handler(0, values));
        }

        return paths;
    }

    private static void Copy(string[] parts, string path, long length)
    {
        byte[] buffer = new byte[1 << 20];
        using var output = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, 0);
        foreach (string part in parts)
        {
            using var input = new FileStream(part, FileMode.Open, FileAccess.Read, FileShare.Read, 0);
            for (int read; (read = input.Read(buffer)) > 0;)
            {
                // As many bytes as the merge writes, were they more than the parts have or fewer.
                int wanted = (int)Math.Min(read, length - output.Position);
                output.Write(buffer, 0, wanted);
            }
        }

        while (output.Position < length)
            output.Write(buffer, 0, (int)Math.Min(buffer.Length, length - output.Position));
        output.Flush(flushToDisk: true);
    }
}
