using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Tensors;

namespace ClipEngine.Tests.Models;

/// <summary>A model on a backend of the test's choice, without tokenizer and image decoder.</summary>
internal sealed class LoadedModel : IDisposable
{
    private readonly IReadOnlyList<Weight> _weights;

    private LoadedModel(IDualEncoder encoder, IReadOnlyList<Weight> weights)
    {
        Encoder = encoder;
        _weights = weights;
    }

    public IDualEncoder Encoder { get; }

    public static LoadedModel Load(string folder, IBackend backend, ModelOptions? options = null)
    {
        ModelPlan plan = ModelConfiguration.Plan(folder);
        using ICheckpoint checkpoint = plan.Arrange(Checkpoint.OpenAsStored(folder));
        using var reader = new WeightReader(checkpoint, backend);
        var encoder = (IDualEncoder)plan.Build(reader, backend, options ?? new ModelOptions());
        return new LoadedModel(encoder, reader.Complete());
    }

    public void Dispose()
    {
        foreach (Weight weight in _weights)
            weight.Dispose();
    }
}
