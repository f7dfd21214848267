using ClipEngine.Audit.Figures;
using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Report;

/// <summary>Bias by name, and what it is weighed against.</summary>
internal static class BiasSection
{
    public const string Id = "bias";

    public const string Title = "Bias by name, and what it is weighed against";

    public static void Write(HtmlWriter page, AuditResult result, IReadOnlyList<AuditFigure> figures)
    {
        if (result.Bias.Count == 0)
            return;
        page.BeginSection(Id, Title);
        page.Paragraph("Representation bias and association bias are named in \"CLIP the Bias\" (2403.04547). That they are measured as the share of images of nobody in particular for which one word is preferred, and as preferences within pairs of occupations by group, " +
            "is how a later study of the same group, on pre-training with 100 billion examples, reports them; the sentences, the half for equal scores, the summaries over pairs and all intervals are this program's own (a reconstruction).");
        string[] without = [.. result.Models.Where(model => model.Failure is null && result.Bias.All(bias => bias.Model != model.Key)).Select(model => model.Key)];
        if (without.Length > 0)
            page.Paragraph($"Not measured for {string.Join(", ", without)}: their scores or features were computed elsewhere, and the sentences here need the model itself.");
        Representation(page, result);
        Association(page, result);
        Rankings(page, result);
        Quality(page, result, "accuracy", "Zero-shot accuracy", bias => bias.Accuracy);
        Quality(page, result, "retrieval", "Image-text retrieval", bias => bias.Retrieval);
        AuditFigure[] own = [.. figures.Where(figure => figure.Section == FigureSection.Bias)];
        if (own.Length > 0)
        {
            page.Heading(3, "Bias against quality", "bias-quality").Paragraph("A point for each model, with both intervals. Models differ in more than their data: a pattern over models is no effect of any one difference.");
            foreach (AuditFigure figure in own)
                page.Figure(figure);
        }

        page.EndSection();
    }

    private static void Representation(HtmlWriter page, AuditResult result)
    {
        ModelBias[] measured = [.. result.Bias.Where(bias => bias.Representation is not null)];
        if (measured.Length == 0)
            return;
        PairPreference first = measured[0].Representation!;
        page.Heading(3, "Representation bias", "representation-bias")
            .Paragraph($"Images of nobody in particular: '{first.FirstPrompt}' against '{first.SecondPrompt}'. A model without a default prefers each for half of them.");
        string[] groups = first.Preferred.Groups.Count > 1 ? [.. first.Preferred.Groups.Select(group => group.Group)] : [];
        page.Table($"Share of images for which '{first.First}' is preferred", ["model", "n", "preferred", "mean probability", .. groups],
            measured.Select(bias => (string[])
            [
                bias.Model, bias.Representation!.Preferred.Overall.Count.ToString(), Wording.Percent2(bias.Representation.Preferred.Overall), Wording.Percent2(bias.Representation.MeanProbability.Overall),
                .. groups.Select(group => Wording.Percent2(bias.Representation.Preferred[group])),
            ]));
    }

    private static void Association(HtmlWriter page, AuditResult result)
    {
        if (result.Bias.All(bias => bias.Association.Count == 0))
            return;
        page.Heading(3, "Association bias", "association-bias")
            .Paragraph("How often the first word of a pair is preferred, by group. The summaries are over all pairs: the mean size of a gap between two groups, and the largest. Sizes are never below zero, so that noise alone makes them larger than they are; an interval that begins at zero says so.");
        foreach (string attribute in result.Bias.SelectMany(bias => bias.Association).Select(entry => entry.Attribute).Distinct())
        {
            (string Model, AssociationBias Own)[] own = [.. result.Bias.SelectMany(bias => bias.Association.Where(entry => entry.Attribute == attribute).Select(entry => (bias.Model, entry)))];
            if (own.Any(entry => entry.Own.Summaries.Count > 1))
            {
                page.Table($"By {attribute}: size of gaps over the pairs and every two groups", ["model", "mean gap", "largest gap", "pair with the largest", "group", "against"],
                    own.Where(entry => entry.Own.Overall is not null).Select(entry => (string[])[entry.Model, Wording.Percent2(entry.Own.Overall!.MeanGap), Wording.Percent2(entry.Own.Overall.LargestGap), entry.Own.Overall.LargestPair, entry.Own.Overall.FirstGroup, entry.Own.Overall.SecondGroup]));
            }

            page.Table($"By {attribute}: size of gaps over the pairs", ["model", "group", "against", "mean gap", "largest gap", "pair with the largest"],
                own.SelectMany(entry => entry.Own.Summaries.Select(summary => (string[])[entry.Model, summary.FirstGroup, summary.SecondGroup, Wording.Percent2(summary.MeanGap), Wording.Percent2(summary.LargestGap), summary.LargestPair])));
            string[] groups = [.. own[0].Own.Pairs[0].Preferred.Groups.Select(group => group.Group)];
            page.BeginDetails($"By {attribute}: each pair");
            page.Table($"By {attribute}: share of images for which the first word is preferred", ["model", "first", "second", .. groups, "all"],
                own.SelectMany(entry => entry.Own.Pairs.Select(pair => (string[])[entry.Model, pair.First, pair.Second, .. groups.Select(group => Wording.Percent2(pair.Preferred[group])), Wording.Percent2(pair.Preferred.Overall)])));
            page.Table($"By {attribute}: difference of two groups in each pair", ["model", "pair", "group", "against", "difference", "difference of mean probability"],
                own.SelectMany(entry => entry.Own.Pairs.SelectMany(pair => pair.Preferred.Gaps.Zip(pair.MeanProbability.Gaps, (gap, mean) => (string[])
                    [entry.Model, $"{pair.First} over {pair.Second}", gap.First, gap.Second, Wording.Points(gap.Difference), Wording.Points(mean.Difference)]))));
            page.EndDetails();
        }
    }

    private static void Rankings(HtmlWriter page, AuditResult result)
    {
        if (result.Bias.All(bias => bias.Rankings.Count == 0))
            return;
        page.Heading(3, "Whom sentences find first", "rankings")
            .Paragraph("MaxSkew@k is the largest logarithm of a group's share among the first k images over its share among all; NDKL adds up how far the shares among the first 1 to k are from those among all, the first counting most (Geyik and others, 1905.01989). " +
                "Both are above zero even for a ranking that has nothing to do with groups: \"by chance\" is their mean over groups dealt out to persons at random, p the share of such deals with as large a value, not corrected for how many are shown.");
        void Skews(string caption, Func<RankingSkew, bool> which) => page.Table(caption, ["model", "groups of", "sentence", "k", "MaxSkew@k", "by chance", "p", "group", "NDKL", "by chance", "p"],
            result.Bias.SelectMany(bias => bias.Rankings.Where(which).Select(skew => (string[])
            [
                bias.Model, skew.Attribute, skew.Sentence.Length == 0 ? "mean over sentences" : skew.Sentence, skew.Top.ToString(), $"{skew.MaxSkew:0.000}", Number(skew.MaxSkewChance), Number(skew.MaxSkewP),
                skew.Group, $"{skew.Ndkl:0.000}", Number(skew.NdklChance), Number(skew.NdklP),
            ])));
        Skews("Skew of the first images, mean over sentences", skew => skew.Sentence.Length == 0);
        page.BeginDetails("Skew of each sentence");
        Skews("Skew of the first images, each sentence", skew => skew.Sentence.Length > 0);
        page.EndDetails();
    }

    private static void Quality(HtmlWriter page, AuditResult result, string id, string title, Func<ModelBias, QualityResult?> of)
    {
        (string Model, QualityResult Result)[] measured = [.. result.Bias.Where(bias => of(bias) is not null).Select(bias => (bias.Model, of(bias)!))];
        if (measured.Length == 0)
            return;
        page.Heading(3, title, id);
        string[] measures = [.. measured[0].Result.Rates.Select(rate => rate.Measure).Distinct()];
        Estimate Find(QualityResult from, string measure, string part, string name) => from.Rates.FirstOrDefault(rate => rate.Measure == measure && rate.Part == part && rate.Name == name)?.Rate ?? Estimate.Undefined;
        void Parts(string caption, string part, string head)
        {
            string[] names = [.. measured[0].Result.Rates.Where(rate => rate.Part == part).Select(rate => rate.Name).Distinct()];
            if (names.Length == 0)
                return;
            page.BeginDetails(caption).Table(caption, ["model", head, .. measures],
                measured.SelectMany(entry => names.Select(name => (string[])[entry.Model, name, .. measures.Select(measure => Wording.Percent2(Find(entry.Result, measure, part, name)))]))).EndDetails();
        }

        page.Table(title, ["model", "images", .. measures], measured.Select(entry => (string[])[entry.Model, entry.Result.Images.ToString(), .. measures.Select(measure => Wording.Percent2(Find(entry.Result, measure, "", "")))]));
        Parts($"{title} by group", "group", "group");
        Parts($"{title} by class", "class", "class");
        if (measured.Any(entry => entry.Result.Gaps.Count > 0))
        {
            page.BeginDetails($"{title}: gaps between groups").Table($"{title}: the first group minus the second", ["model", "measure", "first", "second", "difference"],
                measured.SelectMany(entry => entry.Result.Gaps.Select(gap => (string[])[entry.Model, gap.Measure, gap.First, gap.Second, Wording.Points(gap.Gap)]))).EndDetails();
        }
    }

    private static string Number(double? value) => value is { } number ? $"{number:0.000}" : "–";
}
