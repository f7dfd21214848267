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
            Assert.Throws<BadInputException>(() => cache.Link("a/b", commit, name, hash));
            Assert.ThrowsAny<BadInputException>(() => cache.Link("a/b", name, "f.bin", hash));
            Assert.ThrowsAny<BadInputException>(() => cache.BlobPath("a/b", name));
            Assert.False(cache.TryFind("a/b", name, out _));
            Assert.Throws<BadInputException>(() => ModelCatalogue.Find(name));
            Assert.Throws<BadInputException>(() => ModelCatalogue.Find("ViT-B-32/" + name));
        }

        Assert.Equal("untouched", File.ReadAllText(folder.File("canary")));
        Assert.Equal([folder.File("canary")], Directory.EnumerateFiles(folder.Root, "*", SearchOption.AllDirectories));
        Assert.All(Directory.EnumerateFileSystemEntries(folder.Root), entry => Assert.Contains(Path.GetFileName(entry), new[] { "canary", "cache" }));
    }

    /// <summary>The same names as shards of an index: the file is refused for its name, before anything is opened.</summary>
    [Fact]
    public void NoIndexNamesAShardOutsideItsFolder()
    {
        using var folder = new TemporaryFolder();
        string index = folder.File("model.safetensors.index.json");
        foreach (string name in Names())
        {
            using (var stream = File.Create(index))
            using (var json = new System.Text.Json.Utf8JsonWriter(stream))
            {
                json.WriteStartObject();
                json.WriteStartObject("weight_map");
                json.WriteString("a", name);
                json.WriteEndObject();
                json.WriteEndObject();
            }

            CheckpointException exception = Assert.Throws<CheckpointException>(() => Checkpoint.Open(index));
            Assert.True(exception.Error == CheckpointError.UnsafeName, $"{BadInputException.Escape(name)}: {exception.Message}");
        }

        Assert.Equal([index], Directory.EnumerateFileSystemEntries(folder.Root, "*", SearchOption.AllDirectories));
    }

    /// <summary>The same names as members of an archive. Nothing is ever extracted; the archive is refused all the same.</summary>
    [Fact]
    public void NoMemberOfAnArchiveLeavesIt()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("model.pt");
        foreach (string name in Names())
        {
            foreach (string member in new[] { name, "archive/" + name })
            {
                var zip = new ZipBuilder();
                zip.Add("archive/data.pkl", PickleBuilder.OneTensor());
                zip.Add("archive/data/0", new byte[8]);
                zip.Add(member, "x");
                File.WriteAllBytes(path, zip.Build());
                // What is odd but stays inside the archive's folder is only a member that nobody asks for.
                bool staysInside = member.StartsWith("archive/", StringComparison.Ordinal) && member.Split('/').All(static step => step.Length > 0 && step is not ("." or ".."))
                    && !member.Any(static character => char.IsControl(character) || character is '\\' or ':') && member.Length <= 1024;
                if (staysInside)
                {
                    using ICheckpoint archive = PyTorchArchive.Open(path);
                    Assert.Equal(["a"], archive.Tensors.Keys);
                }
                else
                {
                    CheckpointException exception = Assert.Throws<CheckpointException>(() => PyTorchArchive.Open(path));
                    Assert.True(exception.Error is CheckpointError.UnsafeName or CheckpointError.InvalidArchive, $"{BadInputException.Escape(member)}: {exception.Message}");
                }
            }
        }

        Assert.Equal([path], Directory.EnumerateFileSystemEntries(folder.Root, "*", SearchOption.AllDirectories));
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
