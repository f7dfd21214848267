using ClipEngine.Checkpoints;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>List PX: names that lead out of a folder, on some platform or other. None may reach the disk or the network.</summary>
public sealed class HostileNameTests
{
    [Fact]
    public void NoHostileNameLeavesTheRoot()
    {
        using var folder = new TemporaryFolder();
        string root = Directory.CreateDirectory(folder.File("cache", "hub")).FullName;
        File.WriteAllText(folder.File("canary"), "untouched");
        var cache = new HubCache(root);
        string[] names = [.. Names()];
        Assert.True(names.Length >= 200, $"{names.Length} names");
        string hash = new('a', 64), commit = LoopbackHub.Commit;
        foreach (string name in names)
        {
            Assert.False(HubCache.IsRepository(name), BadInputException.Escape(name));
            Assert.False(SafeNames.IsFileName(name), BadInputException.Escape(name));
            Assert.Throws<BadInputException>(() => HubCache.FolderName(name));
            Assert.Throws<BadInputException>(() => cache.BlobPath(name, hash));
            Assert.Throws<BadInputException>(() => cache.Publish("a/b", commit, name, hash));
            Assert.ThrowsAny<BadInputException>(() => cache.Publish("a/b", name, "f.bin", hash));
            Assert.ThrowsAny<BadInputException>(() => cache.BlobPath("a/b", name));
            Assert.False(cache.TryFind("a/b", name, out _));
            Assert.Throws<BadInputException>(() => ModelCatalogue.Find(name));
            Assert.Throws<BadInputException>(() => ModelCatalogue.Find("ViT-B-32/" + name));
        }

        Assert.Equal("untouched", File.ReadAllText(folder.File("canary")));
        Assert.Equal([folder.File("canary")], Directory.EnumerateFiles(folder.Root, "*", SearchOption.AllDirectories));
        Assert.All(Directory.EnumerateFileSystemEntries(folder.Root), entry => Assert.Contains(Path.GetFileName(entry), new[] { "canary", "cache" }));
    }

    /// <summary>A link that somebody planted in a snapshot is not followed out of the repository's folder.</summary>
    [Fact]
    public void ALinkOutOfTheRepositoryIsNotFollowed()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("secret"), "x");
        string snapshot = Directory.CreateDirectory(folder.File("hub", "models--a--b", "snapshots", LoopbackHub.Commit)).FullName;
        File.CreateSymbolicLink(Path.Combine(snapshot, "f.bin"), folder.File("secret"));
        Assert.False(new HubCache(folder.File("hub")).TryFind("a/b", "f.bin", out _));
    }

    private static IEnumerable<string> Names()
    {
        string[] steps = ["..", "../x", "..\\x", "a/../..", "a\\..\\b", "../../x", "a/../../b", "./x", ".", "", " ", "..;/", "....//x"];
        string[] encoded = ["%2e%2e/", "%2e%2e%2fx", "%252e%252e%252f", "..%c0%af", "%00", "a%2fb"];
        string[] roots = ["/etc/x", "/", "//host/share", "\\\\host\\share", "\\\\?\\C:\\x", "C:\\x", "C:/x", "D:foo", "C:", "~", "~/x", "file:///x", "http://x/y"];
        string[] devices = ["CON", "con", "PRN", "AUX", "AUX.txt", "NUL", "nul.tar.gz", "COM1", "com9.x", "COM2.tar", "com3", "COM4.pt", "lpt2", "LPT3.bin", "LPT1", "LPT9.txt", "CONIN$", "CONOUT$", "Con .txt"];
        string[] streams = ["a:b", "x::$DATA", "a|b", "a<b", "a>b", "a?b", "a*b", "a\"b"];
        string[] ends = ["a.", "a ", "a. ", "a..", " a", "x/a.", "x/a ", "x /a"];
        string[] invisible = ["a\0b", "a\nb", "a\r", "a\tb", "\u001b[2J", "a\u202eb", "a\u200bb", "\ufeffa", "a\u2066b", "\u007f"];
        string[] lookAlikes = ["a\u2215b", "a\u2044b", "a\uff0fb", "a\u29f8b", "\uff0e\uff0e", "\u2024\u2024/x", "a\uff3cb", "\u0430bc", "é", "你好", "😀"];
        string[] lengths = [new string('a', 300), new string('a', 256) + "/b", "a/" + new string('b', 300), string.Concat(Enumerable.Repeat("../", 100))];
        string[] plain = [.. steps, .. encoded, .. roots, .. devices, .. streams, .. ends, .. invisible, .. lookAlikes, .. lengths];
        IEnumerable<string> inside = plain.Where(name => name.Length is > 0 and < 200).Select(name => "org/" + name).Where(name => !name.EndsWith("/x /a", StringComparison.Ordinal));
        // Three steps deep: never an id, and never a file name.
        IEnumerable<string> deep = steps.Concat(roots).Select(name => "a/b/" + name);
        return plain.Concat(inside).Concat(deep).Distinct();
    }
}
