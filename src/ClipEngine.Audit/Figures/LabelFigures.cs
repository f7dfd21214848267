using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Figures;

/// <summary>Figures of label choices: rates by group, box plots and frequencies by patch size, the confusion of groups, text and image self-similarity.</summary>
internal static class LabelFigures
{
    public static IEnumerable<AuditFigure> Make(AuditResult result)
    {
        string[] groups = result.Probe.Groups.Select(group => group.Key).ToArray();
        foreach (ExperimentResult experiment in result.Experiments)
        {
            foreach (ModelExperimentResult model in experiment.Models)
            {
                if (model.Confusion is { } confusion)
                    yield return Misclassification(experiment, model, confusion, groups);
                else
                    yield return Frequencies(experiment, model, groups);
                if (model.TextSimilarity is { } text)
                    yield return TextSimilarity(experiment, model, text);
            }

            foreach (AuditFigure figure in ByPatchSize(result, experiment, groups))
                yield return figure;
        }

        // Image features do not depend on the labels: one figure a model, whatever the number of experiments.
        foreach (var model in result.Experiments.SelectMany(experiment => experiment.Models).Where(model => model.ImageSimilarity is not null).DistinctBy(model => model.Model))
            yield return ImageSimilarity(model, groups);
    }

    private static AuditFigure Frequencies(ExperimentResult experiment, ModelExperimentResult model, string[] groups)
    {
        string[] labels = experiment.Labels.Select(label => label.Text).ToArray();
        var values = groups.SelectMany(group => model.ArgmaxFrequency.Select(frame => frame[group].Value * 100 ?? double.NaN)).ToArray();
        return AuditFigure.Of(FigureKinds.Rates, [experiment.Key, model.Model], FigureSection.Choices,
            $"{experiment.Title}, {model.Model}: share of each group's images given each label, in percent. Intervals stand in the table.",
            new Heatmap
            {
                Title = $"{model.Model}: label given, % of group",
                Description = FigureSet.Largest(groups, labels, values, "%"),
                Rows = groups,
                Columns = labels,
                Values = values,
                Maximum = 100,
                RowCaption = "group",
                Unit = "%",
            }.ToSvg()) with
        { Experiment = experiment.Key, Model = model.Model };
    }

    private static AuditFigure Misclassification(ExperimentResult experiment, ModelExperimentResult model, Confusion confusion, string[] groups)
    {
        string[] labels = experiment.Labels.Select(label => label.Text).ToArray();
        var values = confusion.Shares.SelectMany(row => row.Select(share => share * 100 ?? double.NaN)).ToArray();
        string rates = string.Join(", ", confusion.MisclassifiedByAttribute.Select(frame => $"{frame.Subject} {Report.Wording.Share(frame.Overall.Value)}"));
        string title = rates.Length > 0 ? $"{model.Model}: named wrongly by {rates}" : $"{model.Model}: named wrongly {Report.Wording.Share(confusion.Misclassified.Overall.Value)}";
        return AuditFigure.Of(FigureKinds.Confusion, [experiment.Key, model.Model], FigureSection.Choices,
            $"{experiment.Title}, {model.Model}: which group's name the model chose for each group, in percent of the row.",
            new Heatmap
            {
                Title = title,
                Description = FigureSet.Largest(groups, labels, values, "%", 8),
                Rows = groups,
                Columns = labels,
                Values = values,
                Maximum = 100,
                RowCaption = "recorded group",
                ColumnCaption = "name chosen",
                Unit = "%",
            }.ToSvg()) with
        { Experiment = experiment.Key, Model = model.Model };
    }

    private static AuditFigure TextSimilarity(ExperimentResult experiment, ModelExperimentResult model, IReadOnlyList<IReadOnlyList<double>> similarity)
    {
        string[] labels = experiment.Labels.Select(label => label.Text).ToArray();
        double[] values = similarity.SelectMany(row => row).ToArray();
        return AuditFigure.Of(FigureKinds.TextSimilarity, [experiment.Key, model.Model], FigureSection.Features,
            $"{experiment.Title}, {model.Model}: cosines of the label sentences with each other. Labels that the model hardly tells apart split the images between them.",
            new Heatmap
            {
                Title = $"{model.Model}: cosine of label sentences",
                Description = $"Cosines between {values.Min():0.00} and 1.",
                Rows = labels,
                Columns = labels,
                Values = values,
                Maximum = 1,
                Format = "0.00",
                Unit = "cosine",
            }.ToSvg());
    }

    private static AuditFigure ImageSimilarity(ModelExperimentResult model, string[] groups)
    {
        double[] values = model.ImageSimilarity!.SelectMany(row => row.Select(value => value ?? double.NaN)).ToArray();
        return AuditFigure.Of(FigureKinds.ImageSimilarity, [model.Model], FigureSection.Features,
            $"{model.Model}: mean cosine of the image features of two groups, an image never with itself. A high diagonal means that the model sees the members of a group as alike.",
            new Heatmap
            {
                Title = $"{model.Model}: mean cosine of image features",
                Description = FigureSet.Largest(groups, groups, values, "", 8).Replace(" ;", ";", StringComparison.Ordinal),
                Rows = groups,
                Columns = groups,
                Values = values,
                Maximum = 1,
                Format = "0.000",
                RowCaption = "group",
                Unit = "cosine",
            }.ToSvg());
    }

    private static IEnumerable<AuditFigure> ByPatchSize(AuditResult result, ExperimentResult experiment, string[] groups)
    {
        var sizes = result.Models.Where(model => model.PatchSize is not null && experiment.Models.Any(entry => entry.Model == model.Key))
            .GroupBy(model => model.PatchSize!.Value).OrderByDescending(size => size.Key)
            .Select(size => (Patch: size.Key, Models: experiment.Models.Where(entry => size.Any(model => model.Key == entry.Model)).ToArray())).ToArray();
        if (sizes.Length < 2 || experiment.NamesGroups)
            yield break;
        string[] series = sizes.Select(size => $"patch {size.Patch} ({size.Models.Length} checkpoints)").ToArray();
        const string warning = "Patch size is confounded with model size and training; checkpoints of one training run are not independent.";
        for (int label = 0; label < experiment.Labels.Count; label++)
        {
            string text = experiment.Labels[label].Text;
            if (sizes.SelectMany(size => size.Models).All(model => model.Probabilities is not null))
            {
                var values = groups.SelectMany(group => sizes.Select(size => ProbabilitiesOf(result, size.Models, group, label))).ToArray();
                yield return AuditFigure.Of(FigureKinds.PatchProbability, [experiment.Key, text], FigureSection.PatchSize,
                    $"Probability of '{text}' by group and patch size. {warning}",
                    new BoxPlot
                    {
                        Title = $"Probability of '{text}' by patch size",
                        Description = warning,
                        Categories = groups,
                        Series = series,
                        Values = values,
                        Unit = "probability",
                    }.ToSvg()) with
                { Experiment = experiment.Key };
            }

            var bars = groups.SelectMany(group => sizes.Select(size =>
            {
                double?[] rates = size.Models.Select(model => model.ArgmaxFrequency[label][group].Value).ToArray();
                return rates.Any(rate => rate is null) ? FigureSet.Bar(null) : new IntervalBar(rates.Average()!.Value * 100, rates.Min()!.Value * 100, rates.Max()!.Value * 100);
            })).ToArray();
            yield return AuditFigure.Of(FigureKinds.PatchFrequency, [experiment.Key, text], FigureSection.PatchSize,
                $"Share of images given '{text}' by group and patch size: mean over checkpoints; the lines reach from the lowest to the highest checkpoint and are no confidence intervals. {warning}",
                new IntervalBars
                {
                    Title = $"'{text}' by patch size",
                    Description = warning,
                    Panels = ["mean over checkpoints, lowest to highest"],
                    Categories = groups,
                    Series = series,
                    Values = bars,
                    Unit = "% of images",
                }.ToSvg()) with
            { Experiment = experiment.Key };
        }
    }

    private static IReadOnlyList<double> ProbabilitiesOf(AuditResult result, ModelExperimentResult[] models, string group, int label)
    {
        var values = new List<double>();
        for (int image = 0; image < result.Probe.Images.Count; image++)
        {
            if (result.Probe.Images[image].Group == group)
                values.AddRange(models.Select(model => (double)model.Probabilities![image, label]));
        }

        return values;
    }
}
