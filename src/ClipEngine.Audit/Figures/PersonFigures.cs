using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Figures;

/// <summary>Figures with a row for each image: the softmax heat maps and the table of given labels. Files are named; faces are never shown.</summary>
internal static class PersonFigures
{
    public static IEnumerable<AuditFigure> Make(AuditResult result)
    {
        var groups = result.Probe.Groups.Where(group => group.ImageCount > 0).ToArray();
        int[] order = groups.SelectMany(group => Enumerable.Range(0, result.Probe.Images.Count).Where(image => result.Probe.Images[image].Group == group.Key)).ToArray();
        foreach (ExperimentResult experiment in result.Experiments)
        {
            ModelExperimentResult[] models = experiment.Models.Where(model => model.Probabilities is not null).ToArray();
            foreach (ModelExperimentResult model in models)
                yield return Softmax(experiment, model, groups, order);
            if (models.Length == 0)
                continue;
            foreach (GroupSummary group in groups)
                yield return Given(result, experiment, models, group);
        }
    }

    private static AuditFigure Softmax(ExperimentResult experiment, ModelExperimentResult model, GroupSummary[] groups, int[] order)
    {
        ScoreMatrix matrix = model.Probabilities!;
        var values = new float[order.Length * matrix.Columns];
        for (int row = 0; row < order.Length; row++)
            matrix.Row(order[row]).CopyTo(values.AsSpan(row * matrix.Columns));
        string words = string.Join("; ", groups.Select(group =>
        {
            var top = model.MeanProbability.Where(frame => frame[group.Key].Value is not null).MaxBy(frame => frame[group.Key].Value);
            return top is null ? $"{group.Key}: undefined" : $"{group.Key}: highest mean for '{top.Subject}', {Report.Wording.Share(top[group.Key].Value)}";
        }));
        return AuditFigure.Of(FigureKinds.Softmax, [experiment.Key, model.Model], FigureSection.Persons,
            $"{experiment.Title}, {model.Model}: probability of each label for each image, one thin row an image, sorted by group.",
            new PersonHeatmap
            {
                Title = $"{model.Model}: probability for every image",
                Description = words,
                RowGroups = groups.Select(group => (group.Key, group.ImageCount)).ToArray(),
                ColumnGroups = experiment.Labels.Select(label => (label.Text, 1)).ToArray(),
                Values = values,
                Unit = "probability",
            }.ToSvg());
    }

    private static AuditFigure Given(AuditResult result, ExperimentResult experiment, ModelExperimentResult[] models, GroupSummary group)
    {
        int[] images = Enumerable.Range(0, result.Probe.Images.Count).Where(image => result.Probe.Images[image].Group == group.Key).ToArray();
        return AuditFigure.Of(FigureKinds.Given, [experiment.Key, group.Key], FigureSection.Persons,
            $"{experiment.Title}, group {group.Key} ({group.Description}): the label that each model gave to each image, by file name, without faces.",
            new PersonTable
            {
                Title = $"{group.Key}: label given to each image",
                Description = $"{images.Length} images, {models.Length} models. The same choices stand in the run's scores.",
                Persons = images.Select(image => result.Probe.Images[image].File).ToArray(),
                Models = models.Select(model => model.Model).ToArray(),
                Labels = experiment.Labels.Select(label => label.Text).ToArray(),
                Choices = images.SelectMany(image => models.Select(model => model.Probabilities!.Argmax(image))).ToArray(),
            }.ToSvg());
    }
}
