using ClipEngine.Checkpoints;

namespace ClipEngine;

/// <summary>What <c>services.AddClipEngine</c> loads and how.</summary>
public sealed class ClipEngineOptions
{
    /// <summary>What <see cref="ClipModel.Load"/> takes: a folder, a file of weights, or the name of weights in the catalogue that were fetched before. Needed.</summary>
    public string Model { get; set; } = "";

    /// <summary>How it is loaded. The application's logging is used where no logger is given.</summary>
    public ClipModelOptions ModelOptions { get; set; } = new();

    /// <summary>Where weights of the catalogue are kept and fetched from, for the <see cref="ModelStore"/> of the application; null: as the environment says.</summary>
    public ModelStoreOptions? ModelStore { get; set; }
}
