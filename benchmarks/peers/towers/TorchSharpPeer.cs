using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace ClipEngine.Peers;

/// <summary>The modules of export_towers.py as one writes them in TorchSharp: whole tensors in one type, libtorch's own attention, nothing compiled.</summary>
internal sealed class TorchSharpPeer : IPeer
{
    private readonly ExportedTower _tower;
    private readonly Dictionary<string, Tensor> _weights;
    private readonly Dictionary<int, Tensor> _inputs = [];
    private readonly ScalarType _type;
    private readonly int _blocks;

    public TorchSharpPeer(ExportedTower tower, int threads, string type)
    {
        set_num_threads(threads);
        _tower = tower;
        _type = type == "bf16" ? ScalarType.BFloat16 : ScalarType.Float32;
        _weights = tower.Weights.ToDictionary(static pair => pair.Key, pair => tensor(pair.Value.Values, pair.Value.Shape).to(_type));
        _blocks = _weights.Keys.Count(static key => key.EndsWith(".ln_1.weight", StringComparison.Ordinal));
        Name = $"TorchSharp {typeof(torch).Assembly.GetName().Version?.ToString(3)} eager in {type}";
    }

    public string Name { get; }

    public float[] Run(int batch)
    {
        using IDisposable noTape = inference_mode();
        using DisposeScope scope = NewDisposeScope();
        if (!_inputs.TryGetValue(batch, out Tensor? input))
        {
            long[] shape = [batch, .. _tower.Shape[1..].Select(static size => (long)size)];
            _inputs[batch] = input = (_tower.HasTokens ? tensor(_tower.Input<long>(batch), shape) : tensor(_tower.Input<float>(batch), shape).to(_type)).DetachFromDisposeScope();
        }

        return (_tower.HasTokens ? Text(input) : Image(input)).to(ScalarType.Float32).data<float>().ToArray();
    }

    public void Dispose()
    {
        foreach (Tensor tensor in _weights.Values.Concat(_inputs.Values))
            tensor.Dispose();
    }

    private Tensor Image(Tensor pixels)
    {
        Tensor kernel = _weights["conv1.weight"];
        long patch = kernel.shape[2];
        Tensor x = conv2d(pixels, kernel, null, [patch, patch]).flatten(2).transpose(1, 2);
        x = cat([_weights["class_embedding"].expand(x.shape[0], 1, -1), x], 1) + _weights["positions"];
        x = Norm(x, "ln_pre");
        for (int i = 0; i < _blocks; i++)
            x = Block(x, $"blocks.{i}.", isCausal: false);
        return Norm(x.select(1, 0), "ln_post").matmul(_weights["proj"]);
    }

    private Tensor Text(Tensor tokens)
    {
        Tensor x = _weights["token_embedding.weight"].index(tokens) + _weights["positions"];
        for (int i = 0; i < _blocks; i++)
            x = Block(x, $"blocks.{i}.", isCausal: true);
        x = Norm(x, "ln_final");
        return x.index(arange(x.shape[0]), tokens.argmax(-1)).matmul(_weights["proj"]);
    }

    private Tensor Block(Tensor x, string at, bool isCausal)
    {
        (long n, long t, long w) = (x.shape[0], x.shape[1], x.shape[2]);
        Tensor[] qkv = Linear(Norm(x, at + "ln_1"), at + "in_proj").reshape(n, t, 3, _tower.Heads, w / _tower.Heads).permute(2, 0, 3, 1, 4).unbind(0);
        Tensor attended = scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_casual: isCausal).transpose(1, 2).reshape(n, t, w);
        x = x + Linear(attended, at + "out_proj");
        return x + Linear(gelu(Linear(Norm(x, at + "ln_2"), at + "c_fc")), at + "c_proj");
    }

    private Tensor Linear(Tensor x, string name) => linear(x, _weights[name + ".weight"], _weights[name + ".bias"]);

    private Tensor Norm(Tensor x, string name) => layer_norm(x, [x.shape[^1]], _weights[name + ".weight"], _weights[name + ".bias"]);
}
