using ClipEngine.Checkpoints;
using ClipEngine.Checkpoints.Layouts;
using ClipEngine.Imaging;

namespace ClipEngine.Models;

/// <summary>A dual encoder of any image tower and any text tower, whatever layout it came in.</summary>
internal sealed record TwoTowerConfig
{
    /// <summary>What messages and run records call the family; that of the tower which is not open_clip's own, unless said otherwise.</summary>
    public required string Family { get; init; }

    /// <summary>The file it came from.</summary>
    public required string Source { get; init; }

    /// <summary>The length of a feature.</summary>
    public required int EmbedDimension { get; init; }

    /// <summary>The image tower.</summary>
    public required ImageTowerConfig Image { get; init; }

    /// <summary>The text tower.</summary>
    public required TextTowerConfig Text { get; init; }

    /// <summary>The pixels.</summary>
    public required PreprocessOptions Preprocess { get; init; }

    /// <summary>Whether the checkpoint holds <c>logit_bias</c>.</summary>
    public bool HasLogitBias { get; init; }

    /// <summary>CoCa's caption decoder, or null. CoCa's features come normalised.</summary>
    public CaptionDecoderConfig? CaptionDecoder { get; init; }

    /// <summary>Whether captions can be written: the decoder is there, and the tokens of both towers are as wide as its own. open_clip builds the others, too, and fails when they are asked.</summary>
    public bool WritesCaptions => CaptionDecoder is { } decoder && Text.Captions is { } text && text.Width == decoder.Width
        && Image is OpenClipImageTower { Config: { IsResNet: false } vision } && (vision.AttentionalPool == AttentionalPooling.None ? vision.Width : EmbedDimension) == decoder.Width;

    /// <summary>What a user should know about this model.</summary>
    public IReadOnlyList<string> Notices { get; init; } = [];

    /// <summary>The keys of another layout in OpenCLIP's words; null where the checkpoint is OpenCLIP's, or CLIP of transformers.</summary>
    public KeyTable? Keys { get; init; }

    /// <summary>The model at another image size; its preprocessing follows.</summary>
    /// <exception cref="BadInputException">It cannot run at that size.</exception>
    public TwoTowerConfig AtSize((int Height, int Width) size) =>
        this with { Image = Image.AtSize(size), Preprocess = Preprocess with { Height = size.Height, Width = size.Width } };
}
