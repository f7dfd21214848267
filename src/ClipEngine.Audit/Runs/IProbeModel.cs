using ClipEngine.Imaging;

namespace ClipEngine.Audit.Runs;

/// <summary>A model as the audit sees it: an <see cref="IProbeEncoder"/> or an <see cref="IProbePairScorer"/>.</summary>
public interface IProbeModel : IDisposable
{
    /// <summary>What computes, as far as features may depend on it: device and instruction set, never the number of threads.</summary>
    string Device { get; }

    /// <summary>What a user should know about this load.</summary>
    IReadOnlyList<string> Notices { get; }

    /// <summary>How image files become pixels, and whose ids sentences become, in a line for run records: features depend on it.</summary>
    string Preprocessing { get; }

    /// <summary>Floating-point operations of an image, and of a sentence: by itself for an encoder, with one image for a scorer of pairs. A multiply-add is two. Null where they are not known.</summary>
    (double Image, double Sentence)? Operations => null;
}

/// <summary>Images and sentences in, unit feature vectors out; scores are cosines.</summary>
public interface IProbeEncoder : IProbeModel
{
    /// <summary>Length of a feature.</summary>
    int Width { get; }

    /// <summary>The checkpoint's own scale, <c>exp(logit_scale)</c>; null where it has none.</summary>
    double? Scale { get; }

    /// <summary>What is added to the scaled cosine before a sigmoid (<c>logit_bias</c>); null where the model was trained with a softmax.</summary>
    double? Bias => null;

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

/// <summary>An image and a sentence in together, a score out; there are no features.</summary>
public interface IProbePairScorer : IProbeModel
{
    /// <summary>Scores every image with every sentence; a score must not depend on its neighbours.</summary>
    /// <param name="files">Paths.</param>
    /// <param name="sentences">Texts.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    /// <returns><c>[files, sentences]</c>, row-major: the log odds that they match, the logit of "matches" less that of "does not match".</returns>
    /// <exception cref="BadInputException">An image cannot be read; names it.</exception>
    float[] ScorePairs(IReadOnlyList<string> files, IReadOnlyList<string> sentences, CancellationToken cancellationToken);
}

/// <summary>What a model consists of.</summary>
/// <param name="Path">The folder, file or catalogue name to load.</param>
/// <param name="Files">The files whose content decides what the model computes; hashed before anything is loaded.</param>
/// <param name="Configuration">The configuration where it is not among the files; else null.</param>
/// <param name="AcceptActivationMismatch">Load weights that were trained with another activation than they run with; the model's notices then say so.</param>
public sealed record ProbeModelFiles(string Path, IReadOnlyList<string> Files, string? Configuration, bool AcceptActivationMismatch)
{
    /// <summary>What the spec asks for in place of the preprocessing that belongs to the model.</summary>
    public PreprocessOverrides Preprocessing { get; init; } = new();

    /// <summary>Whether the spec asks for scores of pairs (true) or for features (false); null for features where the model makes them.</summary>
    public bool? ScoresPairs { get; init; }
}

/// <summary>Opens models by the name that a spec gives them.</summary>
public interface IProbeModelSource
{
    /// <summary>Finds a model's files; loads nothing.</summary>
    /// <param name="model">A folder, a file of weights, or a catalogue name.</param>
    /// <param name="acceptActivationMismatch">Take weights that were trained with another activation than the model's name runs.</param>
    /// <exception cref="BadInputException">There is no such model, or its activation contradicts its weights.</exception>
    ProbeModelFiles Find(string model, bool acceptActivationMismatch);

    /// <summary>Refuses what no model could run: the device is not there, or does not compute in the element type.</summary>
    /// <param name="elementType">fp32, bf16, fp16 or int8.</param>
    /// <exception cref="BadInputException">Says what is missing.</exception>
    void RequireDevice(string elementType)
    {
    }

    /// <summary>Loads the model.</summary>
    /// <param name="files">What <see cref="Find"/> found.</param>
    /// <param name="elementType">fp32, bf16, fp16 or int8.</param>
    /// <exception cref="BadInputException">It cannot be loaded, or not in this element type.</exception>
    IProbeModel Open(ProbeModelFiles files, string elementType);
}
