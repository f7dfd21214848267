using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>TorchSharp tensors into a model and out of it, where the model runs on a <see cref="TorchBackend"/>.</summary>
/// <example>
/// <code>
/// using var backend = TorchBackend.Create(new TorchBackendOptions { Device = "cuda:0" });
/// using var model = ClipModel.Load("models/ViT-B-32", new ClipModelOptions { Backend = backend });
/// using var scope = torch.NewDisposeScope();
/// torch.Tensor features = model.EncodeImages(pixels);   // [n, embed_dim], on the GPU as pixels are
/// torch.Tensor nearest = features.matmul(index.t()).topk(10).indexes;
/// </code>
/// </example>
public static class ClipModelExtensions
{
    /// <summary>Encodes preprocessed pixels. Nothing is copied where they have the backend's device and the type of its sums (fp32; fp64 where that is computed in).</summary>
    /// <param name="model">A model on a <see cref="TorchBackend"/>.</param>
    /// <param name="pixels"><c>[n, 3, height, width]</c>, preprocessed; all of them go through the tower at once. Gradients flow back to them where they ask for some.</param>
    /// <param name="normalize">Scale each feature to length 1; else as open_clip's <c>encode_image</c> returns it.</param>
    /// <returns><c>[n, embed_dim]</c>, or <c>[n, tokens, embed_dim]</c> where the model pools nothing; on the backend's device, in the caller's dispose scope.</returns>
    /// <exception cref="InvalidOperationException">The model runs on another backend.</exception>
    /// <exception cref="ArgumentException">The pixels have another shape than the model's.</exception>
    public static TorchTensor EncodeImages(this ClipModel model, TorchTensor pixels, bool normalize = true)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(pixels);
        TorchBackend backend = BackendOf(model);
        return model.Use(encoder => TorchTowers.EncodeImages(backend, encoder, pixels, normalize));
    }

    /// <summary>Encodes token ids.</summary>
    /// <param name="model">A model on a <see cref="TorchBackend"/>.</param>
    /// <param name="ids"><c>[n, length]</c>, integers; padded as the tokenizer does. They are checked on the host.</param>
    /// <param name="normalize">Scale each feature to length 1; else as open_clip's <c>encode_text</c> returns it.</param>
    /// <returns><c>[n, embed_dim]</c>, or <c>[n, length, embed_dim]</c> where the model pools nothing; on the backend's device, in the caller's dispose scope.</returns>
    /// <exception cref="InvalidOperationException">The model runs on another backend.</exception>
    /// <exception cref="ArgumentException">The length is not right, or an id lies outside the vocabulary.</exception>
    public static TorchTensor EncodeTexts(this ClipModel model, TorchTensor ids, bool normalize = true)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(ids);
        TorchBackend backend = BackendOf(model);
        return model.Use(encoder => TorchTowers.EncodeTexts(backend, encoder, ids, normalize));
    }

    private static TorchBackend BackendOf(ClipModel model) => model.Backend as TorchBackend
        ?? throw new InvalidOperationException($"The model runs on {model.Backend.Name}; load it with ClipModelOptions.Backend = TorchBackend.Create().");
}
