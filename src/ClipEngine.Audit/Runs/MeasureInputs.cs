using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Tables;

namespace ClipEngine.Audit.Runs;

/// <summary>What a spec asks of models beside its experiments, read and checked: images, sentences, truths.</summary>
internal sealed class MeasureInputs
{
    /// <summary>Which of two words is preferred for images of nobody in particular.</summary>
    public (ImageSet Images, WordPair Pair)? Representation { get; private init; }

    /// <summary>Pairs of words for the spec's probe.</summary>
    public IReadOnlyList<WordPair> Association { get; private init; } = [];

    /// <summary>Sentences that rank the spec's probe.</summary>
    public IReadOnlyList<string> Ranking { get; private init; } = [];

    /// <summary>Classes, their sentences one class after the other, and the class of each image.</summary>
    public (ImageSet Images, string[] Classes, string[] Sentences, string[] ClassOfSentence, string[] Truth)? Accuracy { get; private init; }

    /// <summary>Captions with the row of the image that each belongs to.</summary>
    public (ImageSet Images, string[] Captions, int[] ImageOfCaption)? Retrieval { get; private init; }

    /// <summary>All sets of images, each once, the spec's probe first.</summary>
    public required IReadOnlyList<ImageSet> Images { get; init; }

    /// <summary>Whether anything is asked for.</summary>
    public bool IsAny { get; private init; }

    /// <summary>Files that were read, besides the spec's own table.</summary>
    public IReadOnlyList<(string Role, string Path)> Files { get; private init; } = [];

    /// <summary>Reads what the spec names.</summary>
    /// <param name="spec">The spec.</param>
    /// <param name="source">Where it is, for messages.</param>
    /// <param name="main">The spec's probe.</param>
    /// <param name="resolve">Turns a path of the spec into one that can be opened.</param>
    /// <exception cref="BadInputException">A table, a column, a class or a caption's image is at fault.</exception>
    public static MeasureInputs Read(AuditSpec spec, string source, ImageSet main, Func<string, string> resolve)
    {
        var sets = new List<ImageSet> { main };
        var files = new List<(string Role, string Path)>();
        ImageSet Own(string name, ProbeSpec? probe, bool needsGroups)
        {
            if (probe is null)
                return main;
            var own = new ImageSet(name, probe, ProbeLayouts.Read(probe, resolve, needsGroups), resolve);
            sets.Add(own);
            if (own.Metadata is { } metadata)
                files.Add(($"metadata of {name}", metadata));
            return own;
        }

        (ImageSet, WordPair)? representation = spec.RepresentationBias is { } bias
            ? (Own("representationBias", bias.Probe, needsGroups: false), Pair(bias.Template, bias.First, bias.Second))
            : null;
        (ImageSet, string[], string[], string[], string[])? accuracy = null;
        if (spec.Accuracy is { } wanted)
        {
            ImageSet images = Own("accuracy", wanted.Probe, needsGroups: false);
            string[] truth = [.. images.Probe.Attribute(wanted.Truth)];
            for (int row = 0; row < truth.Length; row++)
            {
                if (!wanted.Classes.ContainsKey(truth[row]))
                    throw new BadInputException(images.Probe.Source, $"image '{BadInputException.Escape(images.Probe.Images[row].Id, 60)}' has the class '{BadInputException.Escape(truth[row], 60)}' in column '{wanted.Truth}', which accuracy.classes of {BadInputException.Escape(source, 200)} does not have.", "Add the class, or leave such images out with where.");
            }

            accuracy = (images, [.. wanted.Classes.Keys], [.. wanted.Classes.Values.SelectMany(text => wanted.Templates.Select(template => PromptTemplate.Fill(template, text)))],
                [.. wanted.Classes.Keys.SelectMany(name => wanted.Templates.Select(_ => name))], truth);
        }

        (ImageSet, string[], int[])? retrieval = null;
        if (spec.Retrieval is { } asked)
        {
            ImageSet images = Own("retrieval", asked.Probe, needsGroups: false);
            string path = resolve(asked.Captions);
            files.Add(("captions", path));
            CsvTable table = CsvTable.Read(path);
            int image = table.Column(asked.Image), caption = table.Column(asked.Caption);
            if (table.RowCount == 0)
                throw new BadInputException(path, "there is a header but no row.", "Write a row for each caption.");
            Dictionary<string, int> rows = images.Probe.Images.Select((entry, row) => (entry.Id, row)).ToDictionary(entry => entry.Id, entry => entry.row);
            var captions = new string[table.RowCount];
            var imageOfCaption = new int[table.RowCount];
            for (int row = 0; row < captions.Length; row++)
            {
                captions[row] = table[row, caption];
                if (string.IsNullOrWhiteSpace(captions[row]))
                    throw new BadInputException(path, $"{table.Where(row)}: column '{asked.Caption}' is empty.", "Fill the cell, or take the row out.");
                if (!rows.TryGetValue(table[row, image], out imageOfCaption[row]))
                    throw new BadInputException(path, $"{table.Where(row)}: there is no image '{BadInputException.Escape(table[row, image], 60)}' in {images.Probe.Source}.", "Column 'image' must hold ids of the metadata; retrieval.image names another column.");
            }

            retrieval = (images, captions, imageOfCaption);
        }

        return new MeasureInputs
        {
            Images = sets,
            Representation = representation,
            Association = spec.AssociationBias is { } pairs ? [.. pairs.Pairs.Select(pair => Pair(pairs.Template, pair.First, pair.Second))] : [],
            Ranking = spec.Ranking?.Sentences ?? [],
            Accuracy = accuracy,
            Retrieval = retrieval,
            IsAny = spec.HasMeasures,
            Files = files,
        };
    }

    private static WordPair Pair(string template, string first, string second) => new(first, second, PromptTemplate.Fill(template, first), PromptTemplate.Fill(template, second));
}

/// <summary>What a model made of the inputs of the measures.</summary>
/// <param name="Association">For each pair of words <c>[images, 2]</c>, softmax over the two.</param>
/// <param name="Representation"><c>[images, 2]</c>; null where it is not asked for.</param>
/// <param name="Ranking"><c>[images, sentences]</c>, what images are ranked by; null where it is not asked for.</param>
/// <param name="Accuracy">Features of images and of sentences.</param>
/// <param name="Retrieval">Features of images and of captions.</param>
internal sealed record MeasureScores(
    IReadOnlyList<Results.ScoreMatrix> Association, Results.ScoreMatrix? Representation, double[]? Ranking, FeaturePair? Accuracy, FeaturePair? Retrieval);

/// <summary>Features of images and of sentences of one model.</summary>
/// <param name="Images"><c>[images, width]</c>, rows of length 1.</param>
/// <param name="Texts"><c>[sentences, width]</c>, rows of length 1.</param>
/// <param name="Width">Length of a feature.</param>
internal sealed record FeaturePair(float[] Images, float[] Texts, int Width);
