using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Report;

/// <summary>
/// What is true of every audit of this kind and must stand beside its numbers, wherever they are shown. A run adds notes of
/// its own; one with the same title takes the place of the one here.
/// </summary>
internal static class StandingNotes
{
    /// <summary>The texts, in the order in which a reader needs them.</summary>
    public static IReadOnlyList<Note> All { get; } =
    [
        new(NoteKind.Content, "Before you read on",
            "This page may show words that insult and dehumanise people. They are the labels that a model was asked to choose from, taken from published studies, " +
            "because a model that prefers such a word for a person's portrait will do so wherever it is used. They are measured here, not said: " +
            "a number beside a label is a fact about a model and its training data, never about a person or a group of people."),
        new(NoteKind.Method, "How a label is chosen",
            "Each image and each sentence (the label inside its template) becomes a feature vector of length one. Their dot products are cosines; scaled and put through a softmax over all labels of a set, " +
            "they become probabilities that add up to one. The label with the highest probability is the one the model 'chose'. The labels compete: a label can lose only because another one, however similar, won. " +
            "That is why merged labels and leave-one-label-out results stand beside the single ones."),
        new(NoteKind.Method, "How sure the numbers are",
            "Rates carry Wilson intervals. Means and differences carry bootstrap intervals over persons, so that several images of one person do not count as several people. Tests between models compare the same faces. " +
            "Families of tests are declared before the data are looked at; p-values are corrected within their family (Holm against any false alarm, Benjamini-Hochberg against a share of them)."),
        new(NoteKind.Limitation, "What the intervals do not cover",
            "Intervals say what would change with another choice of faces of the same kind. They do not cover another training run: there are one or two runs an arm, and epochs of one run are not independent of each other. " +
            "Models with different training sets also differ in samples seen, batch size, activation and normalisation, so a difference between them is not the effect of data alone."),
        new(NoteKind.Limitation, "Categories of people",
            "Groups are those that the probe's makers recorded, often a self-report among a few given choices of race and two of gender. People are more than these boxes; those who fit none are absent, and results for a box do not hold for everybody in it. " +
            "Treating such categories as given, natural kinds is itself an error (essentialism)."),
        new(NoteKind.Limitation, "Cosine similarity",
            "A cosine between an image and a sentence has no meaning of its own; only comparisons within one model and one set of labels do. Probabilities depend on the scale that is put on the cosines; the chosen label does not."),
        new(NoteKind.Limitation, "Physiognomy",
            "Nobody's character, deeds or worth can be read from a face. A correlation of a label with a measure of the face shows what a model has picked up; it is no evidence for such a link in the world."),
        new(NoteKind.Limitation, "Association is not recognition",
            "A model that prefers a word for an image has learned an association between pictures and texts of the web. It has not recognised a deed, a state or an intention. Likewise, naming a group for a portrait is a guess at how others would label it; " +
            "identity cannot be inferred from an image."),
        new(NoteKind.Limitation, "Wording",
            "Rates swing with the template, with synonyms and with the other labels in the set. A rate for one wording is an example. Where this run asked for a grid of wordings, the range stands beside the rate."),
    ];

    /// <summary>The standing notes with a run's own: same titles replaced, others added behind their kind.</summary>
    public static IReadOnlyList<Note> With(IReadOnlyList<Note> own)
    {
        var titles = own.Select(note => note.Title).ToHashSet(StringComparer.Ordinal);
        return All.Where(note => !titles.Contains(note.Title)).Concat(own).OrderBy(note => (int)note.Kind).ToList();
    }
}
