using ClipEngine.Files;
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

    /// <summary>Those of some weights that are on this machine, with the names of their records. All of them decide about features: sizes, pixels, ids.</summary>
    private IEnumerable<(string Path, string Record)> CompanionsOf(CatalogueEntry entry, string weights)
    {
        CatalogueModel model = ModelCatalogue.FindModel(entry.Model);
        string beside = Path.GetDirectoryName(weights)!;
        // A tokenizer beside the weights wins over the one that the configuration names.
        string? folder = model.IsTransformers ? beside
            : model.TokenizerRepository is { } tokenizer && !TokenizerFolder.HasTokenizer(beside) ? FindTokenizer(_options.HubCacheFolder, tokenizer)
            : null;
        return RepositoryOf(entry, model) is { } repository && folder is not null
            ? NamesOf(model).Select(name => (Path.Combine(folder, name), HubSeenName(repository, name))).Where(static file => FilePlace.IsFile(file.Item1))
            : [];
    }

    private static string? RepositoryOf(CatalogueEntry entry, CatalogueModel model) => model.IsTransformers ? entry.HubRepository : model.TokenizerRepository;

    private static IEnumerable<string> NamesOf(CatalogueModel model) => [.. model.IsTransformers ? s_configuration : s_configuration[..1], .. TokenizerFolder.FileNames];

    /// <summary>Hashes them and compares them with their records, or with the names of their blobs.</summary>
    private async Task VerifyCompanionsAsync(CatalogueEntry entry, string weights, CancellationToken cancellation)
    {
        foreach ((string path, string record) in CompanionsOf(entry, weights))
        {
            string found = await HashAsync(path, cancellation);
            SeenFile? seen = _seen.Read(record);
            if (seen is { } before && before.Sha256 != found)
                throw Mismatch(entry, path, found, before.Sha256, $"was recorded on first use ({_seen.PathOf(record)})");
            if (HubCache.HashOf(path) is { Length: 40 } git && GitHash.Of(path) != git)
                throw new DownloadException(entry.Name, DownloadError.HashMismatch, $"{path} has not the git hash {git}, which is its name in the cache.", FetchAgain(entry));
            _seen.TryWrite(record, SeenFile.Of(path, found));
        }
    }

    /// <summary>Fetches them where they are missing.</summary>
    /// <returns>What was fetched, and why there is no vocabulary, without which sentences cannot be read; null where there is one.</returns>
    private async Task<(List<HubDownload> Fetched, DownloadException? Missing)> FetchCompanionsAsync(CatalogueEntry entry, CancellationToken cancellation)
    {
        var fetched = new List<HubDownload>();
        CatalogueModel model = ModelCatalogue.FindModel(entry.Model);
        if (RepositoryOf(entry, model) is not { } repository)
            return (fetched, null);
        bool isThere = FindTokenizer(_options.HubCacheFolder, repository) is not null;
        if (_options.IsOffline)
        {
            return (fetched, isThere ? null : new DownloadException(entry.Name, DownloadError.Offline, $"the weights are here, and their tokenizer ({repository}) is not: the network is switched off (HF_HUB_OFFLINE).",
                $"Copy its files from another machine into {Path.Combine(_options.HubCacheFolder, HubCache.FolderName(repository))}, or beside the weights."));
        }

        foreach (string name in NamesOf(model))
        {
            try
            {
                fetched.Add(await FetchFromHubAsync(entry, repository, name, await AskHubAsync(repository, name, cancellation), isKnown: false, progress: null, cancellation));
            }
            catch (DownloadException exception) when (exception.Error == DownloadError.NotFound)
            {
                // Which of them a repository has is its own affair.
            }
            catch (DownloadException exception) when (exception.Error != DownloadError.HashMismatch)
            {
                // The weights come all the same, and what is here already serves where the hub cannot be reached.
                return ([], isThere && exception.Error == DownloadError.Network ? null : exception);
            }
        }

        return (fetched, fetched.Exists(static file => TokenizerFolder.Vocabularies.Contains(file.Name)) ? null
            : new DownloadException(entry.Name, DownloadError.NotFound, $"the weights are here, and their tokenizer is not: the repository {repository} has none of {string.Join(", ", TokenizerFolder.Vocabularies)}.",
                "Put the tokenizer's files beside the weights, or feed token ids (clipengine embed raw)."));
    }
}
