using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Tokenization;

namespace ClipEngine.PublicApi.Tests;

/// <summary>
/// A family of somebody else's: an image's feature is a matrix times its pixels, a sentence's the mean of its tokens, and
/// a pair's score a product of both. It scores pairs as well as it encodes, so both seams are tried.
/// </summary>
internal sealed class ToyFamily : IModelFamily
{
    public const int Side = 2;
    public const int Dimension = 5;
    public const int Context = 4;
    public const int Vocabulary = 11;

    public string Name => "toy";

    public bool Recognizes(ModelFiles files) => files.Configuration.TryGetProperty("toy", out _);

    public ModelPlan Plan(ModelFiles files) => new ToyPlan(files.Source);

    /// <summary>Writes a model of it with the given numbers.</summary>
    public static void Write(string folder, float[] image, float[] table, float[] positions)
    {
        var writer = new SafetensorsWriter();
        writer.Add("image.weight", image, Dimension, 3 * Side * Side);
        writer.Add("text.table", table, Vocabulary, Dimension);
        writer.Add("text.positions", positions, Context, Dimension);
        writer.Add("logit_scale", new[] { MathF.Log(10) }, 1);
        writer.Write(Path.Combine(folder, "open_clip_model.safetensors"));
        File.WriteAllText(Path.Combine(folder, "open_clip_config.json"), """{"toy": {}}""");
    }

    private sealed class ToyPlan(string source) : ModelPlan
    {
        public override string Family => "toy";

        public override string Source => source;

        public override ModelAbilities Abilities => ModelAbilities.Embed | ModelAbilities.ScorePairs;

        public override PreprocessOptions Preprocess { get; } = new() { Height = Side, Width = Side, Mean = [0, 0, 0], StandardDeviation = [1, 1, 1] };

        public override TokenizerConfig Tokenizer { get; } = new();

        public override int ContextLength => Context;

        public override int VocabularySize => Vocabulary;

        public override IModel Build(WeightReader weights, IBackend backend, ModelOptions options)
        {
            if (options.ImageSize is not null)
                throw new BadInputException(source, "the toy has one image size.");
            return new Model(weights, backend);
        }
    }

    private sealed class Model : IDualEncoder, IPairScorer
    {
        private readonly Weight _image, _table, _positions;

        public Model(WeightReader weights, IBackend backend)
        {
            Backend = backend;
            _image = weights.Scope("image").Read("weight", WeightRole.Linear, Dimension, 3 * Side * Side);
            _table = weights.Read("text.table", WeightRole.EmbeddingTable, Vocabulary, Dimension);
            _positions = weights.Read("text.positions", WeightRole.Tokens, Context, Dimension);
            LogitScale = Math.Exp(weights.ReadScalar("logit_scale"));
        }

        public string Architecture => "toy";

        public IBackend Backend { get; }

        public PreprocessOptions Preprocess { get; } = new() { Height = Side, Width = Side, Mean = [0, 0, 0], StandardDeviation = [1, 1, 1] };

        public TokenizerConfig Tokenizer { get; } = new();

        public int ContextLength => Context;

        public int VocabularySize => Vocabulary;

        public IReadOnlyList<string> Notices => ["a toy"];

        public int EmbedDimension => Dimension;

        public double LogitScale { get; }

        public double? LogitBias => null;

        public int ImageTokens => 1;

        public int ImageTokenWidth => Dimension;

        public Shape ImageFeatureShape(int count) => new(count, Dimension);

        public Shape TextFeatureShape(int count, int length) => new(count, Dimension);

        public Tensor EncodeImages(IPass pass, in Tensor pixels) => pass.Linear(pixels.Reshape(new Shape(pixels.Shape[0], 3 * Side * Side)), _image, bias: null);

        public Tensor EncodeTexts(IPass pass, ReadOnlySpan<int> ids, int length)
        {
            Tensor tokens = pass.Upload(ids, new Shape(ids.Length / length, length));
            return pass.MeanTokens(pass.TokenEmbedding(tokens, _table, appendedToken: null, _positions)).Reshape(new Shape(ids.Length / length, Dimension));
        }

        public Tensor EncodeImageTokens(IPass pass, in Tensor pixels) => EncodeImages(pass, pixels).Reshape(new Shape(pixels.Shape[0], 1, Dimension));

        public PreparedImage PrepareImage(IPass pass, in Tensor imageTokens)
        {
            TokenStore store = Backend.CreateTokenStore(imageTokens.Shape);
            pass.Store(store, imageTokens);
            return new PreparedImage([store]);
        }

        public Tensor ScorePairs(IPass pass, PreparedImage image, ReadOnlySpan<int> ids, int length)
        {
            Tensor tokens = pass.TokenEmbedding(pass.Upload(ids, new Shape(ids.Length / length, length)), _table, appendedToken: null, _positions), seen = pass.Load(image.Stores[0]);
            return pass.SliceTokens(pass.Attention(tokens, seen, seen, heads: 1), 0, 1).Reshape(new Shape(ids.Length / length, Dimension));
        }
    }
}

/// <summary>Letters are ids: <c>a</c> is 1, anything beyond the vocabulary 0.</summary>
internal sealed class ToyTokenizer : ITokenizer
{
    public int ContextLength => ToyFamily.Context;

    public int VocabularySize => ToyFamily.Vocabulary;

    public EncodedLength Encode(string text, Span<int> ids)
    {
        ids.Clear();
        for (int i = 0; i < Math.Min(text.Length, ids.Length); i++)
            ids[i] = text[i] is >= 'a' and < (char)('a' + ToyFamily.Vocabulary - 1) ? text[i] - 'a' + 1 : 0;
        return new EncodedLength(Math.Min(text.Length, ids.Length), text.Length);
    }
}

/// <summary>An "image file" is its bytes, each a pixel.</summary>
internal sealed class ToyPreprocessor : IImagePreprocessor
{
    public PreprocessOptions Options { get; } = new() { Height = ToyFamily.Side, Width = ToyFamily.Side, Mean = [0, 0, 0], StandardDeviation = [1, 1, 1] };

    public void Crop(ReadOnlySpan<byte> encoded, string name, Span<byte> crop) => Check(encoded, name).CopyTo(crop);

    public void Preprocess(ReadOnlySpan<byte> encoded, string name, Span<float> pixels)
    {
        encoded = Check(encoded, name);
        for (int i = 0; i < pixels.Length; i++)
            pixels[i] = encoded[i] / 255f;
    }

    private static ReadOnlySpan<byte> Check(ReadOnlySpan<byte> encoded, string name) => encoded.Length == 3 * ToyFamily.Side * ToyFamily.Side
        ? encoded
        : throw new BadInputException(name, $"is no toy image: it has {encoded.Length} bytes.");
}
