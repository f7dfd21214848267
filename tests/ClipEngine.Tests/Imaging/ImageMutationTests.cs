using System.Diagnostics;
using ClipEngine.Imaging;
using ClipEngine.Testing;
using Xunit.Abstractions;

namespace ClipEngine.Tests.Imaging;

/// <summary>Runs <c>tools/mutate/images.py</c>: thousands of damaged files, judged against Pillow, in child processes.</summary>
public class ImageMutationTests(ITestOutputHelper output)
{
    [SkippableFact]
    public void MutantsAreRefusedOrDecodedExactlyAsPillowDoes()
    {
        string? python = FindPython();
        Skip.If(python is null, "no Python with Pillow 9.4 (the oracle, with WebP) and NumPy is installed");
        int count = Environment.GetEnvironmentVariable("CLIPENGINE_LONG") is { Length: > 0 } ? 20_000 : 2_000;
        _ = ImagePreprocessor.Kernels; // the library stands beside the test

        (int exitCode, string text) = Run(python!, Path.Combine(TestData.RepositoryRoot, "tools", "mutate", "images.py"),
            "--library", Path.Combine(AppContext.BaseDirectory, "libclipengine_image.so"), "--count", count.ToString());

        output.WriteLine(text);
        Assert.True(exitCode == 0, text);
        Assert.Contains("0 crashes, 0 hangs over 1 s, 0 silent acceptances", text);
    }

    // Other versions of Pillow differ from 9.4 in 16-bit gray, among others.
    private static string? FindPython() =>
        new[] { "/usr/bin/python3", "python3" }.FirstOrDefault(python =>
        {
            try
            {
                return Run(python, "-c", "import numpy, PIL; from PIL import features; assert PIL.__version__.startswith('9.4.') and features.check('webp_anim')").ExitCode == 0;
            }
            catch (System.ComponentModel.Win32Exception)
            {
                return false;
            }
        });

    private static (int ExitCode, string Text) Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true })!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string text = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, text + errors.Result);
    }
}
