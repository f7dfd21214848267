using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>The sizes of a BERT (arXiv:1810.04805) or one of its kin: RoBERTa, XLM-RoBERTa, BLIP's text transformer.</summary>
internal record BertConfig
{
    /// <summary>Rows of the word table.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Of a token.</summary>
    public required int Width { get; init; }

    /// <summary>Layers.</summary>
    public required int Layers { get; init; }

    /// <summary>Attention heads; divides <see cref="Width"/>.</summary>
    public required int Heads { get; init; }

    /// <summary>Hidden units of the MLP.</summary>
    public required int HiddenWidth { get; init; }

    /// <summary>Rows of the table of positions.</summary>
    public required int Positions { get; init; }

    /// <summary>Rows of the table of token types, of which the first is added to every token; 0 where there is no such table.</summary>
    public int TokenTypes { get; init; }

    /// <summary>The layer norms'.</summary>
    public float Epsilon { get; init; } = 1e-12f;

    /// <summary>The MLP's non-linearity.</summary>
    public Activation Activation { get; init; } = Activation.Gelu;

    /// <summary>Hidden from attention.</summary>
    public int PaddingId { get; init; }

    /// <summary>RoBERTa: positions count the tokens that are no padding, from the padding id + 1. Else they count all tokens from 0.</summary>
    public bool CountsBehindPadding { get; init; }

    /// <summary>Tokens of a sentence that there are positions for.</summary>
    public int LongestSentence => CountsBehindPadding ? Positions - PaddingId - 1 : Positions;
}
