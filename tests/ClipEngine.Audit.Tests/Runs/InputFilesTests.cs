using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Runs;

public class InputFilesTests
{
    [SkippableFact]
    public void LargeFilesAreHashedOnceAndSmallOnesLeaveNothingBehind()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "elsewhere nothing is kept");
        using var folder = new TemporaryFolder();
        var cache = new FileHashCache(folder.File("cache"));
        File.WriteAllText(folder.File("small"), "abc");
        using (FileStream large = File.Create(folder.File("large")))
            large.SetLength(InputFiles.LargeFile);
        // A file that was written a moment ago is not trusted yet.
        Thread.Sleep(2100);
        Assert.Equal(new InputFile("images", "small", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 3), InputFiles.Describe("images", folder.File("small"), cache));
        Assert.False(Directory.Exists(folder.File("cache")));
        InputFile first = InputFiles.Describe("weights", folder.File("large"), cache);
        string entry = Assert.Single(Directory.GetFiles(folder.File("cache")));
        File.WriteAllText(entry, File.ReadAllText(entry).Replace(first.Sha256, new string('1', 64), StringComparison.Ordinal));
        Assert.Equal(new string('1', 64), InputFiles.Describe("weights", folder.File("large"), cache).Sha256);
    }

    [Fact]
    public void TestsDoNotUseTheUsersCache() =>
        Assert.StartsWith(TestData.RepositoryRoot, Environment.GetEnvironmentVariable("XDG_CACHE_HOME"));
}
