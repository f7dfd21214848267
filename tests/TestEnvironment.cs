using System.Runtime.CompilerServices;

namespace ClipEngine.Testing;

/// <summary>Compiled into every test assembly: before any test runs, caches that belong to the user are moved away from them, for child processes too.</summary>
internal static class TestEnvironment
{
    [ModuleInitializer]
    internal static void Isolate() => Environment.SetEnvironmentVariable("XDG_CACHE_HOME", Path.Combine(TestData.RepositoryRoot, "artifacts", "test-cache"));
}
