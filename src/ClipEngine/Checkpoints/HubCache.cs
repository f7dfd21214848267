using System.Diagnostics.CodeAnalysis;
using ClipEngine.Files;

namespace ClipEngine.Checkpoints;

/// <summary>
/// The folder that Python's huggingface_hub keeps downloads in, read and written in its layout:
/// <c>models--organisation--name/{blobs/HASH, snapshots/COMMIT/FILE -> blob, refs/main}</c>.
/// </summary>
internal sealed class HubCache(string root)
{
    /// <summary>What the folder of every model repository begins with.</summary>
    public const string FolderPrefix = "models--";

    private const int LongestPart = 96;

    /// <summary>The revision that is meant where none is named.</summary>
    public const string MainRevision = "main";

    /// <summary>Whether a repository's id has the hub's grammar: one name or two of ASCII letters, digits, '-', '_' and '.', that are harmless as file names anywhere. One alone is how the oldest are named (bert-base-uncased).</summary>
    public static bool IsRepository(string id)
    {
        string[] parts = id.Split('/');
        return parts.Length is 1 or 2 && parts.All(part => part.Length is > 0 and <= LongestPart && char.IsAsciiLetterOrDigit(part[0])
            && part.All(character => char.IsAsciiLetterOrDigit(character) || character is '-' or '_' or '.')
            && !part.Contains("..", StringComparison.Ordinal) && !part.Contains("--", StringComparison.Ordinal) && SafeNames.IsFileName(part));
    }

    /// <summary>The repository's folder name in the cache.</summary>
    /// <exception cref="BadInputException">The id breaks the grammar.</exception>
    public static string FolderName(string repository) => IsRepository(repository)
        ? FolderPrefix + repository.Replace("/", "--", StringComparison.Ordinal)
        : throw new BadInputException(BadInputException.Escape(repository), "is not the id of a repository.", "An id is organisation/name, or a name alone, of ASCII letters, digits, '-', '_' and '.'.");

    /// <summary>Where the bytes with this hash lie, or will.</summary>
    public string BlobPath(string repository, string hash) => Path.Combine(Folder(repository), "blobs", SafeHash(hash));

    /// <summary>The commit that the cache holds as the main revision, or null.</summary>
    public string? MainCommit(string repository) => ReadReference(Folder(repository), MainRevision);

    /// <summary>The commit that a branch or tag stands for in a repository's folder, or null.</summary>
    public static string? ReadReference(string folder, string revision)
    {
        if (!SafeNames.IsFileName(revision))
            return null;
        string reference = Path.Combine(folder, "refs", revision);
        if (!FilePlace.IsFile(reference) || new FileInfo(reference).Length > 100)
            return null;
        string commit = File.ReadAllText(reference).Trim();
        return IsHash(commit) ? commit : null;
    }

    /// <summary>
    /// Finds a file of the main revision, or of any other that is there. What lies behind a link must lie in the repository's own folder.
    /// </summary>
    public bool TryFind(string repository, string fileName, [NotNullWhen(true)] out string? path)
    {
        path = null;
        string snapshots = Path.Combine(Folder(repository), "snapshots");
        if (!SafeNames.IsFileName(fileName) || !FilePlace.IsFolder(snapshots))
            return false;
        string? main = MainCommit(repository);
        IEnumerable<string> commits = Directory.EnumerateDirectories(snapshots).OrderByDescending(folder => Path.GetFileName(folder) == main);
        foreach (string candidate in commits.Select(folder => Path.Combine(folder, fileName)))
        {
            if (IsWhole(candidate) && IsInside(Folder(repository), RealPath(candidate)))
            {
                path = candidate;
                return true;
            }
        }

        return false;
    }

    /// <summary>A file of a snapshot that is a link to a blob which is not there: an interrupted copy, or a cache that was made under a relative path.</summary>
    public string? FindBrokenLink(string repository, string fileName)
    {
        string snapshots = Path.Combine(Folder(repository), "snapshots");
        return SafeNames.IsFileName(fileName) && FilePlace.IsFolder(snapshots)
            ? Directory.EnumerateDirectories(snapshots).Select(folder => Path.Combine(folder, fileName)).FirstOrDefault(static path => new FileInfo(path).LinkTarget is not null && !IsWhole(path))
            : null;
    }

    // A link that leads nowhere exists as a file for the system, and is none.
    private static bool IsWhole(string path)
    {
        try
        {
            return FilePlace.IsFile(path) && FilePlace.IsFile(RealPath(path));
        }
        catch (IOException)
        {
            return false; // a circle of links
        }
    }

    /// <summary>The hash that a cached file's blob is named after, or null where the file is a plain copy.</summary>
    public static string? HashOf(string path)
    {
        string name = Path.GetFileName(RealPath(path));
        return IsHash(name) ? name : null;
    }

    /// <summary>Names a blob as a file of a commit. The main revision stays what it is, and so does what <see cref="TryFind"/> finds there.</summary>
    /// <returns>The file's path in the snapshot.</returns>
    public string Link(string repository, string commit, string fileName, string hash)
    {
        if (!SafeNames.IsFileName(fileName))
            throw new BadInputException(BadInputException.Escape(fileName), "is not a plain file name.");
        string snapshot = Path.Combine(Folder(repository), "snapshots", SafeHash(commit));
        string path = Path.Combine(snapshot, fileName);
        // Nothing to write where all is as it should be: the cache may be read-only.
        if (FilePlace.IsFile(path) && HashOf(path) == hash)
            return path;
        Directory.CreateDirectory(snapshot);
        Files.AtomicFile.RemoveLeftovers(snapshot);
        string temporary = Files.TemporaryName.Take(path, Files.AtomicFile.TemporarySuffix);
        try
        {
            File.CreateSymbolicLink(temporary, Path.Combine("..", "..", "blobs", SafeHash(hash)));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or PlatformNotSupportedException)
        {
            // File systems without links; huggingface_hub copies there too.
            File.Copy(BlobPath(repository, hash), temporary);
        }

        Files.AtomicFile.Publish(temporary, path);
        Files.TemporaryName.Return(temporary);
        return path;
    }

    /// <summary>Makes a commit the main revision, in one step: all its files are there already.</summary>
    public void SetMain(string repository, string commit)
    {
        if (MainCommit(repository) != commit)
            Files.AtomicFile.WriteAllText(Path.Combine(Folder(repository), "refs", MainRevision), SafeHash(commit));
    }

    /// <summary>Whether a text is a git or SHA-256 object name, and so harmless in a path.</summary>
    public static bool IsHash([NotNullWhen(true)] string? text) => text is { Length: 40 or 64 } && text.All(char.IsAsciiHexDigitLower);

    private static string RealPath(string path) => File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? Path.GetFullPath(path);

    private string Folder(string repository) => Path.Combine(root, FolderName(repository));

    private static string SafeHash(string hash) => IsHash(hash)
        ? hash
        : throw new DownloadException(BadInputException.Escape(hash), DownloadError.UnexpectedAnswer, "the server named a version that is no hash.", "Check the address in HF_ENDPOINT.");

    private static bool IsInside(string folder, string path) =>
        Path.GetFullPath(path).StartsWith(Path.GetFullPath(folder) + Path.DirectorySeparatorChar, StringComparison.Ordinal);
}
