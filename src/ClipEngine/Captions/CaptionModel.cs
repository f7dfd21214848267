using System.Runtime.InteropServices;
using System.Text;
using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Tokenization;

namespace ClipEngine;

/// <summary>A loaded model that writes sentences about images, such as BLIP's captioner or CoCa. Thread-safe; weights are shared by all calls.</summary>
public sealed class CaptionModel : IDisposable
{
    private readonly ModelHandle _handle;
    private readonly Lazy<WordPieceText> _text;

    private CaptionModel(ModelHandle handle, string folder)
    {
        _handle = handle;
        _text = new Lazy<WordPieceText>(() => WordPieceText.Load(folder));
        Captioner = (ICaptioner)handle.Model;
    }

    /// <summary>The model and what is known of it.</summary>
    public ICaptioner Captioner { get; }

    /// <summary>Where the model runs.</summary>
    public IBackend Backend => Captioner.Backend;

    /// <summary>What a user should know about this load.</summary>
    public IReadOnlyList<string> Notices => _handle.Notices;

    /// <summary>The model's tokenizer, for prompts.</summary>
    /// <exception cref="BadInputException">It needs one that is not built, or its files are not there.</exception>
    public ITokenizer Tokenizer => _handle.Tokenizer;

    /// <summary>The model's preprocessing.</summary>
    public IImagePreprocessor Preprocessor => _handle.Preprocessor;

    /// <summary>Loads a model.</summary>
    /// <param name="path">A folder in a layout that a family knows, or a file of weights with its configuration beside it.</param>
    /// <param name="options">Defaults are fp32 on the CPU.</param>
    /// <exception cref="BadInputException">The files are not there, damaged, contradict each other, or describe a model that writes no captions.</exception>
    public static CaptionModel Load(string path, ClipModelOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        options ??= new ClipModelOptions();
        ModelHandle handle = ModelHandle.Load<ICaptioner>(path, options, backend => ClipModelLoader.Load(path, options, backend, ModelAbilities.Caption), "writes no captions.");
        return new CaptionModel(handle, Directory.Exists(path) ? path : Path.GetDirectoryName(Path.GetFullPath(path))!);
    }

    /// <summary>The ids of a prompt, for <see cref="Generate"/>.</summary>
    public int[] EncodePrompt(string text)
    {
        int[] ids = new int[Tokenizer.ContextLength];
        return ids[..Tokenizer.Encode(text, ids).Count];
    }

    /// <summary>The text of generated ids, without the special ones.</summary>
    /// <exception cref="BadInputException">The vocabulary does not lie beside the weights.</exception>
    public string Decode(ReadOnlySpan<int> ids)
    {
        if (Captioner.Style == CaptionStyle.Transformers)
            return _text.Value.Decode(ids);
        var bytes = new List<byte>();
        foreach (int id in ids)
        {
            // The decoder may have more ids than the tokenizer; those never were in a caption that it was trained on.
            if (id != Captioner.BeginId && id != Captioner.EndId && id != Captioner.PaddingId && id < Tokenizer.VocabularySize)
                bytes.AddRange(Tokenizer.BytesOf(id).Span);
        }

        return Encoding.UTF8.GetString(CollectionsMarshal.AsSpan(bytes)).Trim();
    }

    /// <summary>Writes a caption for an image file.</summary>
    /// <param name="file">An image.</param>
    /// <param name="prompt">From <see cref="EncodePrompt"/>, or empty.</param>
    /// <param name="options">How; null for greedy search.</param>
    /// <param name="cancellationToken">Stops between two ids.</param>
    /// <returns>As <see cref="Generate"/>.</returns>
    /// <exception cref="BadInputException">The image cannot be read.</exception>
    public int[] Caption(string file, ReadOnlySpan<int> prompt = default, CaptionOptions? options = null, CancellationToken cancellationToken = default)
    {
        float[] pixels = new float[3 * Captioner.Preprocess.Height * Captioner.Preprocess.Width];
        ImageFile.Preprocess(Preprocessor, file, pixels);
        return Generate(pixels, prompt, options, cancellationToken);
    }

    /// <summary>Writes a caption for one preprocessed image.</summary>
    /// <param name="pixels"><c>[3, height, width]</c>.</param>
    /// <param name="prompt">
    /// The ids of a sentence that the caption goes on from, as the tokenizer gives them: the first becomes <see cref="ICaptioner.BeginId"/>
    /// and the last, the separator, is left out, as transformers does. Empty for none.
    /// </param>
    /// <param name="options">How; null for greedy search.</param>
    /// <param name="cancellationToken">Stops between two ids.</param>
    /// <returns>The ids, the first one and the prompt among them, the end where there is one.</returns>
    public int[] Generate(ReadOnlySpan<float> pixels, ReadOnlySpan<int> prompt, CaptionOptions? options = null, CancellationToken cancellationToken = default)
    {
        using CallCounter.Call call = _handle.Calls.Enter(this);
        options ??= new CaptionOptions();
        if (options.FindProblem(Captioner) is { } problem)
            throw new ArgumentException($"{problem.Property}: {problem.Message}", nameof(options));
        int[] first = prompt.Length < 2 ? [Captioner.BeginId] : [Captioner.BeginId, .. prompt[1..^1]];
        if (first.Length > options.MaximumLength)
            throw new ArgumentException($"the prompt has {first.Length} ids, a caption may have {options.MaximumLength}.", nameof(prompt));
        using PreparedImage image = Prepare(pixels);
        return CaptionSearch.Run(Captioner, image, first, options, cancellationToken);
    }

    /// <summary>The logits of sentences that are there already (teacher forcing), each about one image.</summary>
    /// <param name="pixels"><c>[3, height, width]</c>.</param>
    /// <param name="ids"><c>[n, length]</c>, <see cref="ICaptioner.BeginId"/> foremost.</param>
    /// <param name="length">Ids of one sentence.</param>
    /// <param name="lengths">Ids of each that are no padding; empty where there is none. CoCa tells padding by its id.</param>
    /// <returns><c>[n, length, vocabulary]</c>, row-major; the vocabulary is <see cref="ICaptioner.CaptionVocabulary"/>.</returns>
    public float[] Score(ReadOnlySpan<float> pixels, ReadOnlySpan<int> ids, int length, ReadOnlySpan<int> lengths = default)
    {
        using CallCounter.Call call = _handle.Calls.Enter(this);
        if (length < 1 || length > Captioner.CaptionLength || ids.Length == 0 || ids.Length % length != 0)
            throw new ArgumentException($"expected sentences of 1 to {Captioner.CaptionLength} ids, found {ids.Length} ids in sentences of {length}.", nameof(ids));
        using PreparedImage image = Prepare(pixels);
        using CaptionState state = Captioner.Begin(ids.Length / length, length);
        using IPass pass = Backend.BeginPass();
        Tensor logits = Captioner.Continue(pass, image, state, ids, length, lengths);
        float[] values = new float[logits.Shape.ElementCount];
        pass.Read(logits, values);
        return values;
    }

    /// <summary>Releases the weights, and the backend where it is the model's own. May be called at any time: calls that are running finish, later ones throw <see cref="ObjectDisposedException"/>.</summary>
    public void Dispose() => _handle.Calls.Close();

    private PreparedImage Prepare(ReadOnlySpan<float> pixels)
    {
        PreprocessOptions size = Captioner.Preprocess;
        if (pixels.Length != 3 * size.Height * size.Width)
            throw new ArgumentException($"expected 3 x {size.Height} x {size.Width} pixels, found {pixels.Length}.", nameof(pixels));
        using IPass pass = Backend.BeginPass();
        Tensor tokens = Captioner.EncodeImageTokens(pass, pass.Upload(pixels, new Shape(1, 3, size.Height, size.Width)));
        PreparedImage prepared = Captioner.PrepareImage(pass, tokens);
        // Reading is what runs a pass.
        pass.Read(pass.SliceTokens(tokens, 0, 1), new float[tokens.Shape[2]]);
        return prepared;
    }
}
