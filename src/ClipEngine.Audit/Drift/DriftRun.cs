using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Scores;
using ClipEngine.Files;

namespace ClipEngine.Audit.Drift;

/// <summary>Compares what two models associate with concepts.</summary>
internal static class DriftRun
{
    /// <summary>Embeds the probe's images with both models (or takes features that were computed elsewhere), measures, and writes the results.</summary>
    /// <param name="before">A model as <c>embed</c> takes it, or its image features of the probe (<c>.npy</c>, <c>.safetensors</c>), a row for each row of the metadata.</param>
    /// <param name="after">The same of the fine-tuned model.</param>
    /// <param name="specPath">The spec (<see cref="DriftSpec"/>).</param>
    /// <param name="directory">The folder for <c>drift.json</c>, <c>tables</c>, <c>figures</c> and <c>report.html</c>.</param>
    /// <param name="source">Opens models.</param>
    /// <param name="progress">Lines for the user.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <exception cref="BadInputException">The spec, the metadata, an image or a model is at fault, or another process holds the folder.</exception>
    public static DriftResult Run(string before, string after, string specPath, string directory, IProbeModelSource source, Action<string> progress, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(before);
        ArgumentException.ThrowIfNullOrEmpty(after);
        using var culture = InvariantCulture.Begin();
        DriftSpec spec = DriftSpec.Read(specPath);
        if (spec.Pairs.Count > 0)
            throw new BadInputException(specPath, "it names pairs of models of its own.", "Leave BEFORE and AFTER out of the command, or pairs out of the spec.");
        return Run(before, after, spec, specPath, directory, source, progress, cancellation).Result;
    }

    /// <summary>Compares each pair of models that the spec names, and puts them together as factors.</summary>
    /// <param name="specPath">The spec, with <see cref="DriftSpec.Pairs"/>; paths in it are relative to its folder.</param>
    /// <param name="directory">The folder for <c>study.json</c>, <c>tables</c>, <c>figures</c>, <c>report.html</c>, and a folder for each pair.</param>
    /// <param name="source">Opens models.</param>
    /// <param name="progress">Lines for the user.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <exception cref="BadInputException">The spec, the metadata, an image or a model is at fault, or another process holds the folder.</exception>
    public static DriftStudyResult RunPairs(string specPath, string directory, IProbeModelSource source, Action<string> progress, CancellationToken cancellation = default)
    {
        using var culture = InvariantCulture.Begin();
        DriftSpec spec = DriftSpec.Read(specPath);
        if (spec.Pairs.Count == 0)
            throw new BadInputException(specPath, "it names no pairs of models.", "Name BEFORE and AFTER in the command, or pairs in the spec.");
        string folder = Path.GetDirectoryName(Path.GetFullPath(specPath))!;
        // A path below the spec's folder, or else a name of the catalogue.
        string Resolve(string model) => Path.Exists(Path.Combine(folder, model)) ? Path.Combine(folder, model) : model;
        RefuseInputs(directory, [specPath, Path.Combine(folder, spec.Metadata), .. spec.Pairs.SelectMany(pair => new[] { Resolve(pair.Before), Resolve(pair.After) })]);
        using FolderLock held = ResultDirectory.Hold(directory);
        var pairs = new List<DriftPair>();
        var measured = new List<IReadOnlyList<MeasuredDrift>>();
        foreach (DriftPairSpec pair in spec.Pairs)
        {
            progress($"{pair.Name}:");
            (DriftResult result, IReadOnlyList<MeasuredDrift> measures) = Run(Resolve(pair.Before), Resolve(pair.After), spec, specPath, Path.Combine(directory, DriftStudyReport.FolderOf(pair.Name)), source, progress, cancellation);
            pairs.Add(new DriftPair(pair.Name, pair.Factors, result with { Before = pair.Before, After = pair.After }));
            measured.Add(measures);
        }

        DriftStudyResult study = DriftStudy.Of(spec.Title, pairs, measured, spec.Intervals);
        DriftStudyReport.Write(study, spec, directory);
        return study;
    }

    private static void RefuseInputs(string directory, IEnumerable<string> inputs) =>
        ResultDirectory.RefuseInputs(directory, inputs.Where(FilePlace.IsFile), ["tables", "figures"], ["drift.json", "study.json", "report.html"]);

    private static (DriftResult Result, IReadOnlyList<MeasuredDrift> Measures) Run(
        string before, string after, DriftSpec spec, string specPath, string directory, IProbeModelSource source, Action<string> progress, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(progress);
        string folder = Path.GetDirectoryName(Path.GetFullPath(specPath))!;
        RefuseInputs(directory, [specPath, Path.Combine(folder, spec.Metadata), before, after]);
        using FolderLock held = ResultDirectory.Hold(directory);
        Probe probe = ProbeReader.ReadCsv(Path.Combine(folder, spec.Metadata), new ProbeColumns { Id = spec.Id, File = spec.File, Person = spec.Person, Group = [spec.Set] });
        string[] sets = [.. probe.Images.Select(image => image.Group)];
        string[] concepts = spec.Concepts.Count > 0 ? [.. spec.Concepts] : [.. sets.Distinct().Except(spec.Groups)];
        foreach (string set in spec.Groups.Concat(concepts))
        {
            if (!sets.Contains(set))
                throw new BadInputException(specPath, $"no image is in the set '{BadInputException.Escape(set, 60)}'; column '{spec.Set}' of {spec.Metadata} has {string.Join(", ", probe.GroupKeys.Take(20))}.", "Name sets that occur there.");
        }

        if (concepts.Length < 2)
            throw new BadInputException(specPath, "there are fewer than two concepts.", "Add images of other concepts: correlations are taken over them.");
        string[]? sentences = Sentences(spec, specPath, concepts);
        var measure = new DriftMeasure(sets, [.. probe.Images.Select(image => image.Person)], spec.Groups, concepts);
        var notices = new List<string>(probe.Warnings);
        Side one = Embed(before, spec, folder, probe, sentences, source, notices, progress, cancellation);
        Side two = Embed(after, spec, folder, probe, sentences, source, notices, progress, cancellation);
        progress("measuring ...");
        var measures = new List<MeasuredDrift>
        {
            measure.Compare("features", weights => measure.OnFeatures(one.Features, one.Width, weights), weights => measure.OnFeatures(two.Features, two.Width, weights), spec.Intervals),
        };
        cancellation.ThrowIfCancellationRequested();
        if (one.Scores is { } first && two.Scores is { } second)
            measures.Add(measure.Compare("zero-shot", weights => measure.OnScores(first, weights), weights => measure.OnScores(second, weights), spec.Intervals));
        else if (sentences is not null)
            notices.Add("Zero-shot scores need both models themselves: features of images alone were given.");
        var result = new DriftResult(spec.Title, before, after, spec.Groups, [.. spec.Groups.Select(group => sets.Count(set => set == group))], measure.Persons, [.. measures.Select(own => own.Result)], notices);
        DriftReport.Write(result, spec, directory);
        return (result, measures);
    }

    private static string[]? Sentences(DriftSpec spec, string specPath, string[] concepts)
    {
        if (spec.Labels.Count == 0)
            return null;
        string? missing = concepts.FirstOrDefault(concept => !spec.Labels.ContainsKey(concept));
        if (missing is not null)
            throw new BadInputException(specPath, $"labels has no sentence for the concept '{BadInputException.Escape(missing, 60)}'.", "Give every concept one, or leave labels out.");
        string? unknown = spec.Labels.Keys.FirstOrDefault(label => !concepts.Contains(label));
        if (unknown is not null)
            throw new BadInputException(specPath, $"labels names '{BadInputException.Escape(unknown, 60)}', which is no concept.", $"The concepts are {string.Join(", ", concepts.Take(20))}.");
        return [.. concepts.Select(concept => spec.Labels[concept])];
    }

    private static Side Embed(string model, DriftSpec spec, string folder, Probe probe, string[]? sentences, IProbeModelSource source, List<string> notices, Action<string> progress, CancellationToken cancellation)
    {
        if (FilePlace.IsFile(model) && (Path.GetExtension(model) == ".npy" || IsFeatureFile(model)))
        {
            (float[] given, int width) = FeatureFiles.Read(model, probe.Images.Count);
            FeatureFiles.Normalize(given, width, model);
            return new Side(given, width, null);
        }

        if (spec.Images is null)
            throw new BadInputException(model, "is a model, and the spec names no folder of images.", "Add \"images\" to the spec, or give features computed elsewhere.");
        string images = Path.Combine(folder, spec.Images);
        progress($"{model}: {probe.Images.Count} images ...");
        using IProbeModel opened = source.Open(source.Find(model, acceptActivationMismatch: false), spec.ElementType);
        notices.AddRange(opened.Notices);
        if (opened is not IProbeEncoder encoder)
            throw new BadInputException(model, "scores pairs of an image and a sentence; it has no image features.", "Drift is measured on models that embed images.");
        float[] features = encoder.EncodeImages([.. probe.Images.Select(image => Path.Combine(images, image.File))], cancellation);
        float[]? scores = sentences is null ? null : Softmax(features, encoder.EncodeTexts(sentences, cancellation), encoder.Width, spec.Scale);
        return new Side(features, encoder.Width, scores);
    }

    /// <summary>A run's own features, or those of <c>embed image</c>: a single matrix, where a checkpoint has many tensors.</summary>
    private static bool IsFeatureFile(string path)
    {
        if (Path.GetExtension(path) != ".safetensors")
            return false;
        using Checkpoints.ICheckpoint file = Checkpoints.Checkpoint.Open(path);
        return file.Tensors.Count == 1;
    }

    /// <summary>Softmax over sentences of scaled cosines, [images, sentences], in double precision.</summary>
    private static float[] Softmax(float[] images, float[] texts, int width, double scale)
    {
        int rows = images.Length / width, columns = texts.Length / width;
        var scores = new float[rows * columns];
        var logits = new double[columns];
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < columns; column++)
            {
                double dot = 0;
                for (int i = 0; i < width; i++)
                    dot += (double)images[(row * width) + i] * texts[(column * width) + i];
                logits[column] = scale * dot;
            }

            double most = logits.Max(), sum = logits.Sum(logit => Math.Exp(logit - most));
            for (int column = 0; column < columns; column++)
                scores[(row * columns) + column] = (float)(Math.Exp(logits[column] - most) / sum);
        }

        return scores;
    }

    private sealed record Side(float[] Features, int Width, float[]? Scores);
}
