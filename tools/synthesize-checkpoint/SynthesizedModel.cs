using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using ClipEngine.Checkpoints;
using ClipEngine.Files;
using ClipEngine.Tensors;

namespace ClipEngine.Synthesis;

/// <summary>A full-size model described by a golden's JSON file: its configuration, and every key and shape that open_clip expects.</summary>
public sealed class SynthesizedModel
{
    /// <summary>Elements that one thread fills at a time; 4 MiB of floats.</summary>
    private const int ChunkLength = 1 << 20;

    private readonly JsonNode _configuration;
    private readonly List<(string Key, long[] Dimensions)> _tensors = [];

    private SynthesizedModel(JsonNode root)
    {
        Name = root["name"]!.GetValue<string>();
        _configuration = root["model_cfg"]!.DeepClone();
        PixelSeed = root["pixels"]!["seed"]!.GetValue<string>();
        PixelScale = root["pixels"]!["scale"]!.GetValue<double>();
        PixelDimensions = Sizes(root["pixels"]!["shape"]!);
        foreach ((string key, JsonNode? dimensions) in root["state_dict"]!.AsObject())
            _tensors.Add((key, Sizes(dimensions!)));
    }

    /// <summary>The model's name in open_clip.</summary>
    public string Name { get; }

    /// <summary>The seed key of the golden's pixels.</summary>
    public string PixelSeed { get; }

    /// <summary>The largest absolute pixel.</summary>
    public double PixelScale { get; }

    /// <summary><c>[n, 3, height, width]</c>.</summary>
    public long[] PixelDimensions { get; }

    /// <summary>Reads the description.</summary>
    /// <param name="path">A file of <c>goldens/towers-full</c>.</param>
    public static SynthesizedModel Load(string path) => new(JsonNode.Parse(File.ReadAllBytes(path))!);

    /// <summary>The golden's input.</summary>
    public float[] Pixels()
    {
        float[] pixels = new float[Formula.Product(PixelDimensions)];
        Formula.FillPixels(PixelSeed, PixelScale, pixels);
        return pixels;
    }

    /// <summary>Writes <c>open_clip_config.json</c> and <c>open_clip_model.safetensors</c>, each whole or not at all.</summary>
    /// <param name="folder">Created where it is missing.</param>
    /// <param name="type">Float32, Float16 or BFloat16.</param>
    public void Write(string folder, ElementType type = ElementType.Float32)
    {
        var configuration = new JsonObject
        {
            ["model_cfg"] = _configuration.DeepClone(),
            ["preprocess_cfg"] = JsonNode.Parse("""{"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}"""),
        };
        AtomicFile.WriteAllText(Path.Combine(folder, "open_clip_config.json"), configuration.ToJsonString(new JsonSerializerOptions { WriteIndented = true }));
        AtomicFile.Write(Path.Combine(folder, "open_clip_model.safetensors"), stream => Write(stream, type));
    }

    /// <summary>Writes the golden's input, <c>pixels</c>, as <c>clipengine embed raw</c> reads it.</summary>
    /// <param name="path">A <c>.safetensors</c> file.</param>
    public void WritePixels(string path)
    {
        var writer = new SafetensorsWriter();
        writer.Add("pixels", Pixels(), PixelDimensions);
        writer.Write(path);
    }

    private void Write(FileStream stream, ElementType type)
    {
        var header = new JsonObject { ["__metadata__"] = new JsonObject { ["format"] = "pt" } };
        long offset = 0;
        var chunks = new List<(string Key, long[] Dimensions, long Start, int Length, long Offset)>();
        foreach ((string key, long[] dimensions) in _tensors)
        {
            bool isCounter = key.EndsWith("num_batches_tracked", StringComparison.Ordinal);
            int size = isCounter ? 8 : type.SizeInBytes();
            long count = Formula.Product(dimensions), end = offset + (count * size);
            header[key] = new JsonObject
            {
                ["dtype"] = isCounter ? "I64" : type switch { ElementType.Float16 => "F16", ElementType.BFloat16 => "BF16", _ => "F32" },
                ["shape"] = new JsonArray([.. dimensions.Select(d => (JsonNode)JsonValue.Create(d))]),
                ["data_offsets"] = new JsonArray(offset, end),
            };
            for (long start = 0; !isCounter && start < count; start += ChunkLength)
                chunks.Add((key, dimensions, start, (int)Math.Min(ChunkLength, count - start), offset + (start * size)));
            offset = end;
        }

        byte[] json = Encoding.UTF8.GetBytes(header.ToJsonString());
        int padded = (json.Length + 7) / 8 * 8;
        byte[] head = new byte[8 + padded];
        head.AsSpan(8).Fill((byte)' ');
        BinaryPrimitives.WriteInt64LittleEndian(head, padded);
        json.CopyTo(head, 8);
        stream.SetLength(head.Length + offset); // counters stay zero
        RandomAccess.Write(stream.SafeFileHandle, head, 0);
        Parallel.ForEach(chunks, () => new float[ChunkLength], (chunk, _, buffer) =>
        {
            Span<float> values = buffer.AsSpan(0, chunk.Length);
            Formula.Fill(chunk.Key, chunk.Dimensions, chunk.Start, values);
            RandomAccess.Write(stream.SafeFileHandle, Narrow(values, type), head.Length + chunk.Offset);
            return buffer;
        }, static _ => { });
    }

    /// <summary>Rounds to nearest, ties to even, inside the buffer: an element never grows.</summary>
    private static Span<byte> Narrow(Span<float> values, ElementType type)
    {
        Span<ushort> narrow = MemoryMarshal.Cast<float, ushort>(values);
        switch (type)
        {
            case ElementType.Float16:
                for (int i = 0; i < values.Length; i++)
                    narrow[i] = BitConverter.HalfToUInt16Bits((Half)values[i]);
                break;
            case ElementType.BFloat16:
                for (int i = 0; i < values.Length; i++)
                {
                    uint bits = BitConverter.SingleToUInt32Bits(values[i]);
                    narrow[i] = (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
                }

                break;
            case ElementType.Float32:
                return MemoryMarshal.AsBytes(values);
            default:
                throw new ArgumentOutOfRangeException(nameof(type), type, "Float32, Float16 or BFloat16.");
        }

        return MemoryMarshal.AsBytes(narrow[..values.Length]);
    }

    private static long[] Sizes(JsonNode array) => [.. array.AsArray().Select(size => size!.GetValue<long>())];
}
