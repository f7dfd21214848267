using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>What BLIP's models have in common: the image tower, the text transformer that looks at its tokens, and what both say of themselves.</summary>
internal abstract class BlipModel(BlipConfig config, BlipVision visual, BlipText text, IBackend backend)
{
    public IBackend Backend => backend;

    public PreprocessOptions Preprocess => config.Preprocess;

    public TokenizerConfig Tokenizer { get; } = new() { ModelType = "blip" };

    public int ContextLength => config.Text.Positions;

    public int VocabularySize => config.Text.VocabularySize;

    public int PaddingId => config.Text.PaddingId;

    public IReadOnlyList<string> Notices => [];

    protected BlipConfig Config => config;

    protected BlipVision Visual => visual;

    protected BlipText Text => text;

    public Tensor EncodeImageTokens(IPass pass, in Tensor pixels) => visual.Forward(pass, pixels);

    public PreparedImage PrepareImage(IPass pass, in Tensor imageTokens) => text.PrepareImage(pass, backend, imageTokens);
}
