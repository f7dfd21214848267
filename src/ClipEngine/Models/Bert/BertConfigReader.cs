using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>Reads a BERT's sizes from a <c>config.json</c> of transformers.</summary>
internal static class BertConfigReader
{
    /// <summary>The sizes that a section states, over others.</summary>
    /// <param name="section">transformers' <c>BertConfig</c>, <c>RobertaConfig</c> or the <c>text_config</c> of a model with such a tower.</param>
    /// <param name="usual">What is not stated.</param>
    public static BertConfig Read(ConfigSection section, BertConfig usual)
    {
        int width = section.Integer("hidden_size", usual.Width, 1, 1 << 16), heads = section.Integer("num_attention_heads", usual.Heads, 1, 1 << 12);
        if (width % heads != 0)
        {
            section.Problem("num_attention_heads", $"expected a divisor of hidden_size {width}, found {heads}.");
            heads = 1;
        }

        int padding = section.Integer("pad_token_id", usual.PaddingId, 0);
        section.Choice("position_embedding_type", true, ("absolute", true));
        return usual with
        {
            VocabularySize = section.Integer("vocab_size", usual.VocabularySize),
            Width = width,
            Layers = section.Integer("num_hidden_layers", usual.Layers, 1, 1 << 10),
            Heads = heads,
            HiddenWidth = section.Integer("intermediate_size", usual.HiddenWidth, 1, 1 << 20),
            Positions = section.Integer("max_position_embeddings", usual.Positions, usual.CountsBehindPadding ? padding + 2 : 1, 1 << 16),
            TokenTypes = section.Integer("type_vocab_size", usual.TokenTypes, 1, 1 << 10),
            Epsilon = (float)section.Number("layer_norm_eps", usual.Epsilon, 0, 1),
            Activation = section.Choice("hidden_act", usual.Activation, ("gelu", Activation.Gelu), ("gelu_new", Activation.GeluTanh), ("gelu_pytorch_tanh", Activation.GeluTanh), ("relu", Activation.Relu), ("quick_gelu", Activation.QuickGelu)),
            PaddingId = padding,
        };
    }
}
