using Xunit;

namespace ClipEngine.Testing;

/// <summary>Where test data lies: <c>tests/data</c> in every clone, and the folder <c>shared</c> that stands beside some checkouts.</summary>
public static class TestData
{
    /// <summary>The root of the repository, found upwards from the test's binary.</summary>
    public static string RepositoryRoot { get; } = FindRoot();

    /// <summary>A path below <c>tests/data</c>. Missing data there is a failure, never a skip.</summary>
    public static string Path(params string[] parts) =>
        System.IO.Path.Combine([RepositoryRoot, "tests", "data", .. parts]);

    /// <summary>A path below the data of <c>clipengine demo</c>: <c>models/small</c> is a checkpoint with its tokenizer, <c>probe/images</c> pictures that it knows.</summary>
    public static string DemoPath(params string[] parts) =>
        System.IO.Path.Combine([RepositoryRoot, "src", "ClipEngine.Cli", "Demo", "Data", .. parts]);

    /// <summary>A path below the shared folder; skips the calling test, visibly, where that is absent. The test must be a <c>SkippableFact</c> or <c>SkippableTheory</c>.</summary>
    public static string SharedPath(params string[] parts)
    {
        string shared = System.IO.Path.GetFullPath(System.IO.Path.Combine(RepositoryRoot, "..", "shared"));
        Skip.IfNot(Directory.Exists(shared), "the folder 'shared' does not stand beside this checkout");
        return System.IO.Path.Combine([shared, .. parts]);
    }

    /// <summary>Where the native libraries lie; <c>CLIPENGINE_TEST_NATIVE</c> names another build's folder, as one with sanitizers.</summary>
    public static string NativeFolder { get; } = Environment.GetEnvironmentVariable("CLIPENGINE_TEST_NATIVE") is { Length: > 0 } other
        ? other
        : System.IO.Path.Combine(RepositoryRoot, "artifacts", "native", "Release");

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(System.IO.Path.Combine(folder.FullName, "ClipEngine.sln")))
                return folder.FullName;
        }

        throw new InvalidOperationException("ClipEngine.sln was not found above " + AppContext.BaseDirectory);
    }
}
