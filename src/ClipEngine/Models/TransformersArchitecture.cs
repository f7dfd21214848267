using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>CLIP as transformers publishes it: the same model as OpenCLIP's, its configuration in other words. The weights arrive with OpenCLIP's keys (<see cref="CheckpointLayouts"/>).</summary>
internal sealed class TransformersArchitecture : IArchitecture
{
    private readonly OpenClipArchitecture _openClip = new();

    public string Name => "transformers CLIP";

    public bool Recognizes(JsonElement configuration) => TransformersConfig.Recognizes(configuration);

    public IModel Build(JsonElement configuration, string source, WeightReader weights, IBackend backend, ArchitectureOptions options) =>
        _openClip.Build(Read(configuration, source), weights, backend, options);

    /// <summary>The configuration, with the preprocessing of transformers' image processors.</summary>
    internal static OpenClipConfig Read(JsonElement configuration, string source)
    {
        OpenClipConfig config = OpenClipConfigReader.Parse(ToOpenClip(configuration, source), source);
        return config with { Preprocess = config.Preprocess.AsTransformers() };
    }

    /// <summary>The configuration in OpenCLIP's words, with the preprocessing that lies beside it.</summary>
    internal static JsonElement ToOpenClip(JsonElement configuration, string source) =>
        ConfigFile.ParseRoot(TransformersConfig.ToOpenClip(configuration, TransformersProcessor.Find(source), source), source);
}
