using System.Text.Json;

namespace ClipEngine.Models;

/// <summary>CLIP and MetaCLIP 2 as transformers publishes them: the same model as OpenCLIP's, its configuration and its keys in other words.</summary>
internal sealed class TransformersClipFamily : IModelFamily
{
    public string Name => "transformers CLIP";

    public bool Recognizes(ModelFiles files) => TransformersConfig.Recognizes(files.Configuration);

    public ModelPlan Plan(ModelFiles files) => new TwoTowerPlan(OpenClipConfigReader.ToTowers(Read(files.Configuration, files.Source), Name));

    /// <summary>The configuration, with the preprocessing of transformers' image processors.</summary>
    internal static OpenClipConfig Read(JsonElement configuration, string source)
    {
        OpenClipConfig config = TransformersClipReader.Read(configuration, TransformersProcessor.Find(configuration, source), source);
        return config with
        {
            Preprocess = config.Preprocess.AsTransformers(),
            Text = config.Text with { Tokenizer = new TokenizerConfig { ModelType = TransformersConfig.TypeOf(configuration) } },
        };
    }
}
