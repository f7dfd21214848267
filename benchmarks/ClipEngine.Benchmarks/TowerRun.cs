using System.Diagnostics;
using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Native;
using ClipEngine.Tensors;

namespace ClipEngine.Benchmarks;

/// <summary>Speed of a whole tower on the processor: wall and processor time a batch, beside what a lower compute type does to the features.</summary>
internal static class TowerRun
{
    internal static int Execute(string[] arguments) =>
        Execute("towers", arguments, static (threads, type) => CpuBackend.Create(new CpuBackendOptions { Threads = threads, ComputeType = type }));

    private static int Execute(string verb, string[] arguments, Func<int, ElementType, IBackend> open)
    {
        if (arguments.Length is < 4 or > 6)
        {
            Console.Error.WriteLine($"usage: {verb} FOLDER|CONFIGURATION.json image|text|prompts THREADS BATCH[,BATCH...]|- [fp32|bf16|fp16|int8] [SECONDS]");
            return 2;
        }

        string folder = arguments[0];
        bool text = arguments[1] is "text" or "prompts";
        bool isShort = arguments[1] == "prompts";
        bool isTold = arguments[3] == "-";
        int[] batches = isTold ? [] : [.. arguments[3].Split(',').Select(int.Parse)];
        ElementType type = (arguments.Length > 4 ? arguments[4] : "fp32") switch
        {
            "bf16" => ElementType.BFloat16,
            "fp16" => ElementType.Float16,
            "int8" => ElementType.Int8,
            _ => ElementType.Float32,
        };
        double seconds = arguments.Length > 5 ? double.Parse(arguments[5]) : 3;
        using IBackend backend = open(int.Parse(arguments[2]), type);
        long start = Stopwatch.GetTimestamp();
        (IDualEncoder model, IReadOnlyList<Weight> weights) = Load(folder, backend);
        Console.WriteLine($"# {folder} {backend.Description}, {type}, loaded in {Stopwatch.GetElapsedTime(start).TotalMilliseconds:F0} ms, weights {weights.Sum(weight => weight.ByteLength) / 1048576.0:F0} MiB");
        if (type != ElementType.Float32 && !isTold)
            Compare(folder, model, text);
        if (isTold)
            Answer(model, folder, text, isShort, type);
        foreach (int batch in batches)
            Measure(model, text, isShort, batch, seconds);
        foreach (Weight weight in weights)
            weight.Dispose();
        return 0;
    }

    private static (IDualEncoder Model, IReadOnlyList<Weight> Weights) Load(string folder, IBackend backend)
    {
        ModelPlan plan = ModelConfiguration.Plan(folder);
        using ICheckpoint checkpoint = folder.EndsWith(".json", StringComparison.Ordinal) ? Untrained(plan, backend) : plan.Arrange(Checkpoint.OpenAsStored(folder));
        using var reader = new WeightReader(checkpoint, backend);
        var model = (IDualEncoder)plan.Build(reader, backend, new ModelOptions());
        return (model, reader.Complete());
    }

    /// <summary>Random weights for a configuration alone: speed does not depend on them.</summary>
    private static UntrainedCheckpoint Untrained(ModelPlan plan, IBackend backend)
    {
        using var nothing = new UntrainedCheckpoint(plan.Source, []);
        using var asking = new WeightReader(nothing, backend: null);
        plan.Build(asking, backend, new ModelOptions());
        return new UntrainedCheckpoint(plan.Source, asking.Requests);
    }

    /// <summary>
    /// Runs as standard input says, in the words of benchmarks/peers/towers: 'BATCH SECONDS' is answered by the milliseconds of every
    /// run after one that does not count. Also 'operations 0' by those of one item, 0 where what follows the end of the text is left out; and
    /// 'ceiling SECONDS' by the operations a second that the processor reaches in that type, 0 where it has no instruction for it.
    /// </summary>
    private static void Answer(IDualEncoder model, string folder, bool text, bool isShort, ElementType type)
    {
        ProcessorCeiling own = type switch
        {
            ElementType.Int8 => ProcessorCeiling.Int8,
            ElementType.BFloat16 => ProcessorCeiling.BFloat16,
            _ => ProcessorCeiling.Float32,
        };
        while (Console.ReadLine() is { } line)
        {
            string[] words = line.Split(' ');
            var time = TimeSpan.FromSeconds(double.Parse(words[1]));
            if (words[0] == "operations")
            {
                ModelCost? cost = ModelConfiguration.Plan(folder).Cost;
                Console.WriteLine(isShort || cost is null ? 0 : text ? cost.Text.Operations : cost.Image.Operations);
                continue;
            }

            if (words[0] == "ceiling")
            {
                Console.WriteLine($"{ProcessorCeilings.Measure(own, time) ?? 0:F0}");
                continue;
            }

            int batch = int.Parse(words[0]);
            float[] pixels = Pixels(model, batch), features = new float[batch * model.EmbedDimension];
            int[] ids = Ids(model, batch, isShort);
            var times = new List<double>();
            Run(model, text, pixels, ids, batch, features);
            long start = Stopwatch.GetTimestamp();
            do
            {
                long from = Stopwatch.GetTimestamp();
                Run(model, text, pixels, ids, batch, features);
                times.Add(Stopwatch.GetElapsedTime(from).TotalMilliseconds);
            }
            while (Stopwatch.GetElapsedTime(start) < time);
            Console.WriteLine(string.Join(' ', times.Select(each => $"{each:F3}")));
        }
    }

    private static void Measure(IDualEncoder model, bool text, bool isShort, int batch, double seconds)
    {
        float[] pixels = Pixels(model, batch), features = new float[batch * model.EmbedDimension];
        int[] ids = Ids(model, batch, isShort);
        var wall = new List<double>();
        var processor = new List<double>();
        Run(model, text, pixels, ids, batch, features);
        long start = Stopwatch.GetTimestamp();
        while (wall.Count < 3 || Stopwatch.GetElapsedTime(start).TotalSeconds < seconds)
        {
            long from = Stopwatch.GetTimestamp();
            TimeSpan used = Environment.CpuUsage.TotalTime;
            Run(model, text, pixels, ids, batch, features);
            wall.Add(Stopwatch.GetElapsedTime(from).TotalMilliseconds);
            processor.Add((Environment.CpuUsage.TotalTime - used).TotalMilliseconds);
        }

        wall.Sort();
        processor.Sort();
        double middle = wall[wall.Count / 2];
        Console.WriteLine($"batch {batch}: wall median {middle:F1} ms, min {wall[0]:F1} ms, {batch * 1000 / middle:F2}/s; processor median {processor[processor.Count / 2]:F1} ms, min {processor[0]:F1} ms, {batch * 1000 / processor[0]:F2} a processor second at best; {wall.Count} runs");
    }

    /// <summary>What the compute type does to eight features: cosine and largest difference of the normalised ones against fp32.</summary>
    private static void Compare(string folder, IDualEncoder model, bool text)
    {
        const int Batch = 8;
        using CpuBackend reference = CpuBackend.Create();
        (IDualEncoder exact, IReadOnlyList<Weight> weights) = Load(folder, reference);
        float[] pixels = Pixels(model, Batch), expected = new float[Batch * model.EmbedDimension], found = new float[expected.Length];
        int[] ids = Ids(model, Batch);
        Run(exact, text, pixels, ids, Batch, expected);
        Run(model, text, pixels, ids, Batch, found);
        double cosine = 1, largest = 0;
        for (int i = 0; i < Batch; i++)
        {
            double dot = 0;
            for (int j = i * model.EmbedDimension; j < (i + 1) * model.EmbedDimension; j++)
            {
                dot += (double)expected[j] * found[j];
                largest = Math.Max(largest, Math.Abs((double)expected[j] - found[j]));
            }

            cosine = Math.Min(cosine, dot);
        }

        foreach (Weight weight in weights)
            weight.Dispose();
        Console.WriteLine($"# against fp32, {Batch} random inputs: smallest cosine {cosine:F6}, largest difference of a normalised feature's element {largest:E1}");
    }

    private static void Run(IDualEncoder model, bool text, float[] pixels, int[] ids, int batch, float[] features)
    {
        using IPass pass = model.Backend.BeginPass();
        Tensor result = text
            ? model.EncodeTexts(pass, ids, model.ContextLength)
            : model.EncodeImages(pass, pass.Upload(pixels, new Shape(batch, 3, model.Preprocess.Height, model.Preprocess.Width)));
        pass.Read(pass.L2Normalize(result), features);
    }

    private static float[] Pixels(IDualEncoder model, int batch)
    {
        var random = new Random(1);
        float[] pixels = new float[batch * 3 * model.Preprocess.Height * model.Preprocess.Width];
        for (int i = 0; i < pixels.Length; i++)
            pixels[i] = (random.NextSingle() * 4) - 2;
        return pixels;
    }

    /// <summary>
    /// Prompts as long as the context, what the exported peer computes too; or short ones, 7 to 14 ids long like the audit's and
    /// padded with zeros, of which the peer computes the whole context all the same.
    /// </summary>
    private static int[] Ids(IDualEncoder model, int batch, bool isShort = false)
    {
        var random = new Random(2);
        int[] ids = new int[batch * model.ContextLength];
        for (int n = 0; n < batch; n++)
        {
            Span<int> prompt = ids.AsSpan(n * model.ContextLength, isShort ? 7 + (n % 8) : model.ContextLength);
            for (int i = 0; i < prompt.Length; i++)
                prompt[i] = i == prompt.Length - 1 ? model.VocabularySize - 1 : random.Next(1, model.VocabularySize - 2);
        }

        return ids;
    }
}
