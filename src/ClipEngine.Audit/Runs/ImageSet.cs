using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Specs;

namespace ClipEngine.Audit.Runs;

/// <summary>Images that models embed: the spec's probe, or those of a measure that brings its own.</summary>
/// <param name="name">In the names of its files below the run's folder; empty for the spec's probe.</param>
/// <param name="spec">Where the images are.</param>
/// <param name="probe">The images.</param>
/// <param name="resolve">Turns a path of the spec into one that can be opened.</param>
internal sealed class ImageSet(string name, ProbeSpec spec, Probe probe, Func<string, string> resolve)
{
    private (string[] Files, string Hash)? _files;

    /// <summary>Empty for the spec's probe.</summary>
    public string Name => name;

    /// <summary>The images.</summary>
    public Probe Probe => probe;

    /// <summary>Its place in the file names of stages.</summary>
    public string Suffix => name.Length == 0 ? "" : "." + name;

    /// <summary>The table and, once a model asked for them, the images.</summary>
    public IReadOnlyList<InputFile> Inputs { get; private set; } = [];

    /// <summary>The table that describes them, where there is one.</summary>
    public string? Metadata => spec.Metadata is { } metadata ? resolve(metadata) : null;

    /// <summary>The paths, without reading a byte.</summary>
    /// <exception cref="BadInputException">Images are missing.</exception>
    public string[] Paths() => ProbeLayouts.Files(spec, probe, resolve);

    /// <summary>The paths, and the hash of all files' contents; read once.</summary>
    /// <param name="progress">Told that files are hashed.</param>
    public (string[] Files, string Hash) Hashed(Action<string> progress)
    {
        if (_files is { } known)
            return known;
        string[] files = Paths();
        progress($"hashing {files.Length} images");
        var hashes = new InputFile[files.Length];
        Parallel.For(0, files.Length, index => hashes[index] = InputFiles.Describe("image", files[index]));
        string hash = StageLedger.Key(hashes.Select(file => file.Sha256));
        Inputs = [new InputFile(name.Length == 0 ? "images" : $"images of {name}", $"{files.Length} images", hash, hashes.Sum(file => file.Length))];
        _files = (files, hash);
        return _files.Value;
    }
}
