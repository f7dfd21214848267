using System.Globalization;
using ClipEngine.Checkpoints;
using ClipEngine.Cli;
using ClipEngine.Models;
using ClipEngine.Tensors;

namespace ClipEngine.Stages;

/// <summary>How a stage of a golden was found among the results of a tower's operations.</summary>
/// <param name="Name">The golden's name for it, without <c>stage.</c>.</param>
/// <param name="Error">The largest difference over the stage's own spread; infinity where no result has a fitting shape.</param>
/// <param name="Result">The operation whose result is nearest; null for none.</param>
/// <param name="Part">Which part of the stage was compared; empty for all of it.</param>
internal sealed record FoundStage(string Name, double Error, RecordedOperation? Result, string Part)
{
    /// <summary>Whether an operation gives the stage's values. The goldens' own rounding reaches 1.3e-5.</summary>
    public bool IsRight => Error <= StageTrace.Tolerance;
}

/// <summary>
/// Runs a dual encoder or a scorer of pairs over a golden's inputs, keeps what every operation makes, and looks for each of the golden's <c>stage.*</c>
/// tensors among it. A tower says nothing about its stages: a stage is right where some operation gives its values.
/// </summary>
internal sealed class StageTrace
{
    /// <summary>Of a stage's own spread.</summary>
    public const double Tolerance = 1e-4;

    // The order in which towers run, for the steps of a stage's name; what is not listed comes last.
    private static readonly string[] s_order =
    [
        "vision", "itc_query", "itc_text", "itm_text", "itm_qformer", "image", "text", "embeddings", "layernorm", "self", "cross", "downsample", "pos_emb", "blocks", "stem", "stages", "strided_conv", "patch", "position", "pre_norm", "embed", "block", "final_conv",
        "norm", "attn_pool", "head_global_pool", "head_norm", "pre_projection_norm", "pool", "features",
    ];

    private readonly ICheckpoint _golden;

    private StageTrace(ICheckpoint golden) => _golden = golden;

    /// <summary>The stages in the order in which they are computed, a tower's features last.</summary>
    public List<FoundStage> Stages { get; } = [];

    /// <summary>What every operation made, tower by tower.</summary>
    public List<(string Tower, RecordedOperation Operation)> Operations { get; } = [];

    /// <summary>Runs both towers.</summary>
    /// <param name="encoder">The model.</param>
    /// <param name="golden">Inputs, stages and features.</param>
    public static StageTrace Run(IDualEncoder encoder, ICheckpoint golden)
    {
        var trace = new StageTrace(golden);
        bool isOpenClip = golden.Tensors.ContainsKey("pixels");
        string pixels = isOpenClip ? "pixels" : "pixel_values", tokens = isOpenClip ? "tokens" : "input_ids";
        using var pass = new RecordingPass(encoder.Backend.BeginPass());
        long count;
        float[] images = encoder.Packing is { } packing ? RawInput.Pack(golden, pixels, packing, out count) : golden.ReadSingles(pixels);
        count = golden.Tensors[pixels].Dimensions[0];
        encoder.EncodeImages(pass, pass.Upload(images, new Shape(count, 3, encoder.Preprocess.Height, encoder.Preprocess.Width)));
        trace.Find("image", pass);
        int[] ids = [.. golden.ReadInt64s(tokens).Select(static id => checked((int)id))];
        encoder.EncodeTexts(pass, ids, (int)golden.Tensors[tokens].Dimensions[1]);
        trace.Find("text", pass);
        return trace;
    }

    /// <summary>Runs a scorer of pairs over the image and the sentence of the stages, by themselves and together.</summary>
    /// <param name="scorer">The model.</param>
    /// <param name="golden">Inputs and stages; those of BLIP and BLIP-2 are of the second image and the second sentence.</param>
    public static StageTrace RunPair(IPairScorer scorer, ICheckpoint golden)
    {
        const int Pair = 1;
        var trace = new StageTrace(golden);
        long length = golden.Tensors["input_ids"].Dimensions[1];
        int[] ids = [.. golden.ReadInt64s("input_ids").Skip((int)(Pair * length)).Take((int)length).Select(static id => checked((int)id))];
        var one = new Shape(1, 3, scorer.Preprocess.Height, scorer.Preprocess.Width);
        float[] pixels = [.. golden.ReadSingles("pixels").Skip((int)(Pair * one.ElementCount)).Take((int)one.ElementCount)];
        using var pass = new RecordingPass(scorer.Backend.BeginPass());
        Tensor tokens = scorer.EncodeImageTokens(pass, pass.Upload(pixels, one));
        trace.Find("vision", pass);
        using PreparedImage image = scorer.PrepareImage(pass, tokens);
        if (scorer is IDualEncoder encoder)
        {
            encoder.EncodeImages(pass, pass.Upload(pixels, one));
            trace.Find("itc_query", pass);
            encoder.EncodeTexts(pass, ids, ids.Length);
            trace.Find("itc_text", pass);
        }

        scorer.ScorePairs(pass, image, ids, ids.Length);
        trace.Find("itm_", pass);
        return trace;
    }

    private void Find(string tower, RecordingPass pass)
    {
        const string Prefix = "stage.";
        Operations.AddRange(pass.Operations.Select(operation => (tower, operation)));
        var stages = _golden.Tensors.Keys.Where(name => name.StartsWith($"{Prefix}{tower}{(tower.EndsWith('_') ? "" : ".")}", StringComparison.Ordinal)).Select(name => Find(name[Prefix.Length..], name, pass.Operations)).ToList();
        if (_golden.Tensors.ContainsKey($"{tower}_features"))
            stages.Add(Find($"{tower}.features", $"{tower}_features", pass.Operations));
        Stages.AddRange(stages.Order(Comparer<FoundStage>.Create(static (a, b) => Compare(a.Name, b.Name))));
        pass.Clear();
    }

    private FoundStage Find(string name, string key, IReadOnlyList<RecordedOperation> operations)
    {
        long[] sizes = [.. _golden.Tensors[key].Dimensions];
        float[] expected = _golden.ReadSingles(key);
        double mean = expected.Average(static value => (double)value), spread = Math.Sqrt(expected.Average(value => (value - mean) * (value - mean)));
        FoundStage? nearest = null;
        foreach (RecordedOperation operation in operations)
        {
            if (LargestDifference(expected, sizes, operation) is not { } found)
                continue;
            var stage = new FoundStage(name, found.Difference / spread, operation, found.Part);
            // The whole stage counts more than a part of it, and of two that are right the first.
            bool isBetter = nearest is null || (stage.IsRight, stage.Part.Length == 0).CompareTo((nearest.IsRight, nearest.Part.Length == 0)) > 0
                || (!nearest.IsRight && !stage.IsRight && (stage.Part.Length == 0) == (nearest.Part.Length == 0) && stage.Error < nearest.Error);
            if (isBetter)
                nearest = stage;
        }

        return nearest ?? new FoundStage(name, double.PositiveInfinity, null, "");
    }

    /// <summary>
    /// Compares where the shapes can be the same thing: goldens hold the first image only in some towers, a map may be channels first or
    /// last, models leave out tokens that nothing looks at, and compute one token where one is used.
    /// </summary>
    private static (double Difference, string Part)? LargestDifference(float[] expected, long[] sizes, RecordedOperation operation)
    {
        long[] found = new long[operation.Shape.Rank];
        for (int i = 0; i < found.Length; i++)
            found[i] = operation.Shape[i];
        if (sizes.Length < 2 || found.Length < 2 || found[0] < sizes[0])
            return null;
        long sequences = sizes[0], each = Product(sizes), given = Product(found), channels = found[^1];
        bool isMap = sizes.Length == 4, isFoundMap = found.Length == 4;
        if (isMap != isFoundMap && each == given && (isMap ? sizes[1] == channels : sizes[^1] == found[1]))
            return (Largest(sequences, each, (n, i) => Transposed(n, i, isMap ? sizes[1] : channels)), "");
        if (isMap || isFoundMap)
            return sizes.AsSpan(1).SequenceEqual(found.AsSpan(1)) ? (Largest(sequences, each, (n, i) => operation.Values[(n * given) + i]), "") : null;
        if (sizes[^1] != channels)
            return null;
        if (each == given)
            return (Largest(sequences, each, (n, i) => operation.Values[(n * given) + i]), "");
        if (given == channels && each > given)
            return (Largest(sequences, 1, OneToken), "one token of each");
        return given < each ? (Largest(sequences, given, (n, i) => operation.Values[(n * given) + i]), $"first {given / channels} of {each / channels} tokens") : null;

        double Largest(long count, long length, Func<long, long, double> value)
        {
            double largest = 0;
            for (long n = 0; n < count; n++)
            {
                for (long i = 0; i < length; i++)
                {
                    double difference = length == 1 && each > 1 ? value(n, i) : Math.Abs(expected[(n * each) + i] - value(n, i));
                    largest = double.IsNaN(difference) ? double.PositiveInfinity : Math.Max(largest, difference);
                }
            }

            return largest;
        }

        // [n, c, h, w] of one and [n, h w, c] of the other; the index is the stage's.
        double Transposed(long n, long i, long width)
        {
            long area = each / width;
            return operation.Values[(n * given) + (isMap ? (i % area * width) + (i / area) : (i % width * area) + (i / width))];
        }

        // The difference of the token that fits best.
        double OneToken(long n, long _)
        {
            double best = double.PositiveInfinity;
            for (long token = 0; token < each / channels; token++)
            {
                double largest = 0;
                for (long c = 0; c < channels; c++)
                    largest = Math.Max(largest, Math.Abs(expected[(n * each) + (token * channels) + c] - operation.Values[(n * channels) + c]));
                best = Math.Min(best, largest);
            }

            return best;
        }
    }

    private static long Product(long[] sizes) => sizes.Skip(1).Aggregate(1L, static (product, size) => product * size);

    /// <summary>Step by step, numbers as numbers; a module behind its parts.</summary>
    private static int Compare(string left, string right)
    {
        string[] a = left.Split('.'), b = right.Split('.');
        for (int i = 0; i < Math.Min(a.Length, b.Length); i++)
        {
            int order = Rank(a[i]).CompareTo(Rank(b[i]));
            if (order != 0)
                return order;
        }

        return b.Length.CompareTo(a.Length);
    }

    private static int Rank(string step) => int.TryParse(step, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? 1000 + number
        : Array.IndexOf(s_order, step) is >= 0 and int at ? at : s_order.Length;
}
