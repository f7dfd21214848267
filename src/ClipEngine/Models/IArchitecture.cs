using System.Text.Json;
using ClipEngine.Checkpoints;

namespace ClipEngine.Models;

/// <summary>What a caller may change about a model while it is loaded.</summary>
public sealed record ArchitectureOptions
{
    /// <summary>Run at another image size than the model was trained at, [height, width]: positions are resized as open_clip does. Null: as trained.</summary>
    public (int Height, int Width)? ImageSize { get; init; }

    /// <summary>What will be run. The keys, shapes and types of a tower that is left out are still checked, and its values stay in the file; an architecture may also load it all the same.</summary>
    public ModelTowers Towers { get; init; } = ModelTowers.Both;
}

/// <summary>The towers of a dual encoder.</summary>
[Flags]
public enum ModelTowers
{
    /// <summary>The image tower.</summary>
    Image = 1,

    /// <summary>The text tower.</summary>
    Text = 2,

    /// <summary>Both towers.</summary>
    Both = Image | Text,
}

/// <summary>A kind of model: it knows its configuration and its checkpoint's keys. Registered with <see cref="Architectures.Register"/>.</summary>
public interface IArchitecture
{
    /// <summary>The name in messages and run records.</summary>
    string Name { get; }

    /// <summary>Whether a model's JSON file describes this kind of model. Looks at keys only and never throws.</summary>
    /// <param name="configuration">The file's root object.</param>
    bool Recognizes(JsonElement configuration);

    /// <summary>
    /// Builds the model: reads every weight by its key. The caller completes the reader afterwards, which reports all problems
    /// at once, and owns the weights.
    /// </summary>
    /// <param name="configuration">The file's root object.</param>
    /// <param name="source">What messages call the file.</param>
    /// <param name="weights">At the top of the checkpoint.</param>
    /// <param name="backend">Where the model runs.</param>
    /// <param name="options">What is changed about it.</param>
    /// <returns>The model. Disposing it is the caller's affair, as are the weights.</returns>
    /// <exception cref="BadInputException">The configuration is refused.</exception>
    IModel Build(JsonElement configuration, string source, WeightReader weights, Tensors.IBackend backend, ArchitectureOptions options);
}

/// <summary>The architectures that can be loaded. Thread-safe.</summary>
public static class Architectures
{
    private static readonly Lock s_lock = new();
    private static IArchitecture[] s_known = [new OpenClipArchitecture(), new TransformersArchitecture()];

    /// <summary>All of them, the last registered first, which is the order in which they are asked.</summary>
    public static IReadOnlyList<IArchitecture> Known => Volatile.Read(ref s_known);

    /// <summary>Adds an architecture for the rest of the process.</summary>
    /// <param name="architecture">Asked before those registered earlier.</param>
    /// <exception cref="ArgumentException">One of this name is there already.</exception>
    public static void Register(IArchitecture architecture)
    {
        ArgumentNullException.ThrowIfNull(architecture);
        lock (s_lock)
        {
            if (s_known.Any(known => known.Name == architecture.Name))
                throw new ArgumentException($"The architecture {architecture.Name} is registered already.", nameof(architecture));
            s_known = [architecture, .. s_known];
        }
    }

    /// <summary>The architecture that a configuration describes.</summary>
    /// <exception cref="BadInputException">None of the known ones.</exception>
    internal static IArchitecture Find(JsonElement configuration, string source) =>
        Known.FirstOrDefault(architecture => architecture.Recognizes(configuration))
        ?? throw new BadInputException(source, $"describes no architecture that is built ({string.Join(", ", Known.Select(known => known.Name))}).",
            "An OpenCLIP configuration has vision_cfg and text_cfg, itself or below model_cfg.");
}
