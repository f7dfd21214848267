using ClipEngine.Checkpoints;
using ClipEngine.Files;
using ClipEngine.Models;
using ClipEngine.Tokenization;

namespace ClipEngine;

/// <summary>
/// The tokenizer of a model: the one that <see cref="ClipModel.Tokenizer"/> uses, for those who need no weights. In the OpenCLIP layout it is open_clip's own unless
/// the configuration names another (<c>hf_tokenizer_name</c>), which lies beside the weights or, as open_clip finds it, in the hub's cache; in the transformers layout it is the folder's.
/// </summary>
public static class ModelTokenizer
{
    /// <summary>Reads the tokenizer of a model as a user named it.</summary>
    /// <param name="model">A folder in the OpenCLIP or transformers layout, a file of weights, a configuration (<c>.json</c>), or a name of the catalogue.</param>
    /// <param name="configuration">A JSON file, or a model of the catalogue, that takes the place of what belongs to the model; null for that.</param>
    /// <returns>A thread-safe tokenizer.</returns>
    /// <exception cref="BadInputException">There is no such model, its tokenizer's files are missing or refused, or its ids do not fit the model.</exception>
    public static ITokenizer Load(string model, string? configuration = null)
    {
        ModelPlan plan = ModelConfiguration.Plan(model, configuration);
        model = ModelLocation.Resolve(model);
        string? file = FilePlace.IsFolder(model) || FilePlace.IsFile(model) ? model : FileOf(model);
        string? folder = FilePlace.IsFolder(file) ? file : file is not null ? Path.GetDirectoryName(Path.GetFullPath(file)) : null;
        return Choose(plan.Source, folder, plan.Tokenizer, plan.ContextLength, plan.VocabularySize);
    }

    /// <summary>Where weights of the catalogue lie on this machine, with a tokenizer that is what it was; null where they do not.</summary>
    private static string? FileOf(string name)
    {
        if (ModelCatalogue.TryFind(name) is not { } entry)
            return null;
        using var store = new ModelStore(ModelStoreOptions.FromEnvironment());
        return store.UseCompanions(entry)?.Path;
    }

    /// <summary>Chooses by the configuration.</summary>
    /// <param name="source">What messages call the configuration.</param>
    /// <param name="folder">Where the weights lie; null for models without files.</param>
    /// <param name="asked">The configuration's words about the tokenizer.</param>
    /// <param name="contextLength">Ids of a sentence at most.</param>
    /// <param name="vocabularySize">Ids that the model has.</param>
    internal static ITokenizer Choose(string source, string? folder, TokenizerConfig asked, int contextLength, int vocabularySize)
    {
        ITokenizer tokenizer = asked.ModelType is { } type ? OfTransformers(source, folder, type, contextLength) : OfOpenClip(source, folder, asked, contextLength);
        if (tokenizer is TextTokenizer { PaddingId: null })
            throw new BadInputException(source, "its tokenizer has no padding token, so that sentences of different lengths cannot stand in one table.", "Name a pad_token in tokenizer_config.json.");
        return tokenizer.VocabularySize <= vocabularySize
            ? tokenizer
            : throw new BadInputException(source, $"expected a vocabulary of at least {tokenizer.VocabularySize} ids, which the tokenizer makes, found vocab_size {vocabularySize}.",
                "Put the model's own tokenizer beside its weights, or feed token ids (clipengine embed raw).");
    }

    private static TextTokenizer OfTransformers(string source, string? folder, string modelType, int contextLength)
    {
        if (folder is not null && TokenizerFolder.HasTokenizer(folder))
            return TokenizerFolder.Load(folder, new TokenizerOptions { Like = TokenizerStyle.Transformers, ModelType = modelType, ContextLength = contextLength });
        return modelType == "clip"
            ? TokenizerFolder.Clip(new TokenizerOptions { ContextLength = contextLength })
            : throw new BadInputException(source, "no tokenizer's files lie beside the weights.", "'clipengine models pull' brings them with weights of the catalogue. Else put them there (tokenizer.json or the vocabulary's own file, and tokenizer_config.json), or feed token ids (clipengine embed raw).");
    }

    /// <summary>Where open_clip finds the tokenizer that a configuration names: in the hub's cache. Null where it is not.</summary>
    /// <param name="repository">The name (<c>hf_tokenizer_name</c>).</param>
    internal static string? InHubCache(string repository) => ModelStore.FindTokenizer(ModelStoreOptions.FromEnvironment().HubCacheFolder, repository);

    private static ITokenizer OfOpenClip(string source, string? folder, TokenizerConfig asked, int contextLength)
    {
        if (asked.Mode is not null)
            throw new BadInputException(source, $"the tokenizer mode {BadInputException.Escape(asked.Mode, 40)} is not built.", "Feed token ids (clipengine embed raw), or give a tokenizer.");
        TextClean? clean = asked.Clean switch
        {
            null => null,
            "whitespace" => TextClean.Whitespace,
            "lower" => TextClean.Lower,
            "canonicalize" => TextClean.Canonicalize,
            string other => throw new BadInputException(source, $"tokenizer_kwargs asks for clean '{BadInputException.Escape(other, 40)}'.", "whitespace, lower or canonicalize was expected."),
        };
        if (asked.HubName is null)
        {
            return asked is { StripSeparator: false, Language: null }
                ? new ClipTokenizer(contextLength, clean ?? TextClean.Lower)
                : throw new BadInputException(source, "tokenizer_kwargs has strip_sep_token or language, which CLIP's own tokenizer does not know.", "Name the tokenizer (hf_tokenizer_name).");
        }

        if (folder is null || !TokenizerFolder.HasTokenizer(folder))
        {
            folder = InHubCache(asked.HubName) ?? throw new BadInputException(source, $"its tokenizer is {BadInputException.Escape(asked.HubName, 100)}, whose files lie neither beside the weights nor in the hub's cache on this machine.",
                "'clipengine models pull' brings them with weights of the catalogue. Else put them beside the weights (tokenizer.json or the vocabulary's own file, and tokenizer_config.json), or feed token ids (clipengine embed raw).");
        }

        return TokenizerFolder.Load(folder, new TokenizerOptions
        {
            Like = TokenizerStyle.OpenClip,
            ContextLength = contextLength,
            Clean = clean,
            StripSeparator = asked.StripSeparator,
            Language = asked.Language,
            PaddingId = 0,
        });
    }
}
