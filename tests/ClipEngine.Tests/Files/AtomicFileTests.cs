using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Files;

public class AtomicFileTests
{
    [Fact]
    public void AFailureKeepsTheOldFileAndLeavesNothingElse()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("a", "result.txt");
        AtomicFile.WriteAllText(path, "old");

        Assert.Throws<InvalidOperationException>(() => AtomicFile.Write(path, stream =>
        {
            stream.Write("half"u8);
            throw new InvalidOperationException();
        }));

        Assert.Equal("old", File.ReadAllText(path));
        Assert.Single(Directory.GetFiles(folder.File("a")));
    }

    [Fact]
    public void AFolderThatCannotBeMadeIsAnIOExceptionThatNamesThePath()
    {
        var exception = Assert.Throws<IOException>(() => AtomicFile.WriteAllText("/dev/null/x/result.txt", "text"));
        Assert.Contains("/dev/null/x/result.txt", exception.Message);
    }
}
