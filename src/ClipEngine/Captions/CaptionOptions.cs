using ClipEngine.Models;

namespace ClipEngine;

/// <summary>
/// How a caption is searched for. Lengths count the first id and the prompt too, as transformers' <c>generate</c> and open_clip's count
/// them. The likeliest id is taken at every step, unless several beams are followed or ids are drawn (<see cref="TopK"/>, <see cref="TopP"/>).
/// </summary>
public sealed record CaptionOptions
{
    /// <summary>Sentences that are followed side by side; 1 takes one id at every step.</summary>
    public int Beams { get; init; } = 1;

    /// <summary>Groups that <see cref="Beams"/> are split into, each searched by itself; divides them. open_clip's default is 3 groups of 2 beams. Models searched as transformers does know one group.</summary>
    public int BeamGroups { get; init; } = 1;

    /// <summary>Draws every id from this many of the likeliest, by their probabilities; null draws none.</summary>
    public int? TopK { get; init; }

    /// <summary>Draws every id from the likeliest ones whose probabilities add up to this, the last of them included; above 0, at most 1. Null draws none.</summary>
    public double? TopP { get; init; }

    /// <summary>Divides the logits of what is drawn from: above 1 evens the probabilities out.</summary>
    public double Temperature { get; init; } = 1;

    /// <summary>Where the random numbers begin: the same caption for the same image and seed, whatever was captioned before.</summary>
    public int Seed { get; init; }

    /// <summary>Ids of a caption at most.</summary>
    public int MaximumLength { get; init; } = 20;

    /// <summary>Ids of a caption at least: the end is forbidden before.</summary>
    public int MinimumLength { get; init; }

    /// <summary>Divides the positive and multiplies the negative scores of ids that are there already; 1 for none.</summary>
    public double RepetitionPenalty { get; init; } = 1;

    /// <summary>The id that ends a caption; null for the model's own.</summary>
    public int? EndId { get; init; }

    /// <summary>Whether ids are drawn.</summary>
    internal bool Draws => TopK is not null || TopP is not null;

    /// <summary>What cannot be, as the property's name and what is wrong; null where all fits.</summary>
    /// <param name="model">What is asked.</param>
    internal (string Property, string Message)? FindProblem(ICaptioner model)
    {
        bool endIsForced = model.Style == CaptionStyle.OpenClip && Beams == 1;
        return this switch
        {
            { Beams: < 1 } => (nameof(Beams), $"expected 1 or more, found {Beams}."),
            { BeamGroups: < 1 } => (nameof(BeamGroups), $"expected 1 or more, found {BeamGroups}."),
            { BeamGroups: > 1 } when model.Style != CaptionStyle.OpenClip => (nameof(BeamGroups), $"captions of {model.Architecture} are searched for in one group of beams, as transformers does; found {BeamGroups}."),
            _ when Beams % BeamGroups != 0 => (nameof(BeamGroups), $"expected a divisor of {Beams} beams, found {BeamGroups}."),
            { TopK: not null, TopP: not null } => (nameof(TopP), "draws ids in one way and the likeliest few in another; give one of them."),
            { Draws: true, Beams: > 1 } => (nameof(Beams), $"ids are drawn for one sentence; found {Beams} beams."),
            { TopK: < 1 } => (nameof(TopK), $"expected 1 or more, found {TopK}."),
            { TopP: <= 0 or > 1 or double.NaN } => (nameof(TopP), $"expected a probability above 0 and at most 1, found {TopP}."),
            { Temperature: <= 0 or double.NaN or double.PositiveInfinity } => (nameof(Temperature), $"expected a number above 0, found {Temperature}."),
            { Draws: false, Temperature: not 1 } => (nameof(Temperature), "nothing is drawn, so that there is nothing to even out."),
            { RepetitionPenalty: <= 0 or double.NaN or double.PositiveInfinity } => (nameof(RepetitionPenalty), $"expected a number above 0, found {RepetitionPenalty}."),
            _ when MaximumLength < 1 || MaximumLength > model.CaptionLength => (nameof(MaximumLength), $"the model has positions for {model.CaptionLength} ids, found {MaximumLength}."),
            _ when MinimumLength < 0 || MinimumLength > MaximumLength => (nameof(MinimumLength), $"expected 0 to {MaximumLength} ids, which a caption may have; found {MinimumLength}."),
            _ when endIsForced && MinimumLength == MaximumLength => (nameof(MinimumLength), $"the last of {MaximumLength} ids is the end's; expected less, found {MinimumLength}."),
            _ when EndId < 0 || EndId >= model.CaptionVocabulary => (nameof(EndId), $"expected an id from 0 to {model.CaptionVocabulary - 1}, found {EndId}."),
            _ => null,
        };
    }
}
