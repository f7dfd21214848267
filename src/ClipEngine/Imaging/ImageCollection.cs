using System.Collections;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Imaging;

/// <summary>
/// Images in a fixed order: files, and members of tar shards as <c>webdataset</c> lays them out. What there is and how it is called is
/// known once it is open; an image is read when its turn comes, by any number of threads at once. Shards are open only while they are read.
/// </summary>
/// <remarks>
/// Of a shard (<c>.tar</c>, not compressed) the members that end in .jpg, .jpeg, .jpe, .png, .webp, .bmp or .gif are images; captions,
/// other members, and what begins with a dot are passed over and counted. Only headers are read in opening, so that shards of any size open fast and use no memory but for names.
/// </remarks>
public sealed class ImageCollection : IReadOnlyList<string>, IDisposable
{
    /// <summary>The file name extensions of images, in folders and in shards.</summary>
    public static IReadOnlyList<string> Extensions { get; } = [".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif"];

    /// <summary>The file name extension of a shard.</summary>
    public const string ShardExtension = ".tar";

    private readonly List<Image> _images = [];
    private readonly List<TarShard> _shards = [];
    private readonly OpenShards _open = new();

    private ImageCollection()
    {
    }

    /// <summary>How many images.</summary>
    public int Count => _images.Count;

    /// <summary>The members of shards that are no images.</summary>
    public LeftOutFiles LeftOut { get; } = new();

    /// <summary>The id of an image: a file's path as it was given, a member's name as it stands in its shard.</summary>
    public string this[int index] => _images[index].Name;

    /// <summary>Opens images: an image file stands for itself, a shard for all images in it.</summary>
    /// <param name="paths">Files and shards, told apart by the extension .tar.</param>
    /// <param name="cancellation">Looked at between shards.</param>
    /// <exception cref="BadInputException">A shard is missing, damaged, cut off, compressed or without images, or a name occurs twice in the shards. What is wrong with a single image is found out when it is read.</exception>
    public static ImageCollection Open(IEnumerable<string> paths, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(paths);
        var collection = new ImageCollection();
        try
        {
            var owners = new Dictionary<string, TarShard>();
            foreach (string path in paths)
            {
                if (!IsShard(path))
                {
                    collection._images.Add(new Image(path, -1, default));
                    continue;
                }

                cancellation.ThrowIfCancellationRequested();
                collection.Add(path, owners);
            }

            return collection;
        }
        catch
        {
            collection.Dispose();
            throw;
        }
    }

    /// <summary>Leaves out all images but a run of them.</summary>
    /// <param name="first">The first one that stays.</param>
    /// <param name="end">The one behind the last.</param>
    internal void Keep(int first, int end)
    {
        _images.RemoveRange(end, _images.Count - end);
        _images.RemoveRange(0, first);
    }

    /// <summary>Whether a path names a shard.</summary>
    public static bool IsShard(string path) => Path.GetExtension(path).Equals(ShardExtension, StringComparison.OrdinalIgnoreCase);

    /// <summary>Whether a path names an image file, by its extension.</summary>
    public static bool IsImage(string path) => Extensions.Contains(Path.GetExtension(path), StringComparer.OrdinalIgnoreCase);

    /// <summary>Closes the shards.</summary>
    public void Dispose()
    {
        _open.Dispose();
    }

    /// <inheritdoc/>
    public IEnumerator<string> GetEnumerator() => _images.Select(static image => image.Name).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>Decodes an image to the model's pixels.</summary>
    /// <param name="index">Which.</param>
    /// <param name="preprocessor">Makes the pixels.</param>
    /// <param name="pixels"><c>[3, height, width]</c>.</param>
    /// <exception cref="BadInputException">It cannot be read, or is no image; names the file, or the shard and the member.</exception>
    public void Preprocess(int index, IImagePreprocessor preprocessor, Span<float> pixels)
    {
        Image image = _images[index];
        if (image.Shard < 0)
            ImageFile.Preprocess(preprocessor, image.Name, pixels);
        else
        {
            TarShard shard = _shards[image.Shard];
            SafeFileHandle handle = _open.Enter(shard);
            try
            {
                shard.Preprocess(handle, preprocessor, image.Name, image.Place, pixels);
            }
            finally
            {
                _open.Leave(shard);
            }
        }
    }

    /// <summary>Shards that are open at this moment.</summary>
    internal int OpenShardCount => _open.Count;

    private void Add(string path, Dictionary<string, TarShard> owners)
    {
        (TarShard shard, IReadOnlyList<(string Name, TarMember Place)> images) = TarShard.Read(path, LeftOut);
        _shards.Add(shard);
        foreach ((string name, TarMember place) in images)
        {
            if (!owners.TryAdd(name, shard))
            {
                TarShard first = owners[name];
                string where = first == shard ? "twice" : $"here and in {BadInputException.Escape(first.Path, 200)}";
                throw new BadInputException(shard.Path, $"member {BadInputException.Escape(name)} is there {where}; a member's name is its image's id.", "Rename one of them, or name each shard once.");
            }

            _images.Add(new Image(name, _shards.Count - 1, place));
        }

        if (images.Count == 0)
            throw new BadInputException(shard.Path, $"the shard holds no images ({string.Join(", ", Extensions)}).");
    }

    /// <summary>One image.</summary>
    /// <param name="Name">A path, or a member's name.</param>
    /// <param name="Shard">Its number, or -1 for a file.</param>
    /// <param name="Place">Where in the shard.</param>
    private readonly record struct Image(string Name, int Shard, TarMember Place);
}
