using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Files;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>Whether a checkpoint's weights fit a configuration, found out without reading a single value.</summary>
/// <param name="ConfigurationPath">The configuration.</param>
/// <param name="Architecture">The family of the model that it describes; null where it is refused.</param>
/// <param name="Problems">Everything that does not fit, one line each; none when the model would load.</param>
internal sealed record CheckpointFit(string ConfigurationPath, string? Architecture, IReadOnlyList<string> Problems)
{
    /// <summary>The configurations that a model's folder may hold, in the order in which they are looked for.</summary>
    public static IReadOnlyList<string> ConfigurationNames { get; } = ["open_clip_config.json", "config.json"];

    /// <summary>What the configuration says; null where it is refused.</summary>
    public ModelPlan? Plan { get; init; }

    /// <summary>Whether the model would load.</summary>
    public bool Fits => Problems.Count == 0;

    /// <summary>The configuration beside a checkpoint, or null.</summary>
    /// <param name="path">The checkpoint's file or its folder.</param>
    public static string? FindConfiguration(string path)
    {
        path = ModelLocation.Resolve(path);
        string folder = FilePlace.IsFolder(path) ? path : Path.GetDirectoryName(Path.GetFullPath(path))!;
        return ConfigurationNames.Select(name => Path.Combine(folder, name)).FirstOrDefault(FilePlace.IsFile);
    }

    /// <summary>Walks through the model as loading would.</summary>
    /// <param name="checkpoint">As stored, or with OpenCLIP's keys.</param>
    /// <param name="configurationPath">The model's JSON file.</param>
    /// <exception cref="UnsupportedFamilyException">It is that of a family that cannot be run: there is nothing to fit.</exception>
    public static CheckpointFit Check(ICheckpoint checkpoint, string configurationPath) =>
        Check(checkpoint, configurationPath, () => ConfigFile.Read(configurationPath));

    /// <summary>The same for a configuration in memory.</summary>
    /// <param name="checkpoint">As stored, or with OpenCLIP's keys.</param>
    /// <param name="configuration">The JSON text.</param>
    /// <param name="source">What messages call it.</param>
    public static CheckpointFit Check(ICheckpoint checkpoint, ReadOnlyMemory<byte> configuration, string source) =>
        Check(checkpoint, source, () => ConfigFile.ParseRoot(configuration.Span, source));

    private static CheckpointFit Check(ICheckpoint checkpoint, string configurationPath, Func<JsonElement> read)
    {
        try
        {
            JsonElement configuration = read();
            ModelPlan plan = ModelFamilies.Plan(new ModelFiles(configuration, configurationPath));
            // The view borrows what it shows and stays with the checkpoint's owner.
            using var reader = new WeightReader(plan.Arrange(checkpoint), backend: null);
            using var backend = new NoBackend();
            plan.Build(reader, backend, new ModelOptions());
            return new CheckpointFit(configurationPath, plan.Family, reader.ListProblems()) { Plan = plan };
        }
        catch (BadInputException exception) when (exception is not UnsupportedFamilyException)
        {
            return new CheckpointFit(configurationPath, Architecture: null, [exception.Message]);
        }
    }

    /// <summary>Stands where a model wants a backend while its weights are only checked.</summary>
    private sealed class NoBackend : IBackend
    {
        public string Name => "none";

        public string Description => "weights are only checked";

        public ElementType ComputeType => ElementType.Float32;

        public FeatureInvariance Invariance => FeatureInvariance.Bitwise;

        public double InvarianceBound => 0;

        public Weight CreateWeight(in WeightData data, WeightRole role) => throw new InvalidOperationException("Weights are only checked.");

        public IPass BeginPass() => throw new InvalidOperationException("Weights are only checked.");

        public void Dispose()
        {
            // It owns nothing.
        }
    }
}
