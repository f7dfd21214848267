using System.Diagnostics;
using ClipEngine.Cli.Commands;
using ClipEngine.Cli.Parts;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Commands;

/// <summary>Parts that <c>embed image --shard</c> makes, and what <c>merge</c> makes of them.</summary>
public sealed class MergeCommandTests : IDisposable
{
    private static readonly string Demo = Path.Combine(DemoCommand.Data, "models", "small");
    private static readonly string Pictures = Path.Combine(DemoCommand.Data, "probe", "images");
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(".npy")]
    [InlineData(".safetensors")]
    [InlineData(".parquet")]
    [InlineData(".arrow")]
    public async Task MergedPartsAreTheBytesOfOneRun(string extension)
    {
        string whole = _folder.File("whole" + extension), merged = _folder.File("merged" + extension);
        string[] inputs = [.. Directory.GetFiles(Pictures).Order(StringComparer.Ordinal).Take(10)];
        Assert.Equal(0, await EmbedAsync(inputs, whole));
        foreach (int part in new[] { 3, 1, 2 })
            Assert.Equal(0, await EmbedAsync(inputs, merged, "--shard", $"{part}/3"));
        Assert.Equal(0, await RunAsync("merge", _folder.Root, "--out", merged));
        Assert.Equal(File.ReadAllBytes(whole), File.ReadAllBytes(merged));
    }

    [Fact]
    public async Task ShardsAreDividedWholeAndASingleOneByItsImages()
    {
        string[] pictures = [.. Directory.GetFiles(Pictures).Order(StringComparer.Ordinal).Take(12)];
        string[] shards = [.. Enumerable.Range(0, 4).Select(shard => TarBuilder.Write(_folder.File($"{shard}.tar"), pictures.Skip(3 * shard).Take(3).Select(file => ($"{shard}-{Path.GetFileName(file)}", File.ReadAllBytes(file)))))];
        foreach (string[] inputs in new[] { shards, [shards[0]] })
        {
            string whole = _folder.File("whole.npy"), merged = _folder.File("parts", "merged.npy");
            Assert.Equal(0, await EmbedAsync(inputs, whole));
            for (int part = 1; part <= 3; part++)
                Assert.Equal(0, await EmbedAsync(inputs, merged, "--shard", $"{part}/3"));
            // Four shards: one, one and two of them.
            if (inputs.Length == 4)
                Assert.Equal([3, 3, 6], Enumerable.Range(1, 3).Select(part => (int)FeaturePart.Open(new PartNumber(part, 3).FileBeside(merged, ".safetensors")).Shape[0]));
            Assert.Equal(0, await RunAsync("merge", _folder.File("parts"), "--out", merged));
            Assert.Equal(File.ReadAllBytes(whole), File.ReadAllBytes(merged));
        }

        Assert.Equal(2, await EmbedAsync([shards[0]], _folder.File("f.npy"), "--shard", "1/4"));
    }

    [Fact]
    public async Task ImagesThatCannotBeReadAreListedAsInOneRun()
    {
        string[] inputs = [.. Directory.GetFiles(Pictures).Order(StringComparer.Ordinal).Take(6)];
        foreach (int bad in new[] { 1, 4 })
            File.WriteAllText(inputs[bad] = _folder.File($"page{bad}.png"), "<html>");
        string whole = _folder.File("whole.safetensors"), merged = _folder.File("merged.safetensors");
        Assert.Equal(0, await EmbedAsync(inputs, whole, "--skip-bad"));
        for (int part = 1; part <= 3; part++)
            Assert.Equal(0, await EmbedAsync(inputs, merged, "--skip-bad", "--shard", $"{part}/3"));
        Assert.Equal(0, await RunAsync("merge", _folder.Root, "--out", merged));
        Assert.Equal(File.ReadAllBytes(whole), File.ReadAllBytes(merged));
        Assert.Equal(File.ReadAllText(SkippedImages.ListOf(whole)), File.ReadAllText(SkippedImages.ListOf(merged)));
        Assert.Equal(2, File.ReadAllLines(SkippedImages.ListOf(merged)).Length);
    }

    [Fact]
    public async Task APartThatIsThereIsNotMadeAgainAndADamagedOrKilledOneIs()
    {
        string[] inputs = [.. Directory.GetFiles(Pictures).Order(StringComparer.Ordinal).Take(64)];
        string whole = _folder.File("whole.npy"), merged = _folder.File("merged.npy"), second = new PartNumber(2, 2).FileBeside(merged, ".safetensors");
        Assert.Equal(0, await EmbedAsync(inputs, whole));
        Assert.Equal(0, await EmbedAsync(inputs, merged, "--shard", "1/2"));

        using (Process killed = CommandLine.Start(["embed", "image", .. inputs, "--model", Demo, "--out", merged, "--shard", "2/2"]))
        {
            // Its unfinished file shows that it is at work.
            while (!Directory.EnumerateFiles(_folder.Root, "*.partial").Any() && !killed.HasExited)
                await Task.Delay(2);
            killed.Kill();
            await killed.WaitForExitAsync();
        }

        Assert.Equal(0, await EmbedAsync(inputs, merged, "--shard", "2/2"));
        DateTime made = File.GetLastWriteTimeUtc(second);
        Assert.Equal(0, await EmbedAsync(inputs, merged, "--shard", "2/2"));
        Assert.Equal(made, File.GetLastWriteTimeUtc(second));

        byte[] bytes = File.ReadAllBytes(second);
        bytes[^100] ^= 1;
        File.WriteAllBytes(second, bytes);
        var damaged = Assert.Throws<BadInputException>(() => FeatureMerge.Open([second, new PartNumber(1, 2).FileBeside(merged, ".safetensors")], default).Write(merged));
        Assert.Equal(second, damaged.InputSource);
        Assert.False(File.Exists(merged));
        Assert.Equal(0, await EmbedAsync(inputs, merged, "--shard", "2/2"));
        Assert.Equal(0, await RunAsync("merge", _folder.Root, "--out", merged));
        Assert.Equal(File.ReadAllBytes(whole), File.ReadAllBytes(merged));
    }

    [Fact]
    public async Task MissingDoubledAndForeignPartsAreRefusedByName()
    {
        string[] inputs = [.. Directory.GetFiles(Pictures).Order(StringComparer.Ordinal).Take(4)];
        string[] Parts(string name, int count) => [.. Enumerable.Range(1, count).Select(part => new PartNumber(part, count).FileBeside(_folder.File(name), ".safetensors"))];
        string[] parts = Parts("a.npy", 3), others = Parts("b.npy", 3), halves = Parts("c.npy", 2);
        for (int part = 1; part <= 3; part++)
            Assert.Equal(0, await EmbedAsync(inputs, _folder.File("a.npy"), "--shard", $"{part}/3"));
        Assert.Equal(0, await EmbedAsync([.. inputs.Skip(1)], _folder.File("b.npy"), "--shard", "2/3"));
        Assert.Equal(0, await EmbedAsync(inputs, _folder.File("c.npy"), "--shard", "1/2"));
        File.Copy(parts[0], _folder.File("copy.safetensors"));

        Assert.Contains("2/3", Refusal(parts[0], parts[2]).Problem);
        BadInputException doubled = Refusal([.. parts, _folder.File("copy.safetensors")]);
        Assert.Equal(_folder.File("copy.safetensors"), doubled.InputSource);
        Assert.Contains(parts[0], doubled.Problem);
        BadInputException foreign = Refusal(parts[0], others[1], parts[2]);
        Assert.Equal(others[1], foreign.InputSource);
        Assert.Contains("inputs", foreign.Problem);
        Assert.Equal(halves[0], Refusal(parts[1], halves[0]).InputSource);
        Assert.Equal(TestData.Path("towers", "vit-quickgelu", "golden.safetensors"), Refusal(parts[0], TestData.Path("towers", "vit-quickgelu", "golden.safetensors")).InputSource);

        static BadInputException Refusal(params string[] parts) => Assert.Throws<BadInputException>(() => FeatureMerge.Open(parts, default));
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(7, 7)]
    [InlineData(10, 3)]
    [InlineData(1_000_003, 1000)]
    [InlineData(5_000_000_000, 1_000_000)]
    public void PartsCoverAllItemsOnceAndAreEqualInNumber(long items, int count)
    {
        long next = 0;
        for (int index = 1; index <= count; index++)
        {
            (long first, long end) = new PartNumber(index, count).Slice(items);
            Assert.Equal(next, first);
            Assert.InRange(end - first, items / count, (items / count) + 1);
            next = end;
        }

        Assert.Equal(items, next);
    }

    [Theory]
    [InlineData("0/3")]
    [InlineData("4/3")]
    [InlineData("1")]
    [InlineData("1/0")]
    [InlineData("1/2/3")]
    [InlineData("a/b")]
    public void WhatIsNoPartIsRefused(string text) => Assert.Equal("--shard", Assert.Throws<BadInputException>(() => PartNumber.Parse(text)).InputSource);

    private static Task<int> EmbedAsync(IEnumerable<string> inputs, string output, params string[] options) => RunAsync(["embed", "image", .. inputs, "--model", Demo, "--out", output, .. options]);

    private static Task<int> RunAsync(params string[] arguments) => CommandRunner.InvokeAsync(Program.Definition(arguments), arguments);
}
