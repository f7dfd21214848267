using ClipEngine.Checkpoints.Layouts;

namespace ClipEngine.Checkpoints;

/// <summary>How a CLIP checkpoint names and arranges its tensors; told by its keys, never by its file name.</summary>
internal enum CheckpointLayout
{
    /// <summary>None of the known ones.</summary>
    Unknown,

    /// <summary>OpenCLIP's and OpenAI's: <c>visual.*</c>, <c>transformer.resblocks.*</c>, fused queries, keys and values.</summary>
    OpenClip,

    /// <summary>Hugging Face transformers': <c>vision_model.*</c>, <c>text_model.*</c>, queries, keys and values apart.</summary>
    Transformers,
}

/// <summary>
/// The same weights under another layout's names, tensor by tensor: nothing is computed, only renamed, transposed, put together
/// or taken apart, so that there and back again gives the same bits. Memory is used for one tensor at a time.
/// </summary>
internal static class CheckpointLayouts
{
    // Numbers that OpenAI's archives carry as tensors; its own loader drops them too.
    private static readonly string[] s_openAiExtras = ["input_resolution", "context_length", "vocab_size"];

    /// <summary>The layout of a checkpoint.</summary>
    public static CheckpointLayout Recognize(ICheckpoint checkpoint)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        bool isTransformers = checkpoint.Tensors.Keys.Any(static key =>
            key.StartsWith("text_model.", StringComparison.Ordinal) || key.StartsWith("vision_model.", StringComparison.Ordinal));
        if (isTransformers)
            return CheckpointLayout.Transformers;
        return checkpoint.Tensors.Keys.Any(static key => key.StartsWith("visual.", StringComparison.Ordinal))
            ? CheckpointLayout.OpenClip
            : CheckpointLayout.Unknown;
    }

    /// <summary>The checkpoint with OpenCLIP's keys, which models read. Keys that no map knows keep their names, and whoever reads the weights reports them.</summary>
    /// <param name="checkpoint">Any layout; owned by the result from here on.</param>
    public static ICheckpoint ToOpenClip(ICheckpoint checkpoint)
    {
        if (Recognize(checkpoint) == CheckpointLayout.Transformers)
            return MappedCheckpoint.Create(checkpoint, KeyMap.ToOpenClip(checkpoint));
        return HasOpenAiExtras(checkpoint) ? MappedCheckpoint.Without(checkpoint, s_openAiExtras) : checkpoint;
    }

    /// <summary>The checkpoint with transformers' keys.</summary>
    /// <param name="checkpoint">Any known layout; owned by the result from here on.</param>
    /// <exception cref="CheckpointException">There are tensors that transformers' CLIP has no name for: nothing is left out.</exception>
    public static ICheckpoint ToTransformers(ICheckpoint checkpoint)
    {
        if (Recognize(checkpoint) == CheckpointLayout.Transformers)
            return checkpoint;
        ICheckpoint source = ToOpenClip(checkpoint);
        IReadOnlyList<Recipe> recipes = KeyMap.ToTransformers(source);
        string[] nameless = [.. recipes.Select(static recipe => recipe.Name).Where(static name => !KeyMap.IsTransformersKey(name))];
        if (nameless.Length > 0)
        {
            string shown = string.Join(", ", nameless.Take(5).Select(static name => BadInputException.Escape(name, 60)));
            throw new CheckpointException(source.Path, CheckpointError.DoesNotFit,
                $"has {nameless.Length} tensors that transformers' CLIP has no name for: {shown}{(nameless.Length > 5 ? ", ..." : "")}", "Such a model stays in the OpenCLIP layout.");
        }

        return MappedCheckpoint.Create(source, recipes);
    }

    /// <summary>Whether the checkpoint carries the three numbers that mark OpenAI's own archives.</summary>
    public static bool HasOpenAiExtras(ICheckpoint checkpoint)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        return s_openAiExtras.All(key => checkpoint.Tensors.TryGetValue(key, out StoredTensor tensor) && tensor.ElementCount == 1);
    }
}
