using ClipEngine.Tokenization;

namespace ClipEngine.Checkpoints;

/// <content>The small files that weights are used with.</content>
public sealed partial class ModelStore
{
    // What transformers reads beside the weights but for the tokenizer; the first says the model type, by which tokenizers without a class are told.
    private static readonly string[] s_configuration = ["config.json", "preprocessor_config.json", "processor_config.json"];

    /// <summary>The folder of a tokenizer in the hub's cache, as open_clip finds one by the name of its repository; null where there is none.</summary>
    /// <param name="hubCacheFolder">The cache.</param>
    /// <param name="repository">As a configuration names it (<c>hf_tokenizer_name</c>); what is no repository's name has no folder.</param>
    internal static string? FindTokenizer(string hubCacheFolder, string repository)
    {
        if (!HubCache.IsRepository(repository))
            return null;
        var cache = new HubCache(hubCacheFolder);
        foreach (string name in TokenizerFolder.Vocabularies)
        {
            if (cache.TryFind(repository, name, out string? path))
                return Path.GetDirectoryName(path);
        }

        return null;
    }

    /// <summary>Fetches them where they are missing. Without a vocabulary sentences cannot be read, which is an error.</summary>
    private async Task PullCompanionsAsync(CatalogueEntry entry, CancellationToken cancellation)
    {
        CatalogueModel model = ModelCatalogue.FindModel(entry.Model);
        if ((model.IsTransformers ? entry.HubRepository : model.TokenizerRepository) is not { } repository)
            return;
        bool isThere = FindTokenizer(_options.HubCacheFolder, repository) is not null;
        if (_options.IsOffline)
        {
            if (isThere)
                return;
            throw new DownloadException(entry.Name, DownloadError.Offline, $"the weights are here, and their tokenizer ({repository}) is not: the network is switched off (HF_HUB_OFFLINE).",
                $"Copy its files from another machine into {Path.Combine(_options.HubCacheFolder, HubCache.FolderName(repository))}, or beside the weights.");
        }

        bool hasVocabulary = false;
        foreach (string name in (string[])[.. model.IsTransformers ? s_configuration : s_configuration[..1], .. TokenizerFolder.FileNames])
        {
            HubFile file;
            try
            {
                file = await AskHubAsync(repository, name, cancellation);
            }
            catch (DownloadException exception) when (exception.Error == DownloadError.NotFound)
            {
                continue;
            }
            catch (DownloadException exception) when (exception.Error == DownloadError.Network && isThere)
            {
                return;
            }

            await FetchFromHubAsync(entry, repository, name, file, isKnown: false, progress: null, cancellation);
            hasVocabulary |= TokenizerFolder.Vocabularies.Contains(name);
        }

        if (!hasVocabulary)
        {
            throw new DownloadException(entry.Name, DownloadError.NotFound, $"the weights are here, and their tokenizer is not: the repository {repository} has none of {string.Join(", ", TokenizerFolder.Vocabularies)}.",
                "Put the tokenizer's files beside the weights, or feed token ids (clipengine embed raw).");
        }
    }
}
