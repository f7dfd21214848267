using ClipEngine.Checkpoints;
using ClipEngine.Checkpoints.Layouts;

namespace ClipEngine.Models;

/// <summary>A text tower as a configuration describes it: sizes and options, and how it is built of weights.</summary>
internal abstract record TextTowerConfig
{
    /// <summary>What a model with this tower is called; null for open_clip's own towers.</summary>
    public abstract string? Family { get; }

    /// <summary>The tokenizer.</summary>
    public abstract TokenizerConfig Tokenizer { get; }

    /// <summary>Token ids of one sentence at most.</summary>
    public abstract int ContextLength { get; }

    /// <summary>One more than the largest token id.</summary>
    public abstract int VocabularySize { get; }

    /// <summary>The id at which a sentence's feature is looked for, where that is a certain one.</summary>
    public virtual int? EndOfSentence => null;

    /// <summary>Its sizes in a few words, such as <c>512 wide, 12 blocks, context 77, vocabulary 49408</c>.</summary>
    public abstract string Outline { get; }

    /// <summary>Checkpoint keys that are renamed or joined before <see cref="Build"/> reads them; null for none.</summary>
    public virtual KeyTable? Keys => null;

    /// <summary>What a caption decoder reads of it; null where it cannot.</summary>
    public virtual CaptionTokens? Captions => null;

    /// <summary>Reads the tower's weights.</summary>
    /// <param name="weights">A reader at the top of the checkpoint: older ones keep open_clip's own tower there.</param>
    /// <param name="embedDimension">The length of a feature.</param>
    public abstract ITextTower Build(WeightReader weights, int embedDimension);
}
