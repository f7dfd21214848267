namespace ClipEngine.Models;

/// <summary>What a SigLIP model costs, by the rule of <see cref="ModelCost"/>.</summary>
internal static class SigLipCost
{
    public static ModelCost Of(SigLipConfig config)
    {
        SigLipVisionConfig vision = config.Vision;
        long width = vision.Width, hidden = vision.HiddenWidth, tokens = (long)vision.GridHeight * vision.GridWidth;
        long patchWeights = 3L * vision.PatchSize * vision.PatchSize * width;
        TowerCost blocks = ModelCost.OfBlocks(vision.Layers, width, hidden, tokens, hasLayerScale: false);
        // The pool: query, keys and values, output and MLP, with biases; a norm and the learned query.
        long pool = (4 * width * width) + (4 * width) + (2 * width * hidden) + hidden + width + (2 * width) + width;
        var image = new TowerCost(
            patchWeights + width + (tokens * width) + (2 * width) + pool + blocks.Parameters,
            (2 * patchWeights * tokens) + blocks.Operations + (2 * ((2 * width * width) + (2 * width * hidden))) + (4 * width * width * tokens) + (4 * tokens * width));
        TowerCost text = ModelCost.OfTextTower(config.Text, config.EmbedDimension);
        return new ModelCost { Image = image, Text = text, Parameters = image.Parameters + text.Parameters + 2 };
    }
}
