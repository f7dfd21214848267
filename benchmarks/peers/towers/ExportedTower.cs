using System.Runtime.InteropServices;
using System.Text.Json;

namespace ClipEngine.Peers;

/// <summary>An engine that has loaded a tower.</summary>
internal interface IPeer : IDisposable
{
    /// <summary>Its name and version.</summary>
    string Name { get; }

    /// <summary>Runs the tower on so many items, the file's own over and over.</summary>
    /// <returns><c>[batch, embedding]</c>.</returns>
    float[] Run(int batch);
}

/// <summary>What export_towers.py wrote of a tower.</summary>
internal sealed class ExportedTower
{
    private readonly byte[] _input;

    private ExportedTower(string path, JsonElement about)
    {
        Path = path;
        string stem = path[..^".onnx".Length];
        Name = System.IO.Path.GetFileName(stem);
        InputName = about.GetProperty("input").GetString()!;
        Shape = [.. about.GetProperty("shape").EnumerateArray().Select(static size => size.GetInt32())];
        HasTokens = about.GetProperty("dtype").GetString() == "int64";
        Heads = about.GetProperty("heads").GetInt32();
        _input = File.ReadAllBytes(stem + ".in.bin");
        Reference = MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(stem + ".ref.bin")).ToArray();
        byte[] bytes = File.ReadAllBytes(stem + ".weights.bin");
        int at = 0;
        foreach (JsonElement tensor in about.GetProperty("weights").EnumerateArray())
        {
            long[] shape = [.. tensor.GetProperty("shape").EnumerateArray().Select(static size => size.GetInt64())];
            int length = (int)shape.Aggregate(1L, static (a, b) => a * b) * sizeof(float);
            Weights.Add(tensor.GetProperty("name").GetString()!, (shape, MemoryMarshal.Cast<byte, float>(bytes.AsSpan(at, length)).ToArray()));
            at += length;
        }
    }

    public string Path { get; }

    public string Name { get; }

    public string InputName { get; }

    /// <summary>Of the input, the batch first.</summary>
    public int[] Shape { get; }

    public bool HasTokens { get; }

    public int Heads { get; }

    /// <summary>PyTorch's output for the input.</summary>
    public float[] Reference { get; }

    public Dictionary<string, (long[] Shape, float[] Values)> Weights { get; } = [];

    public static ExportedTower Read(string path)
    {
        using JsonDocument about = JsonDocument.Parse(File.ReadAllBytes(System.IO.Path.ChangeExtension(path, ".json")));
        return new ExportedTower(path, about.RootElement);
    }

    /// <summary>So many items of the input.</summary>
    public T[] Input<T>(int batch)
        where T : unmanaged
    {
        ReadOnlySpan<T> own = MemoryMarshal.Cast<byte, T>(_input);
        int each = own.Length / Shape[0];
        var values = new T[batch * each];
        for (int i = 0; i < batch; i++)
            own.Slice(i % Shape[0] * each, each).CopyTo(values.AsSpan(i * each));
        return values;
    }
}
