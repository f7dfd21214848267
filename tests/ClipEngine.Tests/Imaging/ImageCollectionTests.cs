using System.Formats.Tar;
using System.Text;
using ClipEngine.Imaging;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Imaging;

public sealed class ImageCollectionTests : IDisposable
{
    private static readonly string[] s_files = ["gray.jpg", "tiny.png", "lossy.webp", "plain.bmp"];
    private readonly TemporaryFolder _folder = new();
    private readonly ImagePreprocessor _preprocessor = new(new PreprocessOptions { Height = 16, Width = 16 });

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(TarEntryFormat.V7)]
    [InlineData(TarEntryFormat.Ustar)]
    [InlineData(TarEntryFormat.Pax)]
    [InlineData(TarEntryFormat.Gnu)]
    public void AShardGivesItsImagesInOrderWithTheirNamesAsIds(TarEntryFormat format)
    {
        string shard = TarBuilder.Write(_folder.File("shard.tar"), s_files.SelectMany(file => new (string, byte[])[]
        {
            ($"part/{Path.GetFileNameWithoutExtension(file)}.txt", "a caption"u8.ToArray()),
            ($"part/{file}", Bytes(file)),
            ($"part/{Path.GetFileNameWithoutExtension(file)}.json", "{}"u8.ToArray()),
        }), format);
        using var images = ImageCollection.Open([PathOf("small.png"), shard, PathOf("gray.jpg")]);
        Assert.Equal([PathOf("small.png"), .. s_files.Select(file => $"part/{file}"), PathOf("gray.jpg")], images);
        for (int i = 0; i < images.Count; i++)
        {
            string file = PathOf(Path.GetFileName(images[i]));
            float[] expected = new float[_preprocessor.ElementCount], found = new float[expected.Length];
            _preprocessor.Preprocess(File.ReadAllBytes(file), file, expected);
            images.Preprocess(i, _preprocessor, found);
            Assert.Equal(expected, found);
        }
    }

    [Theory]
    [InlineData(16, "small.png")] // asked for as it was begun
    [InlineData(24, "small.png")] // in another size: made anew
    [InlineData(16, "part/gray.jpg")]
    public void AFirstImageThatWasBegunHasTheSamePixels(int size, string first)
    {
        string shard = TarBuilder.Write(_folder.File("shard.tar"), [("part/gray.jpg", Bytes("gray.jpg"))]);
        string file = PathOf(Path.GetFileName(first));
        using var images = ImageCollection.Open(first == "small.png" ? [file, shard] : [shard, PathOf("small.png")]);
        images.BeginFirst(new PreprocessOptions { Height = 16, Width = 16 }, CancellationToken.None);
        var preprocessor = new ImagePreprocessor(new PreprocessOptions { Height = size, Width = size });
        float[] expected = new float[preprocessor.ElementCount], found = new float[expected.Length];
        preprocessor.Preprocess(File.ReadAllBytes(file), file, expected);
        for (int time = 0; time < 2; time++)
        {
            images.Preprocess(0, preprocessor, found);
            Assert.Equal(expected, found);
            Array.Clear(found);
        }
    }

    [Fact]
    public void AFirstImageThatWasBegunIsRefusedWhereItsTurnComes()
    {
        string missing = _folder.File("missing.png");
        float[] pixels = new float[_preprocessor.ElementCount];
        using var plain = ImageCollection.Open([missing]);
        ImageException expected = Assert.Throws<ImageException>(() => plain.Preprocess(0, _preprocessor, pixels));
        using var begun = ImageCollection.Open([missing]);
        begun.BeginFirst(_preprocessor.Options, CancellationToken.None);
        ImageException found = Assert.Throws<ImageException>(() => begun.Preprocess(0, _preprocessor, pixels));
        Assert.Equal(expected.Message, found.Message);
        using var unasked = ImageCollection.Open([missing]);
        unasked.BeginFirst(_preprocessor.Options, CancellationToken.None); // nobody asks: nothing is thrown
        using var none = ImageCollection.Open([]);
        none.BeginFirst(_preprocessor.Options, CancellationToken.None);
    }

    [Theory]
    [InlineData(TarEntryFormat.Pax)]
    [InlineData(TarEntryFormat.Gnu)]
    public void NamesLongerThanAHeaderSurvive(TarEntryFormat format)
    {
        string name = $"{new string('d', 120)}/{new string('n', 150)} ä.png";
        using var images = ImageCollection.Open([TarBuilder.Write(_folder.File("long.tar"), [(name, Bytes("tiny.png"))], format)]);
        Assert.Equal([name], images);
    }

    [Fact]
    public void AShardThatIsCutAnywhereIsRefusedByName()
    {
        byte[] whole = File.ReadAllBytes(TarBuilder.Write(_folder.File("whole.tar"), [("a.png", Bytes("tiny.png")), ("b.png", Bytes("one.png")), ("c.txt", new byte[700])]));
        // The end marker is two empty blocks; one is enough to know that the writer was done.
        for (int length = 0; length < whole.Length - 512; length += length % 512 == 0 ? 1 : length % 512 == 1 ? 510 : 1)
        {
            string cut = _folder.File("cut.tar");
            File.WriteAllBytes(cut, whole[..length]);
            BadInputException exception = Assert.Throws<BadInputException>(() => ImageCollection.Open([cut]).Dispose());
            Assert.Equal(cut, exception.InputSource);
            Assert.True(exception.Problem.Contains("cut off") || exception.Problem.Contains("empty") || exception.Problem.Contains("damaged"), $"{length}: {exception.Problem}");
        }

        File.WriteAllBytes(_folder.File("marked.tar"), whole[..^512]);
        using var images = ImageCollection.Open([_folder.File("marked.tar")]);
        Assert.Equal(2, images.Count);
    }

    [Fact]
    public void JoinedArchivesAreReadToTheEndAndWhatElseLiesBehindOneIsRefused()
    {
        byte[] first = File.ReadAllBytes(TarBuilder.Write(_folder.File("1.tar"), [("a.png", Bytes("tiny.png")), ("a.txt", new byte[700])])), second = File.ReadAllBytes(TarBuilder.Write(_folder.File("2.tar"), [("b.png", Bytes("one.png"))]));
        string joined = _folder.File("joined.tar");
        foreach (byte[] between in new byte[][] { [], new byte[512 * 7] })
        {
            File.WriteAllBytes(joined, [.. first, .. between, .. second, .. between]);
            using var images = ImageCollection.Open([joined]);
            Assert.Equal(["a.png", "b.png"], images);
            Assert.Equal(new Dictionary<string, int> { [".txt"] = 1 }, images.LeftOut.Counts);
            float[] expected = new float[_preprocessor.ElementCount], found = new float[expected.Length];
            _preprocessor.Preprocess(Bytes("one.png"), "b", expected);
            images.Preprocess(1, _preprocessor, found);
            Assert.Equal(expected, found);
        }

        File.WriteAllBytes(joined, [.. first, .. "something else"u8]);
        Assert.Contains("behind the archive's end", Assert.Throws<BadInputException>(() => ImageCollection.Open([joined]).Dispose()).Problem);
        File.WriteAllBytes(joined, [.. first, .. second[..700]]);
        Assert.Contains("cut off", Assert.Throws<BadInputException>(() => ImageCollection.Open([joined]).Dispose()).Problem);
    }

    [Fact]
    public void HiddenMembersArePassedOverAndCounted()
    {
        string shard = TarBuilder.Write(_folder.File("mac.tar"), [("._a.png", new byte[100]), ("a.png", Bytes("tiny.png")), ("__MACOSX/b.png", new byte[5]), (".git/c.png", new byte[5]), ("a.json", new byte[5])]);
        using var images = ImageCollection.Open([shard]);
        Assert.Equal(["a.png"], images);
        Assert.Equal(new Dictionary<string, int> { [".json"] = 1, ["hidden"] = 3 }, images.LeftOut.Counts);
    }

    [Fact]
    public void ShardsAreOpenOnlyWhileTheyAreRead()
    {
        string[] shards = [.. Enumerable.Range(0, 40).Select(i => TarBuilder.Write(_folder.File($"{i}.tar"), [($"{i}a.png", Bytes("tiny.png")), ($"{i}b.png", Bytes("one.png"))]))];
        using var images = ImageCollection.Open(shards);
        Assert.Equal(0, images.OpenShardCount);
        float[] pixels = new float[_preprocessor.ElementCount];
        for (int i = 0; i < images.Count; i++)
        {
            images.Preprocess(i, _preprocessor, pixels);
            Assert.InRange(images.OpenShardCount, 1, 3);
        }

        Parallel.For(0, 400, new ParallelOptions { MaxDegreeOfParallelism = 4 }, i =>
        {
            images.Preprocess(i * 7 % images.Count, _preprocessor, new float[_preprocessor.ElementCount]);
            Assert.InRange(images.OpenShardCount, 0, 6);
        });
    }

    [Fact]
    public void AShardThatWasChangedMeanwhileIsRefused()
    {
        string shard = TarBuilder.Write(_folder.File("changed.tar"), [("a.png", Bytes("tiny.png"))]);
        using var images = ImageCollection.Open([shard]);
        TarBuilder.Write(shard, [("other.png", Bytes("one.png")), ("a.png", Bytes("tiny.png"))]);
        BadInputException exception = Assert.Throws<BadInputException>(() => images.Preprocess(0, _preprocessor, new float[_preprocessor.ElementCount]));
        Assert.Contains("changed", exception.Problem);
    }

    [Fact]
    public void AMemberThatIsNoImageIsNamedWithItsShard()
    {
        string shard = TarBuilder.Write(_folder.File("bad.tar"), [("good.png", Bytes("tiny.png")), ("page.jpg", "<html>not found</html>"u8.ToArray()), ("cut.jpg", Bytes("gray.jpg")[..200]), ("empty.png", [])]);
        using var images = ImageCollection.Open([shard]);
        float[] pixels = new float[_preprocessor.ElementCount];
        images.Preprocess(0, _preprocessor, pixels);
        foreach ((int index, ImageProblem kind) in new[] { (1, ImageProblem.NotAnImage), (2, ImageProblem.Truncated), (3, ImageProblem.NotAnImage) })
        {
            ImageException exception = Assert.Throws<ImageException>(() => images.Preprocess(index, _preprocessor, pixels));
            Assert.Equal($"{shard}: member {images[index]}", exception.InputSource);
            Assert.Equal(kind, exception.Kind);
            Assert.DoesNotContain("..", exception.Message.Replace("...", ""));
        }
    }

    [Fact]
    public void AShardThatShrinksMeanwhileIsRefusedNotReadShort()
    {
        string shard = TarBuilder.Write(_folder.File("shrinking.tar"), [("a.jpg", Bytes("gray.jpg"))]);
        using var images = ImageCollection.Open([shard]);
        images.Preprocess(0, _preprocessor, new float[_preprocessor.ElementCount]); // it is open from now on
        using (var stream = new FileStream(shard, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
            stream.SetLength(1000);
        ImageException exception = Assert.Throws<ImageException>(() => images.Preprocess(0, _preprocessor, new float[_preprocessor.ElementCount]));
        Assert.Equal(ImageProblem.Truncated, exception.Kind);
        Assert.Contains("member a.jpg", exception.InputSource);
    }

    [Fact]
    public void AnIdThatOccursTwiceIsRefused()
    {
        string first = TarBuilder.Write(_folder.File("first.tar"), [("a.png", Bytes("tiny.png"))]), second = TarBuilder.Write(_folder.File("second.tar"), [("b.png", Bytes("tiny.png")), ("a.png", Bytes("one.png"))]);
        string inside = TarBuilder.Write(_folder.File("inside.tar"), [("a.png", Bytes("tiny.png")), ("a.png", Bytes("one.png"))]);
        BadInputException across = Assert.Throws<BadInputException>(() => ImageCollection.Open([first, second]).Dispose());
        Assert.Equal(second, across.InputSource);
        Assert.Contains("a.png", across.Problem);
        Assert.Contains(first, across.Problem);
        Assert.Contains("twice", Assert.Throws<BadInputException>(() => ImageCollection.Open([inside]).Dispose()).Problem);
        Assert.Contains("a.png", Assert.Throws<BadInputException>(() => ImageCollection.Open([first, first]).Dispose()).Problem);
    }

    [Fact]
    public void WhatIsNoShardIsRefusedWithTheReason()
    {
        File.WriteAllBytes(_folder.File("zeros.tar"), new byte[10240]);
        File.WriteAllText(_folder.File("text.tar"), new string('x', 2000));
        File.WriteAllBytes(_folder.File("gzip.tar"), [0x1F, 0x8B, 8, 0, 0, 0, 0, 0]);
        File.WriteAllBytes(_folder.File("empty.tar"), []);
        Directory.CreateDirectory(_folder.File("folder.tar"));
        TarBuilder.Write(_folder.File("captions.tar"), [("a.txt", Encoding.UTF8.GetBytes("a"))]);
        foreach ((string name, string reason) in new[] { ("zeros.tar", "no images"), ("text.tar", "damaged"), ("gzip.tar", "gzip"), ("empty.tar", "0 bytes"), ("folder.tar", "folder"), ("captions.tar", "no images"), ("missing.tar", "cannot be read") })
        {
            BadInputException exception = Assert.Throws<BadInputException>(() => ImageCollection.Open([_folder.File(name)]).Dispose());
            Assert.Equal(_folder.File(name), exception.InputSource);
            Assert.Contains(reason, exception.Problem);
        }
    }

    [Theory]
    [InlineData(TarEntryType.SymbolicLink)]
    [InlineData(TarEntryType.HardLink)]
    public void ALinkIsRefusedBecauseItsTargetMayBeAnywhere(TarEntryType type)
    {
        using (FileStream stream = File.Create(_folder.File("link.tar")))
        using (var writer = new TarWriter(stream, TarEntryFormat.Ustar))
            writer.WriteEntry(new UstarTarEntry(type, "a.png") { LinkName = "/etc/passwd" });
        Assert.Contains("a.png", Assert.Throws<BadInputException>(() => ImageCollection.Open([_folder.File("link.tar")]).Dispose()).Problem);
    }

    [Fact]
    public void AMemberBehindFourGigabytesIsRead()
    {
        // The header of an empty member, its size made 5 GiB, a hole, and an ordinary archive behind it.
        const long Hole = 5L << 30;
        byte[] header = File.ReadAllBytes(TarBuilder.Write(_folder.File("header.tar"), [("video.mp4", [])]))[..512];
        Encoding.ASCII.GetBytes($"{Convert.ToString(Hole, 8),11}\0".Replace(' ', '0')).CopyTo(header, 124);
        header.AsSpan(148, 8).Fill((byte)' ');
        Encoding.ASCII.GetBytes($"{Convert.ToString(header.Sum(value => value), 8),6}\0 ".Replace(" ", "0")[..6] + "\0 ").CopyTo(header, 148);
        byte[] behind = File.ReadAllBytes(TarBuilder.Write(_folder.File("behind.tar"), [("a.jpg", Bytes("gray.jpg"))]));
        using (FileStream stream = File.Create(_folder.File("huge.tar")))
        {
            stream.Write(header);
            stream.Position = 512 + Hole;
            stream.Write(behind);
        }

        using var images = ImageCollection.Open([_folder.File("huge.tar")]);
        Assert.Equal(["a.jpg"], images);
        float[] expected = new float[_preprocessor.ElementCount], found = new float[expected.Length];
        _preprocessor.Preprocess(Bytes("gray.jpg"), "gray.jpg", expected);
        images.Preprocess(0, _preprocessor, found);
        Assert.Equal(expected, found);
    }

    private static string PathOf(string name) => TestData.Path("preprocess", "images", name);

    private static byte[] Bytes(string name) => File.ReadAllBytes(PathOf(name));
}
