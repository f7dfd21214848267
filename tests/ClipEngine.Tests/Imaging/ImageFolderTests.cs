using ClipEngine.Imaging;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Imaging;

/// <summary>Folders as notebooks, desktops and links leave them.</summary>
public sealed class ImageFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void HiddenFilesAreNoImagesAndWhatIsLeftOutIsCountedByEnding()
    {
        foreach (string file in new[] { "b.JPG", "a.png", "sub/c.webp", ".hidden.jpg", "._a.png", ".ipynb_checkpoints/a-checkpoint.png", "__MACOSX/._a.png", ".DS_Store", "notes.txt", "sub/more.TXT", "Thumbs.db", "README", "s.tar", "...odd.png" })
            Touch(file);

        ImageFolder found = ImageFolder.Find(Root);

        Assert.Equal(new[] { "a.png", "b.JPG", "sub/c.webp" }, Relative(found.Images));
        Assert.Equal(["s.tar"], Relative(found.Shards));
        Assert.Equal(new Dictionary<string, int> { [".db"] = 1, [".txt"] = 2, ["hidden"] = 6, ["no ending"] = 1 }, found.LeftOut.Counts);
        Assert.Equal("left out 10 files that are no images (.db 1, .txt 2, hidden 6, no ending 1)", found.LeftOut.ToString());
    }

    [SkippableFact]
    public void AFolderIsEnteredOnceWhateverLinksLeadToIt()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "links are told by inode on Linux");
        Touch("real/a.png");
        Touch("real/deeper/b.png");
        Directory.CreateSymbolicLink(_folder.File("again"), ".");
        Directory.CreateSymbolicLink(_folder.File("real/up"), "..");
        Directory.CreateSymbolicLink(_folder.File("alias"), "real");
        Directory.CreateSymbolicLink(_folder.File("real/deeper/loop"), ".");
        File.CreateSymbolicLink(_folder.File("link.png"), "real/a.png"); // a file is an image by each of its names

        Assert.Equal(new[] { "link.png", "real/a.png", "real/deeper/b.png" }, Relative(ImageFolder.Find(Root).Images));
        Assert.Equal(["a.png", "deeper/b.png"], ImageFolder.Find(_folder.File("alias")).Images.Select(path => Path.GetRelativePath(_folder.File("alias"), path)).Where(path => !path.Contains("up/")).Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("a.jpg", false)]
    [InlineData("./a.jpg", false)]
    [InlineData("../a.jpg", false)]
    [InlineData("part/._a.jpg", true)]
    [InlineData(".cache/a.jpg", true)]
    [InlineData("__MACOSX/a.jpg", true)]
    [InlineData("a.b/c.d.jpg", false)]
    public void MembersAreHiddenByAnyPartOfTheirPath(string path, bool isHidden) => Assert.Equal(isHidden, ImageFolder.IsHiddenPath(path));

    private string Root => Path.GetDirectoryName(_folder.File("x"))!;

    private IEnumerable<string> Relative(IEnumerable<string> paths) => paths.Select(path => Path.GetRelativePath(Root, path));

    private void Touch(string name)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(_folder.File(name))!);
        File.WriteAllBytes(_folder.File(name), [1]);
    }
}
