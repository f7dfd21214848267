using System.Globalization;
using System.Text.Json;
using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Scores;
using ClipEngine.Audit.Specs;
using ClipEngine.Files;

namespace ClipEngine.Audit.Runs;

/// <summary>One experiment's scores of one model.</summary>
internal sealed record ScoredExperiment(ExperimentScores Scores, IReadOnlyList<IReadOnlyList<double>>? TextSimilarity);

/// <summary>All scores of one model.</summary>
internal sealed record ScoredModel(
    ModelSummary Summary, IReadOnlyList<InputFile> Inputs, IReadOnlyDictionary<string, ScoredExperiment> Experiments,
    IReadOnlyList<ScoreMatrix> Wordings, IReadOnlyList<IReadOnlyList<double?>>? ImageSimilarity)
{
    /// <summary>What the measures beside the experiments need; null where there are none, and of scores and features that were computed elsewhere.</summary>
    public MeasureScores? Measures { get; init; }
}

/// <summary>Turns a model of the spec into scores, whether it is a checkpoint, features or matrices: all go the same way from there.</summary>
internal sealed class ModelScorer(
    AuditSpec spec, string directory, Func<string, string> resolve, IProbeModelSource source, StageLedger ledger, MeasureInputs measures,
    IReadOnlyList<LabelExperiment> experiments, IReadOnlyList<Wording> wordings, Action<string> progress, Action<ModelSpec, ChunkPlace>? requireChunk = null)
{
    private readonly ImageSet _main = measures.Images[0];

    private Probe Probe => _main.Probe;

    /// <summary>What files of features say of the checkpoint that made them.</summary>
    private Dictionary<string, string> _about = [];

    /// <summary>What computed; empty until a checkpoint was loaded.</summary>
    public string Device { get; private set; } = "";

    /// <summary>The images, where any model needed them.</summary>
    public IReadOnlyList<InputFile> ImageInputs => [.. measures.Images.SelectMany(set => set.Inputs)];

    /// <summary>The hash of all images.</summary>
    public string HashImages()
    {
        string[] hashes = [.. measures.Images.Select(set => set.Hashed(progress).Hash)];
        return hashes.Length == 1 ? hashes[0] : StageLedger.Key(hashes);
    }

    public ScoredModel Score(ModelSpec model, CancellationToken cancellationToken)
    {
        if (model.Scores.Count > 0)
            return FromMatrices(model);
        return model.ImageFeatures is not null ? FromFeatures(model, cancellationToken) : FromCheckpoint(model, cancellationToken);
    }

    /// <summary>A model without results.</summary>
    public static ModelSummary Failed(ModelSpec model, string reason) =>
        Summary(model, ScoreOrigin.Given, "none", model.Sha256 ?? "", "failed", []) with { Failure = reason };

    private ScoredModel FromMatrices(ModelSpec model)
    {
        var inputs = new List<InputFile>();
        var scored = new Dictionary<string, ScoredExperiment>();
        double? scale = SpecReader.FixedScale(spec);
        bool areGiven = model.Scores.Values.All(files => files.Softmax is not null);
        bool areCosines = model.Scores.Values.All(files => files.Cosine is not null);
        foreach (LabelExperiment experiment in experiments)
        {
            ScoreFiles files = model.Scores[experiment.Key];
            ScoreMatrix? cosines = null;
            ScoreMatrix? probabilities = null;
            if (files.Cosine is { } cosineFile)
            {
                cosines = Probe.Select(ScoreMatrixReader.ReadCosines(resolve(cosineFile), Probe.SourceRows, experiment.Labels.Count));
                inputs.Add(InputFiles.Describe("cosines", resolve(cosineFile)));
            }

            if (files.Softmax is { } softmaxFile)
            {
                probabilities = Probe.Select(ScoreMatrixReader.ReadProbabilities(resolve(softmaxFile), Probe.SourceRows, experiment.Labels.Count));
                inputs.Add(InputFiles.Describe("probabilities", resolve(softmaxFile)));
            }

            probabilities ??= FeatureScorer.Softmax(cosines!, scale
                ?? throw new BadInputException(model.Key, "cosines were given, and the spec asks for the checkpoint's own scale, which nobody gave.", "Give probabilities, or a number as scale."));
            scored[experiment.Key] = new ScoredExperiment(new ExperimentScores { Probabilities = probabilities, Cosines = cosines, Scale = scale }, Texts(model, experiment, inputs)?.Similarity);
        }

        string hash = inputs.Count == 1 ? inputs[0].Sha256 : StageLedger.Key(inputs.Select(input => input.Sha256));
        ModelSummary summary = Summary(model, areCosines ? ScoreOrigin.Cosines : ScoreOrigin.Given, areGiven ? "softmax, as given" : $"softmax({spec.Scale} · cosine)", hash, "scores computed elsewhere", []);
        return new ScoredModel(summary, inputs, scored, [], null);
    }

    private ScoredModel FromFeatures(ModelSpec model, CancellationToken cancellationToken)
    {
        double scale = SpecReader.FixedScale(spec)
            ?? throw new BadInputException(model.Key, "features were given, and the spec asks for the checkpoint's own scale, which nobody gave.", "Give a number as scale.");
        string imageFile = resolve(model.ImageFeatures!);
        (float[] images, int width) = FeatureFiles.Read(imageFile, Probe.SourceRows);
        images = Probe.Selection?.Select(images, width) ?? images;
        FeatureFiles.Normalize(images, width, imageFile);
        var inputs = new List<InputFile> { InputFiles.Describe("image features", imageFile) };
        var prompts = new List<float>();
        var similarity = new List<IReadOnlyList<IReadOnlyList<double>>>();
        foreach (LabelExperiment experiment in experiments)
        {
            (float[] texts, int textWidth, IReadOnlyList<IReadOnlyList<double>> alike) = Texts(model, experiment, inputs)!.Value;
            if (textWidth != width)
                throw new BadInputException(model.TextFeatures[experiment.Key], $"the features are {textWidth} wide, those of the images {width}.", "Both must come from the same model.");
            prompts.AddRange(texts);
            similarity.Add(alike);
        }

        (ScoreMatrix[] matrices, string precision) = FeatureScorer.Score(images, [.. prompts], width, [.. experiments.Select(experiment => experiment.Labels.Count)], scale, bias: null, spec.ScorePrecision, cancellationToken);
        ModelSummary summary = Summary(model, ScoreOrigin.Cosines, $"softmax({spec.Scale} · cosine){precision}", StageLedger.Key(inputs.Select(input => input.Sha256)), "features computed elsewhere", []);
        return new ScoredModel(summary, inputs, Named(matrices, scale, similarity), [], Similarity.Groups(images, width, Probe.Grouping));
    }

    private ScoredModel FromCheckpoint(ModelSpec model, CancellationToken cancellationToken)
    {
        using OpenedModel opened = Open(model);
        return opened.Model switch
        {
            IProbeEncoder encoder => FromEncoder(model, opened.Name, encoder, opened.Identity, opened.Hash, opened.Files, cancellationToken),
            IProbePairScorer scorer => FromPairs(model, scorer, opened.Identity, opened.Hash, opened.Files, cancellationToken),
            _ => throw new NotSupportedException($"{opened.Name}: neither makes features nor scores pairs."),
        };
    }

    /// <summary>Makes some of the chunks that <see cref="Score"/> puts together.</summary>
    /// <param name="model">A model that is a checkpoint.</param>
    /// <param name="first">The first chunk of <see cref="AuditRun.ChunkImages"/> images, counted over all sets of images.</param>
    /// <param name="end">The one behind the last.</param>
    /// <param name="cancellationToken">Stops between chunks.</param>
    /// <returns>The chunks' files, below the run's folder.</returns>
    public IReadOnlyList<string> MakeChunks(ModelSpec model, int first, int end, CancellationToken cancellationToken)
    {
        using OpenedModel opened = Open(model);
        var made = new List<string>();
        int chunk = 0;
        foreach (ImageSet set in measures.Images)
        {
            int images = set.Probe.Images.Count, before = chunk;
            chunk += ChunksOf(set);
            int start = Math.Max(first - before, 0) * AuditRun.ChunkImages, stop = Math.Min((end - before) * AuditRun.ChunkImages, images);
            if (start >= stop)
                continue;
            ImageStage? stage = opened.Model switch
            {
                IProbeEncoder encoder => ImagesOf(set, opened.Identity, encoder, cancellationToken),
                IProbePairScorer scorer => SentencesFor(set) is { Length: > 0 } sentences ? PairsOf(set, sentences, opened.Identity, scorer, cancellationToken) : null,
                _ => throw new NotSupportedException($"{opened.Name}: neither makes features nor scores pairs."),
            };
            // Where the whole stage is done its chunks are gone.
            if (stage is null || ledger.IsDone(stage.FileOf(model), stage.Key))
                continue;
            for (int image = start; image < stop; image += stage.Chunk)
            {
                cancellationToken.ThrowIfCancellationRequested();
                made.Add(stage.ChunkFile(image));
                Make(stage, image, Math.Min(stage.Chunk, stop - image));
                progress($"{model.Key}: images {start} to {Math.Min(stop, image + stage.Chunk)}{(set.Name.Length == 0 ? "" : $" of {set.Name}")}");
            }
        }

        return made;
    }

    /// <summary>Chunks that each model has, over all sets of images.</summary>
    public int Chunks => measures.Images.Sum(ChunksOf);

    private static int ChunksOf(ImageSet set) => (set.Probe.Images.Count + AuditRun.ChunkImages - 1) / AuditRun.ChunkImages;

    private OpenedModel Open(ModelSpec model)
    {
        string name = FilePlace.IsFolder(resolve(model.Model!)) || FilePlace.IsFile(resolve(model.Model!)) ? resolve(model.Model!) : model.Model!;
        progress($"{model.Key}: hashing weights");
        ProbeModelFiles found = source.Find(name, model.AcceptActivationMismatch);
        InputFile[] files = [.. found.Files.Select(file => InputFiles.Describe("weights", file))];
        InputFile[] weights = [.. files.Where(file => Path.GetExtension(file.Name) is ".safetensors" or ".bin" or ".pt" or ".pth")];
        string hash = weights.Length == 1 ? weights[0].Sha256 : StageLedger.Key(files.Select(file => file.Name + file.Sha256));
        if (model.Sha256 is { } expected && !hash.StartsWith(expected, StringComparison.Ordinal))
            throw new BadInputException(name, $"the weights' SHA-256 begins with {hash[..Math.Min(hash.Length, expected.Length)]}, the spec asks for {expected}.", "These are other weights than the spec means.");
        IProbeModel opened = source.Open(found with { Preprocessing = SpecReader.Preprocessing(spec), ScoresPairs = model.Scorer is { } wanted ? wanted == "pairs" : null }, spec.ElementType);
        Device = opened.Device;
        _about = new Dictionary<string, string> { ["model"] = model.Key, ["model_sha256"] = hash, ["device"] = opened.Device, ["element_type"] = spec.ElementType, ["preprocessing"] = opened.Preprocessing, ["version"] = AuditAssembly.Version };
        string identity = StageLedger.Key([AuditAssembly.Version, opened.Device, spec.ElementType, opened.Preprocessing, found.Configuration ?? "", .. files.Select(file => file.Name + file.Sha256)]);
        return new OpenedModel(opened, name, identity, hash, files);
    }

    private ScoredModel FromEncoder(ModelSpec model, string name, IProbeEncoder opened, string identity, string hash, InputFile[] files, CancellationToken cancellationToken)
    {
        bool isSigmoid = model.Reading is { } asked ? asked == "sigmoid" : opened.Bias is not null;
        double? bias = !isSigmoid ? null : opened.Bias
            ?? throw new BadInputException(name, "has no logit_bias: it was not trained with a sigmoid, and nobody knows where its scores pass one half.", "Ask for the softmax, or leave reading out.");
        double softmaxScale = SpecReader.FixedScale(spec) ?? OwnScale(), scale = isSigmoid ? OwnScale() : softmaxScale;
        double OwnScale() => opened.Scale ?? throw new BadInputException(name, "the checkpoint has no scale of its own.", "Give a number as scale.");
        float[] images = Images(_main, model, identity, opened, cancellationToken);
        (float[] texts, int[] segments) = Prompts(model, identity, opened, cancellationToken);
        progress($"{model.Key}: scoring {texts.Length / opened.Width} prompts");
        (ScoreMatrix[] matrices, string precision) = FeatureScorer.Score(images, texts, opened.Width, segments, scale, bias, spec.ScorePrecision, cancellationToken);
        ScoreMatrix[] association = [.. matrices.Skip(experiments.Count + wordings.Count)];
        // The measures are defined over a softmax, whatever the reading.
        if (isSigmoid && association.Length > 0)
            association = [.. FeatureScorer.Score(images, texts, opened.Width, segments, softmaxScale, bias: null, spec.ScorePrecision, cancellationToken).Matrices.Skip(experiments.Count + wordings.Count)];
        var similarity = new List<IReadOnlyList<IReadOnlyList<double>>>();
        int start = 0;
        for (int index = 0; index < experiments.Count; index++)
        {
            similarity.Add(Similarity.Pairs(texts[(start * opened.Width)..((start + segments[index]) * opened.Width)], opened.Width));
            start += segments[index];
        }

        string scoring = isSigmoid
            ? $"sigmoid({scale:R} · cosine {(bias < 0 ? "-" : "+")} {Math.Abs(bias!.Value):R}), each label by itself, the checkpoint's own scale and bias{precision}"
            : $"softmax({scale:R} · cosine){(spec.Scale == "checkpoint" ? ", the checkpoint's own scale" : ", fixed by the spec")}{precision}";
        IReadOnlyList<string> notices = opened.Bias is not null && !isSigmoid
            ? [.. opened.Notices, "The model was trained with a sigmoid of each pair by itself; the probabilities of this run are a softmax over the labels, which is another reading of the same scores."]
            : opened.Notices;
        int sentences = Segments().SelectMany(static segment => segment).Distinct().Count();
        string cost = $"{images.Length / opened.Width} images and {sentences} sentences encoded{Giga(opened.Operations is { } each ? (images.Length / opened.Width * each.Image) + (sentences * each.Sentence) : null)}";
        return new ScoredModel(
            Summary(model, ScoreOrigin.Cosines, scoring, hash, $"{opened.Device}, {spec.ElementType}", notices) with { Preprocessing = opened.Preprocessing, Reading = isSigmoid ? ScoreReading.Sigmoid : ScoreReading.Softmax, Cost = cost }, files, Named(matrices, scale, similarity),
            [.. matrices.Skip(experiments.Count).Take(wordings.Count)], Similarity.Groups(images, opened.Width, Probe.Grouping))
        {
            Measures = measures.IsAny ? Measure(model, identity, opened, softmaxScale, images, association, cancellationToken) : null,
        };
    }

    /// <summary>What the measures beside the experiments need of a model with features.</summary>
    private MeasureScores Measure(ModelSpec model, string identity, IProbeEncoder opened, double scale, float[] images, ScoreMatrix[] association, CancellationToken cancellationToken)
    {
        float[] Texts(string name, string[] sentences) => SentenceFeatures(model, $".{name}", sentences, identity, opened, cancellationToken);
        float[] ImagesOf(ImageSet set) => set == _main ? images : Images(set, model, identity, opened, cancellationToken);
        ScoreMatrix? representation = null;
        if (measures.Representation is var (set, pair))
            representation = FeatureScorer.Score(ImagesOf(set), Texts(set.Name, [pair.FirstPrompt, pair.SecondPrompt]), opened.Width, [2], scale, bias: null, spec.ScorePrecision, cancellationToken).Matrices[0];
        return new MeasureScores(
            association, representation,
            measures.Ranking.Count > 0 ? Cosines(images, Texts("ranking", [.. measures.Ranking]), opened.Width) : null,
            measures.Accuracy is { } accuracy ? new FeaturePair(ImagesOf(accuracy.Images), Texts("accuracy", accuracy.Sentences), opened.Width) : null,
            measures.Retrieval is { } retrieval ? new FeaturePair(ImagesOf(retrieval.Images), Texts("retrieval", retrieval.Captions), opened.Width) : null);
    }

    /// <summary>Dot products in double precision, <c>[images, sentences]</c>.</summary>
    private static double[] Cosines(float[] images, float[] texts, int width)
    {
        int rows = images.Length / width, columns = texts.Length / width;
        var cosines = new double[(long)rows * columns];
        Parallel.For(0, rows, row =>
        {
            for (int column = 0; column < columns; column++)
            {
                double sum = 0;
                for (int i = 0; i < width; i++)
                    sum += (double)images[(row * width) + i] * texts[(column * width) + i];
                cosines[((long)row * columns) + column] = sum;
            }
        });
        return cosines;
    }

    /// <summary>Arithmetic in words; nothing where it is not known.</summary>
    private static string Giga(double? operations) => operations is { } count ? string.Create(CultureInfo.InvariantCulture, $", {count / 1e9:G4} GFLOP") : "";

    /// <summary>
    /// Scores of a model that sees image and sentence together: the log odds that they match, times the spec's number (1 for
    /// <c>checkpoint</c>: log odds have their own unit), through the softmax over the labels of a set; or each through a sigmoid, which
    /// is what the model was trained with.
    /// </summary>
    private ScoredModel FromPairs(ModelSpec model, IProbePairScorer opened, string identity, string hash, InputFile[] files, CancellationToken cancellationToken)
    {
        bool isSigmoid = model.Reading == "sigmoid";
        double scale = SpecReader.FixedScale(spec) ?? 1;
        string[][] segments = Segments();
        string[] sentences = SentencesFor(_main);
        float[] odds = Chunked(model, PairsOf(_main, sentences, identity, opened, cancellationToken), cancellationToken);
        var place = sentences.Select((sentence, index) => (sentence, index)).ToDictionary(entry => entry.sentence, entry => entry.index);
        ScoreMatrix OddsOf(IEnumerable<string> segment) => Columns(odds, sentences.Length, [.. segment.Select(sentence => place[sentence])]);
        // The measures are defined over a softmax, whatever the reading.
        ScoreMatrix[] matrices = [.. segments.Select((segment, index) => isSigmoid && index < experiments.Count + wordings.Count ? FeatureScorer.Sigmoid(OddsOf(segment)) : FeatureScorer.Softmax(OddsOf(segment), scale))];
        MeasureScores? measured = null;
        if (measures.IsAny)
        {
            // No features: accuracy and retrieval would need every image with every sentence.
            ScoreMatrix? representation = null;
            if (measures.Representation is var (set, _))
                representation = FeatureScorer.Softmax(new ScoreMatrix(set.Probe.Images.Count, 2, Chunked(model, PairsOf(set, SentencesFor(set), identity, opened, cancellationToken), cancellationToken)), scale);
            measured = new MeasureScores(
                [.. matrices.Skip(experiments.Count + wordings.Count)], representation,
                measures.Ranking.Count > 0 ? [.. OddsOf(measures.Ranking).Values.Select(value => (double)value)] : null, null, null);
        }

        // No cosines, so no margins in them, and no similarity of features.
        Dictionary<string, ScoredExperiment> scored = experiments.Select((experiment, index) => (experiment.Key, Scored: new ScoredExperiment(new ExperimentScores { Probabilities = matrices[index] }, null)))
            .ToDictionary(entry => entry.Key, entry => entry.Scored);
        string scoring = isSigmoid ? "sigmoid(log odds that image and sentence match), each label by itself"
            : $"softmax({scale:R} · log odds that image and sentence match){(spec.Scale == "checkpoint" ? "" : ", fixed by the spec")}";
        int images = odds.Length / sentences.Length;
        string cost = $"{images} images encoded, {(long)images * sentences.Length} pairs of an image and a sentence read{Giga(opened.Operations is { } each ? (images * each.Image) + ((double)images * sentences.Length * each.Sentence) : null)}";
        return new ScoredModel(
            Summary(model, ScoreOrigin.MatchLogOdds, scoring, hash, $"{opened.Device}, {spec.ElementType}", opened.Notices) with { Preprocessing = opened.Preprocessing, Reading = isSigmoid ? ScoreReading.Sigmoid : ScoreReading.Softmax, Cost = cost },
            files, scored, [.. matrices.Skip(experiments.Count).Take(wordings.Count)], null)
        {
            Measures = measured,
        };
    }

    private static ScoreMatrix Columns(float[] values, int width, int[] columns)
    {
        int rows = values.Length / width;
        var chosen = new float[rows * columns.Length];
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < columns.Length; column++)
                chosen[(row * columns.Length) + column] = values[(row * width) + columns[column]];
        }

        return new ScoreMatrix(rows, columns.Length, chosen);
    }

    /// <summary>The images' features.</summary>
    private float[] Images(ImageSet set, ModelSpec model, string identity, IProbeEncoder opened, CancellationToken cancellationToken) =>
        Chunked(model, ImagesOf(set, identity, opened, cancellationToken), cancellationToken);

    private ImageStage ImagesOf(ImageSet set, string identity, IProbeEncoder opened, CancellationToken cancellationToken) =>
        new("images", set, StageLedger.Key("images", identity, set.Hashed(progress).Hash), opened.Width, AuditRun.ChunkImages, files => opened.EncodeImages(files, cancellationToken));

    private ImageStage PairsOf(ImageSet set, string[] sentences, string identity, IProbePairScorer opened, CancellationToken cancellationToken) =>
        new("pairs", set, StageLedger.Key(["pairs", identity, set.Hashed(progress).Hash, .. sentences]), sentences.Length, AuditRun.ChunkPairImages, files => opened.ScorePairs(files, sentences, cancellationToken));

    /// <summary>What a scorer of pairs holds a set's images against, each sentence once; nothing where a measure needs features.</summary>
    private string[] SentencesFor(ImageSet set) => set == _main ? [.. Segments().SelectMany(segment => segment).Concat(measures.Ranking).Distinct()]
        : measures.Representation is var (own, pair) && own == set ? [pair.FirstPrompt, pair.SecondPrompt]
        : [];

    /// <summary>A stage with a row for each image, made in chunks, each of which a killed run need not repeat.</summary>
    private float[] Chunked(ModelSpec model, ImageStage stage, CancellationToken cancellationToken)
    {
        string[] files = stage.Set.Hashed(progress).Files;
        ledger.Ensure(stage.FileOf(model), stage.Key, path =>
        {
            var all = new List<float>();
            for (int first = 0; first < files.Length; first += stage.Chunk)
            {
                cancellationToken.ThrowIfCancellationRequested();
                int count = Math.Min(stage.Chunk, files.Length - first);
                if (requireChunk is not null && !FilePlace.IsFile(Path.Combine(directory, stage.ChunkFile(first))))
                    requireChunk(model, new ChunkPlace(stage.Set, first, measures.Images.TakeWhile(set => set != stage.Set).Sum(ChunksOf) + (first / AuditRun.ChunkImages), Chunks));
                all.AddRange(FeatureFiles.Read(Make(stage, first, count), count).Values);
                progress($"{model.Key}: {first + count} of {files.Length} images{(stage.Set.Name.Length == 0 ? "" : $" of {stage.Set.Name}")}");
            }

            FeatureFiles.Write(path, [.. all], stage.Width, Metadata(stage.Key));
        });
        return FeatureFiles.Read(Path.Combine(directory, stage.FileOf(model)), files.Length).Values;
    }

    /// <summary>A chunk's file, made unless it is there.</summary>
    private string Make(ImageStage stage, int first, int count)
    {
        string path = Path.Combine(directory, stage.ChunkFile(first));
        if (!FilePlace.IsFile(path))
            FeatureFiles.Write(path, stage.Rows(stage.Set.Hashed(progress).Files[first..(first + count)]), stage.Width, Metadata(stage.Key));
        return path;
    }

    /// <summary>The features of all prompts: the experiments' and the wordings', segment after segment.</summary>
    private (float[] Features, int[] Segments) Prompts(ModelSpec model, string identity, IProbeEncoder opened, CancellationToken cancellationToken)
    {
        string[][] segments = Segments();
        return (SentenceFeatures(model, "", [.. segments.SelectMany(segment => segment)], identity, opened, cancellationToken), [.. segments.Select(segment => segment.Length)]);
    }

    /// <summary>Features of sentences, a row for each, from a stage of their own.</summary>
    private float[] SentenceFeatures(ModelSpec model, string suffix, string[] wanted, string identity, IProbeEncoder opened, CancellationToken cancellationToken)
    {
        // A sentence that several segments share is encoded once.
        string[] sentences = [.. wanted.Distinct()];
        string key = StageLedger.Key(["texts", identity, .. sentences]);
        string name = $"embeddings/{ResultDirectory.FileName(model.Key)}.texts{suffix}.safetensors";
        ledger.Ensure(name, key, path => FeatureFiles.Write(path, opened.EncodeTexts(sentences, cancellationToken), opened.Width, new Dictionary<string, string>(Metadata(key)) { ["sentences"] = JsonSerializer.Serialize(sentences, AuditJson.Default.StringArray) }));
        (float[] values, int width) = FeatureFiles.Read(Path.Combine(directory, name), sentences.Length);
        var place = sentences.Select((sentence, index) => (sentence, index)).ToDictionary(entry => entry.sentence, entry => entry.index);
        var features = new List<float>();
        foreach (string sentence in wanted)
            features.AddRange(values.AsSpan(place[sentence] * width, width));
        return [.. features];
    }

    /// <summary>All prompts: the experiments', the wordings', and the pairs of words of association bias.</summary>
    private string[][] Segments() =>
    [
        .. experiments.Select(experiment => experiment.Labels.Select(label => label.Prompt).ToArray()), .. wordings.Select(wording => wording.Prompts.ToArray()),
        .. measures.Association.Select(pair => new[] { pair.FirstPrompt, pair.SecondPrompt }),
    ];

    private (float[] Values, int Width, IReadOnlyList<IReadOnlyList<double>> Similarity)? Texts(ModelSpec model, LabelExperiment experiment, List<InputFile> inputs)
    {
        if (!model.TextFeatures.TryGetValue(experiment.Key, out string? named))
            return null;
        string file = resolve(named);
        (float[] values, int width) = FeatureFiles.Read(file, experiment.Labels.Count);
        FeatureFiles.Normalize(values, width, file);
        inputs.Add(InputFiles.Describe("text features", file));
        return (values, width, Similarity.Pairs(values, width));
    }

    private Dictionary<string, ScoredExperiment> Named(ScoreMatrix[] matrices, double scale, List<IReadOnlyList<IReadOnlyList<double>>> similarity) =>
        experiments.Select((experiment, index) => (experiment.Key, Scored: new ScoredExperiment(new ExperimentScores { Probabilities = matrices[index], Scale = scale }, similarity[index])))
            .ToDictionary(entry => entry.Key, entry => entry.Scored);

    /// <summary>A model that is open, with what identifies it.</summary>
    private sealed record OpenedModel(IProbeModel Model, string Name, string Identity, string Hash, InputFile[] Files) : IDisposable
    {
        public void Dispose() => Model.Dispose();
    }

    /// <summary>A stage with a row for each image.</summary>
    /// <param name="Name">In its file's name.</param>
    /// <param name="Set">The images.</param>
    /// <param name="Key">The hash of what it depends on.</param>
    /// <param name="Width">Values of a row.</param>
    /// <param name="Chunk">Images made at once.</param>
    /// <param name="Rows">Makes the rows of some image files.</param>
    private sealed record ImageStage(string Name, ImageSet Set, string Key, int Width, int Chunk, Func<string[], float[]> Rows)
    {
        public string FileOf(ModelSpec model) => $"embeddings/{ResultDirectory.FileName(model.Key)}.{Name}{Set.Suffix}.safetensors";

        public string ChunkFile(int first) => $"embeddings/{AuditRun.WorkFolder}/{Key[..32]}/{first:d8}.safetensors";
    }

    private Dictionary<string, string> Metadata(string key) => new(_about) { ["stage"] = key };

    private static ModelSummary Summary(ModelSpec model, ScoreOrigin origin, string scoring, string hash, string from, IReadOnlyList<string> notices) => new()
    {
        Key = model.Key,
        Architecture = model.Architecture,
        TrainingSet = model.TrainingSet,
        TrainingRun = model.TrainingRun,
        PatchSize = model.PatchSize,
        MillionParameters = model.MillionParameters,
        Scoring = scoring,
        Origin = origin,
        Sha256 = hash,
        Source = from,
        Remarks = [.. model.Remarks, .. notices],
    };
}

/// <summary>A chunk of images that a model needs.</summary>
/// <param name="Set">The set of images.</param>
/// <param name="First">Its first image in the set.</param>
/// <param name="Chunk">Its number over all sets.</param>
/// <param name="Chunks">Chunks of all sets.</param>
internal sealed record ChunkPlace(ImageSet Set, int First, int Chunk, int Chunks);
