using System.Text.RegularExpressions;

namespace ClipEngine.Checkpoints.Layouts;

/// <summary>How one tensor of the new layout comes from tensors of the old one.</summary>
internal abstract record Recipe(string Name)
{
    /// <summary>The same tensor under another name.</summary>
    internal sealed record Rename(string Name, string Source) : Recipe(Name);

    /// <summary>A matrix with rows and columns exchanged.</summary>
    internal sealed record Transpose(string Name, string Source) : Recipe(Name);

    /// <summary>Several tensors of one shape behind each other along the outermost dimension.</summary>
    internal sealed record Join(string Name, string[] Sources) : Recipe(Name);

    /// <summary>One of several equal parts along the outermost dimension.</summary>
    internal sealed record Part(string Name, string Source, int Index, int Count) : Recipe(Name);
}

/// <summary>
/// OpenCLIP's keys and transformers' keys for CLIP, as one table that is read in both directions. <c>#</c> is a block's number.
/// Sources: transformers' <c>modeling_clip.py</c> and its conversion script for CLIP.
/// </summary>
internal static partial class KeyMap
{
    private enum Change
    {
        None,
        Transposed,
        Fused,
    }

    private static readonly (string OpenClip, string Transformers, Change Change)[] s_table = MakeTable();

    // Buffers 0, 1, 2, ... that older transformers wrote; they follow from the sizes.
    private static readonly string[] s_buffers = ["text_model.embeddings.position_ids", "vision_model.embeddings.position_ids"];

    private static readonly string[] s_parts = ["q", "k", "v"];

    /// <summary>The recipes that turn a checkpoint in transformers' layout into OpenCLIP's.</summary>
    public static IReadOnlyList<Recipe> ToOpenClip(ICheckpoint source)
    {
        var recipes = new List<Recipe>();
        foreach (string key in source.Tensors.Keys.Order(StringComparer.Ordinal))
        {
            if (s_buffers.Contains(key))
                continue;
            (string pattern, string number) = Generalize(key);
            Match fused = FusedKey().Match(pattern);
            if (fused.Success)
            {
                AddJoined(source, recipes, key, number, fused);
                continue;
            }

            int row = Array.FindIndex(s_table, entry => entry.Transformers == pattern);
            recipes.Add(row < 0
                ? new Recipe.Rename(key, key)
                : Make(s_table[row].OpenClip.Replace("#", number, StringComparison.Ordinal), key, s_table[row].Change));
        }

        return recipes;
    }

    /// <summary>The recipes that turn a checkpoint in OpenCLIP's layout into transformers'.</summary>
    public static IReadOnlyList<Recipe> ToTransformers(ICheckpoint source)
    {
        var recipes = new List<Recipe>();
        foreach (string key in source.Tensors.Keys.Order(StringComparer.Ordinal))
        {
            (string pattern, string number) = Generalize(key);
            int row = Array.FindIndex(s_table, entry => entry.OpenClip == pattern);
            if (row < 0)
            {
                recipes.Add(new Recipe.Rename(key, key));
                continue;
            }

            string name = s_table[row].Transformers.Replace("#", number, StringComparison.Ordinal);
            if (s_table[row].Change != Change.Fused)
            {
                recipes.Add(Make(name, key, s_table[row].Change));
                continue;
            }

            for (int part = 0; part < s_parts.Length; part++)
                recipes.Add(new Recipe.Part(name.Replace("?", s_parts[part], StringComparison.Ordinal), key, part, s_parts.Length));
        }

        return recipes;
    }

    /// <summary>Whether the key is one of transformers' CLIP.</summary>
    public static bool IsTransformersKey(string key)
    {
        string pattern = Generalize(key).Pattern;
        return s_buffers.Contains(key) || Array.Exists(s_table, entry => entry.Transformers == pattern) || FusedKey().IsMatch(pattern);
    }

    private static void AddJoined(ICheckpoint source, List<Recipe> recipes, string key, string number, Match fused)
    {
        string[] sources = [.. s_parts.Select(part => key.Replace($"self_attn.{fused.Groups["part"].Value}_proj", $"self_attn.{part}_proj", StringComparison.Ordinal))];
        string pattern = $"{fused.Groups["front"].Value}?{fused.Groups["back"].Value}";
        int row = Array.FindIndex(s_table, entry => entry.Transformers == pattern);
        bool isWhole = row >= 0 && Array.TrueForAll(sources, source.Tensors.ContainsKey)
            && Array.TrueForAll(sources, other => source.Tensors[other].Type == source.Tensors[key].Type
                && source.Tensors[other].Dimensions.AsSpan().SequenceEqual(source.Tensors[key].Dimensions.AsSpan()))
            && source.Tensors[key].Dimensions.Length > 0;
        if (!isWhole)
            recipes.Add(new Recipe.Rename(key, key));
        else if (fused.Groups["part"].Value == s_parts[0])
            recipes.Add(new Recipe.Join(s_table[row].OpenClip.Replace("#", number, StringComparison.Ordinal), sources));
    }

    private static Recipe Make(string name, string source, Change change) =>
        change == Change.Transposed ? new Recipe.Transpose(name, source) : new Recipe.Rename(name, source);

    private static (string Pattern, string Number) Generalize(string key)
    {
        Match match = BlockKey().Match(key);
        return match.Success
            ? (string.Concat(key.AsSpan(0, match.Groups["layer"].Index), "#", key.AsSpan(match.Groups["layer"].Index + match.Groups["layer"].Length)), match.Groups["layer"].Value)
            : (key, "");
    }

    private static (string OpenClip, string Transformers, Change Change)[] MakeTable()
    {
        var table = new List<(string, string, Change)>
        {
            ("logit_scale", "logit_scale", Change.None),
            ("token_embedding.weight", "text_model.embeddings.token_embedding.weight", Change.None),
            ("positional_embedding", "text_model.embeddings.position_embedding.weight", Change.None),
            ("text_projection", "text_projection.weight", Change.Transposed),
            ("visual.class_embedding", "vision_model.embeddings.class_embedding", Change.None),
            ("visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight", Change.None),
            ("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight", Change.None),
            ("visual.proj", "visual_projection.weight", Change.Transposed),
        };
        AddPair("ln_final", "text_model.final_layer_norm");
        AddPair("visual.ln_pre", "vision_model.pre_layrnorm"); // misspelt there, for good
        AddPair("visual.ln_post", "vision_model.post_layernorm");
        foreach ((string openClip, string transformers) in new[] { ("transformer.resblocks.#.", "text_model.encoder.layers.#."), ("visual.transformer.resblocks.#.", "vision_model.encoder.layers.#.") })
        {
            AddPair(openClip + "ln_1", transformers + "layer_norm1");
            AddPair(openClip + "ln_2", transformers + "layer_norm2");
            AddPair(openClip + "mlp.c_fc", transformers + "mlp.fc1");
            AddPair(openClip + "mlp.c_proj", transformers + "mlp.fc2");
            AddPair(openClip + "attn.out_proj", transformers + "self_attn.out_proj");
            table.Add((openClip + "attn.in_proj_weight", transformers + "self_attn.?_proj.weight", Change.Fused));
            table.Add((openClip + "attn.in_proj_bias", transformers + "self_attn.?_proj.bias", Change.Fused));
        }

        return [.. table];

        void AddPair(string openClip, string transformers)
        {
            table.Add((openClip + ".weight", transformers + ".weight", Change.None));
            table.Add((openClip + ".bias", transformers + ".bias", Change.None));
        }
    }

    [GeneratedRegex(@"^(?:visual\.transformer\.resblocks|transformer\.resblocks|vision_model\.encoder\.layers|text_model\.encoder\.layers)\.(?<layer>0|[1-9][0-9]{0,3})\.", RegexOptions.None, 1000)]
    private static partial Regex BlockKey();

    [GeneratedRegex(@"^(?<front>(?:text|vision)_model\.encoder\.layers\.#\.self_attn\.)(?<part>[qkv])(?<back>_proj\.(?:weight|bias))$", RegexOptions.None, 1000)]
    private static partial Regex FusedKey();
}
