using System.Buffers.Binary;
using System.Text;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>Writes pickles opcode by opcode; strings of opcodes read as in CPython's pickletools.</summary>
internal sealed class PickleBuilder
{
    private readonly MemoryStream _bytes = new();

    public static PickleBuilder Protocol2() => new PickleBuilder().Raw(0x80, 2);

    public PickleBuilder Raw(params ReadOnlySpan<byte> bytes)
    {
        _bytes.Write(bytes);
        return this;
    }

    public PickleBuilder Op(string operations) => Raw(Encoding.Latin1.GetBytes(operations));

    public PickleBuilder Text(string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        Span<byte> length = stackalloc byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(length, utf8.Length);
        return Op("X").Raw(length).Raw(utf8);
    }

    public PickleBuilder Global(string module, string name) => Op($"c{module}\n{name}\n");

    public PickleBuilder Integer(long value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        return Raw(0x8a, 8).Raw(bytes);
    }

    public PickleBuilder Integers(params ReadOnlySpan<long> values)
    {
        Op("(");
        foreach (long value in values)
            Integer(value);
        return Op("t");
    }

    public PickleBuilder Storage(string key, long length, string type = "FloatStorage", string module = "torch") =>
        Op("(").Text("storage").Global(module, type).Text(key).Text("cpu").Integer(length).Op("tQ");

    /// <summary>A whole tensor, as torch.save writes it.</summary>
    public PickleBuilder Tensor(string key, long storageLength, long offset, long[] sizes, long[] strides, string type = "FloatStorage") =>
        Global("torch._utils", "_rebuild_tensor_v2").Op("(").Storage(key, storageLength, type).Integer(offset).Integers(sizes).Integers(strides)
            .Raw(0x89).Global("collections", "OrderedDict").Op(")RtR");

    public byte[] Stop() => Op(".").ToArray();

    public byte[] ToArray() => _bytes.ToArray();

    /// <summary>A state dict of one tensor "a" of two fp32 elements in storage 0.</summary>
    public static byte[] OneTensor() => Protocol2().Op("}").Text("a").Tensor("0", 2, 0, [2], [1]).Op("s").Stop();
}
