using System.Diagnostics;
using System.Runtime.InteropServices;
using ClipEngine.Models;
using ClipEngine.Native;

namespace ClipEngine.Benchmarks;

/// <summary>
/// Loading a model against one read of its file into a fresh buffer, alternating, the page cache warm. Ready is the time to the first
/// embedding less that of a steady one: memory that is only touched when it is first used counts as loading.
/// </summary>
internal static unsafe class LoadRun
{
    internal static int Execute(string[] arguments)
    {
        if (arguments.Length is < 1 or > 4)
        {
            Console.Error.WriteLine("usage: load FOLDER [both|image|text] [THREADS] [ROUNDS]");
            return 2;
        }

        string folder = arguments[0];
        ModelTowers towers = (arguments.Length > 1 ? arguments[1] : "both") switch
        {
            "image" => ModelTowers.Image,
            "text" => ModelTowers.Text,
            _ => ModelTowers.Both,
        };
        if (arguments.Length > 2)
            NativeThreads.Count = int.Parse(arguments[2]);
        int rounds = arguments.Length > 3 ? int.Parse(arguments[3]) : 5;
        string file = Directory.EnumerateFiles(folder, "*.safetensors").Single();
        List<double> read = [], huge = [], load = [], ready = [];
        long weights = 0;
        for (int round = -1; round < rounds; round++)
        {
            double[] times = [Read(file, askForHugePages: false), Read(file, askForHugePages: true), .. Load(folder, towers, out weights)];
            if (round < 0)
                continue; // the page cache is warm and everything compiled from here on
            read.Add(times[0]);
            huge.Add(times[1]);
            load.Add(times[2]);
            ready.Add(times[3]);
        }

        Console.WriteLine($"{folder}, {towers}, {NativeThreads.Count} threads, {new FileInfo(file).Length / 1e6:F0} MB of file, {weights / 1e6:F0} MB of weights, {rounds} rounds");
        Print("read() into a fresh buffer", read, read);
        Print("the same, huge pages asked for", huge, read);
        Print("load", load, read);
        Print("ready: first embedding less a steady one", ready, read);
        return 0;
    }

    private static void Print(string what, List<double> times, List<double> reference)
    {
        Console.WriteLine($"  {what,-42} median {Median(times),7:F3} s  min {times.Min(),7:F3}  max {times.Max(),7:F3}  {Median(times) / Median(reference),5:F2} of read()");
    }

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

    private static double Read(string file, bool askForHugePages)
    {
        using Microsoft.Win32.SafeHandles.SafeFileHandle handle = File.OpenHandle(file);
        long length = RandomAccess.GetLength(handle);
        long start = Stopwatch.GetTimestamp();
        byte* buffer = (byte*)NativeMemory.AlignedAlloc((nuint)length, 2 << 20);
        if (askForHugePages)
            _ = Advise((nint)buffer, (nuint)length, 14); // MADV_HUGEPAGE
        for (long done = 0; done < length;)
            done += RandomAccess.Read(handle, new Span<byte>(buffer + done, (int)Math.Min(length - done, int.MaxValue)), done);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        NativeMemory.AlignedFree(buffer);
        return seconds;
    }

    private static double[] Load(string folder, ModelTowers towers, out long weights)
    {
        long start = Stopwatch.GetTimestamp();
        using ClipModel model = ClipModel.Load(folder, new ClipModelOptions { Towers = towers });
        double load = Stopwatch.GetElapsedTime(start).TotalSeconds;
        float[] pixels = new float[3 * model.Encoder.Preprocess.Height * model.Encoder.Preprocess.Width], feature = new float[model.EmbedDimension];
        int[] ids = new int[model.Encoder.ContextLength];
        Embed();
        double first = Stopwatch.GetElapsedTime(start).TotalSeconds;
        var steady = new List<double>();
        for (int i = 0; i < 5; i++)
        {
            long from = Stopwatch.GetTimestamp();
            Embed();
            steady.Add(Stopwatch.GetElapsedTime(from).TotalSeconds);
        }

        weights = model.WeightBytes;
        return [load, first - Median(steady)];

        void Embed()
        {
            if (towers != ModelTowers.Text)
                model.EncodePixels(pixels, feature);
            if (towers != ModelTowers.Image)
                model.EncodeTokens(ids, ids.Length, feature);
        }
    }

    [DllImport("libc", EntryPoint = "madvise")]
    private static extern int Advise(nint address, nuint length, int advice);
}
