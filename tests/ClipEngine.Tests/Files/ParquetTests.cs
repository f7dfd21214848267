using System.Security.Cryptography;
using ClipEngine.Files;
using ClipEngine.Testing;
using ParquetSharp;

namespace ClipEngine.Tests.Files;

public sealed class ParquetTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static string Interop(string name) => Path.Combine(TestData.RepositoryRoot, "tests", "data", "interop", name);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void WhatIsWrittenIsReadBackByTheLibraryBehindPyarrow()
    {
        string path = _folder.File("table.parquet");
        TableSample.Write(path, rows: 70_000); // more than one row group
        using var file = new ParquetFileReader(path);
        Assert.Equal(70_000, file.FileMetaData.NumRows);
        Assert.Equal(2, file.FileMetaData.NumRowGroups);
        Assert.Equal("here", file.FileMetaData.KeyValueMetadata["why"]);
        using RowGroupReader second = file.RowGroup(1);
        int rows = (int)second.MetaData.NumRows, first = 70_000 - rows;
        using (var text = second.Column(0).LogicalReader<string>())
            Assert.Equal(Enumerable.Range(first, rows).Select(TableSample.Text), text.ReadAll(rows));
        using (var maybe = second.Column(1).LogicalReader<string?>())
            Assert.Equal(Enumerable.Range(first, rows).Select(row => row % 3 == 0 ? null : TableSample.Text(row)), maybe.ReadAll(rows));
        using (var numbers = second.Column(2).LogicalReader<float>())
            Assert.Equal(Enumerable.Range(first, rows).Select(TableSample.Single), numbers.ReadAll(rows));
        using (var numbers = second.Column(3).LogicalReader<double?>())
            Assert.Equal(Enumerable.Range(first, rows).Select(row => row % 5 == 0 ? (double?)null : row / 7.0), numbers.ReadAll(rows));
        using (var numbers = second.Column(4).LogicalReader<int>())
            Assert.Equal(Enumerable.Range(first, rows), numbers.ReadAll(rows));
        using (var numbers = second.Column(5).LogicalReader<long>())
            Assert.Equal(Enumerable.Range(first, rows).Select(row => row * 10_000_000_000L), numbers.ReadAll(rows));
        using (var truth = second.Column(6).LogicalReader<bool>())
            Assert.Equal(Enumerable.Range(first, rows).Select(row => row % 2 == 0), truth.ReadAll(rows));
        using (var vectors = second.Column(7).LogicalReader<float[]>())
            Assert.Equal(Enumerable.Range(first, rows).Select(row => new[] { TableSample.Single(row), -TableSample.Single(row), 0.25f }), vectors.ReadAll(rows));
        using (var bytes = second.Column(8).LogicalReader<byte[]?>())
            Assert.Equal(Enumerable.Range(first, rows).Select(row => row % 4 == 0 ? null : new[] { (byte)row }), bytes.ReadAll(rows));
    }

    [Fact]
    public void WhatIsWrittenIsReadBackByOurReader()
    {
        string path = _folder.File("table.parquet");
        TableSample.Write(path, rows: 70_000);
        using ParquetFile file = ParquetFile.Open(path);
        Assert.Equal(70_000, file.RowCount);
        Assert.Equal(["text", "maybe text", "single", "double", "int", "long", "truth", "vector.list.element", "bytes"], file.Columns);
        Assert.Equal("here", file.Metadata["why"]);
        int rows = file.RowsOf(1), first = file.RowsOf(0);
        Assert.Equal(Enumerable.Range(first, rows).Select(TableSample.Text), file.ReadText(1, file.Column("text")));
        Assert.Equal(Enumerable.Range(first, rows).Select(row => row % 5 == 0 ? (double?)null : row / 7.0), file.ReadNumbers(1, file.Column("double")));
        Assert.Equal("0.5", file.ReadText(0, file.Column("single"))[1]);
        Assert.Equal<string?>(["true", "false"], file.ReadText(0, file.Column("truth")).Take(2));
        Assert.Null(file.ReadText(0, file.Column("double"))[0]);
        (float[] vectors, int width) = file.ReadVectors(1, 7);
        Assert.Equal(3, width);
        Assert.Equal([TableSample.Single(first), -TableSample.Single(first), 0.25f], vectors[..3]);
        Assert.Equal(new byte[] { 3 }, file.ReadBytes(0, file.Column("bytes"))[3]);
    }

    [Fact]
    public void TheSameRowsAreTheSameBytes()
    {
        string first = _folder.File("a.parquet"), second = _folder.File("b.parquet");
        TableSample.Write(first, rows: 1000);
        TableSample.Write(second, rows: 1000);
        Assert.Equal(SHA256.HashData(File.ReadAllBytes(first)), SHA256.HashData(File.ReadAllBytes(second)));
    }

    [Fact]
    public void FilesOfPyarrowAreReadWithTheirNulls()
    {
        using ParquetFile file = ParquetFile.Open(Interop("img2dataset-webdataset/00000.parquet"));
        Assert.Equal(6, file.RowCount);
        // As the README of those files says: rows stand in the order in which downloads ended, failures included.
        Assert.Equal<string?>(["000000", "000001", "000002", "000004", "000003", "000005"], file.ReadText(0, file.Column("key")).ToList());
        string?[] status = file.ReadText(0, file.Column("status"));
        double?[] width = file.ReadNumbers(0, file.Column("width"));
        Assert.Equal<string?>(["success", "success", "failed_to_download", "failed_to_resize", "success", "success"], status.ToList());
        Assert.Equal(status.Select(text => text != "success"), width.Select(number => number is null));
        Assert.Contains("a plain photo, \"quoted\"", file.ReadText(0, file.Column("caption")));
    }

    [Fact]
    public void WhatIsNoTableIsRefusedWithItsName()
    {
        string text = _folder.File("text.parquet"), cut = _folder.File("cut.parquet"), whole = Interop("img2dataset-parquet/00000.parquet");
        File.WriteAllText(text, "caption,url\na,b\n");
        byte[] bytes = File.ReadAllBytes(whole);
        File.WriteAllBytes(cut, bytes[..(bytes.Length / 2)]);
        Assert.Contains("PAR1", Assert.Throws<BadInputException>(() => ParquetFile.Open(text)).Message);
        Assert.Contains("cut off", Assert.Throws<BadInputException>(() => ParquetFile.Open(cut)).Message);
        Assert.Throws<BadInputException>(() => ParquetFile.Open(_folder.File("missing.parquet")));
        using ParquetFile file = ParquetFile.Open(whole);
        Assert.Contains("'caption'", Assert.Throws<BadInputException>(() => file.Column("Caption")).Message);
        Assert.Contains("bytes", Assert.Throws<BadInputException>(() => file.ReadText(0, file.Column("jpg"))).Message);
        Assert.Contains("text", Assert.Throws<BadInputException>(() => file.ReadNumbers(0, file.Column("caption"))).Message);
    }

    /// <summary>Every byte of a file's footer and many of its pages are changed: what comes of it is a table or a refusal, nothing else.</summary>
    [Fact]
    public void DamagedFilesAreReadOrRefused()
    {
        byte[] whole = File.ReadAllBytes(Interop("clip-retrieval/metadata/metadata_00.parquet"));
        string path = _folder.File("damaged.parquet");
        var random = new Random(7);
        for (int round = 0; round < 1500; round++)
        {
            byte[] bytes = [.. whole];
            for (int change = random.Next(1, 4); change > 0; change--)
                bytes[random.Next(4, bytes.Length - 4)] = (byte)random.Next(256);
            File.WriteAllBytes(path, bytes);
            try
            {
                using ParquetFile file = ParquetFile.Open(path);
                for (int column = 0; column < file.Columns.Count; column++)
                {
                    for (int group = 0; group < file.GroupCount; group++)
                        file.ReadText(group, column);
                }
            }
            catch (BadInputException exception)
            {
                Assert.Contains("damaged.parquet", exception.Message);
            }
        }
    }
}
