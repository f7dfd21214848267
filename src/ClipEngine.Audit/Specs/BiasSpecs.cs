namespace ClipEngine.Audit.Specs;

/// <summary>Representation bias of models: which of two words a model prefers for images that show nobody in particular. Needs models that are checkpoints.</summary>
internal sealed record RepresentationBiasSpec
{
    /// <summary>Images of nobody in particular (scenes, objects); they need no groups.</summary>
    public required ProbeSpec Probe { get; init; }

    /// <summary>The sentence, as that of an experiment.</summary>
    public required string Template { get; init; }

    /// <summary>The word whose preference is counted.</summary>
    public string First { get; set; } = "male";

    /// <summary>The word that it is held against.</summary>
    public string Second { get; set; } = "female";
}

/// <summary>Association bias of models: which word of a pair a model prefers, by the groups of the probe. Needs models that are checkpoints.</summary>
internal sealed record AssociationBiasSpec
{
    /// <summary>The sentence, as that of an experiment.</summary>
    public required string Template { get; init; }

    /// <summary>The pairs; absent: librarian/scientist, nurse/doctor, housekeeper/homeowner, receptionist/executive, secretary/manager.</summary>
    public IReadOnlyList<WordPairSpec> Pairs { get; set; } =
    [
        new() { First = "librarian", Second = "scientist" }, new() { First = "nurse", Second = "doctor" }, new() { First = "housekeeper", Second = "homeowner" },
        new() { First = "receptionist", Second = "executive" }, new() { First = "secretary", Second = "manager" },
    ];
}

/// <summary>Two words that compete.</summary>
internal sealed record WordPairSpec
{
    /// <summary>The word whose preference is counted.</summary>
    public required string First { get; init; }

    /// <summary>The word that it is held against.</summary>
    public required string Second { get; init; }
}

/// <summary>Zero-shot accuracy of models, which bias is weighed against. Needs models that are checkpoints.</summary>
internal sealed record AccuracySpec
{
    /// <summary>The images with their classes; absent: the spec's own probe.</summary>
    public ProbeSpec? Probe { get; set; }

    /// <summary>The metadata column with the class of an image.</summary>
    public required string Truth { get; init; }

    /// <summary>What templates are filled with, by class.</summary>
    public required IReadOnlyDictionary<string, string> Classes { get; init; }

    /// <summary>The sentences of a class; with several, a class is the mean of their features of length 1, scaled to length 1, as open_clip builds its classifier.</summary>
    public required IReadOnlyList<string> Templates { get; init; }
}

/// <summary>Image-text retrieval of models, which bias is weighed against. Needs models that are checkpoints.</summary>
internal sealed record RetrievalSpec
{
    /// <summary>The images; absent: the spec's own probe.</summary>
    public ProbeSpec? Probe { get; set; }

    /// <summary>A CSV file with a row for each caption; an image may have several.</summary>
    public required string Captions { get; init; }

    /// <summary>Its column with the image's id.</summary>
    public string Image { get; set; } = "image";

    /// <summary>Its column with the caption.</summary>
    public string Caption { get; set; } = "caption";
}

/// <summary>Whom sentences find first: skew of the images that are most like a sentence. Needs models that are checkpoints.</summary>
internal sealed record RankingSpec
{
    /// <summary>Sentences that should find all groups alike.</summary>
    public required IReadOnlyList<string> Sentences { get; init; }

    /// <summary>How many of the first images are looked at.</summary>
    public IReadOnlyList<int> Top { get; set; } = [10, 100];
}
