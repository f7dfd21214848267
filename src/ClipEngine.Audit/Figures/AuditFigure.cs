namespace ClipEngine.Audit.Figures;

/// <summary>A finished figure.</summary>
/// <param name="Name">File name without extension, also its anchor in the page: lower-case letters, digits and hyphens.</param>
/// <param name="Section">Which part of the report shows it.</param>
/// <param name="Caption">What a reader should see in it.</param>
/// <param name="Svg">The drawing.</param>
internal sealed record AuditFigure(string Name, FigureSection Section, string Caption, string Svg)
{
    /// <summary>What it shows: one of <see cref="FigureKinds"/>; empty in reports that are no audits.</summary>
    public string Kind { get; init; } = "";

    /// <summary>A figure of a kind, named after it and what it is of.</summary>
    /// <param name="kind">One of <see cref="FigureKinds"/>.</param>
    /// <param name="of">An experiment, a model, a label.</param>
    /// <param name="section">Which part of the report shows it.</param>
    /// <param name="caption">What a reader should see in it.</param>
    /// <param name="svg">The drawing.</param>
    public static AuditFigure Of(string kind, string[] of, FigureSection section, string caption, string svg) => new(FigureSet.Slug([kind, .. of]), section, caption, svg) { Kind = kind };

    /// <summary>The experiment's key, where the figure belongs to one.</summary>
    public string? Experiment { get; init; }

    /// <summary>The model's key, where the figure belongs to one.</summary>
    public string? Model { get; init; }
}

/// <summary>The parts of the report that have figures.</summary>
internal enum FigureSection
{
    /// <summary>Declared comparisons of models.</summary>
    Comparisons,

    /// <summary>What one model chose, by group.</summary>
    Choices,

    /// <summary>What models of one patch size chose.</summary>
    PatchSize,

    /// <summary>Ranges over wordings.</summary>
    Wordings,

    /// <summary>Correlations with numeric columns.</summary>
    Correlations,

    /// <summary>A row for each image.</summary>
    Persons,

    /// <summary>Features among themselves.</summary>
    Features,

    /// <summary>Bias by name against accuracy and retrieval.</summary>
    Bias,
}
