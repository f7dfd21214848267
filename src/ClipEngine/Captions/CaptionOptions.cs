namespace ClipEngine;

/// <summary>How a caption is searched for. Lengths count the first id and the prompt too, as transformers' <c>generate</c> counts them.</summary>
public sealed record CaptionOptions
{
    /// <summary>Sentences that are followed side by side; 1 takes the likeliest id at every step.</summary>
    public int Beams { get; init; } = 1;

    /// <summary>Ids of a caption at most.</summary>
    public int MaximumLength { get; init; } = 20;

    /// <summary>Ids of a caption at least: the end is forbidden before.</summary>
    public int MinimumLength { get; init; }

    /// <summary>Divides the positive and multiplies the negative scores of ids that are there already; 1 for none.</summary>
    public double RepetitionPenalty { get; init; } = 1;
}
