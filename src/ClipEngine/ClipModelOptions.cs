using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Tokenization;
using Microsoft.Extensions.Logging;

namespace ClipEngine;

/// <summary>How a model is loaded; everything has a default.</summary>
public sealed record ClipModelOptions
{
    /// <summary>The model's JSON file where it does not lie beside the weights, or a model of the catalogue, as <c>ViT-B-32</c>.</summary>
    public string? ConfigurationPath { get; init; }

    /// <summary>
    /// Run weights of known origin with the activation that the configuration says although they were trained with the other, to
    /// repeat a published mistake; <see cref="ClipModel.Notices"/> then says "activation mismatch". Else that is an error.
    /// </summary>
    public bool AcceptActivationMismatch { get; init; }

    /// <summary>Where to run. Null: the native CPU backend in fp32, owned by the model. One that is given stays the caller's, and must outlive the model.</summary>
    public IBackend? Backend { get; init; }

    /// <summary>Run at another image size than the model was trained at, (height, width) in pixels: positions are resized as open_clip does.</summary>
    public (int Height, int Width)? ImageSize { get; init; }

    /// <summary>
    /// The towers that will be run. One that is left out costs neither time nor memory: its keys, shapes and types are still compared, its
    /// values are not read, and encoding with it throws <see cref="InvalidOperationException"/>.
    /// </summary>
    public ModelTowers Towers { get; init; } = ModelTowers.Both;

    /// <summary>Replaces the tokenizer that the configuration asks for.</summary>
    public ITokenizer? Tokenizer { get; init; }

    /// <summary>Changes whose resize it is, when images become RGB and what becomes of transparency; null keeps what belongs to the model's layout.</summary>
    public PreprocessOverrides? Preprocessing { get; init; }

    /// <summary>Replaces the preprocessing that the configuration asks for, <see cref="Preprocessing"/> included. Its size must be the model's.</summary>
    public IImagePreprocessor? Preprocessor { get; init; }

    /// <summary>Images or sentences that go through a tower at once; null: as many as keep the processor busy. Features do not depend on it.</summary>
    public int? BatchSize { get; init; }

    /// <summary>Told of loads (information), of what a user should know about one (warnings, as in <see cref="ClipModel.Notices"/>) and of each run of a tower (debug); null: nothing is logged.</summary>
    public ILogger? Logger { get; init; }

    /// <summary>Told how pixels will be made, before the weights are read; not of a model that packs images of any shape.</summary>
    internal Action<PreprocessOptions>? Planned { get; init; }

    /// <summary>How pixels are made of what belongs to the model.</summary>
    internal PreprocessOptions PixelsOf(PreprocessOptions own) => (Preprocessing ?? new PreprocessOverrides()).Apply(own);
}
