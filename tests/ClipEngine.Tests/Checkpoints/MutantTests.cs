using System.Buffers.Binary;
using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using ClipEngine.Checkpoints;
using ClipEngine.Testing;
using Xunit.Abstractions;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>
/// Thousands of damaged files from <c>tools/mutate-checkpoints.py</c>, each judged by its oracle, which shares nothing with the
/// readers. A reader may refuse more than the oracle, but what it reads must be readable and be the same tensors, bit by bit.
/// </summary>
public class MutantTests(ITestOutputHelper output)
{
    private const int NormalCount = 2_000;
    private const int LongCount = 20_000;

    [SkippableFact]
    public void SafetensorsAreRefusedExactlyWhereTheOracleRefuses()
    {
        (int accepted, int overRefused) = Run("safetensors", SafetensorsSeeds());
        Assert.True(accepted > 0, "no mutant was readable: nothing was compared");
        Assert.Equal(0, overRefused);
    }

    [SkippableFact]
    public void ArchivesAreNeverReadOtherwiseThanTheOracleReadsThem()
    {
        // Our zip rules are stricter on purpose (no comments, no gaps, no member that no tensor uses): over-refusals are only reported.
        (int accepted, _) = Run("archive", Directory.GetFiles(TestData.Path("checkpoints"), "*.pt"));
        Assert.True(accepted > 0, "no mutant was readable: nothing was compared");
    }

    private static string[] SafetensorsSeeds() => [.. Directory.GetFiles(TestData.Path("towers"), "golden.safetensors", SearchOption.AllDirectories).Order(StringComparer.Ordinal).Take(1)];

    private (int Accepted, int OverRefused) Run(string kind, string[] seeds)
    {
        int count = Environment.GetEnvironmentVariable("CLIPENGINE_LONG") == "1" ? LongCount : NormalCount;
        using var folder = new TemporaryFolder();
        string mutants = folder.File("mutants.bin");
        Generate(kind, count, mutants, seeds);
        using var stream = new BinaryReader(File.OpenRead(mutants));
        string path = folder.File("mutant");
        int accepted = 0;
        int overRefused = 0;
        int hangs = 0;
        for (int i = 0; i < count; i++)
        {
            bool isReadable = stream.ReadByte() == 1;
            byte[] expected = stream.ReadBytes(32);
            byte[] bytes = stream.ReadBytes(stream.ReadInt32());
            File.WriteAllBytes(path, bytes);
            (byte[]? found, TimeSpan time, Exception? refusal) = Try(kind, path);
            // A second and a third look: on a busy machine one slow run says nothing.
            for (int again = 0; again < 2 && time > TimeSpan.FromSeconds(1); again++)
                time = Try(kind, path).Time;
            hangs += time > TimeSpan.FromSeconds(1) ? 1 : 0;
            Assert.True(found is not null || refusal is CheckpointException, $"mutant {i} ({Convert.ToBase64String(bytes.AsSpan(0, Math.Min(bytes.Length, 3000)))}) ended in {refusal}");
            if (found is null)
            {
                overRefused += isReadable ? 1 : 0;
                if (isReadable)
                    output.WriteLine($"mutant {i}: the oracle reads it, we refuse: {refusal!.Message}");
                continue;
            }

            accepted++;
            Assert.True(isReadable, $"mutant {i} was read, and must be refused: {Convert.ToBase64String(bytes.AsSpan(0, Math.Min(bytes.Length, 6000)))}");
            Assert.True(expected.AsSpan().SequenceEqual(found), $"mutant {i} was read as other tensors than the oracle's: {Convert.ToBase64String(bytes.AsSpan(0, Math.Min(bytes.Length, 6000)))}");
        }

        output.WriteLine($"{kind}: {count} mutants, 0 crashes, {hangs} hangs over 1 s, 0 silent acceptances; {accepted} read as the oracle reads them, {overRefused} refused that the oracle reads");
        Assert.Equal(0, hangs);
        return (accepted, overRefused);
    }

    private static (byte[]? Digest, TimeSpan Time, Exception? Refusal) Try(string kind, string path)
    {
        var clock = Stopwatch.StartNew();
        try
        {
            using ICheckpoint checkpoint = kind == "archive" ? PyTorchArchive.Open(path) : SafetensorsFile.Open(path);
            return (Digest(checkpoint), clock.Elapsed, null);
        }
        catch (Exception exception)
        {
            return (null, clock.Elapsed, exception);
        }
    }

    private static byte[] Digest(ICheckpoint checkpoint)
    {
        using var sha = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (StoredTensor tensor in checkpoint.Tensors.Values.OrderBy(tensor => Encoding.UTF8.GetBytes(tensor.Name), Comparer<byte[]>.Create((left, right) => left.AsSpan().SequenceCompareTo(right))))
        {
            sha.AppendData(Encoding.UTF8.GetBytes($"{tensor.Name}\0{SafetensorsFormat.NameOf(tensor.Type)}\0{string.Join(',', tensor.Dimensions)}\0"));
            using TensorBytes bytes = checkpoint.Borrow(tensor.Name);
            sha.AppendData(bytes.Slice(0, (int)bytes.ByteLength));
        }

        return sha.GetHashAndReset();
    }

    private static void Generate(string kind, int count, string path, string[] seeds)
    {
        string script = Path.Combine(TestData.RepositoryRoot, "tools", "mutate-checkpoints.py");
        Process? process = null;
        try
        {
            process = Process.Start(new ProcessStartInfo("python3", [script, "--kind", kind, "--count", $"{count}", "--seed", "20", "--out", path, .. seeds.Order(StringComparer.Ordinal)])
            {
                RedirectStandardError = true,
                RedirectStandardOutput = true,
                UseShellExecute = false,
            });
        }
        catch (System.ComponentModel.Win32Exception)
        {
            // Told below: the skip must be visible.
        }

        Skip.If(process is null, "python3 is not installed: the mutants and their oracle are written in Python");
        process!.StandardOutput.ReadToEnd();
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, error);
    }
}
