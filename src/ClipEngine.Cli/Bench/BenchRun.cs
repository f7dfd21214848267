using System.Runtime.InteropServices;
using System.Text;
using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Native;
using ClipEngine.Scoring;
using ClipEngine.Tensors;

namespace ClipEngine.Cli.Bench;

/// <summary>Measures a machine: its ceilings, a model's operations, and what users wait for.</summary>
/// <param name="backend">Where the model runs.</param>
/// <param name="modelName">A model of the catalogue; it runs with random weights.</param>
/// <param name="batchSize">Images and sentences at once.</param>
/// <param name="seconds">Time for each line.</param>
/// <param name="told">Told what is being measured.</param>
/// <param name="cancellation">Looked at between samples.</param>
internal sealed class BenchRun(IBackend backend, string modelName, int batchSize, double seconds, Action<string> told, CancellationToken cancellation)
{
    private const int SweepWidth = 512;
    private const string Ceilings = "ceilings", Operations = "operations", EndToEnd = "end to end";

    private readonly List<BenchResult> _results = [];
    private readonly OpenClipConfig _config = OpenClipConfig.Parse(Encoding.UTF8.GetBytes(ModelCatalogue.FindModel(modelName).ConfigurationJson), modelName);
    private readonly Dictionary<ProcessorCeiling, double?> _ceilings = [];

    /// <summary>Measures everything.</summary>
    public IReadOnlyList<BenchResult> Measure()
    {
        MeasureCeilings();
        MeasureOperations();
        MeasureTowers();
        MeasureImaging();
        MeasureSweep();
        return _results;
    }

    /// <summary>The arithmetic that the backend's compute type can reach: 8-bit and bf16 instructions where there are any, else fp32.</summary>
    private double? Arithmetic
    {
        get
        {
            if (backend is not CpuBackend)
                return null; // the ceilings are the processor's
            ProcessorCeiling own = backend.ComputeType switch
            {
                ElementType.Int8 => ProcessorCeiling.Int8,
                ElementType.BFloat16 => ProcessorCeiling.BFloat16,
                _ => ProcessorCeiling.Float32,
            };
            return _ceilings[own] ?? _ceilings[ProcessorCeiling.Float32];
        }
    }

    private void MeasureCeilings()
    {
        foreach ((ProcessorCeiling ceiling, string name) in new[]
        {
            (ProcessorCeiling.Float32, "fp32 fused multiply-add"),
            (ProcessorCeiling.BFloat16, "bf16 dot product (VDPBF16PS)"),
            (ProcessorCeiling.Int8, "int8 dot product (VPDPBUSD)"),
            (ProcessorCeiling.MemoryRead, "reading memory"),
        })
        {
            told(name);
            cancellation.ThrowIfCancellationRequested();
            double? rate = _ceilings[ceiling] = ProcessorCeilings.Measure(ceiling, TimeSpan.FromSeconds(seconds));
            _results.Add(new BenchResult(Ceilings, name, [])
            {
                Rate = rate,
                IsMemory = ceiling == ProcessorCeiling.MemoryRead,
                Note = rate is not null ? null : ceiling == ProcessorCeiling.MemoryRead ? "not enough memory" : "not there",
            });
        }
    }

    private void MeasureOperations()
    {
        VisionConfig vision = _config.Vision;
        int width = vision.Width, hidden = vision.HiddenWidth, tokens = (vision.GridHeight * vision.GridWidth) + 1, rows = batchSize * tokens;
        Linear("query, key, value", rows, width, 3 * width);
        Linear("attention's output", rows, width, width);
        Linear("MLP, wide", rows, width, hidden);
        Linear("MLP, back", rows, hidden, width);
        Linear("MLP, wide, one image", tokens, width, hidden);

        // Two products over all pairs of tokens; the softmax between them is not counted.
        Operation($"attention of {batchSize} images, {tokens} tokens, {vision.Heads} heads", [new Shape(batchSize, tokens, 3 * width)], [], 4.0 * batchSize * tokens * tokens * width, Arithmetic is null ? null : _ceilings[ProcessorCeiling.Float32],
            (pass, inputs, _) => pass.SelfAttention(inputs[0], vision.Heads));
        Operation($"layer norm [{rows}, {width}], in cache", [new Shape(rows, width)], [(new Shape(width), WeightRole.Vector), (new Shape(width), WeightRole.Vector)], null, null,
            (pass, inputs, weights) => pass.LayerNorm(inputs[0], weights[0], weights[1], vision.Epsilon));
    }

    private void Linear(string name, int rows, int depth, int columns) =>
        Operation($"{name} [{rows}, {depth}] x [{depth}, {columns}]", [new Shape(rows, depth)], [(new Shape(columns, depth), WeightRole.Linear)], 2.0 * rows * depth * columns, Arithmetic,
            (pass, inputs, weights) => pass.Linear(inputs[0], weights[0], null));

    /// <summary>Times one operation on random operands; what an asynchronous device has queued is waited for.</summary>
    private void Operation(string name, Shape[] inputs, (Shape Shape, WeightRole Role)[] weights, double? operations, double? ceiling, Func<IPass, Tensor[], Weight[], Tensor> run)
    {
        told(name);
        var owned = new List<Weight>();
        try
        {
            foreach ((Shape shape, WeightRole role) in weights)
            {
                var values = GCHandle.Alloc(Random(shape.ElementCount), GCHandleType.Pinned);
                owned.Add(backend.CreateWeight(new WeightData("bench", shape, ElementType.Float32, values.AddrOfPinnedObject()), role));
                values.Free();
            }

            using IPass pass = backend.BeginPass();
            Tensor[] tensors = [.. inputs.Select(shape => pass.Upload(Random(shape.ElementCount), shape))];
            Weight[] operands = [.. owned];
            Tensor mark = pass.Upload([0f], new Shape(1));
            float[] read = new float[1];
            IReadOnlyList<double> samples = BenchResult.Time(
                () =>
                {
                    long scope = pass.EnterScope();
                    run(pass, tensors, operands);
                    pass.Read(pass.LeaveScope(scope, mark), read);
                },
                seconds,
                cancellation);
            long bytes = inputs.Sum(shape => shape.ElementCount) * sizeof(float) * 2;
            _results.Add(new BenchResult(Operations, name, samples) { Operations = operations, Bytes = operations is null ? bytes : null, IsMemory = operations is null, Ceiling = ceiling });
        }
        finally
        {
            owned.ForEach(weight => weight.Dispose());
        }
    }

    private void MeasureTowers()
    {
        told($"{modelName}, making random weights");
        using ClipModel model = ClipModel.CreateUntrained(modelName, new ClipModelOptions { Backend = backend, BatchSize = batchSize });
        ModelCost cost = ModelCost.Of(_config);
        int one = 3 * _config.Vision.ImageHeight * _config.Vision.ImageWidth, length = _config.Text.ContextLength;
        float[] pixels = Random((long)batchSize * one), features = new float[batchSize * model.EmbedDimension];
        foreach (int batch in new[] { 1, batchSize }.Distinct())
        {
            Tower($"image tower, {batch} at once", "images", batch, cost.Image.Operations,
                () => model.EncodePixels(pixels.AsSpan(0, batch * one), features.AsSpan(0, batch * model.EmbedDimension)));
        }

        int[] full = Sentences(length), brief = Sentences(Math.Min(16, length));
        Tower($"text tower, {batchSize} sentences of {length} ids", "sentences", batchSize, cost.Text.Operations, () => model.EncodeTokens(full, length, features));
        // Padding behind the end of a short sentence is not computed: no share is stated of what is not counted.
        Tower($"text tower, {batchSize} sentences of 16 ids", "sentences", batchSize, null, () => model.EncodeTokens(brief, length, features));

        // The end of the text is the largest id; zeros follow.
        int[] Sentences(int used)
        {
            int[] ids = new int[batchSize * length];
            for (int i = 0; i < ids.Length; i++)
                ids[i] = i % length >= used ? 0 : i % length == used - 1 ? _config.Text.VocabularySize - 1 : 1 + (i * 7919 % (_config.Text.VocabularySize - 2));
            return ids;
        }
    }

    private void Tower(string name, string unit, int batch, double? operations, Action run)
    {
        told($"{modelName}, {name}");
        _results.Add(new BenchResult(EndToEnd, name, BenchResult.Time(run, 2 * seconds, cancellation)) { Operations = operations * batch, Items = batch, Unit = unit, Ceiling = operations is null ? null : Arithmetic });
    }

    private void MeasureImaging()
    {
        told("decoding and resizing");
        using Stream stream = typeof(BenchRun).Assembly.GetManifestResourceStream("ClipEngine.Cli.Bench.photo.jpg")!;
        byte[] photo = new byte[stream.Length];
        stream.ReadExactly(photo);
        var preprocessor = new ImagePreprocessor(new PreprocessOptions { Height = _config.Vision.ImageHeight, Width = _config.Vision.ImageWidth });
        float[] pixels = new float[preprocessor.ElementCount];
        _results.Add(new BenchResult(EndToEnd, "JPEG 640 x 480 to pixels, one thread", BenchResult.Time(() => preprocessor.Preprocess(photo, "photo.jpg", pixels), seconds, cancellation)) { Items = 1, Unit = "images" });
    }

    private void MeasureSweep()
    {
        foreach ((int images, int texts) in new[] { (1 << 17, 8), (1 << 13, 1000) })
        {
            told($"scoring {images} images against {texts} sentences");
            using FeatureSource rows = FeatureSource.FromMemory(UnitRows(images), SweepWidth), prompts = FeatureSource.FromMemory(UnitRows(texts), SweepWidth);
            using var sweep = new ProbeSweep(prompts, new ProbeSweepOptions { GroupCount = 1 });
            var totals = new SweepTotals(1, texts, 0);
            var input = new ProbeSweepInput { Images = rows };
            // With few columns the images are only read once, and memory is what limits; with many it is arithmetic.
            bool isMemory = texts < 32;
            _results.Add(new BenchResult(EndToEnd, $"score {images} images against {texts} sentences, on the processor", BenchResult.Time(() => sweep.Run(input, totals, cancellation), seconds, cancellation))
            {
                Operations = isMemory ? null : 2.0 * images * texts * SweepWidth,
                Bytes = isMemory ? (double)images * SweepWidth * sizeof(float) : null,
                IsMemory = isMemory,
                Items = images,
                Unit = "images",
                Ceiling = _ceilings[isMemory ? ProcessorCeiling.MemoryRead : ProcessorCeiling.Float32],
            });
        }
    }

    private static float[] UnitRows(int rows)
    {
        float[] values = Random((long)rows * SweepWidth);
        FeatureMatrix.NormalizeRows(values, SweepWidth, values);
        return values;
    }

    /// <summary>Uniform in [-1, 1): ordinary numbers cost what ordinary numbers cost.</summary>
    private static float[] Random(long count)
    {
        var random = new Random(1);
        float[] values = new float[count];
        // A block that repeats: drawing every one of millions would take longer than what is measured.
        int block = (int)Math.Min(count, 1 << 16);
        for (int i = 0; i < block; i++)
            values[i] = (random.NextSingle() * 2) - 1;
        for (long start = block; start < count; start += block)
            values.AsSpan(0, (int)Math.Min(block, count - start)).CopyTo(values.AsSpan((int)start));
        return values;
    }
}
