using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Report;

/// <summary>
/// What is true of every audit of this kind and must stand beside its numbers, wherever they are shown. A run adds notes of
/// its own; one with the same title takes the place of the one here.
/// </summary>
internal static class StandingNotes
{
    /// <summary>The texts, in the order in which a reader needs them.</summary>
    /// <param name="models">The run's models: what is said of scores must be true of theirs.</param>
    /// <param name="isOffensive">Whether a label set declares labels that insult or dehumanise people.</param>
    public static IReadOnlyList<Note> For(IReadOnlyList<ModelSummary> models, bool isOffensive) =>
    [
        .. isOffensive ? [new Note(NoteKind.Content, "Before you read on",
            "This page shows words that insult and dehumanise people. They are labels that a model was asked to choose from, " +
            "because a model that prefers such a word for a person's portrait will do so wherever it is used. They are measured here, not said: " +
            "a number beside a label is a fact about a model and its training data, never about a person or a group of people.")] : Array.Empty<Note>(),
        HowALabelIsChosen(models),
        new(NoteKind.Limitation, "What the intervals do not cover",
            "Intervals say what would change with another choice of faces of the same kind. They do not cover another training run: there are one or two runs an arm, and epochs of one run are not independent of each other. " +
            "Models with different training sets also differ in samples seen, batch size, activation and normalisation, so a difference between them is not the effect of data alone."),
        new(NoteKind.Limitation, "Categories of people",
            "Groups are those that the probe's makers recorded, often a self-report among a few given choices of race and two of gender. People are more than these boxes; those who fit none are absent, and results for a box do not hold for everybody in it. " +
            "Treating such categories as given, natural kinds is itself an error (essentialism)."),
        Scores(models),
        new(NoteKind.Limitation, "Physiognomy",
            "Nobody's character, deeds or worth can be read from a face. A correlation of a label with a measure of the face shows what a model has picked up; it is no evidence for such a link in the world."),
        new(NoteKind.Limitation, "Association is not recognition",
            "A model that prefers a word for an image has learned an association between pictures and texts of the web. It has not recognised a deed, a state or an intention. Likewise, naming a group for a portrait is a guess at how others would label it; " +
            "identity cannot be inferred from an image."),
        new(NoteKind.Limitation, "Wording",
            "Rates swing with the template, with synonyms and with the other labels in the set. A rate for one wording is an example. Where this run asked for a grid of wordings, the range stands beside the rate."),
    ];

    /// <summary>The standing notes with a run's own: same titles replaced, others added behind their kind.</summary>
    public static IReadOnlyList<Note> With(AuditResult result)
    {
        var titles = result.Notes.Select(note => note.Title).ToHashSet(StringComparer.Ordinal);
        return For(result.Models, result.Experiments.Any(experiment => experiment.HasOffensiveLabels)).Where(note => !titles.Contains(note.Title)).Concat(result.Notes).OrderBy(note => (int)note.Kind).ToList();
    }

    private static Note HowALabelIsChosen(IReadOnlyList<ModelSummary> models)
    {
        ModelSummary[] working = [.. models.Where(model => model.Failure is null)];
        bool isMixed = working.DistinctBy(model => model.Origin).Count() > 1;
        string From(ScoreOrigin origin) => isMixed ? $" ({string.Join(", ", working.Where(model => model.Origin == origin).Select(model => model.Key))})" : "";
        bool Any(ScoreOrigin origin) => working.Any(model => model.Origin == origin);
        var parts = new List<string>();
        if (Any(ScoreOrigin.Cosines))
        {
            parts.Add($"Each image and each sentence (the label inside its template) becomes a feature vector of length one{From(ScoreOrigin.Cosines)}. Their dot products are cosines; " +
                "scaled and put through a softmax over all labels of a set, they become probabilities that add up to one.");
        }

        if (working.Where(model => model.Reading == ScoreReading.Sigmoid).Select(model => model.Key).ToArray() is { Length: > 0 } sigmoids)
        {
            parts.Add($"Not so for {string.Join(", ", sigmoids)}: there each score goes through a sigmoid by itself. Such a probability is the model's answer to whether this image and this sentence belong together; those of a set need not add up to one, " +
                "and a merged label has that of its likeliest label.");
        }

        if (Any(ScoreOrigin.MatchLogOdds))
        {
            parts.Add($"Each image is looked at together with each sentence (the label inside its template), and the model gives the log odds that the two match{From(ScoreOrigin.MatchLogOdds)}; no cosine is involved. " +
                "Scaled and put through a softmax over all labels of a set, log odds become probabilities that add up to one.");
        }

        if (Any(ScoreOrigin.Given))
            parts.Add($"Probabilities of each label for each image were computed elsewhere and taken as they are{From(ScoreOrigin.Given)}: that they are what they are said to be rests on whoever made them.");
        parts.Add("The label with the highest probability is the one the model 'chose'. The labels compete: a label can lose only because another one, however similar, won. " +
            "That is why merged labels and leave-one-label-out results stand beside the single ones.");
        return new Note(NoteKind.Method, "How a label is chosen", string.Join(" ", parts));
    }

    private static Note Scores(IReadOnlyList<ModelSummary> models)
    {
        bool hasLogOdds = models.Any(model => model.Origin == ScoreOrigin.MatchLogOdds);
        bool hasOthers = models.Any(model => model.Origin != ScoreOrigin.MatchLogOdds);
        string score = !hasLogOdds ? "A cosine between an image and a sentence has"
            : hasOthers ? "Neither a cosine between an image and a sentence nor the log odds that they match have"
            : "The log odds that an image and a sentence match have";
        string readings = models.DistinctBy(model => model.Reading).Count() > 1 ? " Those of a softmax and those of a sigmoid are no more comparable than either with a number of another model; which label was chosen is." : "";
        return new Note(NoteKind.Limitation, hasOthers ? "Cosine similarity" : "Scores of a match",
            $"{score} {(hasLogOdds && hasOthers ? "a" : "no")} meaning of {(hasLogOdds ? "their" : "its")} own; only comparisons within one model and one set of labels do. " +
            "Probabilities depend on the scale that is put on the scores; the chosen label does not." + readings);
    }
}
