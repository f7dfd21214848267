using ClipEngine.Imaging;
using Microsoft.Extensions.AI;

namespace ClipEngine;

/// <summary>A model behind the interfaces of Microsoft.Extensions.AI, for vector stores and search that are written against those.</summary>
public static class EmbeddingGenerators
{
    /// <summary>Sentences to features of length 1. The model stays the caller's.</summary>
    /// <param name="model">Must outlive the generator.</param>
    /// <param name="name">The model's name in the metadata.</param>
    public static IEmbeddingGenerator<string, Embedding<float>> AsTextEmbeddingGenerator(this ClipModel model, string? name = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        return new Generator<string>(model, name, static (model, texts, cancellation) => model.EncodeTextsAsync(texts, cancellationToken: cancellation));
    }

    /// <summary>Encoded images (JPEG, PNG ... as bytes) to features of length 1. The model stays the caller's.</summary>
    /// <param name="model">Must outlive the generator.</param>
    /// <param name="name">The model's name in the metadata.</param>
    public static IEmbeddingGenerator<DataContent, Embedding<float>> AsImageEmbeddingGenerator(this ClipModel model, string? name = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        return new Generator<DataContent>(model, name, static (model, images, cancellation) =>
            model.EncodeImagesAsync([.. images.Select(static (image, i) => ImageInput.FromBytes(image.Data, $"{image.Name ?? $"image {i}"} ({image.MediaType})"))], cancellationToken: cancellation));
    }

    private sealed class Generator<TInput>(ClipModel model, string? name, Func<ClipModel, IReadOnlyList<TInput>, CancellationToken, Task<FeatureMatrix>> encode)
        : IEmbeddingGenerator<TInput, Embedding<float>>
    {
        private readonly EmbeddingGeneratorMetadata _metadata = new("clipengine", providerUri: null, name, model.EmbedDimension);

        public async Task<GeneratedEmbeddings<Embedding<float>>> GenerateAsync(IEnumerable<TInput> values, EmbeddingGenerationOptions? options = null, CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(values);
            if (options?.Dimensions is { } wanted && wanted != model.EmbedDimension)
                throw new ArgumentException($"The model makes {model.EmbedDimension} dimensions, {wanted} were asked for.", nameof(options));
            TInput[] inputs = [.. values];
            FeatureMatrix features = await encode(model, inputs, cancellationToken).ConfigureAwait(false);
            var made = DateTimeOffset.UtcNow;
            return [.. Enumerable.Range(0, inputs.Length).Select(row => new Embedding<float>(features[row].ToArray()) { CreatedAt = made, ModelId = name })];
        }

        public object? GetService(Type serviceType, object? serviceKey = null)
        {
            ArgumentNullException.ThrowIfNull(serviceType);
            if (serviceKey is not null)
                return null;
            return serviceType == typeof(EmbeddingGeneratorMetadata) ? _metadata
                : serviceType == typeof(ClipModel) ? model
                : serviceType.IsInstanceOfType(this) ? this : null;
        }

        public void Dispose()
        {
            // The model is the caller's.
        }
    }
}
