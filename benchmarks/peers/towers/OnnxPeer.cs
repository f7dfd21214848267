using Microsoft.ML.OnnxRuntime;

namespace ClipEngine.Peers;

/// <summary>ONNX Runtime on the processor.</summary>
internal sealed class OnnxPeer : IPeer
{
    private readonly ExportedTower _tower;
    private readonly InferenceSession _session;
    private readonly RunOptions _run = new();
    private readonly Dictionary<int, OrtValue> _inputs = [];

    public OnnxPeer(ExportedTower tower, int threads)
    {
        _tower = tower;
        using var options = new SessionOptions
        {
            GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
            IntraOpNumThreads = threads,
            InterOpNumThreads = 1,
            ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
        };
        _session = new InferenceSession(tower.Path, options);
    }

    public string Name => $"ONNX Runtime {OrtEnv.Instance().GetVersionString()}";

    public float[] Run(int batch)
    {
        if (!_inputs.TryGetValue(batch, out OrtValue? input))
        {
            long[] shape = [batch, .. _tower.Shape[1..].Select(static size => (long)size)];
            _inputs[batch] = input = _tower.HasTokens ? OrtValue.CreateTensorValueFromMemory(_tower.Input<long>(batch), shape) : OrtValue.CreateTensorValueFromMemory(_tower.Input<float>(batch), shape);
        }

        using IDisposableReadOnlyCollection<OrtValue> found = _session.Run(_run, [_tower.InputName], [input], ["out"]);
        return found[0].GetTensorDataAsSpan<float>().ToArray();
    }

    public void Dispose()
    {
        foreach (OrtValue input in _inputs.Values)
            input.Dispose();
        _run.Dispose();
        _session.Dispose();
    }
}
