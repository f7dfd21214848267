using ClipEngine.Files;

namespace ClipEngine.Checkpoints;

/// <summary>Turns the ways in which people name a model on their disk into a path.</summary>
public static class ModelLocation
{
    private const string HubPrefix = "hf-hub:";
    private const string FolderPrefix = "local-dir:";
    private const string Snapshots = "snapshots";

    /// <summary>
    /// <c>local-dir:FOLDER</c> is the folder, as in open_clip; <c>hf-hub:ORGANISATION/NAME[@REVISION]</c> is that repository's snapshot in the
    /// hub's cache, never downloaded; a repository's folder in that cache (<c>models--...</c>) is its main snapshot. Everything else stays as it is.
    /// </summary>
    /// <param name="model">What the user wrote.</param>
    /// <returns>A path, a name of the catalogue, or what was given.</returns>
    /// <exception cref="BadInputException">A repository that is not in the cache, or one with several snapshots of which none is the main one.</exception>
    public static string Resolve(string model)
    {
        ArgumentException.ThrowIfNullOrEmpty(model);
        if (model.StartsWith(FolderPrefix, StringComparison.Ordinal) && !Path.Exists(model))
        {
            string folder = model[FolderPrefix.Length..];
            return FilePlace.IsFolder(folder)
                ? SnapshotOf(folder, revision: null) ?? folder
                : throw new BadInputException(model, $"there is no folder '{BadInputException.Escape(folder)}'.", "Behind local-dir: stands the path of a folder.");
        }

        if (model.StartsWith(HubPrefix, StringComparison.Ordinal) && !Path.Exists(model))
            return FindInHub(model, model[HubPrefix.Length..]);
        return FilePlace.IsFolder(model) ? SnapshotOf(model, revision: null) ?? model : model;
    }

    private static string FindInHub(string model, string id)
    {
        string[] parts = id.Split('@');
        string repository = parts[0];
        if (parts.Length > 2 || !HubCache.IsRepository(repository))
            throw new BadInputException(model, "is not the name of a repository.", "Write hf-hub:ORGANISATION/NAME (the oldest are a NAME alone), with @REVISION behind it where another than the main one is meant.");
        ModelStoreOptions options = ModelStoreOptions.FromEnvironment();
        string folder = Path.Combine(options.HubCacheFolder, HubCache.FolderName(repository));
        if (FilePlace.IsFolder(folder) && SnapshotOf(folder, parts.ElementAtOrDefault(1)) is { } snapshot)
            return snapshot;
        CatalogueEntry? known = ModelCatalogue.Entries.FirstOrDefault(entry => entry.HubRepository == repository);
        throw new BadInputException(model, $"the repository is not in the hub's cache on this machine ({options.HubCacheFolder}).",
            known is null ? $"Download it with huggingface_hub ('hf download {repository}'); HF_HUB_CACHE and HF_HOME say where the cache is." : $"Fetch and check its weights with 'clipengine models pull {known.Name}'.");
    }

    /// <summary>The snapshot that a repository's folder in the hub's cache stands for; null where the folder is no such thing.</summary>
    private static string? SnapshotOf(string folder, string? revision)
    {
        folder = Path.TrimEndingDirectorySeparator(folder);
        if (Path.GetFileName(folder) == Snapshots)
            folder = Path.GetDirectoryName(Path.GetFullPath(folder))!;
        string snapshots = Path.Combine(folder, Snapshots);
        if (!Path.GetFileName(Path.GetFullPath(folder)).StartsWith(HubCache.FolderPrefix, StringComparison.Ordinal) || !FilePlace.IsFolder(snapshots))
            return null;
        string? commit = HubCache.ReadReference(folder, revision ?? HubCache.MainRevision) ?? revision;
        if (commit is not null && HubCache.IsHash(commit) && FilePlace.IsFolder(Path.Combine(snapshots, commit)))
            return Path.Combine(snapshots, commit);
        string[] present = [.. Directory.EnumerateDirectories(snapshots).Order(StringComparer.Ordinal)];
        if (revision is null && present.Length == 1)
            return present[0];
        string shown = present.Length == 0 ? "none" : string.Join(", ", present.Take(5).Select(path => $"{Snapshots}/{Path.GetFileName(path)}"));
        throw new BadInputException(folder, $"holds no snapshot of {(revision is null ? "its main revision" : $"the revision '{BadInputException.Escape(revision, 60)}'")}; there are: {shown}.",
            "Name one of the snapshots' folders, or download the repository again.");
    }
}
