using System.Text.Json;

namespace ClipEngine.Models;

/// <summary>The families that can be loaded. Thread-safe.</summary>
public static class ModelFamilies
{
    private static readonly Lock s_lock = new();
    private static IModelFamily[] s_known = BuiltIn();

    /// <summary>All of them, the last registered first, which is the order in which they are asked.</summary>
    public static IReadOnlyList<IModelFamily> Known => Volatile.Read(ref s_known);

    /// <summary>Adds a family until what is returned is disposed.</summary>
    /// <param name="family">Asked before those registered earlier.</param>
    /// <returns>The way back.</returns>
    /// <exception cref="ArgumentException">One of this name is there already.</exception>
    public static IDisposable Register(IModelFamily family)
    {
        ArgumentNullException.ThrowIfNull(family);
        lock (s_lock)
        {
            if (s_known.Any(known => known.Name == family.Name))
                throw new ArgumentException($"The family {family.Name} is registered already.", nameof(family));
            s_known = [family, .. s_known];
        }

        return new Registration(family);
    }

    /// <summary>Reads a model's configuration by the family that knows it.</summary>
    /// <exception cref="UnsupportedFamilyException">It is a known family that cannot be run.</exception>
    /// <exception cref="BadInputException">No family does, or the configuration is refused.</exception>
    public static ModelPlan Plan(ModelFiles files)
    {
        ArgumentNullException.ThrowIfNull(files);
        IModelFamily? family = Known.FirstOrDefault(family => family.Recognizes(files));
        if (family is null && UnsupportedFamilies.NameOf(files) is { } name)
            throw new UnsupportedFamilyException(files.Source, name);
        if (family is null)
        {
            throw new BadInputException(files.Source, $"describes no model that is built ({string.Join(", ", Known.Select(static known => known.Name))}).",
                "An OpenCLIP configuration has vision_cfg and text_cfg, itself or below model_cfg; one of transformers has a model_type.");
        }

        return family.Plan(files);
    }

    /// <summary>Whether any family knows the configuration.</summary>
    internal static bool Recognize(JsonElement configuration, string source)
    {
        var files = new ModelFiles(configuration, source);
        return Known.Any(family => family.Recognizes(files));
    }

    /// <summary>The families, one line each. Towers that OpenCLIP opens by a name are listed in <see cref="NamedTowers"/>.</summary>
    private static IModelFamily[] BuiltIn() => [new SigLipFamily(), new BlipFamily(), new Blip2Family(), new TransformersClipFamily(), new AltClipFamily(), new ChineseClipFamily(), new OpenClipFamily()];

    private sealed class Registration(IModelFamily family) : IDisposable
    {
        public void Dispose()
        {
            lock (s_lock)
                s_known = [.. s_known.Where(known => !ReferenceEquals(known, family))];
        }
    }
}
