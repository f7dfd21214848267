using System.Buffers.Binary;
using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using ClipEngine.Native;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Native;

/// <summary>
/// The native libraries for other systems, where this tree has them (<c>tools/pack.sh</c> and <c>./test.sh</c> build them): what they need of a
/// system, and the instructions that they must not contain. That they compute the same is tested in <c>native/tests</c>, by qemu and wine.
/// </summary>
public partial class NativePlatformTests
{
    private static readonly string[] OfWindows = ["KERNEL32.DLL", "MSVCRT.DLL"];
    private static readonly string[] OfGlibc = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-aarch64.so.1"];

    [SkippableTheory]
    [InlineData("libclipengine.dll")]
    [InlineData("libclipengine_image.dll")]
    public void A_Windows_library_needs_what_every_Windows_has(string library)
    {
        string[] needed = ImportedLibraries(File.ReadAllBytes(Library("win-x64", library)));
        Assert.NotEmpty(needed);
        Assert.All(needed, static name => Assert.Contains(name.ToUpperInvariant(), OfWindows));
    }

    [SkippableTheory]
    [InlineData("libclipengine.so")]
    [InlineData("libclipengine_image.so")]
    public void An_Arm64_library_needs_an_old_glibc_alone(string library)
    {
        byte[] bytes = File.ReadAllBytes(Library("linux-arm64", library));
        Assert.Equal(183, BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(18))); // EM_AARCH64
        string text = Encoding.Latin1.GetString(bytes);
        Version newest = GlibcNames().Matches(text).Select(static match => Version.Parse(match.Groups["version"].Value)).Max()!;
        Assert.True(newest <= new Version(2, 31), $"{library} asks for glibc {newest}");
        Assert.All(NeededNames().Matches(text).Select(static match => match.Groups["name"].Value), static name => Assert.Contains(name, OfGlibc));
    }

    /// <summary>
    /// GCC keeps the stack aligned to 16 bytes on Windows, whatever a vector wants: an instruction that needs 32 or 64 would fault now and then.
    /// The assembler writes those that need none.
    /// </summary>
    [SkippableTheory]
    [InlineData("libclipengine.dll")]
    [InlineData("libclipengine_image.dll")]
    public async Task No_instruction_of_a_Windows_library_wants_an_aligned_wide_vector(string library)
    {
        string path = Library("win-x64", library);
        Process? objdump = null;
        try
        {
            objdump = Process.Start(new ProcessStartInfo("objdump", ["-d", "--no-show-raw-insn", path]) { RedirectStandardOutput = true, UseShellExecute = false });
        }
        catch (Win32Exception)
        {
            Skip.If(true, "objdump is not installed");
        }

        string code = await objdump!.StandardOutput.ReadToEndAsync();
        await objdump.WaitForExitAsync();
        Skip.If(objdump.ExitCode != 0, "this objdump does not know the format");
        Assert.Contains("vmovups", code, StringComparison.Ordinal); // so there are wide vectors, and they were looked at
        // VEX and EVEX moves whose names say "aligned", with memory on either side; between registers they are harmless. libjpeg-turbo's are
        // written by hand, in functions that align their own stack.
        string function = "";
        foreach (string line in code.Split('\n'))
        {
            if (line.EndsWith(">:", StringComparison.Ordinal))
                function = line;
            else if (AlignedMove().IsMatch(line))
                Assert.Contains("<jsimd_", function, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("linux-x64", "LINUX", Architecture.X64, true)]
    [InlineData("linux-arm64", "LINUX", Architecture.Arm64, true)]
    [InlineData("ubuntu.24.04-x64", "LINUX", Architecture.X64, true)]
    [InlineData("win-x64", "WINDOWS", Architecture.X64, true)]
    [InlineData("win-arm64", "WINDOWS", Architecture.Arm64, false)]
    [InlineData("linux-musl-x64", "LINUX", Architecture.X64, false)]
    [InlineData("alpine.3.20-arm64", "LINUX", Architecture.Arm64, false)]
    [InlineData("linux-arm", "LINUX", Architecture.Arm, false)]
    [InlineData("osx-arm64", "OSX", Architecture.Arm64, false)]
    public void Another_system_is_told_which_ones_are_supported(string runtime, string platform, Architecture architecture, bool isSupported)
    {
        string reason = NativeLoader.WhyUnsupported(runtime, OSPlatform.Create(platform), architecture) ?? "";
        Assert.Equal(isSupported, reason.Length == 0);
        if (isSupported)
            return;
        foreach (string name in (string[])["linux-x64", "linux-arm64", "win-x64", runtime])
            Assert.Contains(name, reason, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', reason);
    }

    private static string Library(string runtime, string name)
    {
        string path = Path.Combine(TestData.RepositoryRoot, "artifacts", "native", runtime, name);
        Skip.IfNot(File.Exists(path), $"{runtime} was not built here (tools/pack.sh builds it)");
        return path;
    }

    /// <summary>The names in the import table of a PE32+ file.</summary>
    private static string[] ImportedLibraries(ReadOnlySpan<byte> file)
    {
        int header = BinaryPrimitives.ReadInt32LittleEndian(file[0x3C..]);
        int sections = BinaryPrimitives.ReadUInt16LittleEndian(file[(header + 6)..]), optional = header + 24;
        int first = optional + BinaryPrimitives.ReadUInt16LittleEndian(file[(header + 20)..]);
        int imports = BinaryPrimitives.ReadInt32LittleEndian(file[(optional + 120)..]);
        List<string> names = [];
        for (int entry = Place(file, imports); BinaryPrimitives.ReadInt32LittleEndian(file[(entry + 12)..]) is var name and not 0; entry += 20)
        {
            ReadOnlySpan<byte> text = file[Place(file, name)..];
            names.Add(Encoding.ASCII.GetString(text[..text.IndexOf((byte)0)]));
        }

        return [.. names];

        int Place(ReadOnlySpan<byte> file, int address)
        {
            for (int section = first; section < first + 40 * sections; section += 40)
            {
                int from = BinaryPrimitives.ReadInt32LittleEndian(file[(section + 12)..]), size = BinaryPrimitives.ReadInt32LittleEndian(file[(section + 16)..]);
                if (address >= from && address < from + size)
                    return BinaryPrimitives.ReadInt32LittleEndian(file[(section + 20)..]) + address - from;
            }

            throw new InvalidDataException("an address outside of every section");
        }
    }

    [GeneratedRegex(@"\0GLIBC_(?<version>\d+\.\d+)(?:\.\d+)?(?=\0)", RegexOptions.None, 60_000)]
    private static partial Regex GlibcNames();

    [GeneratedRegex(@"\0(?<name>lib[a-zA-Z0-9_+-]+\.so\.\d+|ld-linux[a-z0-9-]*\.so\.\d)(?=\0)", RegexOptions.None, 60_000)]
    private static partial Regex NeededNames();

    [GeneratedRegex(@"\tvmov(?:aps|apd|dqa|dqa32|dqa64|ntdq|ntps|ntpd|ntdqa)\s.*\(", RegexOptions.None, 60_000)]
    private static partial Regex AlignedMove();
}
