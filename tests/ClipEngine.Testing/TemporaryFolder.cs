namespace ClipEngine.Testing;

/// <summary>A folder of a test's own, removed with everything in it when disposed.</summary>
public sealed class TemporaryFolder : IDisposable
{
    /// <summary>Creates the folder.</summary>
    public TemporaryFolder() => Root = Directory.CreateTempSubdirectory("clipengine-test-").FullName;

    /// <summary>Its full path.</summary>
    public string Root { get; }

    /// <summary>A path inside it.</summary>
    public string File(params string[] parts) => Path.Combine([Root, .. parts]);

    /// <inheritdoc/>
    public void Dispose() => Directory.Delete(Root, recursive: true);
}
