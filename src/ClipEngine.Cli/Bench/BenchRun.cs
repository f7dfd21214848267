using System.Runtime.InteropServices;
using System.Text;
using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Native;
using ClipEngine.Scoring;
using ClipEngine.Tensors;

namespace ClipEngine.Cli.Bench;

/// <summary>Measures a machine: its ceilings, a model's operations, and what users wait for; on a GPU each stage of the towers besides.</summary>
/// <param name="backend">Where the model runs.</param>
/// <param name="devices">The same GPU, where sweeps run; null where the backend is none of ours for GPUs.</param>
/// <param name="modelName">A model of the catalogue, which runs with random weights, or a folder in the OpenCLIP layout.</param>
/// <param name="batchSize">Images and sentences at once.</param>
/// <param name="seconds">Time for each line.</param>
/// <param name="told">Told what is being measured.</param>
/// <param name="cancellation">Looked at between samples.</param>
internal sealed class BenchRun(IBackend backend, CudaDevices? devices, string modelName, int batchSize, double seconds, Action<string> told, CancellationToken cancellation)
{
    private const int SweepWidth = 512;
    private const string Ceilings = "ceilings", Operations = "operations", EndToEnd = "end to end";

    private readonly List<BenchResult> _results = [];
    private readonly ModelPlan _plan = IsFolder(modelName)
        ? ModelConfiguration.Plan(modelName)
        : ModelFamilies.Plan(new ModelFiles(ConfigFile.ParseRoot(Encoding.UTF8.GetBytes(ModelCatalogue.FindModel(modelName).ConfigurationJson), modelName), modelName));
    private readonly Dictionary<ProcessorCeiling, double?> _ceilings = [];
    private readonly Dictionary<CudaCeiling, double?> _deviceCeilings = [];
    private readonly CudaBackend? _cuda = backend as CudaBackend;

    /// <summary>Measures everything.</summary>
    public IReadOnlyList<BenchResult> Measure()
    {
        if (_cuda is null)
            MeasureCeilings();
        else
            MeasureDeviceCeilings(_cuda);
        MeasureOperations();
        MeasureTowers();
        MeasureImaging();
        if (_cuda is null)
            MeasureSweep();
        else if (devices is not null)
            MeasureDeviceSweep(_cuda, devices);
        return _results;
    }

    private static bool IsFolder(string model) => File.Exists(ConfigurationOf(model));

    private static string ConfigurationOf(string folder) => Path.Combine(folder, "open_clip_config.json");

    /// <summary>The emulator of the tests is no GPU: it does in a second what a GPU does in microseconds.</summary>
    private bool IsEmulated => _cuda is not null && _cuda.Description.Contains("emulator (tests only)", StringComparison.Ordinal);

    /// <summary>Samples of a line, at least.</summary>
    private int Minimum => IsEmulated ? 1 : 5;

    /// <summary>The arithmetic that the backend's compute type can reach: 8-bit and bf16 instructions where there are any, else fp32.</summary>
    private double? Arithmetic
    {
        get
        {
            if (_cuda is not null)
            {
                return _deviceCeilings[backend.ComputeType switch
                {
                    ElementType.BFloat16 => CudaCeiling.BFloat16,
                    ElementType.Float16 => CudaCeiling.Float16,
                    _ => _cuda.Tf32 ? CudaCeiling.Tf32 : CudaCeiling.Float32,
                }];
            }

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
        string instructionSet = (backend as CpuBackend)?.InstructionSet ?? CpuInformation.InstructionSet;
        bool tiles = instructionSet == "amx";
        foreach ((ProcessorCeiling ceiling, string name) in new[]
        {
            (ProcessorCeiling.Float32, "fp32 fused multiply-add"),
            (ProcessorCeiling.BFloat16, tiles ? "bf16 tile product (TDPBF16PS)" : "bf16 dot product (VDPBF16PS)"),
            (ProcessorCeiling.Int8, tiles ? "int8 tile product (TDPBUSD)" : "int8 dot product (VPDPBUSD)"),
            (ProcessorCeiling.MemoryRead, "reading memory"),
        })
        {
            told(name);
            cancellation.ThrowIfCancellationRequested();
            double? rate = _ceilings[ceiling] = ProcessorCeilings.Measure(ceiling, TimeSpan.FromSeconds(seconds), instructionSet);
            _results.Add(new BenchResult(Ceilings, name, [])
            {
                Rate = rate,
                IsMemory = ceiling == ProcessorCeiling.MemoryRead,
                Note = rate is not null ? null : ceiling == ProcessorCeiling.MemoryRead ? "not enough memory" : "not there",
            });
        }
    }

    private void MeasureDeviceCeilings(CudaBackend cuda)
    {
        foreach ((CudaCeiling ceiling, string name) in new[]
        {
            (CudaCeiling.BFloat16, "bf16 products in registers (mma.sync)"),
            (CudaCeiling.Float16, "fp16 products in registers (mma.sync)"),
            (CudaCeiling.Tf32, "tf32 products in registers (mma.sync)"),
            (CudaCeiling.Float32, "fp32 fused multiply-add"),
            (CudaCeiling.Copy, "copying device memory, read and written"),
        })
        {
            told(name);
            cancellation.ThrowIfCancellationRequested();
            double? rate = _deviceCeilings[ceiling] = cuda.MeasureCeiling(ceiling, TimeSpan.FromSeconds(seconds));
            _results.Add(new BenchResult(Ceilings, name, []) { Rate = rate, IsMemory = ceiling == CudaCeiling.Copy, Note = rate is null ? "not enough memory" : null });
        }

        // Hopper's wgmma goes beyond mma.sync: what a large product reaches, by whichever library or kernel, is a ceiling as well.
        int side = IsEmulated ? 64 : 8192;
        IReadOnlyList<double> samples = TimeOperation([new Shape(side, side)], [(new Shape(side, side), WeightRole.Linear)], (pass, inputs, weights) => pass.Linear(inputs[0], weights[0], null));
        var product = new BenchResult(Ceilings, $"product [{side}, {side}] x [{side}, {side}], as the model computes it", samples) { Operations = 2.0 * side * side * side };
        _results.Add(product);
        CudaCeiling own = backend.ComputeType switch
        {
            ElementType.BFloat16 => CudaCeiling.BFloat16,
            ElementType.Float16 => CudaCeiling.Float16,
            _ => cuda.Tf32 ? CudaCeiling.Tf32 : CudaCeiling.Float32,
        };
        _deviceCeilings[own] = Math.Max(_deviceCeilings[own] ?? 0, product.PerSecond ?? 0);
    }

    private void MeasureOperations()
    {
        // One block after another, all alike: their operations are the tower's. Other towers are measured whole.
        if (_plan is not TwoTowerPlan { Config.Image: OpenClipImageTower { Config: { IsResNet: false } vision } })
            return;
        int width = vision.Width, hidden = vision.HiddenWidth, tokens = (vision.GridHeight * vision.GridWidth) + 1, rows = batchSize * tokens;
        Linear("query, key, value", rows, width, 3 * width);
        Linear("attention's output", rows, width, width);
        Linear("MLP, wide", rows, width, hidden);
        Linear("MLP, back", rows, hidden, width);
        Linear("MLP, wide, one image", tokens, width, hidden);

        // Two products over all pairs of tokens; the softmax between them is not counted.
        Operation($"attention of {batchSize} images, {tokens} tokens, {vision.Heads} heads", [new Shape(batchSize, tokens, 3 * width)], [], 4.0 * batchSize * tokens * tokens * width, _cuda is not null ? Arithmetic : Arithmetic is null ? null : _ceilings[ProcessorCeiling.Float32],
            (pass, inputs, _) => pass.SelfAttention(inputs[0], vision.Heads));
        Operation($"layer norm [{rows}, {width}], in cache", [new Shape(rows, width)], [(new Shape(width), WeightRole.Vector), (new Shape(width), WeightRole.Vector)], null, null,
            (pass, inputs, weights) => pass.LayerNorm(inputs[0], weights[0], weights[1], vision.Epsilon));
    }

    private void Linear(string name, int rows, int depth, int columns) =>
        Operation($"{name} [{rows}, {depth}] x [{depth}, {columns}]", [new Shape(rows, depth)], [(new Shape(columns, depth), WeightRole.Linear)], 2.0 * rows * depth * columns, Arithmetic,
            (pass, inputs, weights) => pass.Linear(inputs[0], weights[0], null));

    private void Operation(string name, Shape[] inputs, (Shape Shape, WeightRole Role)[] weights, double? operations, double? ceiling, Func<IPass, Tensor[], Weight[], Tensor> run)
    {
        told(name);
        IReadOnlyList<double> samples = TimeOperation(inputs, weights, run);
        long bytes = inputs.Sum(shape => shape.ElementCount) * sizeof(float) * 2;
        _results.Add(new BenchResult(Operations, name, samples) { Operations = operations, Bytes = operations is null ? bytes : null, IsMemory = operations is null, Ceiling = ceiling });
    }

    /// <summary>Times one operation on random operands: by CUDA events on a GPU, else by the clock, where what an asynchronous device has queued is waited for.</summary>
    private IReadOnlyList<double> TimeOperation(Shape[] inputs, (Shape Shape, WeightRole Role)[] weights, Func<IPass, Tensor[], Weight[], Tensor> run)
    {
        var owned = new List<Weight>();
        using CudaProfile? profile = _cuda is null ? null : CudaProfile.Start(_cuda);
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
            void Once()
            {
                long scope = pass.EnterScope();
                run(pass, tensors, operands);
                pass.Read(pass.LeaveScope(scope, mark), read);
            }

            if (profile is null)
                return BenchResult.Time(Once, seconds, Minimum, cancellation);
            Once();
            profile.Take(); // the uploads
            return BenchResult.Collect(
                () =>
                {
                    Once();
                    return profile.Take().Sum(static stage => stage.Seconds);
                },
                seconds,
                Minimum,
                cancellation);
        }
        finally
        {
            owned.ForEach(weight => weight.Dispose());
        }
    }

    private void MeasureTowers()
    {
        told($"{modelName}, making weights");
        var options = new ClipModelOptions { Backend = backend, BatchSize = batchSize };
        using ClipModel model = IsFolder(modelName) ? ClipModel.Load(modelName, options) : ClipModel.CreateUntrained(modelName, options);
        ModelCost? cost = _plan.Cost;
        int one = 3 * _plan.Preprocess.Height * _plan.Preprocess.Width, length = _plan.ContextLength;
        float[] pixels = Random((long)batchSize * one), features = new float[batchSize * model.EmbedDimension];
        foreach (int batch in new[] { 1, batchSize }.Distinct())
        {
            Tower($"image tower, {batch} at once", "images", batch, cost?.Image.Operations,
                () => model.EncodePixels(pixels.AsSpan(0, batch * one), features.AsSpan(0, batch * model.EmbedDimension)));
        }

        int[] full = Sentences(length), brief = Sentences(Math.Min(16, length));
        Tower($"text tower, {batchSize} sentences of {length} ids", "sentences", batchSize, cost?.Text.Operations, () => model.EncodeTokens(full, length, features));
        // Padding behind the end of a short sentence is not computed: no share is stated of what is not counted.
        Tower($"text tower, {batchSize} sentences of 16 ids", "sentences", batchSize, null, () => model.EncodeTokens(brief, length, features));
        if (_cuda is not null)
        {
            Stages(_cuda, $"image tower, {batchSize} at once", () => model.EncodePixels(pixels, features));
            Stages(_cuda, $"text tower, {batchSize} sentences of {length} ids", () => model.EncodeTokens(full, length, features));
        }

        // The end of the text is the largest id where nothing else is said; zeros follow.
        int[] Sentences(int used)
        {
            int[] ids = new int[batchSize * length];
            for (int i = 0; i < ids.Length; i++)
                ids[i] = i % length >= used ? 0 : i % length == used - 1 ? _plan.EndOfSentence ?? _plan.VocabularySize - 1 : 1 + (i * 7919 % (_plan.VocabularySize - 2));
            return ids;
        }
    }

    private void Tower(string name, string unit, int batch, double? operations, Action run)
    {
        told($"{modelName}, {name}");
        _results.Add(new BenchResult(EndToEnd, name, BenchResult.Time(run, 2 * seconds, Minimum, cancellation)) { Operations = operations * batch, Items = batch, Unit = unit, Ceiling = operations is null ? null : Arithmetic });
    }

    /// <summary>What each stage of a tower costs by CUDA events: launched one by one, not as the graph that the towers above are.</summary>
    private void Stages(CudaBackend cuda, string name, Action run)
    {
        told($"{modelName}, stages of the {name}");
        using CudaProfile profile = CudaProfile.Start(cuda);
        IReadOnlyList<IReadOnlyList<CudaStageTime>> passes = BenchResult.Collect(
            () =>
            {
                run();
                return profile.Take();
            },
            seconds,
            Minimum,
            cancellation);
        string section = "stages, " + name;
        for (int i = 0; i < passes[0].Count; i++)
        {
            CudaStageTime stage = passes[0][i];
            _results.Add(new BenchResult(section, stage.Launches == 1 ? stage.Name : $"{stage.Name}, {stage.Launches} times", [.. passes.Select(pass => pass[i].Seconds)])
            {
                Operations = stage.Operations > 0 ? stage.Operations : null,
                Ceiling = stage.Operations > 0 ? Arithmetic : null,
            });
        }

        _results.Add(new BenchResult(section, "all of them", [.. passes.Select(pass => pass.Sum(static stage => stage.Seconds))]));
    }

    private void MeasureImaging()
    {
        told("decoding and resizing");
        using Stream stream = typeof(BenchRun).Assembly.GetManifestResourceStream("ClipEngine.Cli.Bench.photo.jpg")!;
        byte[] photo = new byte[stream.Length];
        stream.ReadExactly(photo);
        var preprocessor = new ImagePreprocessor(new PreprocessOptions { Height = _plan.Preprocess.Height, Width = _plan.Preprocess.Width });
        float[] pixels = new float[preprocessor.ElementCount];
        _results.Add(new BenchResult(EndToEnd, "JPEG 640 x 480 to pixels, one thread", BenchResult.Time(() => preprocessor.Preprocess(photo, "photo.jpg", pixels), seconds, Minimum, cancellation)) { Items = 1, Unit = "images" });
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
            _results.Add(new BenchResult(EndToEnd, $"score {images} images against {texts} sentences, on the processor", BenchResult.Time(() => sweep.Run(input, totals, cancellation), seconds, Minimum, cancellation))
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

    /// <summary>
    /// Sweeps over features of fp16 that lie on the device, as many as it has room for. With few columns the rows are read once and
    /// memory is what limits; with many it is arithmetic. Sentences of fp16 as files hold them are one product, those of fp32 two.
    /// </summary>
    private void MeasureDeviceSweep(CudaBackend cuda, CudaDevices device)
    {
        (int width, long few, long many, int texts, int part) = IsEmulated ? (16, 8192L, 4096L, 40, 8) : (SweepWidth, 10_000_000L, 1_000_000L, 10_000, 8);
        const int Granule = 4096;
        Half[] block = [.. UnitRows(1 << 12, width).Select(static value => (Half)value)];
        foreach ((long wanted, int columns, int segment, bool isFp32) in new[] { (few, 8, 8, false), (many, texts, part, false), (many, texts, texts, false), (many, texts, part, true) })
        {
            // Half of what is free: the sweep's own buffers want some.
            long images = Math.Max(Granule, Math.Min(wanted, IsEmulated ? wanted : cuda.FreeMemory / 2 / (width * sizeof(ushort))) / Granule * Granule);
            string name = $"score {images} images against {columns} sentences in {columns / segment} segment{(columns == segment ? "" : "s")}{(isFp32 ? ", fp32 sentences" : "")}";
            told(name);
            using FeatureSource source = FeatureSource.FromMemory(block, width);
            using FeatureSource rows = FeatureSource.RepeatOnCuda(source, images, device, groupCount: 1);
            float[] sentences = UnitRows(columns, width);
            if (!isFp32)
                sentences = [.. sentences.Select(static value => (float)(Half)value)];
            using FeatureSource prompts = FeatureSource.FromMemory(sentences, width);
            using var sweep = new ProbeSweep(prompts, new ProbeSweepOptions { GroupCount = 1, SegmentLengths = [.. Enumerable.Repeat(segment, columns / segment)], Scale = 100 }, device);
            var totals = new SweepTotals(1, columns, 0);
            var input = new ProbeSweepInput { Images = rows };
            bool isMemory = columns == part;
            _results.Add(new BenchResult(EndToEnd, name, BenchResult.Time(() => sweep.Run(input, totals, cancellation), seconds, Minimum, cancellation))
            {
                Operations = isMemory ? null : 2.0 * images * columns * width,
                Bytes = isMemory ? (double)images * width * sizeof(ushort) : null,
                IsMemory = isMemory,
                Items = images,
                Unit = "images",
                Ceiling = _deviceCeilings[isMemory ? CudaCeiling.Copy : CudaCeiling.Float16],
            });
        }
    }

    private static float[] UnitRows(int rows, int width = SweepWidth)
    {
        float[] values = Random((long)rows * width);
        FeatureMatrix.NormalizeRows(values, width, values);
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
