namespace ClipEngine.Audit.Runs;

/// <summary>A model as the audit sees it: images and sentences in, unit feature vectors out.</summary>
public interface IProbeModel : IDisposable
{
    /// <summary>Length of a feature.</summary>
    int Width { get; }

    /// <summary>The checkpoint's own scale, <c>exp(logit_scale)</c>; null where it has none.</summary>
    double? Scale { get; }

    /// <summary>What computes: device, instruction set, element type.</summary>
    string Device { get; }

    /// <summary>What a user should know about this load.</summary>
    IReadOnlyList<string> Notices { get; }

    /// <summary>Encodes images; a feature must not depend on its neighbours.</summary>
    /// <param name="files">Paths.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    /// <returns><c>[files, Width]</c>, row-major, each of length 1.</returns>
    /// <exception cref="BadInputException">An image cannot be read; names it.</exception>
    float[] EncodeImages(IReadOnlyList<string> files, CancellationToken cancellationToken);

    /// <summary>Encodes sentences.</summary>
    /// <param name="sentences">Texts.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    /// <returns><c>[sentences, Width]</c>, row-major, each of length 1.</returns>
    /// <exception cref="BadInputException">A sentence does not fit the model.</exception>
    float[] EncodeTexts(IReadOnlyList<string> sentences, CancellationToken cancellationToken);
}

/// <summary>Opens models by the name that a spec gives them.</summary>
public interface IProbeModelSource
{
    /// <summary>The files whose content decides what the model computes; hashed before anything is loaded.</summary>
    /// <param name="model">A folder, a file of weights, or a catalogue name.</param>
    /// <exception cref="BadInputException">There is no such model.</exception>
    IReadOnlyList<string> Files(string model);

    /// <summary>Loads the model.</summary>
    /// <param name="model">As above.</param>
    /// <param name="elementType">fp32, bf16, fp16 or int8.</param>
    /// <exception cref="BadInputException">It cannot be loaded, or not in this element type.</exception>
    IProbeModel Open(string model, string elementType);
}
