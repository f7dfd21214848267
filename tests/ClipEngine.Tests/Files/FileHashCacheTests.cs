using System.Diagnostics;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Files;

public class FileHashCacheTests
{
    private const string AbcHash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180-2, "abc"

    [SkippableFact]
    public void AHashIsComputedOnceAndFoundAgain()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "elsewhere nothing is kept");
        using var folder = new TemporaryFolder();
        string path = WriteOld(folder, "abc");
        var cache = new FileHashCache(folder.File("cache"));
        Assert.Equal(AbcHash, cache.GetSha256(path));
        string entry = Assert.Single(Directory.GetFiles(folder.File("cache")));

        // What is kept is what comes back: a planted entry of the right form shows that nothing is computed.
        File.WriteAllText(entry, File.ReadAllText(entry).Replace(AbcHash, new string('1', 64)));
        Assert.Equal(new string('1', 64), cache.GetSha256(path));
    }

    [SkippableTheory]
    [InlineData("")]
    [InlineData("garbage")]
    [InlineData("\0\0\0\0")]
    public void ADamagedEntryIsComputedAgain(string content)
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "elsewhere nothing is kept");
        using var folder = new TemporaryFolder();
        string path = WriteOld(folder, "abc");
        var cache = new FileHashCache(folder.File("cache"));
        cache.GetSha256(path);
        string entry = Assert.Single(Directory.GetFiles(folder.File("cache")));
        string honest = File.ReadAllText(entry);
        foreach (string bad in new[] { content, honest[..^1], honest + "x", honest.Replace(AbcHash, AbcHash[1..]), honest.ToUpperInvariant() })
        {
            File.WriteAllText(entry, bad);
            Assert.Equal(AbcHash, cache.GetSha256(path));
        }

        Assert.Equal(honest, File.ReadAllText(entry));
    }

    [Fact]
    public void AChangedFileHasAnotherHashThoughItsTimeWasSetBack()
    {
        using var folder = new TemporaryFolder();
        string path = WriteOld(folder, "abc");
        DateTime time = File.GetLastWriteTimeUtc(path);
        var cache = new FileHashCache(folder.File("cache"));
        string before = cache.GetSha256(path);
        File.WriteAllText(path, "abd");
        File.SetLastWriteTimeUtc(path, time);
        Assert.NotEqual(before, cache.GetSha256(path));
    }

    [Fact]
    public void ACacheThatCannotBeWrittenIsDoneWithout()
    {
        using var folder = new TemporaryFolder();
        string path = WriteOld(folder, "abc");
        File.WriteAllText(folder.File("cache"), "a file where the folder should be");
        Assert.Equal(AbcHash, new FileHashCache(folder.File("cache")).GetSha256(path));
        Assert.Throws<FileNotFoundException>(() => new FileHashCache(folder.File("cache")).GetSha256(folder.File("none")));
    }

    [Fact]
    public void Cw01ManyWritersOfOneEntryNeverSpoilIt()
    {
        using var folder = new TemporaryFolder();
        string path = WriteOld(folder, "abc");
        Parallel.For(0, 200, _ => Assert.Equal(AbcHash, new FileHashCache(folder.File("cache")).GetSha256(path)));
    }

    // The file system's own time of change cannot be set: wait until the file counts as settled.
    private static string WriteOld(TemporaryFolder folder, string content)
    {
        string path = folder.File("file");
        File.WriteAllText(path, content);
        File.SetLastWriteTimeUtc(path, DateTime.UtcNow.AddDays(-1));
        var clock = Stopwatch.StartNew();
        while (clock.Elapsed < TimeSpan.FromSeconds(2.2))
            Thread.Sleep(100);
        return path;
    }
}
