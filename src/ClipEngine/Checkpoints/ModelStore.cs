using System.Security.Cryptography;
using ClipEngine.Files;

namespace ClipEngine.Checkpoints;

/// <summary>What a file of weights was checked against.</summary>
public enum Verification
{
    /// <summary>Found in the cache and not hashed now.</summary>
    NotChecked,

    /// <summary>The SHA-256 that the catalogue holds in full.</summary>
    Pinned,

    /// <summary>The published first digits of the SHA-256; "prefix-checked".</summary>
    PrefixChecked,

    /// <summary>The SHA-256 that the hub states for the file, or that the blob in the hub's cache is named after; recorded now and compared from here on.</summary>
    HubHash,

    /// <summary>The SHA-256 that was recorded on first use.</summary>
    Recorded,

    /// <summary>Nothing was known; the SHA-256 seen the first time is recorded and must come again.</summary>
    Unverified,
}

/// <summary>Weights on this machine.</summary>
/// <param name="Entry">What they are.</param>
/// <param name="Path">The file.</param>
/// <param name="Verification">What it was checked against.</param>
/// <param name="Sha256">Its SHA-256; null where it was not computed.</param>
public sealed record StoredWeights(CatalogueEntry Entry, string Path, Verification Verification, string? Sha256);

/// <summary>
/// The weights of the catalogue on this machine: finds them without the network, and fetches and checks them with it. Files
/// lie in the caches of huggingface_hub and open_clip, in their layouts. Safe for several threads and processes at once.
/// </summary>
public sealed partial class ModelStore : IDisposable
{
    private readonly ModelStoreOptions _options;
    private readonly HubCache _hub;
    private readonly Downloader _downloader;
    private readonly SeenFiles _seen;

    /// <summary>Opens nothing yet.</summary>
    /// <param name="options">Where files are kept and fetched from.</param>
    public ModelStore(ModelStoreOptions options)
        : this(options, new DownloadSettings())
    {
    }

    internal ModelStore(ModelStoreOptions options, DownloadSettings settings)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
        _hub = new HubCache(options.HubCacheFolder);
        _seen = new SeenFiles(options.ReleaseFolder);
        _downloader = new Downloader(settings, options.HttpClient, options.Logger);
    }

    /// <inheritdoc/>
    public void Dispose() => _downloader.Dispose();

    /// <summary>Looks for weights in the caches, without the network and without reading them.</summary>
    /// <param name="entry">Weights of the catalogue.</param>
    /// <returns>The file, or null where there is none.</returns>
    public StoredWeights? Find(CatalogueEntry entry)
    {
        ArgumentNullException.ThrowIfNull(entry);
        if (entry.HubRepository is string repository)
        {
            foreach (string name in entry.HubFileNames)
            {
                if (_hub.TryFind(repository, name, out string? path))
                    return new StoredWeights(entry, path, Verification.NotChecked, Sha256: null);
            }
        }

        return entry.ReleaseUrl is not null && FilePlace.IsFile(ReleasePath(entry))
            ? new StoredWeights(entry, ReleasePath(entry), Verification.NotChecked, Sha256: null)
            : null;
    }

    /// <summary>
    /// Weights that are about to be loaded, without the network: length and time of the file must be those of its first use, and so must those of
    /// the configuration, processor and tokenizer that were fetched with it. Where only the time is another, a file is hashed again. What
    /// is used for the first time is recorded; the blob's name in the hub's cache is taken at its word for weights, and checked for the smaller files.
    /// </summary>
    /// <param name="entry">Weights of the catalogue.</param>
    /// <exception cref="BadInputException">They are not here, or are not what they were.</exception>
    public StoredWeights Use(CatalogueEntry entry)
    {
        StoredWeights weights = Find(entry) ?? throw Explain(entry);
        string name = SeenName(entry, weights.Path);
        string? stated = HubCache.HashOf(weights.Path);
        if (_seen.Read(name) is { } seen)
        {
            if (stated?.Length == 64 && stated != seen.Sha256)
                throw Changed(entry, weights.Path, $"its SHA-256 is {stated}; {seen.Sha256} was recorded on first use", name);
            RefuseChanged(entry, weights.Path, name, seen);
        }
        else if (stated?.Length == 64)
        {
            // The blob's name is taken at its word; 'models verify' hashes it.
            _seen.TryWrite(name, SeenFile.Of(weights.Path, stated));
        }

        UseCompanions(entry, weights);
        return weights;
    }

    /// <summary>Refuses a file whose length, or whose time and content, are not those of its record.</summary>
    private void RefuseChanged(CatalogueEntry entry, string path, string name, SeenFile seen)
    {
        SeenFile now = SeenFile.Of(path, seen.Sha256);
        if (seen.Bytes is { } bytes && bytes != now.Bytes)
            throw Changed(entry, path, $"it has {now.Bytes} bytes; it had {bytes} on first use", name);
        if (seen.WrittenAt is { } writtenAt && writtenAt != now.WrittenAt)
        {
            string found = Hash(path);
            if (found != seen.Sha256)
                throw Changed(entry, path, $"it was written to, and its SHA-256 is {found}; {seen.Sha256} was recorded on first use", name);
            _seen.TryWrite(name, now);
        }
    }

    /// <summary>Hashes weights that are here, and the configuration, processor and tokenizer beside them, and compares them with all that is known of them.</summary>
    /// <param name="entry">Weights of the catalogue.</param>
    /// <param name="cancellation">Stops.</param>
    /// <returns>What they were checked against; null where they are not here.</returns>
    /// <exception cref="DownloadException">They are not what they should be.</exception>
    public async Task<StoredWeights?> VerifyAsync(CatalogueEntry entry, CancellationToken cancellation = default)
    {
        if (Find(entry) is not { } weights)
            return null;
        string name = SeenName(entry, weights.Path);
        string found = await HashAsync(weights.Path, cancellation);
        bool isRelease = IsRelease(entry, weights.Path);
        string? pinned = isRelease ? entry.ReleaseSha256 ?? entry.ReleaseSha256Prefix : entry.HubSha256.GetValueOrDefault(Path.GetFileName(weights.Path));
        string? stated = pinned ?? (HubCache.HashOf(weights.Path) is { Length: 64 } blob ? blob : null);
        if (stated is not null && !found.StartsWith(stated, StringComparison.Ordinal))
            throw Mismatch(entry, weights.Path, found, stated, pinned is not null ? "is published for it" : "is its name in the cache");
        SeenFile? seen = _seen.Read(name);
        if (seen is { } before && before.Sha256 != found)
            throw Mismatch(entry, weights.Path, found, before.Sha256, $"was recorded on first use ({_seen.PathOf(name)})");
        _seen.TryWrite(name, SeenFile.Of(weights.Path, found));
        await VerifyCompanionsAsync(entry, weights.Path, cancellation);
        Verification verification = isRelease && entry.ReleaseHash != HashKnowledge.Unknown ? ReleaseVerification(entry)
            : pinned is not null ? Verification.Pinned
            : seen is not null ? Verification.Recorded
            : stated is not null ? Verification.HubHash
            : Verification.Unverified;
        return new StoredWeights(entry, weights.Path, verification, found);
    }

    /// <summary>Why <see cref="Find"/> found nothing, and what to do.</summary>
    /// <param name="entry">Weights of the catalogue.</param>
    public BadInputException Explain(CatalogueEntry entry)
    {
        ArgumentNullException.ThrowIfNull(entry);
        string? broken = entry.HubRepository is string repository
            ? entry.HubFileNames.Select(name => _hub.FindBrokenLink(repository, name)).FirstOrDefault(static path => path is not null)
            : null;
        return new BadInputException(entry.Name, broken is null ? "these weights are not on this machine." : $"these weights are not on this machine: {broken} is a symbolic link that leads nowhere.",
            $"Fetch and check them with 'clipengine models pull {entry.Name}'; 'clipengine models show' tells what is known of them.");
    }

    /// <summary>Fetches weights where they are missing or damaged, and checks them in any case: the whole file is hashed.</summary>
    /// <param name="entry">Weights of the catalogue.</param>
    /// <param name="allowUnverified">Accept a file of which no hash is known; the SHA-256 seen is recorded beside it, and a later file must have the same.</param>
    /// <param name="progress">Told how far the download is; or null.</param>
    /// <param name="cancellation">Stops; what was received is resumed by a later call.</param>
    /// <exception cref="DownloadException">No source could deliver the published bytes; the reason is the last source's.</exception>
    /// <exception cref="IOException">The disk is full or not writable.</exception>
    /// <remarks>What the weights cannot be used without comes along: tokenizer, configuration and processor of a model in transformers' layout, and the tokenizer that an open_clip configuration names.</remarks>
    public async Task<StoredWeights> PullAsync(CatalogueEntry entry, bool allowUnverified = false,
        IProgress<DownloadProgress>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(entry);
        // Nothing becomes visible before all is here: where a repository has changed, or something of it cannot be had, what was fetched before stays in use.
        FetchedCompanions companions = await FetchCompanionsAsync(entry, cancellation);
        (StoredWeights weights, HubDownload? download) = await FetchWeightsAsync(entry, allowUnverified, progress, cancellation);
        if (download is { } fetched)
        {
            string? commit = companions.Files.Find(file => file.Repository == fetched.Repository).File.Commit;
            if (commit is not null && commit != fetched.File.Commit)
                throw ChangedMeanwhile(entry, fetched.Repository);
            // Weights that are read with the files beside them are of no use without those.
            if (companions.Failure is { } failure && ModelCatalogue.FindModel(entry.Model).IsTransformers)
                throw NotWhole(entry, failure);
        }

        // The weights come last, and only then the revision moves: a process that is killed in between leaves the older one in use.
        Publish(companions.Files, isMain: companions.Files is [var first, ..] && first.Repository != entry.HubRepository);
        if (download is { } last)
            weights = weights with { Path = Publish([last], isMain: true) };
        return companions.Failure is { } unreached && !(companions.IsThere && unreached.Error == DownloadError.Network) ? throw unreached
            : companions.Missing is { } missing ? throw missing
            : weights;
    }

    /// <summary>Weights that are here and whole; where they are fetched from a hub, no snapshot has them yet, and the path is none.</summary>
    private async Task<(StoredWeights Weights, HubDownload? Download)> FetchWeightsAsync(CatalogueEntry entry, bool allowUnverified, IProgress<DownloadProgress>? progress, CancellationToken cancellation)
    {
        if (_options.IsOffline)
            return (await CheckCachedAsync(entry, allowUnverified, cancellation) ?? throw Offline(entry), null);

        DownloadException? failure = null;
        if (entry.HubRepository is string repository)
        {
            try
            {
                if (await FetchFromHubAsync(entry, repository, allowUnverified, progress, cancellation) is { } fetched)
                    return fetched;
                failure = new DownloadException(entry.Name, DownloadError.NotFound,
                    $"the repository {repository} has none of {string.Join(", ", entry.HubFileNames)}.", "'clipengine models show' names the sources that are known.");
            }
            catch (DownloadException exception)
            {
                failure = exception;
            }
        }

        if (entry.ReleaseUrl is not null)
        {
            try
            {
                return (await PullReleaseAsync(entry, allowUnverified, progress, cancellation), null);
            }
            catch (DownloadException exception)
            {
                failure = exception;
            }
        }

        if (failure is { Error: DownloadError.Network } && await CheckCachedAsync(entry, allowUnverified, cancellation) is { } cached)
            return (cached, null);
        throw failure ?? new DownloadException(entry.Name, DownloadError.NotFound, "no source is known for these weights.");
    }

    private async Task<(StoredWeights Weights, HubDownload? Download)?> FetchFromHubAsync(CatalogueEntry entry, string repository, bool allowUnverified,
        IProgress<DownloadProgress>? progress, CancellationToken cancellation)
    {
        if (!HubCache.IsRepository(repository))
            throw new BadInputException(repository, "is not the id of a repository.");
        foreach (string name in entry.HubFileNames)
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

            bool isLarge = file.Hash.Length == 64;
            if (!isLarge && !allowUnverified)
                throw NoHash(entry, name);
            string? pinned = entry.HubSha256.GetValueOrDefault(name);
            if (pinned is not null && pinned != file.Hash)
            {
                throw new DownloadException(entry.Name, DownloadError.HashMismatch, $"the hub states the SHA-256 {file.Hash} for {name}; {pinned} is known of it.",
                    "The repository was changed, or this is another one.");
            }

            HubDownload fetched = await FetchFromHubAsync(entry, repository, name, file, isKnown: pinned is not null, progress, cancellation);
            return (new StoredWeights(entry, Path: "", !isLarge ? Verification.Unverified : pinned is not null ? Verification.Pinned : fetched.WasSeen ? Verification.Recorded : Verification.HubHash, fetched.Sha256), fetched);
        }

        return null;
    }

    /// <summary>Fetches a file of a repository where it is missing or damaged, under the hash that the hub states. It is not visible before <see cref="Publish"/>.</summary>
    /// <param name="entry">Whose file it is.</param>
    /// <param name="repository">On the hub.</param>
    /// <param name="name">In the repository.</param>
    /// <param name="file">What the hub says of it.</param>
    /// <param name="isKnown">Whether its hash is known from elsewhere.</param>
    /// <param name="progress">Told how far the download is; or null.</param>
    /// <param name="cancellation">Stops.</param>
    private async Task<HubDownload> FetchFromHubAsync(CatalogueEntry entry, string repository, string name, HubFile file, bool isKnown,
        IProgress<DownloadProgress>? progress, CancellationToken cancellation)
    {
        bool isLarge = file.Hash.Length == 64;
        string seenName = HubSeenName(repository, name);
        SeenFile? seen = _seen.Read(seenName);
        if (!isKnown && seen is null && IsPlain(_options.HubEndpoint))
            throw Insecure(entry, _options.HubEndpoint);
        if (isLarge && seen is { } before && before.Sha256 != file.Hash)
            throw Differs(file.Hash, before.Sha256);
        string blob = _hub.BlobPath(repository, file.Hash);
        string? found = FilePlace.IsFile(blob) ? await HashAsync(blob, cancellation) : null;
        if (found is null || (isLarge ? found : GitHash.Of(blob)) != file.Hash)
        {
            var expected = new ExpectedFile(Sha256: isLarge ? file.Hash : null, GitSha1: isLarge ? null : file.Hash, Bytes: file.Bytes);
            // The commit pins what the headers spoke of, should the repository change meanwhile.
            using DownloadPart part = await _downloader.FetchAsync(HubAddress(repository, file.Commit, name), TokenToSend(), expected, blob, progress, cancellation);
            found = part.Sha256();
            if (!isLarge && seen is { } recorded && recorded.Sha256 != found)
                throw Differs(found, recorded.Sha256);
            part.MoveTo(blob);
        }
        else if (seen is { } known && known.Sha256 != found)
        {
            throw Differs(found, known.Sha256);
        }

        return new HubDownload(repository, name, file, found, seen is not null);

        DownloadException Differs(string stated, string recorded) => new(entry.Name, DownloadError.HashMismatch,
            $"{name} of {repository} is not the file that it was: the hub has one with the SHA-256 {stated}; {recorded} was recorded on first use.",
            $"The repository was changed, or this is another one; what was fetched before stays in use. If the change is meant, remove {_seen.PathOf(seenName)} and pull again.");
    }

    /// <summary>Makes fetched files of one commit visible in the hub's cache and records them.</summary>
    /// <param name="fetched">Of one repository; none is well.</param>
    /// <param name="isMain">Whether the commit becomes the main revision, by which its files win over those of an older one.</param>
    /// <returns>Where the last lies.</returns>
    private string Publish(IReadOnlyList<HubDownload> fetched, bool isMain)
    {
        string last = "";
        foreach (HubDownload file in fetched)
        {
            last = _hub.Link(file.Repository, file.File.Commit, file.Name, file.File.Hash);
            _seen.TryWrite(HubSeenName(file.Repository, file.Name), SeenFile.Of(last, file.Sha256));
        }

        if (isMain && fetched.Count > 0)
            _hub.SetMain(fetched[0].Repository, fetched[0].File.Commit);
        return last;
    }

    private async Task<HubFile> AskHubAsync(string repository, string name, CancellationToken cancellation)
    {
        Uri address = HubAddress(repository, "main", name);
        using HttpResponseMessage response = await _downloader.HeadAsync(address, TokenToSend(), cancellation);
        string? tag = Header(response, "X-Linked-Etag") ?? response.Headers.ETag?.ToString();
        string? hash = tag?.Replace("W/", "", StringComparison.Ordinal).Trim('"');
        string? commit = Header(response, "X-Repo-Commit");
        if (!HubCache.IsHash(hash) || !HubCache.IsHash(commit))
        {
            throw new DownloadException(address.AbsoluteUri, DownloadError.UnexpectedAnswer, "the answer names neither the file's hash nor the commit; this is not a hub.",
                "Check HF_ENDPOINT and the network's sign-in page.");
        }

        long? bytes = long.TryParse(Header(response, "X-Linked-Size"), out long size) ? size : null;
        return new HubFile(hash, commit, bytes);
    }

    private async Task<StoredWeights> PullReleaseAsync(CatalogueEntry entry, bool allowUnverified, IProgress<DownloadProgress>? progress, CancellationToken cancellation)
    {
        string target = ReleasePath(entry);
        Uri address = _options.ReleaseEndpoint is { } mirror ? new Uri(mirror, entry.ReleaseUrl!.PathAndQuery.TrimStart('/')) : entry.ReleaseUrl!;
        var expected = new ExpectedFile(Sha256: entry.ReleaseSha256 ?? _seen.Read(Path.GetFileName(target))?.Sha256, Sha256Prefix: entry.ReleaseSha256Prefix);
        if (entry.ReleaseHash == HashKnowledge.Unknown && !allowUnverified)
            throw NoHash(entry, Path.GetFileName(target));
        if (await CheckReleaseAsync(entry, allowUnverified, cancellation) is { } present)
            return present;

        // The few digits of a prefix can be met on purpose.
        if (IsPlain(address) && expected.Sha256 is null)
            throw Insecure(entry, address);
        // Release files are public; no token goes there.
        using DownloadPart part = await _downloader.FetchAsync(address, token: null, expected, target, progress, cancellation);
        string found = part.Sha256();
        part.MoveTo(target);
        _seen.TryWrite(Path.GetFileName(target), SeenFile.Of(target, found));
        return new StoredWeights(entry, target, ReleaseVerification(entry), found);
    }

    /// <summary>Hashes what the caches hold; null where nothing is there or its hash is wrong.</summary>
    private async Task<StoredWeights?> CheckCachedAsync(CatalogueEntry entry, bool allowUnverified, CancellationToken cancellation)
    {
        if (entry.HubRepository is string repository)
        {
            foreach (string name in entry.HubFileNames)
            {
                if (!_hub.TryFind(repository, name, out string? path))
                    continue;
                string? stated = HubCache.HashOf(path);
                string found = await HashAsync(path, cancellation);
                if (entry.HubSha256.GetValueOrDefault(name) is { } pinned)
                {
                    if (pinned == found)
                        return new StoredWeights(entry, path, Verification.Pinned, found);
                    continue;
                }

                if (_seen.Read(HubSeenName(repository, name)) is { } seen)
                {
                    if (seen.Sha256 != found)
                        continue;
                    if (stated?.Length == 64 && found == stated)
                        return new StoredWeights(entry, path, Verification.Recorded, found);
                }

                if (stated?.Length == 64 && found == stated)
                    return new StoredWeights(entry, path, Verification.HubHash, found);
                if (stated?.Length != 64 && allowUnverified)
                    return new StoredWeights(entry, path, Verification.Unverified, found);
            }
        }

        return entry.ReleaseUrl is null ? null : await CheckReleaseAsync(entry, allowUnverified, cancellation);
    }

    private async Task<StoredWeights?> CheckReleaseAsync(CatalogueEntry entry, bool allowUnverified, CancellationToken cancellation)
    {
        string path = ReleasePath(entry);
        if (!FilePlace.IsFile(path))
            return null;
        string found = await HashAsync(path, cancellation);
        bool isRight = entry.ReleaseHash switch
        {
            HashKnowledge.Full => found == entry.ReleaseSha256,
            HashKnowledge.Prefix => found.StartsWith(entry.ReleaseSha256Prefix!, StringComparison.Ordinal),
            _ => allowUnverified && _seen.Read(Path.GetFileName(path))?.Sha256 == found,
        };
        return isRight ? new StoredWeights(entry, path, ReleaseVerification(entry), found) : null;
    }

    private Uri HubAddress(string repository, string revision, string name) => new(_options.HubEndpoint, $"{repository}/resolve/{revision}/{name}");

    private string? TokenToSend() => _options.HubEndpoint.Scheme == Uri.UriSchemeHttps || _options.HubEndpoint.IsLoopback ? _options.Token : null;

    private string ReleasePath(CatalogueEntry entry)
    {
        string name = Path.GetFileName(entry.ReleaseUrl!.AbsolutePath);
        return SafeNames.IsFileName(name)
            ? Path.Combine(_options.ReleaseFolder, name)
            : throw new BadInputException(BadInputException.Escape(name), "is not a plain file name.");
    }

    private bool IsRelease(CatalogueEntry entry, string path) => entry.ReleaseUrl is not null && path == ReleasePath(entry);

    private string SeenName(CatalogueEntry entry, string path) =>
        IsRelease(entry, path) ? Path.GetFileName(path) : HubSeenName(entry.HubRepository!, Path.GetFileName(path));

    private static string HubSeenName(string repository, string fileName) => $"{HubCache.FolderName(repository)}--{fileName}";

    /// <summary>Whether what comes from the address may have been changed on its way.</summary>
    private static bool IsPlain(Uri address) => address.Scheme == Uri.UriSchemeHttp && !address.IsLoopback;

    private static DownloadException Insecure(CatalogueEntry entry, Uri address) => new(entry.Name, DownloadError.Insecure,
        $"{address.GetLeftPart(UriPartial.Authority)} is plain http, and no SHA-256 of this file is known that did not come over it.", "Use an https address (HF_ENDPOINT, CLIPENGINE_RELEASE_ENDPOINT).");

    private BadInputException Changed(CatalogueEntry entry, string path, string how, string name) => new(entry.Name, $"{path} is not the file that it was: {how}.",
        $"Fetch it again ('clipengine models pull {entry.Name}'), or remove {_seen.PathOf(name)} if the change is meant.");

    private static DownloadException Mismatch(CatalogueEntry entry, string path, string found, string wanted, string whence) => new(entry.Name, DownloadError.HashMismatch,
        $"{path} has the SHA-256 {found}; {wanted} {whence}.", FetchAgain(entry));

    private static DownloadException NotWhole(CatalogueEntry entry, DownloadException failure) => new(entry.Name, failure.Error,
        $"of the files that belong to the weights not all could be fetched, so that what was in the cache before stays as it was: {failure.Message}", "What was received is kept; pull again.", failure);

    private static DownloadException ChangedMeanwhile(CatalogueEntry entry, string repository) => new(entry.Name, DownloadError.UnexpectedAnswer,
        $"the repository {repository} changed while it was fetched; what was in the cache before stays as it was.", "Pull again.");

    private static string FetchAgain(CatalogueEntry entry) => $"Remove the file and fetch it again ('clipengine models pull {entry.Name}').";

    private static string Hash(string path)
    {
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 20, FileOptions.SequentialScan);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }

    private static Verification ReleaseVerification(CatalogueEntry entry) => entry.ReleaseHash switch
    {
        HashKnowledge.Full => Verification.Pinned,
        HashKnowledge.Prefix => Verification.PrefixChecked,
        _ => Verification.Unverified,
    };

    private static async Task<string> HashAsync(string path, CancellationToken cancellation)
    {
        await using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 20, FileOptions.SequentialScan | FileOptions.Asynchronous);
        return Convert.ToHexStringLower(await SHA256.HashDataAsync(stream, cancellation));
    }

    private static string? Header(HttpResponseMessage response, string name) =>
        response.Headers.TryGetValues(name, out IEnumerable<string>? values) ? values.FirstOrDefault() : null;

    private static DownloadException NoHash(CatalogueEntry entry, string file) => new(entry.Name, DownloadError.NoHash,
        $"no SHA-256 is known for {file}, so that nothing would tell a wrong file from the right one.", "Pass --allow-unverified to take it all the same; the SHA-256 seen is then recorded.");

    private DownloadException Offline(CatalogueEntry entry)
    {
        var places = new List<string>();
        if (entry.HubRepository is string repository)
            places.Add($"{entry.HubFileNames[0]} of {repository} in {Path.Combine(_options.HubCacheFolder, HubCache.FolderName(repository))}");
        if (entry.ReleaseUrl is not null)
            places.Add(ReleasePath(entry));
        return new DownloadException(entry.Name, DownloadError.Offline, "the network is switched off (HF_HUB_OFFLINE), and the cache has no intact file.",
            $"Copy it from another machine: {string.Join(", or ", places)}.");
    }

    /// <summary>What weights are used with, as far as it could be fetched.</summary>
    /// <param name="Files">Of one commit; none where one of them could not be had.</param>
    /// <param name="IsThere">Whether the cache had a tokenizer before.</param>
    /// <param name="Failure">Why one could not be had; null where the repository gave all that it has.</param>
    /// <param name="Missing">Why sentences cannot be read where all that there is was fetched: there is no vocabulary; or null.</param>
    private readonly record struct FetchedCompanions(List<HubDownload> Files, bool IsThere, DownloadException? Failure = null, DownloadException? Missing = null);

    private readonly record struct HubFile(string Hash, string Commit, long? Bytes);

    /// <summary>A file whose bytes are here, and that no snapshot has yet.</summary>
    private readonly record struct HubDownload(string Repository, string Name, HubFile File, string Sha256, bool WasSeen);
}
