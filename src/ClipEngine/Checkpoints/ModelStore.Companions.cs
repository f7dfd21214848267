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

    /// <summary>
    /// The configuration, processor and tokenizer of weights, about to be read without the weights: they must be those of their first use, as for <see cref="Use"/>.
    /// </summary>
    /// <param name="entry">Weights of the catalogue.</param>
    /// <returns>The weights, not looked at; null where they are not here.</returns>
    /// <exception cref="BadInputException">A file is not what it was.</exception>
    internal StoredWeights? UseCompanions(CatalogueEntry entry)
    {
        StoredWeights? weights = Find(entry);
        UseCompanions(entry, weights);
        return weights;
    }

    private void UseCompanions(CatalogueEntry entry, StoredWeights? weights)
    {
        foreach ((string path, string record) in CompanionsOf(entry, weights?.Path))
        {
            if (_seen.Read(record) is { } seen)
            {
                RefuseChanged(entry, path, record, seen);
                continue;
            }

            // They are small beside the weights: hashed at once.
            string found = Hash(path);
            RefuseMisnamed(entry, path, found);
            _seen.TryWrite(record, SeenFile.Of(path, found));
        }
    }

    /// <summary>Those of some weights that are on this machine, with the names of their records. All of them decide about features: sizes, pixels, ids.</summary>
    private IEnumerable<(string Path, string Record)> CompanionsOf(CatalogueEntry entry, string? weights)
    {
        CatalogueModel model = ModelCatalogue.FindModel(entry.Model);
        string? beside = Path.GetDirectoryName(weights);
        // A tokenizer beside the weights wins over the one that the configuration names.
        string? folder = model.IsTransformers ? beside
            : model.TokenizerRepository is { } tokenizer && (beside is null || !TokenizerFolder.HasTokenizer(beside)) ? FindTokenizer(_options.HubCacheFolder, tokenizer)
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
            RefuseMisnamed(entry, path, found);
            _seen.TryWrite(record, SeenFile.Of(path, found));
        }
    }

    /// <summary>Refuses a file whose blob in the hub's cache has another hash for its name: git's, or the SHA-256 where the hub keeps it as a large file.</summary>
    private static void RefuseMisnamed(CatalogueEntry entry, string path, string sha256)
    {
        if (HubCache.HashOf(path) is not { } name || (name.Length == 64 ? sha256 : GitHash.Of(path)) == name)
            return;
        throw new DownloadException(entry.Name, DownloadError.HashMismatch, $"{path} has not the {(name.Length == 64 ? "SHA-256" : "git hash")} {name}, which is its name in the cache.", FetchAgain(entry));
    }

    /// <summary>Fetches them where they are missing; none is visible yet.</summary>
    private async Task<FetchedCompanions> FetchCompanionsAsync(CatalogueEntry entry, CancellationToken cancellation)
    {
        var fetched = new List<HubDownload>();
        CatalogueModel model = ModelCatalogue.FindModel(entry.Model);
        if (RepositoryOf(entry, model) is not { } repository)
            return new FetchedCompanions(fetched, IsThere: false);
        bool isThere = FindTokenizer(_options.HubCacheFolder, repository) is not null;
        if (_options.IsOffline)
        {
            return new FetchedCompanions(fetched, isThere, Missing: isThere ? null : new DownloadException(entry.Name, DownloadError.Offline, $"the weights are here, and their tokenizer ({repository}) is not: the network is switched off (HF_HUB_OFFLINE).",
                $"Copy its files from another machine into {Path.Combine(_options.HubCacheFolder, HubCache.FolderName(repository))}, or beside the weights."));
        }

        foreach (string name in NamesOf(model))
        {
            try
            {
                HubDownload file = await FetchFromHubAsync(entry, repository, name, await AskHubAsync(repository, name, cancellation), isKnown: false, progress: null, cancellation);
                if (fetched is [var first, ..] && first.File.Commit != file.File.Commit)
                    throw ChangedMeanwhile(entry, repository);
                fetched.Add(file);
            }
            catch (DownloadException exception) when (exception.Error == DownloadError.NotFound)
            {
                // Which of them a repository has is its own affair, but for one that was there before.
                if (_seen.Read(HubSeenName(repository, name)) is not null && _hub.TryFind(repository, name, out _))
                {
                    throw new DownloadException(entry.Name, DownloadError.HashMismatch, $"{name}, which was recorded on first use, is no longer in the repository {repository}.",
                        $"What was fetched before stays in use. If the change is meant, remove {_seen.PathOf(HubSeenName(repository, name))} and pull again.", exception);
                }
            }
            catch (DownloadException exception) when (exception.Error != DownloadError.HashMismatch)
            {
                return new FetchedCompanions([], isThere, Failure: exception);
            }
        }

        return new FetchedCompanions(fetched, isThere, Missing: fetched.Exists(static file => TokenizerFolder.Vocabularies.Contains(file.Name)) ? null
            : new DownloadException(entry.Name, DownloadError.NotFound, $"the weights are here, and their tokenizer is not: the repository {repository} has none of {string.Join(", ", TokenizerFolder.Vocabularies)}.",
                "Put the tokenizer's files beside the weights, or feed token ids (clipengine embed raw)."));
    }
}
