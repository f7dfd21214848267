using System.Collections;
using ClipEngine.Files;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Imaging;

/// <summary>
/// Images in a fixed order: files, members of tar shards as <c>webdataset</c> lays them out, and rows of Parquet files that hold pictures. What there is and how it is called is
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
    private readonly List<PictureTable> _tables = [];
    private readonly OpenShards _open = new();
    private readonly OpenPictures _pictures = new();
    private readonly DescriptionTables _records = new();
    private readonly bool _hasDescriptions;
    private FirstImage? _first;

    /// <summary>Captions and other descriptions of the shards' images, where they were asked for: by shard, by the member's name.</summary>
    private readonly List<Dictionary<string, TarMember>> _descriptions = [];

    private ImageCollection(bool hasDescriptions) => _hasDescriptions = hasDescriptions;

    /// <summary>How many images.</summary>
    public int Count => _images.Count;

    /// <summary>The members of shards that are no images.</summary>
    public LeftOutFiles LeftOut { get; } = new();

    /// <summary>The id of an image: a file's path as it was given, a member's name as it stands in its shard.</summary>
    public string this[int index] => _images[index].Name;

    /// <summary>Opens images: an image file stands for itself, a shard for all images in it.</summary>
    /// <param name="paths">Files and shards, told apart by the extensions .tar and .parquet.</param>
    /// <param name="cancellation">Looked at between shards.</param>
    /// <exception cref="BadInputException">A shard is missing, damaged, cut off, compressed or without images, or a name occurs twice in the shards. What is wrong with a single image is found out when it is read.</exception>
    public static ImageCollection Open(IEnumerable<string> paths, CancellationToken cancellation = default) => Open(paths, hasDescriptions: false, cancellation);

    /// <summary>The same, with the captions and other descriptions that lie beside the images in their shards.</summary>
    internal static ImageCollection Open(IEnumerable<string> paths, bool hasDescriptions, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(paths);
        var collection = new ImageCollection(hasDescriptions);
        try
        {
            var owners = new Dictionary<string, string>();
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
    public static bool IsShard(string path) => Path.GetExtension(path).Equals(ShardExtension, StringComparison.OrdinalIgnoreCase) || ParquetFile.IsParquet(path);

    /// <summary>The image files of a folder and those below it, in the order in which they are numbered; hidden files and folders are passed over.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <exception cref="BadInputException">It cannot be listed.</exception>
    public static IReadOnlyList<string> FindFiles(string folder) => ImageFolder.Find(folder).Images;

    /// <summary>Whether a path names an image file, by its extension.</summary>
    public static bool IsImage(string path) => Extensions.Contains(Path.GetExtension(path), StringComparer.OrdinalIgnoreCase);

    /// <summary>
    /// Begins to decode the first image on another thread: a command of one image then decodes it while the model's weights are read. Whether it can be read is told where
    /// its turn comes (<see cref="Preprocess"/>), as of the others.
    /// </summary>
    /// <param name="options">How its pixels will be asked for; asked for in another way, they are made anew.</param>
    /// <param name="cancellation">Cancelled before the decoder begins, it does not begin.</param>
    internal void BeginFirst(PreprocessOptions options, CancellationToken cancellation)
    {
        if (Count > 0)
            _first ??= new FirstImage(options, (preprocessor, pixels) => PreprocessNow(0, preprocessor, pixels.GetSpan()), cancellation);
    }

    /// <summary>Closes the shards.</summary>
    public void Dispose()
    {
        // It may be read from a shard just now: a read that has begun keeps the shard's handle until it is done, a later one is refused.
        _first?.Dispose();
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
        if (index != 0 || _first?.TryTake(preprocessor, pixels) != true)
            PreprocessNow(index, preprocessor, pixels);
    }

    private void PreprocessNow(int index, IImagePreprocessor preprocessor, Span<float> pixels)
    {
        Image image = _images[index];
        if (image.Shard < 0)
            ImageFile.Preprocess(preprocessor, image.Name, pixels);
        else if (image.Table is { } table)
            TarShard.Preprocess(preprocessor, _pictures.Get(table, image.Place.Offset).Span, table.Path, image.Name, pixels);
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

    /// <summary>What lies beside an image: its caption and other fields.</summary>
    internal ImageDescription Describe(int index)
    {
        Image image = _images[index];
        if (image.Shard < 0)
            return ImageDescription.OfFile(image.Name);
        if (image.Table is { } table)
            return ImageDescription.OfRow(image.Name, _records.Get(table, image.Place.Offset));
        TarShard shard = _shards[image.Shard];
        SafeFileHandle handle = _open.Enter(shard);
        try
        {
            string key = ImageDescription.KeyOf(image.Name);
            byte[]? Read(string name) => _descriptions[image.Shard].TryGetValue(name, out TarMember place) ? shard.ReadSmall(handle, name, place) : null;
            return ImageDescription.OfMembers($"{shard.Path}: {key}.json", key, Read(key + ".json"), Read(key + ".txt"))
                ?? ImageDescription.OfRow(key, _records.Get(shard.Path, key));
        }
        finally
        {
            _open.Leave(shard);
        }
    }

    private void Add(string path, Dictionary<string, string> owners)
    {
        int before = _images.Count;
        if (ParquetFile.IsParquet(path))
        {
            (PictureTable table, IReadOnlyList<(string Name, long Row)> pictures) = PictureTable.Read(path, LeftOut);
            _tables.Add(table);
            foreach ((string name, long row) in pictures)
                AddImage(path, name, owners, new Image(name, _tables.Count - 1, new TarMember(row, 0)) { Table = table });
        }
        else
        {
            Dictionary<string, TarMember>? descriptions = _hasDescriptions ? [] : null;
            (TarShard shard, IReadOnlyList<(string Name, TarMember Place)> images) = TarShard.Read(path, LeftOut, descriptions);
            _shards.Add(shard);
            if (descriptions is not null)
                _descriptions.Add(descriptions);
            foreach ((string name, TarMember place) in images)
                AddImage(path, name, owners, new Image(name, _shards.Count - 1, place));
        }

        if (_images.Count == before)
            throw new BadInputException(path, $"the shard holds no images{(ParquetFile.IsParquet(path) ? "" : $" ({string.Join(", ", Extensions)})")}.");
    }

    private void AddImage(string shard, string name, Dictionary<string, string> owners, Image image)
    {
        if (!owners.TryAdd(name, shard))
        {
            string first = owners[name];
            string where = first == shard ? "twice" : $"here and in {BadInputException.Escape(first, 200)}";
            throw new BadInputException(shard, $"member {BadInputException.Escape(name)} is there {where}; a member's name is its image's id.", "Rename one of them, or name each shard once.");
        }

        _images.Add(image);
    }

    /// <summary>One image.</summary>
    /// <param name="Name">A path, or a member's name.</param>
    /// <param name="Shard">Its number, or -1 for a file.</param>
    /// <param name="Place">Where in the shard.</param>
    private readonly record struct Image(string Name, int Shard, TarMember Place)
    {
        /// <summary>The table that the image is a row of, whose number <see cref="Place"/> begins with; null for other images.</summary>
        public PictureTable? Table { get; init; }
    }
}
