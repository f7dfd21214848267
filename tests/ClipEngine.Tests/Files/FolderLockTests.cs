using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Files;

public class FolderLockTests
{
    [Fact]
    public void AFolderHasOneHolderAtATimeAndNothingStaysInIt()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("made", "here");
        using (FolderLock? held = FolderLock.TryTake(path))
        {
            Assert.NotNull(held);
            Assert.Null(FolderLock.TryTake(path));
        }

        Assert.False(Directory.Exists(path)); // as nothing was written there
        Assert.True(Directory.Exists(folder.File("made")));
        Directory.CreateDirectory(path);
        using (FolderLock? held = FolderLock.TryTake(path))
            Assert.NotNull(held);
        Assert.Empty(Directory.EnumerateFileSystemEntries(path)); // but it stays where it was before
        FolderLock again = FolderLock.TryTake(path)!;
        again.Dispose();
        using FolderLock? next = FolderLock.TryTake(path);
        again.Dispose(); // the second time means nothing: the file is another's
        Assert.Null(FolderLock.TryTake(path));
    }

    [Fact]
    public void TheFileOfAKilledProcessHindersNobody()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File(".lock"), "");
        using (FolderLock? held = FolderLock.TryTake(folder.Root))
            Assert.NotNull(held);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Root));
    }

    [Fact]
    public void AFileThatSomebodyRemovedAndAnotherMadeAnewIsLeftToTheOther()
    {
        using var folder = new TemporaryFolder();
        FolderLock first = FolderLock.TryTake(folder.Root)!;
        File.Delete(folder.File(".lock"));
        using FolderLock? second = FolderLock.TryTake(folder.Root);
        Assert.NotNull(second);
        first.Dispose();
        Assert.Null(FolderLock.TryTake(folder.Root));
    }

    [Fact]
    public void AFolderThatWasMadeForResultsKeepsThem()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("out");
        using (FolderLock? held = FolderLock.TryTake(path))
            File.WriteAllText(Path.Combine(path, "result"), "");
        Assert.Equal(["result"], Directory.EnumerateFileSystemEntries(path).Select(Path.GetFileName));
    }

    /// <summary>Who opens the file just before its holder removes it would lock a file without a name, and the next one another. The folder itself comes and goes, too, or does not.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ManyWhoTakeItAndLetGoNeverHoldItTogether(bool isThere)
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("out");
        if (isThere)
            Directory.CreateDirectory(path);
        int holders = 0, most = 0, taken = 0;
        Thread[] threads = [.. Enumerable.Range(0, 8).Select(_ => new Thread(() =>
        {
            while (Volatile.Read(ref taken) < 200)
            {
                using FolderLock? held = FolderLock.TryTake(path);
                if (held is null)
                    continue;
                Interlocked.Increment(ref taken);
                int now = Interlocked.Increment(ref holders);
                for (int known = most; now > known; known = most)
                    Interlocked.CompareExchange(ref most, now, known);
                Thread.Yield();
                Interlocked.Decrement(ref holders);
            }
        }))];
        foreach (Thread thread in threads)
            thread.Start();
        foreach (Thread thread in threads)
            thread.Join();
        Assert.Equal(1, most);
    }
}
