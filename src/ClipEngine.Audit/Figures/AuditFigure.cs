namespace ClipEngine.Audit.Figures;

/// <summary>A finished figure.</summary>
/// <param name="Name">File name without extension, also its anchor in the page: lower-case letters, digits and hyphens.</param>
/// <param name="Section">Which part of the report shows it.</param>
/// <param name="Caption">What a reader should see in it.</param>
/// <param name="Svg">The drawing.</param>
internal sealed record AuditFigure(string Name, FigureSection Section, string Caption, string Svg)
{
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

    /// <summary>A row for each image.</summary>
    Persons,

    /// <summary>Features among themselves.</summary>
    Features,
}
