using ClipEngine;
using ClipEngine.Checkpoints;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>A model as a service of an application.</summary>
public static class ClipEngineServiceCollectionExtensions
{
    /// <summary>
    /// Adds one model for the whole application: <see cref="ClipModel"/>, and on top of it the generators of text and image embeddings
    /// (<c>IEmbeddingGenerator&lt;string, Embedding&lt;float&gt;&gt;</c> and <c>IEmbeddingGenerator&lt;DataContent, Embedding&lt;float&gt;&gt;</c>)
    /// unless the application has others, and a <see cref="ModelStore"/> to fetch weights with. All log through the application's logging.
    /// </summary>
    /// <remarks>
    /// The model is loaded when it is first asked for, and released with the container. Ask for it before the first request
    /// (<c>app.Services.GetRequiredService&lt;ClipModel&gt;()</c>): then a wrong path fails at the start, and nobody waits for the load.
    /// </remarks>
    /// <param name="services">The application's services.</param>
    /// <param name="configure">Says at least which model.</param>
    /// <returns>The services, for more calls.</returns>
    public static IServiceCollection AddClipEngine(this IServiceCollection services, Action<ClipEngineOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configure);
        services.AddOptions<ClipEngineOptions>()
            .Configure(configure)
            .Validate(static options => !string.IsNullOrEmpty(options.Model), "ClipEngineOptions.Model is empty: give a folder, a file of weights or a name of the catalogue.");
        services.TryAddSingleton(static provider =>
        {
            ClipEngineOptions options = provider.GetRequiredService<IOptions<ClipEngineOptions>>().Value;
            ILogger? logger = options.ModelOptions.Logger ?? provider.GetService<ILogger<ClipModel>>();
            return ClipModel.Load(options.Model, options.ModelOptions with { Logger = logger });
        });
        services.TryAddSingleton(static provider =>
        {
            ModelStoreOptions options = provider.GetRequiredService<IOptions<ClipEngineOptions>>().Value.ModelStore ?? ModelStoreOptions.FromEnvironment();
            return new ModelStore(options with { Logger = options.Logger ?? provider.GetService<ILogger<ModelStore>>() });
        });
        services.TryAddSingleton(static provider => provider.GetRequiredService<ClipModel>().AsTextEmbeddingGenerator(NameOf(provider)));
        services.TryAddSingleton(static provider => provider.GetRequiredService<ClipModel>().AsImageEmbeddingGenerator(NameOf(provider)));
        return services;
    }

    private static string NameOf(IServiceProvider provider) =>
        Path.GetFileName(Path.TrimEndingDirectorySeparator(provider.GetRequiredService<IOptions<ClipEngineOptions>>().Value.Model));
}
