
namespace ClipEngine.Server.Scheduling;

/// <summary>A tower of a model, with the inputs that are on their way through it. Its collections are the scheduler's to change, under its lock.</summary>
/// <param name="model">The model's name, as clients use it.</param>
/// <param name="kind"><c>image</c> or <c>text</c>.</param>
/// <param name="batchSize">Inputs that the tower takes at once.</param>
/// <param name="featureLength">Floats of a feature.</param>
internal abstract class Lane(string model, string kind, int batchSize, int featureLength)
{
    /// <summary>The model's name, as clients use it.</summary>
    public string Model { get; } = model;

    /// <summary><c>image</c> or <c>text</c>.</summary>
    public string Kind { get; } = kind;

    /// <summary>Inputs that the tower takes at once.</summary>
    public int BatchSize { get; } = batchSize;

    /// <summary>Floats of a feature.</summary>
    public int FeatureLength { get; } = featureLength;

    /// <summary>Jobs with inputs that have not begun. Each in turn gives one, so that a large request does not hold up small ones.</summary>
    public Queue<Job> Waiting { get; } = [];

    /// <summary>Inputs that are being prepared.</summary>
    public int Preparing { get; set; }

    /// <summary>Inputs that the tower can take, in the order they became ready.</summary>
    public Queue<Item> Ready { get; } = [];

    /// <summary>Runs the tower over inputs that are prepared.</summary>
    /// <param name="batch">At most <see cref="BatchSize"/>; their features are filled in.</param>
    public abstract void Encode(ReadOnlySpan<Item> batch);

    /// <summary>Hands out the rows of a batch.</summary>
    protected void Distribute(ReadOnlySpan<Item> batch, ReadOnlySpan<float> features, ReadOnlySpan<float> normalized)
    {
        for (int i = 0; i < batch.Length; i++)
        {
            features.Slice(i * FeatureLength, FeatureLength).CopyTo(batch[i].Features);
            if (!batch[i].Normalized.IsEmpty)
                normalized.Slice(i * FeatureLength, FeatureLength).CopyTo(batch[i].Normalized);
        }
    }

    /// <summary>Whether somebody wants the device's own features of length 1.</summary>
    protected static bool NeedsNormalized(ReadOnlySpan<Item> batch)
    {
        foreach (Item item in batch)
        {
            if (!item.Normalized.IsEmpty)
                return true;
        }

        return false;
    }
}

/// <summary>The image tower of a model.</summary>
internal sealed class ImageLane : Lane
{
    private readonly ClipModel _model;
    private readonly float[] _features, _normalized;
    private readonly int _pixels;

    /// <summary>Prepares memory for a batch.</summary>
    public ImageLane(string name, ClipModel model)
        : base(name, "image", model.ImageBatchSize, model.EmbedDimension)
    {
        _model = model;
        _pixels = model.PixelCount;
        _features = new float[BatchSize * FeatureLength];
        _normalized = new float[BatchSize * FeatureLength];
    }

    /// <inheritdoc/>
    public override void Encode(ReadOnlySpan<Item> batch)
    {
        Span<float> features = _features.AsSpan(0, batch.Length * FeatureLength), normalized = NeedsNormalized(batch) ? _normalized.AsSpan(0, features.Length) : default;
        if (batch.Length == 1)
        {
            _model.EncodePixels(((ImageItem)batch[0]).Pixels!.GetSpan(), features, normalized);
        }
        else
        {
            using var pixels = new NativeArray<float>(batch.Length * _pixels);
            for (int i = 0; i < batch.Length; i++)
                ((ImageItem)batch[i]).Pixels!.GetSpan().CopyTo(pixels.GetSpan()[(i * _pixels)..]);
            _model.EncodePixels(pixels.GetSpan(), features, normalized);
        }

        Distribute(batch, features, normalized);
    }
}

/// <summary>The text tower of a model.</summary>
internal sealed class TextLane : Lane
{
    private readonly ClipModel _model;
    private readonly int[] _ids;
    private readonly float[] _features, _normalized;

    /// <summary>Prepares memory for a batch.</summary>
    public TextLane(string name, ClipModel model)
        : base(name, "text", model.TextBatchSize, model.EmbedDimension)
    {
        _model = model;
        _ids = new int[BatchSize * model.Tokenizer.ContextLength];
        _features = new float[BatchSize * FeatureLength];
        _normalized = new float[BatchSize * FeatureLength];
    }

    /// <inheritdoc/>
    public override void Encode(ReadOnlySpan<Item> batch)
    {
        int length = _model.Tokenizer.ContextLength;
        Span<float> features = _features.AsSpan(0, batch.Length * FeatureLength), normalized = NeedsNormalized(batch) ? _normalized.AsSpan(0, features.Length) : default;
        for (int i = 0; i < batch.Length; i++)
            ((TextItem)batch[i]).Ids.CopyTo(_ids, i * length);
        _model.EncodeTokens(_ids.AsSpan(0, batch.Length * length), length, features, normalized);
        Distribute(batch, features, normalized);
    }
}

/// <summary>An image file in memory.</summary>
/// <param name="model">Whose preprocessing it gets.</param>
/// <param name="name">What messages call it.</param>
/// <param name="encoded">The file; not changed or released before the job is done.</param>
/// <param name="cost">What it counts in the queue.</param>
internal sealed class ImageItem(ClipModel model, string name, ReadOnlyMemory<byte> encoded, int cost) : Item(name, cost)
{
    /// <summary>What the tower takes.</summary>
    public NativeArray<float>? Pixels { get; private set; }

    /// <inheritdoc/>
    public override void Prepare()
    {
        var pixels = new NativeArray<float>(model.PixelCount);
        try
        {
            ImageInput.FromBytes(encoded, Name).Preprocess(model.Preprocessor, pixels.GetSpan());
            Pixels = pixels;
        }
        catch
        {
            pixels.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override void Release()
    {
        Pixels?.Dispose();
        Pixels = null;
    }
}

/// <summary>A sentence.</summary>
/// <param name="model">Whose tokenizer it gets.</param>
/// <param name="name">What messages call it.</param>
/// <param name="text">The sentence.</param>
internal sealed class TextItem(ClipModel model, string name, string text) : Item(name, cost: 1)
{
    /// <summary>Ids of the sentence, padded.</summary>
    public int[] Ids { get; private set; } = [];

    /// <summary>Ids that are no padding.</summary>
    public int IdCount { get; private set; }

    /// <summary>Whether its end was cut off.</summary>
    public bool IsTruncated { get; private set; }

    /// <inheritdoc/>
    public override void Prepare()
    {
        Ids = new int[model.Tokenizer.ContextLength];
        Tokenization.EncodedLength length = model.Tokenizer.Encode(text, Ids);
        (IdCount, IsTruncated) = (length.Count, length.IsTruncated);
    }

    /// <inheritdoc/>
    public override void Release() => Ids = [];
}
