using ClipEngine.Checkpoints;
using ClipEngine.Checkpoints.Layouts;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>A text encoder of transformers: what stands before the pooling.</summary>
internal interface ITextEncoder
{
    /// <summary>Enqueues the encoder.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="sentences">Padded.</param>
    /// <param name="onlyFirst">Whether only the first token of each sentence is used.</param>
    /// <returns><c>[n, length, width]</c>, or <c>[n, width]</c> of the first tokens.</returns>
    Tensor Forward(IPass pass, PaddedSentences sentences, bool onlyFirst);
}

/// <summary>A text encoder's configuration: transformers' <c>config.json</c>.</summary>
internal abstract record TextEncoderConfig
{
    /// <summary>Of a token.</summary>
    public abstract int Width { get; }

    /// <summary>Layers.</summary>
    public abstract int Layers { get; }

    /// <summary>Divides <see cref="Width"/>.</summary>
    public abstract int Heads { get; }

    /// <summary>Rows of the word table.</summary>
    public abstract int VocabularySize { get; }

    /// <summary>Hidden from attention.</summary>
    public abstract int PaddingId { get; }

    /// <summary>Tokens of a sentence that there are positions for; null where there is no end.</summary>
    public virtual int? LongestSentence => null;

    /// <summary>The ids that begin and end a sentence; null where nobody has used it for captions.</summary>
    public virtual (int Begin, int End)? SentenceIds => null;

    /// <summary>Whether the encoder brings a pooling layer of its own (dense, tanh), which <c>cls_pooler</c> then uses.</summary>
    public virtual bool HasPoolingLayer => false;

    /// <summary>The encoder with other sizes.</summary>
    /// <param name="sizes">A <c>config.json</c> of transformers; keys that it does not hold stay as they are.</param>
    public abstract TextEncoderConfig With(ConfigSection sizes);

    /// <summary>Keys that are renamed or joined before <see cref="Build"/>, below <c>text.transformer.</c>; null for none.</summary>
    public virtual KeyTable? Keys => null;

    /// <summary>Reads the weights.</summary>
    /// <param name="weights">A reader below <c>text.transformer</c>.</param>
    /// <param name="contextLength">Tokens of a sentence at most.</param>
    public abstract ITextEncoder Build(WeightReader weights, int contextLength);
}
