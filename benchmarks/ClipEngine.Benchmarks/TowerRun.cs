using System.Diagnostics;
using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Native;
using ClipEngine.Tensors;

namespace ClipEngine.Benchmarks;

/// <summary>What of a model is run.</summary>
internal enum TowerKind
{
    /// <summary>The image tower.</summary>
    Image,

    /// <summary>The text tower, on sentences as long as the context.</summary>
    Text,

    /// <summary>The text tower, on short sentences.</summary>
    Prompts,

    /// <summary>Sentences with one image, which is prepared once.</summary>
    Pairs,
}

/// <summary>Speed of a whole tower on the processor: wall and processor time a batch, beside what a lower compute type does to the features.</summary>
internal static class TowerRun
{
    /// <summary>Ids of a sentence that goes with an image: BLIP's authors' retrieval cuts there.</summary>
    private const int PairIds = 35;

    internal static int Execute(string[] arguments) =>
        Execute("towers", arguments, static (threads, type) => CpuBackend.Create(new CpuBackendOptions { Threads = threads, ComputeType = type }));

    private static int Execute(string verb, string[] arguments, Func<int, ElementType, IBackend> open)
    {
        if (arguments.Length is < 4 or > 6)
        {
            Console.Error.WriteLine($"usage: {verb} FOLDER|CONFIGURATION.json image|text|prompts|pairs THREADS BATCH[,BATCH...]|- [fp32|bf16|fp16|int8] [SECONDS]");
            return 2;
        }

        string folder = arguments[0];
        TowerKind kind = Enum.Parse<TowerKind>(arguments[1], ignoreCase: true);
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
            Compare(folder, model, kind);
        if (isTold)
            Answer(model, folder, kind, type);
        foreach (int batch in batches)
            Measure(model, kind, batch, seconds);
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
    private static void Answer(IDualEncoder model, string folder, TowerKind kind, ElementType type)
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
                Console.WriteLine(Operations(ModelConfiguration.Plan(folder), kind));
                continue;
            }

            if (words[0] == "ceiling")
            {
                Console.WriteLine($"{ProcessorCeilings.Measure(own, time) ?? 0:F0}");
                continue;
            }

            using var work = new Work(model, kind, int.Parse(words[0]));
            var times = new List<double>();
            work.Run();
            long start = Stopwatch.GetTimestamp();
            do
            {
                long from = Stopwatch.GetTimestamp();
                work.Run();
                times.Add(Stopwatch.GetElapsedTime(from).TotalMilliseconds);
            }
            while (Stopwatch.GetElapsedTime(start) < time);
            Console.WriteLine(string.Join(' ', times.Select(each => $"{each:F3}")));
        }
    }

    private static void Measure(IDualEncoder model, TowerKind kind, int batch, double seconds)
    {
        using var work = new Work(model, kind, batch);
        var wall = new List<double>();
        var processor = new List<double>();
        work.Run();
        long start = Stopwatch.GetTimestamp();
        while (wall.Count < 3 || Stopwatch.GetElapsedTime(start).TotalSeconds < seconds)
        {
            long from = Stopwatch.GetTimestamp();
            TimeSpan used = Environment.CpuUsage.TotalTime;
            work.Run();
            wall.Add(Stopwatch.GetElapsedTime(from).TotalMilliseconds);
            processor.Add((Environment.CpuUsage.TotalTime - used).TotalMilliseconds);
        }

        wall.Sort();
        processor.Sort();
        double middle = wall[wall.Count / 2];
        Console.WriteLine($"batch {batch}: wall median {middle:F1} ms, min {wall[0]:F1} ms, {batch * 1000 / middle:F2}/s; processor median {processor[processor.Count / 2]:F1} ms, min {processor[0]:F1} ms, {batch * 1000 / processor[0]:F2} a processor second at best; {wall.Count} runs");
    }

    /// <summary>Operations of one item; 0 where what follows the end of the text is left out.</summary>
    private static long Operations(ModelPlan plan, TowerKind kind)
    {
        if (kind != TowerKind.Pairs)
            return plan.Cost is not { } cost ? 0 : kind switch { TowerKind.Image => cost.Image.Operations, TowerKind.Text => cost.Text.Operations, _ => 0 };
        using var nothing = new UntrainedCheckpoint(plan.Source, []);
        using var reader = new WeightReader(nothing, backend: null);
        using var backend = new CountingBackend();
        var scorer = (IPairScorer)plan.Build(reader, backend, new ModelOptions());
        int[] ids = new int[PairIds];
        Array.Fill(ids, 1);
        using IPass pass = backend.BeginPass();
        using PreparedImage image = scorer.PrepareImage(pass, scorer.EncodeImageTokens(pass, pass.Upload(new float[3 * plan.Preprocess.Height * plan.Preprocess.Width], new Shape(1, 3, plan.Preprocess.Height, plan.Preprocess.Width))));
        return CountingBackend.Count(counting => scorer.ScorePairs(counting, image, ids, ids.Length));
    }

    /// <summary>What the compute type does to eight features (or logits of pairs): cosine and largest difference of the normalised ones against fp32.</summary>
    private static void Compare(string folder, IDualEncoder model, TowerKind kind)
    {
        const int Batch = 8;
        using CpuBackend reference = CpuBackend.Create();
        (IDualEncoder exact, IReadOnlyList<Weight> weights) = Load(folder, reference);
        using var work = new Work(model, kind, Batch);
        using var exactWork = new Work(exact, kind, Batch);
        float[] expected = exactWork.Run(), found = work.Run();
        int width = found.Length / Batch;
        double cosine = 1, largest = 0;
        for (int i = 0; i < Batch; i++)
        {
            double dot = 0;
            for (int j = i * width; j < (i + 1) * width; j++)
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

    /// <summary>A batch of random inputs, made once.</summary>
    private sealed class Work : IDisposable
    {
        private readonly IDualEncoder _model;
        private readonly TowerKind _kind;
        private readonly int _batch, _length;
        private readonly float[] _pixels, _results;
        private readonly int[] _ids;
        private readonly PreparedImage? _image;

        public Work(IDualEncoder model, TowerKind kind, int batch)
        {
            (_model, _kind, _batch) = (model, kind, batch);
            _length = kind == TowerKind.Pairs ? PairIds : model.ContextLength;
            _pixels = Pixels(kind == TowerKind.Pairs ? 1 : batch);
            _ids = Ids();
            _results = new float[kind switch
            {
                TowerKind.Pairs => 2 * batch,
                TowerKind.Image => model.ImageFeatureShape(batch).ElementCount,
                _ => model.TextFeatureShape(batch, _length).ElementCount,
            }];
            if (kind == TowerKind.Pairs)
                _image = PairScoring.Prepare((IPairScorer)model, _pixels);
        }

        /// <summary>Normalised features of the batch, or logits of its pairs.</summary>
        public float[] Run()
        {
            using IPass pass = _model.Backend.BeginPass();
            Tensor result = _kind switch
            {
                TowerKind.Pairs => ((IPairScorer)_model).ScorePairs(pass, _image!, _ids, _length),
                TowerKind.Image => pass.L2Normalize(_model.EncodeImages(pass, pass.Upload(_pixels, new Shape(_batch, 3, _model.Preprocess.Height, _model.Preprocess.Width)))),
                _ => pass.L2Normalize(_model.EncodeTexts(pass, _ids, _length)),
            };
            pass.Read(result, _results);
            return _results;
        }

        public void Dispose() => _image?.Dispose();

        private float[] Pixels(int images)
        {
            var random = new Random(1);
            float[] pixels = new float[images * 3 * _model.Preprocess.Height * _model.Preprocess.Width];
            for (int i = 0; i < pixels.Length; i++)
                pixels[i] = (random.NextSingle() * 4) - 2;
            return pixels;
        }

        /// <summary>
        /// Sentences as long as they may be, what the exported peer computes too; or short ones, 7 to 14 ids long like the audit's and
        /// padded with zeros, of which the peer computes the whole context all the same.
        /// </summary>
        private int[] Ids()
        {
            var random = new Random(2);
            int[] ids = new int[_batch * _length];
            for (int n = 0; n < _batch; n++)
            {
                Span<int> prompt = ids.AsSpan(n * _length, _kind == TowerKind.Prompts ? 7 + (n % 8) : _length);
                for (int i = 0; i < prompt.Length; i++)
                    prompt[i] = i == prompt.Length - 1 ? _model.VocabularySize - 2 : random.Next(1, _model.VocabularySize - 2);
            }

            return ids;
        }
    }
}
