using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Scores;
using ClipEngine.Audit.Tables;
using ClipEngine.Files;

namespace ClipEngine.Audit.Quality;

/// <summary>Where the images of a measurement are described, and their features.</summary>
internal sealed record QualityInputs
{
    /// <summary>Image features, <c>[images, width]</c>, <c>.npy</c> or <c>.safetensors</c>, a row for each row of the metadata.</summary>
    public required string ImageFeatures { get; init; }

    /// <summary>Text features, <c>[sentences, width]</c>.</summary>
    public required string TextFeatures { get; init; }

    /// <summary>CSV with a row for each image.</summary>
    public required string Metadata { get; init; }

    /// <summary>Which columns of it mean what.</summary>
    public required ProbeColumns Columns { get; init; }

    /// <summary>The level of intervals.</summary>
    public double Level { get; init; } = 0.95;
}

/// <summary>Measures zero-shot accuracy, retrieval and curation from features on the disk, and writes the results.</summary>
internal static class QualityRun
{
    /// <summary>Zero-shot accuracy.</summary>
    /// <param name="inputs">Features and metadata.</param>
    /// <param name="classes">CSV with a row for each text feature.</param>
    /// <param name="classColumn">Its column with the class of a sentence; several sentences of a class are averaged, as open_clip does with templates.</param>
    /// <param name="truthColumn">The metadata's column with the class of an image.</param>
    /// <param name="directory">The folder for the results.</param>
    /// <exception cref="BadInputException">A file, a column or a value is at fault, or another process holds the folder.</exception>
    public static QualityResult Accuracy(QualityInputs inputs, string classes, string classColumn, string truthColumn, string directory)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        using var culture = InvariantCulture.Begin();
        using FolderLock held = ResultDirectory.Hold(directory);
        (Probe probe, float[] images, int width) = Images(inputs);
        CsvTable table = CsvTable.Read(classes);
        string[] classOfText = table.Cells(table.Column(classColumn));
        float[] texts = Texts(inputs, classOfText.Length, width, classes);
        string[] names = [.. classOfText.Distinct()];
        IReadOnlyList<string> truth = probe.Attribute(truthColumn);
        for (int row = 0; row < truth.Count; row++)
        {
            if (!names.Contains(truth[row]))
                throw new BadInputException(inputs.Metadata, $"image '{BadInputException.Escape(probe.Images[row].Id, 60)}' is of class '{BadInputException.Escape(truth[row], 60)}', which {Path.GetFileName(classes)} does not have.", $"Its column '{classColumn}' names the classes.");
        }

        QualityResult result = QualityMeasure.Accuracy(images, width, QualityMeasure.Classifier(texts, width, classOfText, names), names, truth, Groups(probe), Persons(probe), inputs.Level);
        QualityReport.Write(result, inputs, directory);
        return result;
    }

    /// <summary>Image-text retrieval in both directions.</summary>
    /// <param name="inputs">Features and metadata.</param>
    /// <param name="captions">CSV with a row for each text feature.</param>
    /// <param name="imageColumn">Its column with the id of the sentence's image; an image may have several sentences.</param>
    /// <param name="directory">The folder for the results.</param>
    /// <exception cref="BadInputException">A file, a column or a value is at fault, or another process holds the folder.</exception>
    public static QualityResult Retrieval(QualityInputs inputs, string captions, string imageColumn, string directory)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        using var culture = InvariantCulture.Begin();
        using FolderLock held = ResultDirectory.Hold(directory);
        (Probe probe, float[] images, int width) = Images(inputs);
        CsvTable table = CsvTable.Read(captions);
        string[] ids = table.Cells(table.Column(imageColumn));
        float[] texts = Texts(inputs, ids.Length, width, captions);
        Dictionary<string, int> index = probe.Images.Select((image, row) => (image.Id, row)).ToDictionary(entry => entry.Id, entry => entry.row);
        var imageOfText = new int[ids.Length];
        for (int row = 0; row < ids.Length; row++)
        {
            if (!index.TryGetValue(ids[row], out imageOfText[row]))
                throw new BadInputException(captions, $"{table.Where(row)}: there is no image '{BadInputException.Escape(ids[row], 60)}' in {Path.GetFileName(inputs.Metadata)}.", $"Column '{imageColumn}' names images by their ids.");
        }

        QualityResult result = QualityMeasure.Retrieval(images, texts, width, imageOfText, Groups(probe), Persons(probe), inputs.Level);
        QualityReport.Write(result, inputs, directory);
        return result;
    }

    /// <summary>What filtering pairs by similarity keeps of each group; row i of the images goes with row i of the texts.</summary>
    /// <param name="inputs">Features and metadata.</param>
    /// <param name="thresholds">The thresholds to report in full.</param>
    /// <param name="directory">The folder for the results.</param>
    /// <exception cref="BadInputException">A file, a column or a value is at fault, or another process holds the folder.</exception>
    public static CurationResult Curation(QualityInputs inputs, IReadOnlyList<double> thresholds, string directory)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        using var culture = InvariantCulture.Begin();
        using FolderLock held = ResultDirectory.Hold(directory);
        (Probe probe, float[] images, int width) = Images(inputs);
        float[] texts = Texts(inputs, probe.Images.Count, width, inputs.Metadata);
        var similarities = new double[probe.Images.Count];
        for (int row = 0; row < similarities.Length; row++)
        {
            for (int i = row * width; i < (row + 1) * width; i++)
                similarities[row] += (double)images[i] * texts[i];
        }

        CurationResult result = CurationMeasure.Measure(similarities, Groups(probe), Persons(probe), thresholds, inputs.Level);
        QualityReport.Write(result, inputs, directory);
        return result;
    }

    private static (Probe Probe, float[] Images, int Width) Images(QualityInputs inputs)
    {
        Probe probe = ProbeReader.ReadCsv(inputs.Metadata, inputs.Columns);
        (float[] images, int width) = FeatureFiles.Read(inputs.ImageFeatures, probe.Images.Count, inputs.Metadata);
        FeatureFiles.Normalize(images, width, inputs.ImageFeatures);
        return (probe, images, width);
    }

    private static float[] Texts(QualityInputs inputs, int rows, int width, string counted)
    {
        (float[] texts, int textWidth) = FeatureFiles.Read(inputs.TextFeatures, rows, counted);
        if (textWidth != width)
            throw new BadInputException(inputs.TextFeatures, $"text features have {textWidth} columns, image features {width}.", "Take both from one model.");
        FeatureFiles.Normalize(texts, width, inputs.TextFeatures);
        return texts;
    }

    private static string[] Groups(Probe probe) => [.. probe.Images.Select(image => image.Group)];

    private static string[] Persons(Probe probe) => [.. probe.Images.Select(image => image.Person)];
}
