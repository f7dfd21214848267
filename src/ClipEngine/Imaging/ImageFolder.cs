using ClipEngine.Files;
using ClipEngine.Native;

namespace ClipEngine.Imaging;

/// <summary>The images below a folder, and what else lies there.</summary>
/// <param name="Images">Paths, sorted ordinally.</param>
/// <param name="Shards">Tar shards, or where there are none Parquet files, sorted likewise.</param>
/// <param name="LeftOut">What is neither image nor shard.</param>
internal sealed record ImageFolder(IReadOnlyList<string> Images, IReadOnlyList<string> Shards, LeftOutFiles LeftOut)
{
    /// <summary>
    /// Looks through a folder and all below it. Images are told by their extensions. What begins with a dot, and <c>__MACOSX</c>, is left
    /// there by notebooks, desktops and archivers and is not looked into. A folder is entered once, whatever links lead to it.
    /// </summary>
    /// <param name="path">The folder.</param>
    /// <exception cref="IOException">A folder cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">A folder may not be read.</exception>
    public static ImageFolder Find(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var images = new List<string>();
        var shards = new List<string>();
        var leftOut = new LeftOutFiles();
        var entered = new HashSet<(ulong, ulong)>();
        // Folders themselves come before links to folders: a picture is called by its own path, not by one through a link.
        var folders = new Stack<string>([path]);
        var links = new Queue<string>();
        while (folders.Count > 0 || links.Count > 0)
        {
            string folder = folders.Count > 0 ? folders.Pop() : links.Dequeue();
            if (Platform.GetStatus(folder) is { } status ? !entered.Add((status.Device, status.Inode)) : folder != path && IsLink(folder))
                continue;
            foreach (string entry in Directory.EnumerateFileSystemEntries(folder).Order(StringComparer.Ordinal))
            {
                if (IsHidden(Path.GetFileName(entry)))
                    leftOut.Add(entry, isHidden: true);
                else if (FilePlace.IsFolder(entry))
                    Enqueue(entry);
                else if (ImageCollection.IsImage(entry))
                    images.Add(entry);
                else if (ImageCollection.IsShard(entry))
                    shards.Add(entry);
                else
                    leftOut.Add(entry);
            }
        }

        // Tables beside tars describe their members, as img2dataset leaves them.
        if (shards.Exists(static shard => !ParquetFile.IsParquet(shard)))
        {
            foreach (string table in shards.Where(ParquetFile.IsParquet))
                leftOut.Add(table);
            shards.RemoveAll(ParquetFile.IsParquet);
        }

        images.Sort(StringComparer.Ordinal);
        shards.Sort(StringComparer.Ordinal);
        return new ImageFolder(images, shards, leftOut);

        void Enqueue(string entry)
        {
            if (IsLink(entry))
                links.Enqueue(entry);
            else
                folders.Push(entry);
        }
    }

    /// <summary>Whether a file or folder of this name is no image and holds none, whatever its extension.</summary>
    internal static bool IsHidden(ReadOnlySpan<char> name) => (name is ['.', ..] && name is not "." and not "..") || name is "__MACOSX";

    /// <summary>Whether any part of a member's path is hidden.</summary>
    internal static bool IsHiddenPath(string path)
    {
        foreach (Range part in path.AsSpan().Split('/'))
        {
            if (IsHidden(path.AsSpan(part)))
                return true;
        }

        return false;
    }

    private static bool IsLink(string path) => new FileInfo(path).LinkTarget is not null;
}
