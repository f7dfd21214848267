using System.Text;
using System.Text.RegularExpressions;

namespace ClipEngine.Tests.Native;

/// <summary>What the native libraries ask of a system: their symbol versions and the libraries that they need, as the files name them.</summary>
public partial class NativeDependencyTests
{
    private static readonly string[] Allowed = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "libclipengine.so", "libclipengine_image.so", "libclipengine_cuda.so"];

    /// <summary>Names that the CUDA library looks for itself, and does without.</summary>
    private static readonly string[] OpenedAtRunTime = ["libcuda.so", "libnv", "libcublas"];

    [Theory]
    [InlineData("libclipengine.so")]
    [InlineData("libclipengine_image.so")]
    [InlineData("libclipengine_cuda.so")]
    public void Nothing_but_an_old_C_library_is_needed(string library)
    {
        // Names in an ELF file's string table end in a zero.
        string text = Encoding.Latin1.GetString(File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, library)));
        Version[] versions = [.. VersionNames().Matches(text).Select(static match => Version.Parse(match.Groups["version"].Value + ".0"))];
        Assert.NotEmpty(versions);
        Assert.True(versions.Max() <= new Version(2, 31, 0), $"{library} asks for glibc {versions.Max()}");
        string[] needed = [.. LibraryNames().Matches(text).Select(static match => match.Groups["name"].Value).Distinct()];
        Assert.DoesNotContain(needed.Except(Allowed), static name => !OpenedAtRunTime.Any(opened => name.StartsWith(opened, StringComparison.Ordinal)));
    }

    [GeneratedRegex(@"\0GLIBC_(?<version>\d+\.\d+)(?:\.\d+)?(?=\0)", RegexOptions.None, 60_000)]
    private static partial Regex VersionNames();

    [GeneratedRegex(@"\0(?<name>lib[a-zA-Z0-9_+-]+\.so(?:\.\d+)*|ld-linux[a-z0-9-]*\.so\.\d)(?=\0)", RegexOptions.None, 60_000)]
    private static partial Regex LibraryNames();
}
