using System.ComponentModel;
using System.Diagnostics;
using System.Text.Json;
using Apache.Arrow;
using Apache.Arrow.Ipc;
using Apache.Arrow.Types;
using ClipEngine.Testing;
using Array = System.Array;

namespace ClipEngine.Tests.Files;

/// <summary>Tables as Arrow files, read back by the library that writes them and by another one.</summary>
public sealed class ArrowTests : IDisposable
{
    private const int Rows = 70_000; // more than one batch

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void WhatIsWrittenIsReadBack()
    {
        string path = _folder.File("table.arrow");
        TableSample.Write(path, Rows);
        using FileStream stream = File.OpenRead(path);
        using var reader = new ArrowFileReader(stream);
        Assert.Equal("here", reader.Schema.Metadata["why"]);
        Assert.Equal([false, true, false, true, false, false, false, false, true], reader.Schema.FieldsList.Select(static field => field.IsNullable));
        int row = 0;
        while (reader.ReadNextRecordBatch() is { } batch)
        {
            using (batch)
            {
                var text = (StringArray)batch.Column("text");
                var maybe = (StringArray)batch.Column("maybe text");
                var single = (FloatArray)batch.Column("single");
                var number = (DoubleArray)batch.Column("double");
                var small = (Int32Array)batch.Column("int");
                var large = (Int64Array)batch.Column("long");
                var truth = (BooleanArray)batch.Column("truth");
                var vector = (FixedSizeListArray)batch.Column("vector");
                var bytes = (BinaryArray)batch.Column("bytes");
                Assert.Equal(3, ((FixedSizeListType)vector.Data.DataType).ListSize);
                var elements = (FloatArray)vector.Values;
                for (int i = 0; i < batch.Length; i++, row++)
                {
                    Assert.Equal(TableSample.Text(row), text.GetString(i));
                    Assert.Equal(row % 3 == 0 ? null : TableSample.Text(row), maybe.GetString(i));
                    Assert.Equal(TableSample.Single(row), single.GetValue(i));
                    Assert.Equal(row % 5 == 0 ? null : row / 7.0, number.GetValue(i));
                    Assert.Equal(row, small.GetValue(i));
                    Assert.Equal(row * 10_000_000_000L, large.GetValue(i));
                    Assert.Equal(row % 2 == 0, truth.GetValue(i));
                    Assert.Equal([TableSample.Single(row), -TableSample.Single(row), 0.25f], elements.Values.Slice(3 * i, 3));
                    Assert.Equal(row % 4 == 0, bytes.IsNull(i));
                    if (row % 4 != 0)
                        Assert.Equal((byte)row, Assert.Single(bytes.GetBytes(i).ToArray()));
                }
            }
        }

        Assert.Equal(Rows, row);
    }

    /// <summary>apache-arrow for JavaScript shares no code with the library that writes.</summary>
    [SkippableFact]
    public async Task WhatIsWrittenIsReadBackByAnotherLibrary()
    {
        string modules = await FindLibraryAsync(), path = _folder.File("table.arrow");
        TableSample.Write(path, Rows);
        (int status, string output) = await RunAsync("node", [TestData.Path("..", "ClipEngine.Tests", "Files", "read-arrow.js"), path], modules);
        Assert.True(status == 0, output);
        string[] lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(
            [
                "2 70000 [[\"why\",\"here\"]]", "text: Utf8", "maybe text: Utf8 or null", "single: Float32", "double: Float64 or null", "int: Int32", "long: Int64", "truth: Bool",
                "vector: FixedSizeList[3]<Float32>", "bytes: Binary or null",
            ], lines[..10]);
        Assert.Equal(Rows, lines.Length - 10);
        for (int row = 0; row < Rows; row++)
        {
            using var found = JsonDocument.Parse(lines[10 + row]);
            JsonElement[] cells = [.. found.RootElement.EnumerateArray()];
            Assert.Equal(TableSample.Text(row), cells[0].GetString());
            Assert.Equal(row % 3 == 0 ? null : TableSample.Text(row), cells[1].GetString());
            Assert.Equal(TableSample.Single(row), cells[2].GetSingle());
            Assert.Equal(row % 5 == 0 ? (double?)null : row / 7.0, cells[3].ValueKind == JsonValueKind.Null ? (double?)null : cells[3].GetDouble());
            Assert.Equal(row, cells[4].GetInt32());
            Assert.Equal(row * 10_000_000_000L, cells[5].GetInt64());
            Assert.Equal(row % 2 == 0, cells[6].GetBoolean());
            Assert.Equal([TableSample.Single(row), -TableSample.Single(row), 0.25f], cells[7].EnumerateArray().Select(static value => value.GetSingle()));
            Assert.Equal(row % 4 == 0 ? Array.Empty<byte>() : [(byte)row], cells[8].ValueKind == JsonValueKind.Null ? Array.Empty<byte>() : cells[8].EnumerateArray().Select(static value => value.GetByte()));
            Assert.Equal(row % 4 == 0, cells[8].ValueKind == JsonValueKind.Null);
        }
    }

    [Fact]
    public void TheSameRowsAreTheSameBytes()
    {
        string first = _folder.File("a.arrow"), second = _folder.File("b.arrow");
        TableSample.Write(first, rows: 1000);
        TableSample.Write(second, rows: 1000);
        Assert.Equal(File.ReadAllBytes(first), File.ReadAllBytes(second));
    }

    [Fact]
    public void ATableWithoutRowsIsAFileWithItsColumns()
    {
        string path = _folder.File("empty.arrow");
        TableSample.Write(path, rows: 0);
        using FileStream stream = File.OpenRead(path);
        using var reader = new ArrowFileReader(stream);
        Assert.Equal(9, reader.Schema.FieldsList.Count);
        Assert.Null(reader.ReadNextRecordBatch());
    }

    /// <summary>The folder of the library, which is fetched by npm once for a checkout.</summary>
    private static async Task<string> FindLibraryAsync()
    {
        string folder = Path.Combine(TestData.RepositoryRoot, "artifacts", "arrow-reader"), modules = Path.Combine(folder, "node_modules");
        (int status, string output) = await RunAsync("node", ["--version"]);
        Skip.If(status != 0, $"node is not installed: {output}");
        if (!Directory.Exists(Path.Combine(modules, "apache-arrow")))
        {
            Directory.CreateDirectory(folder);
            (status, output) = await RunAsync("npm", ["install", "--prefix", folder, "--no-audit", "--no-fund", "--fetch-retries", "0", "apache-arrow@21"]);
            Skip.If(status != 0, $"npm cannot fetch apache-arrow: {output.Split('\n')[0]}");
        }

        return modules;
    }

    private static async Task<(int Status, string Output)> RunAsync(string program, string[] arguments, string? modules = null)
    {
        try
        {
            var start = new ProcessStartInfo(program, arguments) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true, StandardOutputEncoding = System.Text.Encoding.UTF8 };
            start.Environment["NODE_PATH"] = modules;
            using Process process = Process.Start(start)!;
            Task<string> error = process.StandardError.ReadToEndAsync();
            string output = await process.StandardOutput.ReadToEndAsync();
            await process.WaitForExitAsync();
            return (process.ExitCode, process.ExitCode == 0 ? output : await error);
        }
        catch (Win32Exception exception)
        {
            return (-1, exception.Message);
        }
    }
}
