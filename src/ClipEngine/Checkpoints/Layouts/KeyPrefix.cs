namespace ClipEngine.Checkpoints.Layouts;

/// <summary>
/// Takes off what training code puts in front of a model's keys: the name of an attribute (<c>module.</c> of DataParallel, <c>model.</c>,
/// Lightning's), and the steps that <c>torch.compile</c> and FSDP put in between.
/// </summary>
internal static class KeyPrefix
{
    private const string Wrapper = "module.";
    private const string AverageCount = "n_averaged"; // torch.optim.swa_utils.AveragedModel
    private const int Shown = 5;

    // Steps that wrappers put between those of the model, wherever the wrapped module is.
    private static readonly string[] s_steps = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"];

    // What the keys of models begin with, in OpenCLIP's layout and in transformers'.
    private static readonly string[] s_roots = ["visual.", "vision_model.", "text_model.", "visual_encoder."];

    /// <summary>Whether the keys are those of a model that is known here, under a prefix or not.</summary>
    public static bool HasModel(IEnumerable<string> keys) => keys.Any(static key => Array.Exists(s_roots, root => key.StartsWith(root, StringComparison.Ordinal) || key.Contains("." + root, StringComparison.Ordinal)));

    /// <summary>The checkpoint with a model's own keys; what lies outside a prefix is left out, and said.</summary>
    /// <param name="stored">Owned by the result from here on.</param>
    /// <exception cref="CheckpointException">Several models under several prefixes, or names that fall together.</exception>
    public static ICheckpoint Strip(ICheckpoint stored)
    {
        var names = new Dictionary<string, string>(); // as stored, without inner steps
        foreach (string key in stored.Tensors.Keys)
            names.Add(key, WithoutSteps(key));
        string? prefix = FindPrefix(stored, names.Values);
        string[] steps = [.. s_steps.Where(step => stored.Tensors.Keys.Any(key => HasStep(key, step)))];
        if (prefix is null && steps.Length == 0)
            return stored;
        prefix ??= "";
        var notices = new List<string>();
        string[] taken = [.. steps.Select(static step => step + "."), .. prefix.Length > 0 ? new[] { prefix } : []];
        notices.Add($"{stored.Path}: the prefix {string.Join(" and ", taken.Select(static name => $"'{BadInputException.Escape(name, 80)}'"))} was taken off the keys.");
        string[] left = [.. names.Where(name => !name.Value.StartsWith(prefix, StringComparison.Ordinal)).Select(static name => name.Key)];
        if (left.Length > 0)
        {
            string shown = string.Join(", ", left.Take(Shown).Select(static key => BadInputException.Escape(key, 60)));
            notices.Add($"{stored.Path}: {left.Length} tensors outside that prefix are not the model's and are left out: {shown}{(left.Length > Shown ? ", ..." : "")}.");
        }

        return MappedCheckpoint.Create(stored, names.Where(name => name.Value.StartsWith(prefix, StringComparison.Ordinal)).Select(name => new Recipe.Rename(name.Value[prefix.Length..], name.Key)), notices);
    }

    private static string? FindPrefix(ICheckpoint stored, IReadOnlyCollection<string> keys)
    {
        if (keys.Any(static key => Array.Exists(s_roots, root => key.StartsWith(root, StringComparison.Ordinal))))
            return null;
        Dictionary<string, int> found = [];
        foreach (string key in keys)
        {
            int place = s_roots.Select(root => key.IndexOf("." + root, StringComparison.Ordinal)).Where(static index => index >= 0).DefaultIfEmpty(-1).Min();
            if (place >= 0)
                found[key[..(place + 1)]] = found.GetValueOrDefault(key[..(place + 1)]) + 1;
        }

        if (found.Count == 1)
            return found.Keys.First();
        if (found.Count > 1)
        {
            string shown = string.Join(", ", found.OrderByDescending(static pair => pair.Value).Take(Shown).Select(static pair => $"'{BadInputException.Escape(pair.Key, 60)}' ({pair.Value} tensors)"));
            throw new CheckpointException(stored.Path, CheckpointError.Ambiguous, $"holds several models under the prefixes {shown}.", "Save the one that is meant by itself.");
        }

        // No model that is known here: only the wrapper that open_clip takes off whatever it finds.
        int wrapped = keys.Count(static key => key.StartsWith(Wrapper, StringComparison.Ordinal));
        if (wrapped == 0)
            return null;
        return wrapped == keys.Count(static key => key != AverageCount)
            ? Wrapper
            : throw new CheckpointException(stored.Path, CheckpointError.Ambiguous, $"has the prefix '{Wrapper}' on {wrapped} of {keys.Count} keys.", "Load the file with PyTorch and save only the state_dict that is meant.");
    }

    private static bool HasStep(string key, string step) => key.StartsWith(step + ".", StringComparison.Ordinal) || key.Contains($".{step}.", StringComparison.Ordinal);

    private static string WithoutSteps(string key)
    {
        if (!Array.Exists(s_steps, step => HasStep(key, step)))
            return key;
        return string.Join('.', key.Split('.').Where(static (step, _) => !s_steps.Contains(step)));
    }
}
