using System.Text.Json;
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

    public static LoadedModel Load(string folder, IBackend backend, ArchitectureOptions? options = null)
    {
        using ICheckpoint checkpoint = Checkpoint.Open(folder);
        string path = Path.Combine(folder, "open_clip_config.json");
        JsonElement configuration = ConfigFile.Read(path);
        using var reader = new WeightReader(checkpoint, backend);
        var encoder = (IDualEncoder)Architectures.Find(configuration, path).Build(configuration, path, reader, backend, options ?? new ArchitectureOptions());
        return new LoadedModel(encoder, reader.Complete());
    }

    public void Dispose()
    {
        foreach (Weight weight in _weights)
            weight.Dispose();
    }
}
