using ClipEngine.Audit.Results;
using ClipEngine.Audit.Tables;

namespace ClipEngine.Audit.Runs;

/// <summary>
/// The result as tables: every number unrounded, shares in [0, 1], undefined values as empty cells. Each table names the model's
/// hash and the software's version in every row, so that a table that travels alone still says where it comes from.
/// </summary>
internal static class ResultTables
{
    /// <summary>All tables that the result has something for.</summary>
    public static IEnumerable<ResultTable> All(AuditResult result)
    {
        yield return Groups(result);
        yield return Gaps(result);
        yield return Predictions(result);
        yield return Ties(result);
        yield return LeaveOneOut(result);
        if (result.Experiments.Any(experiment => experiment.NamesGroups))
            yield return ConfusionShares(result);
        if (result.Experiments.Any(experiment => experiment.Models.Any(model => model.Flips is not null)))
            yield return Flips(result);
        if (result.Comparisons.Count > 0)
            yield return Comparisons(result);
        if (result.GroupComparisons.Count > 0)
            yield return GroupComparisons(result);
        if (result.ChangeComparisons.Count > 0)
            yield return ChangeComparisons(result);
        if (result.Sensitivity.Count > 0)
            yield return Sensitivity(result);
        if (result.Correlations.Count > 0)
            yield return Correlations(result);
        if (result.Bias.Any(bias => bias.Representation is not null || bias.Association.Count > 0))
            yield return Preferences(result);
        if (result.Bias.Any(bias => bias.Association.Count > 0))
        {
            yield return PreferenceGaps(result);
            yield return AssociationBias(result);
        }

        if (result.Bias.Any(bias => bias.Rankings.Count > 0))
            yield return Rankings(result);
        if (result.Bias.Any(bias => bias.Accuracy is not null || bias.Retrieval is not null))
        {
            yield return Quality(result);
            yield return QualityGaps(result);
        }
    }

    private static IEnumerable<(ModelBias Bias, string Kind, string Attribute, PairPreference Pair)> Pairs(AuditResult result) => result.Bias.SelectMany(bias =>
        (bias.Representation is { } pair ? [(bias, "representation", "", pair)] : Array.Empty<(ModelBias, string, string, PairPreference)>())
        .Concat(bias.Association.SelectMany(own => own.Pairs.Select(entry => (bias, "association", own.Attribute, entry)))));

    private static ResultTable Preferences(AuditResult result)
    {
        var text = new ResultTable("preferences", "How often one model prefers the first of two words, for images of nobody in particular (representation) or by group (association; \"(all)\": all images together).",
            "model", "bias", "attribute", "first", "second", "first_prompt", "second_prompt", "group", "n", "preferred", "lower", "upper", "level", "interval", "mean_probability", "mean_lower", "mean_upper", "model_sha256", "version");
        foreach ((ModelBias bias, string kind, string attribute, PairPreference pair) in Pairs(result))
        {
            IEnumerable<(string Group, Estimate Share, Estimate Mean)> groups = pair.Preferred.Groups.Zip(pair.MeanProbability.Groups, (share, mean) => (share.Group, share.Estimate, mean.Estimate));
            foreach ((string group, Estimate share, Estimate mean) in groups.Where(_ => pair.Preferred.Groups.Count > 1).Append(("(all)", pair.Preferred.Overall, pair.MeanProbability.Overall)))
            {
                text.Add(bias.Model).Add(kind).Add(attribute).Add(pair.First).Add(pair.Second).Add(pair.FirstPrompt).Add(pair.SecondPrompt).Add(group);
                Add(text, share);
                AddEnds(text, mean);
                EndMeasure(text, result, bias.Model);
            }
        }

        return text;
    }

    private static ResultTable PreferenceGaps(AuditResult result)
    {
        var text = new ResultTable("preference-gaps", "The difference of two groups in how often the first of two words is preferred, first group minus second.",
            "model", "attribute", "first", "second", "first_group", "second_group", "n", "difference", "lower", "upper", "level", "interval", "mean_difference", "mean_lower", "mean_upper", "model_sha256", "version");
        foreach ((ModelBias bias, string kind, string attribute, PairPreference pair) in Pairs(result).Where(entry => entry.Kind == "association"))
        {
            foreach ((GroupGap gap, GroupGap mean) in pair.Preferred.Gaps.Zip(pair.MeanProbability.Gaps))
            {
                text.Add(bias.Model).Add(attribute).Add(pair.First).Add(pair.Second).Add(gap.First).Add(gap.Second);
                Add(text, gap.Difference);
                AddEnds(text, mean.Difference);
                EndMeasure(text, result, bias.Model);
            }
        }

        return text;
    }

    private static ResultTable AssociationBias(AuditResult result)
    {
        var text = new ResultTable("association-bias", "Two groups over all pairs of words, and every two groups over all pairs: the mean size of their gaps, and the largest.",
            "model", "attribute", "over", "first_group", "second_group", "n", "mean_gap", "lower", "upper", "level", "interval", "largest_gap", "largest_lower", "largest_upper", "largest_pair", "model_sha256", "version");
        IEnumerable<(string Over, AssociationSummary Summary)> Of(AssociationBias own) =>
            own.Summaries.Select(summary => ("two groups", summary)).Concat(own.Overall is { } overall && own.Summaries.Count > 1 ? [("every two groups", overall)] : []);
        foreach ((ModelBias bias, AssociationBias own, (string over, AssociationSummary summary)) in result.Bias.SelectMany(bias => bias.Association.SelectMany(own => Of(own).Select(entry => (bias, own, entry)))))
        {
            text.Add(bias.Model).Add(own.Attribute).Add(over).Add(summary.FirstGroup).Add(summary.SecondGroup);
            Add(text, summary.MeanGap);
            AddEnds(text, summary.LargestGap).Add(summary.LargestPair);
            EndMeasure(text, result, bias.Model);
        }

        return text;
    }

    private static ResultTable Rankings(AuditResult result)
    {
        var text = new ResultTable("rankings", "Skew of the images that a sentence finds first; an empty sentence is the mean over all.",
            "model", "attribute", "sentence", "k", "max_skew", "group", "max_skew_chance", "max_skew_p", "ndkl", "ndkl_chance", "ndkl_p", "model_sha256", "version");
        foreach ((ModelBias bias, RankingSkew skew) in result.Bias.SelectMany(bias => bias.Rankings.Select(skew => (bias, skew))))
        {
            text.Add(bias.Model).Add(skew.Attribute).Add(skew.Sentence).Add(skew.Top).Add((double?)skew.MaxSkew).Add(skew.Group).Add(skew.MaxSkewChance).Add(skew.MaxSkewP).Add((double?)skew.Ndkl).Add(skew.NdklChance).Add(skew.NdklP);
            EndMeasure(text, result, bias.Model);
        }

        return text;
    }

    private static ResultTable Quality(AuditResult result) => Qualities(
        result,
        new ResultTable("quality", "Accuracy and recall of one model over all images (part empty), by group or by class.",
            "model", "kind", "measure", "part", "name", "n", "value", "lower", "upper", "level", "interval", "model_sha256", "version"),
        quality => quality.Rates.Select(rate => ((string[])[rate.Measure, rate.Part, rate.Name], rate.Rate)));

    private static ResultTable QualityGaps(AuditResult result) => Qualities(
        result,
        new ResultTable("quality-gaps", "The difference of two groups in accuracy or recall, first minus second.",
            "model", "kind", "measure", "first", "second", "n", "difference", "lower", "upper", "level", "interval", "model_sha256", "version"),
        quality => quality.Gaps.Select(gap => ((string[])[gap.Measure, gap.First, gap.Second], gap.Gap)));

    private static ResultTable Qualities(AuditResult result, ResultTable text, Func<QualityResult, IEnumerable<(string[] Names, Estimate Value)>> rows)
    {
        foreach (ModelBias bias in result.Bias)
        {
            foreach (QualityResult quality in new[] { bias.Accuracy, bias.Retrieval }.OfType<QualityResult>())
            {
                foreach ((string[] names, Estimate value) in rows(quality))
                {
                    text.Add(bias.Model).Add(quality.Kind);
                    foreach (string name in names)
                        text.Add(name);
                    Add(text, value);
                    EndMeasure(text, result, bias.Model);
                }
            }
        }

        return text;
    }

    private static ResultTable Groups(AuditResult result)
    {
        var text = new ResultTable("groups", "A metric of one model in one group (\"(all)\": all images together; \"(average over groups)\": each group counting the same; \"gender=F\": a group of one attribute), with n and interval; effective_persons (Kish) where images have weights.",
            "experiment", "model", "metric", "unit", "subject", "prompt", "group", "n", "estimate", "lower", "upper", "level", "interval", "effective_persons", "reading", "model_sha256", "version");
        Dictionary<string, double?> effective = result.Probe.Groups.Concat(result.Probe.Marginals.SelectMany(marginal => marginal.Groups)).DistinctBy(group => group.Key).ToDictionary(group => group.Key, group => group.EffectivePersons);
        effective.TryAdd("(all)", result.Probe.EffectivePersons);
        foreach ((ExperimentResult experiment, ModelExperimentResult model, GroupMetricFrame frame) in Frames(result))
        {
            string prompt = experiment.Labels.FirstOrDefault(label => label.Text == frame.Subject)?.Prompt ?? "";
            bool isMarginal = model.Marginals.Any(marginal => marginal.ArgmaxFrequency.Contains(frame) || marginal.MeanProbability.Contains(frame));
            IEnumerable<(string, Estimate)> together = isMarginal ? [] : [("(all)", frame.Overall), .. frame.Average is { } average ? [(ArmComparison.AverageOverGroups, average)] : Array.Empty<(string, Estimate)>()];
            foreach ((string group, Estimate estimate) in frame.Groups.Select(entry => (entry.Group, entry.Estimate)).Concat(together))
            {
                text.Add(experiment.Key).Add(model.Model).Add(frame.Metric.ToString()).Add(frame.Unit.ToString()).Add(frame.Subject).Add(prompt).Add(group);
                Add(text, estimate);
                text.Add(effective.GetValueOrDefault(group));
                End(text, result, model.Model);
            }
        }

        return text;
    }

    private static ResultTable Gaps(AuditResult result)
    {
        var text = new ResultTable("gaps", "The signed difference of two groups in a metric, first minus second, with interval; of many groups each against the reference group and against all images together (\"(all)\").",
            "experiment", "model", "metric", "unit", "subject", "first", "second", "n", "difference", "lower", "upper", "level", "interval", "reading", "model_sha256", "version");
        foreach ((ExperimentResult experiment, ModelExperimentResult model, GroupMetricFrame frame) in Frames(result))
        {
            foreach (GroupGap gap in frame.Gaps.Concat(frame.OverallGaps))
            {
                text.Add(experiment.Key).Add(model.Model).Add(frame.Metric.ToString()).Add(frame.Unit.ToString()).Add(frame.Subject).Add(gap.First).Add(gap.Second);
                Add(text, gap.Difference);
                End(text, result, model.Model);
            }
        }

        return text;
    }

    private static ResultTable Predictions(AuditResult result)
    {
        var text = new ResultTable("predictions", "What one model chose for one image, and the runner-up.",
            "experiment", "model", "image", "file", "person", "group", "label", "probability", "runner_up", "runner_up_probability", "reading", "model_sha256", "version");
        foreach ((ExperimentResult experiment, ModelExperimentResult model) in Models(result))
        {
            if (model.Probabilities is not { } scores)
                continue;
            for (int row = 0; row < scores.Rows; row++)
            {
                ProbeImage image = result.Probe.Images[row];
                int winner = scores.Argmax(row);
                text.Add(experiment.Key).Add(model.Model).Add(image.Id).Add(image.File).Add(image.Person).Add(image.Group)
                    .Add(experiment.Labels[winner].Text).Add((double)scores[row, winner]);
                int second = -1;
                for (int column = 0; column < scores.Columns; column++)
                {
                    if (column != winner && (second < 0 || scores[row, column] > scores[row, second]))
                        second = column;
                }

                if (second >= 0)
                    text.Add(experiment.Labels[second].Text).Add((double)scores[row, second]);
                else
                    text.Add("").Add((double?)null);
                End(text, result, model.Model);
            }
        }

        return text;
    }

    private static ResultTable Ties(AuditResult result)
    {
        var text = new ResultTable("ties", "Images of a group (\"(all)\": of all groups) with two labels or more that have exactly the same highest probability; the first of them counts as chosen.",
            "experiment", "model", "group", "n", "ties", "reading", "model_sha256", "version");
        foreach ((ExperimentResult experiment, ModelExperimentResult model) in Models(result))
        {
            if (model.ExactTies is not { } ties)
                continue;
            foreach (GroupTies entry in ties.Append(new GroupTies("(all)", ties.Sum(entry => entry.Images), ties.Sum(entry => entry.Ties))))
            {
                text.Add(experiment.Key).Add(model.Model).Add(entry.Group).Add(entry.Images).Add(entry.Ties);
                End(text, result, model.Model);
            }
        }

        return text;
    }

    private static ResultTable LeaveOneOut(AuditResult result)
    {
        var text = new ResultTable("leave-one-label-out", "Argmax frequency by group after one label was taken away.",
            "experiment", "model", "left_out", "label", "group", "n", "estimate", "lower", "upper", "level", "interval", "reading", "model_sha256", "version");
        foreach ((ExperimentResult experiment, ModelExperimentResult model) in Models(result))
        {
            foreach (LeaveOneOut left in model.LeaveOneLabelOut)
            {
                foreach (GroupMetricFrame frame in left.ArgmaxFrequency)
                {
                    foreach ((string group, Estimate estimate) in frame.Groups.Select(entry => (entry.Group, entry.Estimate)).Append(("(all)", frame.Overall)))
                    {
                        text.Add(experiment.Key).Add(model.Model).Add(left.LeftOut).Add(frame.Subject).Add(group);
                        Add(text, estimate);
                        End(text, result, model.Model);
                    }
                }
            }
        }

        return text;
    }

    private static ResultTable ConfusionShares(AuditResult result)
    {
        var text = new ResultTable("confusion", "Share of a group that was given a label that names a group.",
            "experiment", "model", "group", "label", "label_group", "n", "share", "reading", "model_sha256", "version");
        foreach ((ExperimentResult experiment, ModelExperimentResult model) in Models(result))
        {
            if (model.Confusion is not { } confusion)
                continue;
            for (int group = 0; group < result.Probe.Groups.Count; group++)
            {
                for (int column = 0; column < experiment.Labels.Count; column++)
                {
                    text.Add(experiment.Key).Add(model.Model).Add(result.Probe.Groups[group].Key).Add(experiment.Labels[column].Text)
                        .Add(experiment.Labels[column].Group ?? "").Add(result.Probe.Groups[group].ImageCount).Add(confusion.Shares[group][column]);
                    End(text, result, model.Model);
                }
            }
        }

        return text;
    }

    private static ResultTable Flips(AuditResult result)
    {
        var text = new ResultTable("flips", "Range of an argmax frequency under the stated numeric error.",
            "experiment", "model", "cosine_error", "group", "label", "lowest", "measured", "highest", "reading", "model_sha256", "version");
        foreach ((ExperimentResult experiment, ModelExperimentResult model) in Models(result))
        {
            foreach (FlipRange range in model.Flips?.Rates ?? [])
            {
                text.Add(experiment.Key).Add(model.Model).Add(model.Flips!.CosineError).Add(range.Group).Add(range.Label).Add(range.Lowest).Add(range.Measured).Add(range.Highest);
                End(text, result, model.Model);
            }
        }

        return text;
    }

    private static ResultTable Comparisons(AuditResult result)
    {
        var text = new ResultTable("comparisons", "A declared comparison of two arms of checkpoints on the same faces, for one label in one group.",
            "comparison", "kind", "architecture", "first_arm", "first_models", "second_arm", "second_models", "confounded_with", "experiment", "label", "group", "n",
            "first_rate", "first_lower", "first_upper", "second_rate", "second_lower", "second_upper",
            "rate_difference", "rate_lower", "rate_upper", "rate_interval", "mcnemar_only_first", "mcnemar_only_second", "mcnemar_p",
            "family", "primary", "family_size", "rate_p", "rate_p_holm", "rate_p_bh",
            "mean_difference", "mean_lower", "mean_upper", "mean_interval", "mean_p", "mean_p_holm", "mean_p_bh", "effect_size_d",
            "first_runs", "second_runs", "run_difference", "run_lower", "run_upper", "run_p", "run_p_holm", "version");
        foreach (ArmComparison entry in result.Comparisons)
        {
            text.Add(entry.Name).Add(entry.Kind).Add(entry.Architecture).Add(entry.First.Name).Add(string.Join("; ", entry.First.Models))
                .Add(entry.Second.Name).Add(string.Join("; ", entry.Second.Models)).Add(entry.ConfoundedWith).Add(entry.Experiment).Add(entry.Label).Add(entry.Group).Add(entry.RateDifference.Count);
            AddEnds(text, entry.FirstRate);
            AddEnds(text, entry.SecondRate);
            AddEnds(text, entry.RateDifference).Add(entry.RateDifference.Interval?.Method ?? "");
            if (entry.McNemar is { } counts)
                text.Add(counts.OnlyFirst).Add(counts.OnlySecond).Add(counts.PValue);
            else
                text.Add("").Add("").Add((double?)null);
            TestResult? test = entry.RateTest ?? entry.MeanTest;
            text.Add(test?.Family ?? "").Add(test is null ? "" : test.IsPrimary ? "yes" : "no").Add((double?)test?.FamilySize);
            text.Add(entry.RateTest?.PValue).Add(entry.RateTest?.Holm).Add(entry.RateTest?.BenjaminiHochberg);
            AddEnds(text, entry.MeanDifference).Add(entry.MeanDifference.Interval?.Method ?? "");
            text.Add(entry.MeanTest?.PValue).Add(entry.MeanTest?.Holm).Add(entry.MeanTest?.BenjaminiHochberg).Add(entry.EffectSize);
            text.Add(Runs(entry.Runs?.First)).Add(Runs(entry.Runs?.Second));
            AddEnds(text, entry.Runs?.Difference ?? Estimate.Undefined).Add(entry.Runs?.Test?.PValue).Add(entry.Runs?.Test?.Holm).Add(result.Provenance.Version).EndRow();
        }

        return text;

        static string Runs(IReadOnlyList<double>? rates) => rates is null ? "" : string.Join("; ", rates.Select(rate => rate.ToString("R")));
    }

    private static ResultTable GroupComparisons(AuditResult result)
    {
        var text = new ResultTable("group-comparisons", "Two groups within one model, first against second, in a declared family of tests.",
            "family", "primary", "family_size", "model", "experiment", "label", "first", "second", "n", "first_rate", "first_lower", "first_upper", "second_rate", "second_lower", "second_upper",
            "rate_difference", "rate_lower", "rate_upper", "rate_interval", "rate_ratio", "ratio_lower", "ratio_upper", "ratio_interval", "rate_p", "rate_p_holm", "rate_p_bh",
            "mean_difference", "mean_lower", "mean_upper", "mean_interval", "mean_p", "mean_p_holm", "mean_p_bh", "reading", "model_sha256", "version");
        foreach (GroupComparison entry in result.GroupComparisons)
        {
            text.Add(entry.Family).Add(entry.RateTest is { IsPrimary: true } ? "yes" : "no").Add((double?)entry.RateTest?.FamilySize).Add(entry.Model).Add(entry.Experiment).Add(entry.Label).Add(entry.First).Add(entry.Second)
                .Add(entry.RateDifference.Count);
            AddEnds(AddEnds(text, entry.FirstRate), entry.SecondRate);
            AddEnds(text, entry.RateDifference).Add(entry.RateDifference.Interval?.Method ?? "");
            AddEnds(text, entry.RateRatio).Add(entry.RateRatio.Interval?.Method ?? "");
            text.Add(entry.RateTest?.PValue).Add(entry.RateTest?.Holm).Add(entry.RateTest?.BenjaminiHochberg);
            AddEnds(text, entry.MeanDifference).Add(entry.MeanDifference.Interval?.Method ?? "");
            text.Add(entry.MeanTest?.PValue).Add(entry.MeanTest?.Holm).Add(entry.MeanTest?.BenjaminiHochberg);
            End(text, result, entry.Model);
        }

        return text;
    }

    private static ResultTable ChangeComparisons(AuditResult result)
    {
        var text = new ResultTable("change-comparisons", "A difference of differences: the first group's change between two arms minus the second's, in a declared family of tests.",
            "family", "primary", "family_size", "comparison", "first_arm", "second_arm", "confounded_with", "experiment", "label", "first", "second", "n",
            "first_change", "first_lower", "first_upper", "second_change", "second_lower", "second_upper",
            "rate_difference", "rate_lower", "rate_upper", "rate_interval", "rate_p", "rate_p_holm", "rate_p_bh", "mean_difference", "mean_lower", "mean_upper", "mean_interval", "mean_p", "mean_p_holm", "mean_p_bh", "version");
        foreach (ChangeComparison entry in result.ChangeComparisons)
        {
            text.Add(entry.Family).Add(entry.RateTest is { IsPrimary: true } ? "yes" : "no").Add((double?)entry.RateTest?.FamilySize).Add(entry.Comparison).Add(entry.FirstArm).Add(entry.SecondArm).Add(entry.ConfoundedWith)
                .Add(entry.Experiment).Add(entry.Label).Add(entry.First).Add(entry.Second).Add(entry.RateDifference.Count);
            AddEnds(AddEnds(text, entry.FirstChange), entry.SecondChange);
            AddEnds(text, entry.RateDifference).Add(entry.RateDifference.Interval?.Method ?? "");
            text.Add(entry.RateTest?.PValue).Add(entry.RateTest?.Holm).Add(entry.RateTest?.BenjaminiHochberg);
            AddEnds(text, entry.MeanDifference).Add(entry.MeanDifference.Interval?.Method ?? "");
            text.Add(entry.MeanTest?.PValue).Add(entry.MeanTest?.Holm).Add(entry.MeanTest?.BenjaminiHochberg).Add(result.Provenance.Version).EndRow();
        }

        return text;
    }

    private static ResultTable Sensitivity(AuditResult result)
    {
        var text = new ResultTable("sensitivity", "One wording of a statement.",
            "statement", "model", "group", "label", "kind", "template", "synonym", "label_set", "published", "n", "rate", "lower", "upper", "level", "interval", "mean_probability", "reading", "model_sha256", "version");
        foreach (SensitivityStatement statement in result.Sensitivity)
        {
            foreach (SensitivityCell cell in statement.Cells)
            {
                text.Add(statement.Statement).Add(statement.Model).Add(statement.Group).Add(statement.Label).Add(cell.Kind.ToString())
                    .Add(cell.Template).Add(cell.Synonym).Add(cell.LabelSet).Add(cell.IsPublished ? "yes" : "no");
                Add(text, cell.Rate);
                text.Add(cell.Mean.Value);
                End(text, result, statement.Model);
            }
        }

        return text;
    }

    private static ResultTable Correlations(AuditResult result)
    {
        var text = new ResultTable("correlations", "Correlation of a label's probability with a numeric attribute over persons; group empty: over all of them.",
            "experiment", "model", "label", "attribute", "group", "coefficient", "n", "estimate", "lower", "upper", "level", "interval", "family", "family_size", "p", "p_holm", "p_bh", "reading", "model_sha256", "version");
        foreach (AttributeCorrelation entry in result.Correlations)
        {
            foreach ((string coefficient, Estimate estimate, TestResult? test) in new[] { ("Pearson", entry.Pearson, entry.PearsonTest), ("Spearman", entry.Spearman, entry.SpearmanTest) })
            {
                text.Add(entry.Experiment).Add(entry.Model).Add(entry.Label).Add(entry.Attribute).Add(entry.Group).Add(coefficient);
                Add(text, estimate);
                text.Add(test?.Family ?? "").Add((double?)test?.FamilySize).Add(test?.PValue).Add(test?.Holm).Add(test?.BenjaminiHochberg);
                End(text, result, entry.Model);
            }
        }

        return text;
    }

    internal static IEnumerable<(ExperimentResult Experiment, ModelExperimentResult Model, GroupMetricFrame Frame)> Frames(AuditResult result)
    {
        foreach ((ExperimentResult experiment, ModelExperimentResult model) in Models(result))
        {
            IEnumerable<GroupMetricFrame?> frames =
            [
                .. model.ArgmaxFrequency, .. model.MeanProbability, .. model.MergedArgmaxFrequency, .. model.MergedMeanProbability,
                model.Entropy, model.Margin, model.Flips?.Flippable, model.Confusion?.Misclassified, .. model.Confusion?.MisclassifiedByAttribute ?? [],
                .. model.Marginals.SelectMany(marginal => marginal.ArgmaxFrequency.Concat(marginal.MeanProbability)),
            ];
            foreach (GroupMetricFrame? frame in frames)
            {
                if (frame is not null)
                    yield return (experiment, model, frame);
            }
        }
    }

    private static IEnumerable<(ExperimentResult Experiment, ModelExperimentResult Model)> Models(AuditResult result) =>
        result.Experiments.SelectMany(experiment => experiment.Models, (experiment, model) => (experiment, model));

    private static void Add(ResultTable text, Estimate estimate) =>
        text.Add(estimate.Count).Add(estimate.Value).Add(estimate.Interval?.Lower).Add(estimate.Interval?.Upper).Add(estimate.Interval?.Level).Add(estimate.Interval?.Method ?? "");

    private static ResultTable AddEnds(ResultTable text, Estimate estimate) =>
        text.Add(estimate.Value).Add(estimate.Interval?.Lower).Add(estimate.Interval?.Upper);

    /// <summary>Ends a row of a number that a reading of scores has made, with that reading.</summary>
    private static void End(ResultTable text, AuditResult result, string model)
    {
        text.Add(ResultDirectory.ReadingOf(result, model) == ScoreReading.Sigmoid ? "sigmoid" : "softmax");
        EndMeasure(text, result, model);
    }

    /// <summary>Ends a row of a measure that is defined over one reading, or over none.</summary>
    private static void EndMeasure(ResultTable text, AuditResult result, string model) =>
        text.Add(result.Models.First(entry => entry.Key == model).Sha256).Add(result.Provenance.Version).EndRow();
}
