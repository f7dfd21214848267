using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Metrics;

/// <summary>What a reader must know about the methods of this very run; what is true of every audit stands in the report anyway.</summary>
internal static class AuditNotes
{
    /// <summary>A weighted group that fewer persons of equal weight would stand for is named.</summary>
    private const int FewPersons = 10;

    public static IReadOnlyList<Note> For(AuditResult result)
    {
        double percent = Math.Round(100 * result.Provenance.ConfidenceLevel, 6);
        string weighting = Weighting(result);
        var notes = new List<Note>
        {
            new(NoteKind.Method, "What is estimated",
                $"A rate is the share of images that a model gives a label, in the population {(result.Probe.WeightColumn is { } weights ? $"that the weights in '{weights}' make these {result.Probe.Images.Count} images stand for: every rate, mean, gap, comparison and correlation of this run is of the weighted probe" : $"of images of which these {result.Probe.Images.Count} are taken as a sample")}; a mean is that of the label's probability. A gap is the difference of two groups in one model, a comparison the difference of two arms on the same images, and a difference of differences how much more one group changed between the arms than another. Averages over groups count each group the same, whatever its size."),
            new(NoteKind.Method, "What counts the same (weighting)", weighting),
            new(NoteKind.Method, "Images of one person (clustering)", Clustering(result)),
            new(NoteKind.Method, "Intervals of this run",
                $"Every interval has a nominal coverage of {percent} %. Shares carry Wilson's score interval and their gaps Newcombe's; ratios of shares MOVER-R and averages over groups MOVER on Wilson's. Mean probabilities and their gaps carry Gaffke's interval for bounded values up to {Resampled.LargestResampled} persons; other means and differences of means between arms a bootstrap over persons, bias-corrected and accelerated where the corrections exist, and all of them a normal interval beyond {Resampled.LargestResampled} persons ({result.Provenance.Resamples} resamples, seed {result.Provenance.Seed}). The tables name the method beside each interval."),
            new(NoteKind.Method, "How well the intervals hold (coverage)",
                "Each kind of interval was tried on simulated samples whose truth is known, with few images, rare labels, several images a person, persons in several groups and persons of unequal weight; docs/statistics.md has the table, and 'tools/coverage' makes it again. Nominal 95 % intervals held the truth in 92 to 100 % there. Intervals of mean probabilities are wider than they need be, most of all where a few images carry the mean: such means are marked."),
            new(NoteKind.Method, "Several tests (multiplicity)", Multiplicity(result)),
            new(NoteKind.Method, "What is missing (missing data)", Missing(result)),
        };
        if (result.Probe.Groups.Count > GroupMetricFrame.MostGroupsInPairs)
        {
            notes.Add(new Note(NoteKind.Method, "Which groups are compared",
                $"{result.Probe.Groups.Count} groups would make {(long)result.Probe.Groups.Count * (result.Probe.Groups.Count - 1) / 2} pairs. Beyond {GroupMetricFrame.MostGroupsInPairs} groups not all pairs are compared, but each group with the reference group '{result.Probe.ReferenceGroup}' and with all images together, of which it is a part; the intervals take account of the persons in both. Other pairs are compared where a family declares them."));
        }

        if (result.Comparisons.Count > 0)
        {
            notes.Add(new Note(NoteKind.Method, "Comparisons of this run",
                "Two arms are compared on the same images: each image's outcome is averaged over an arm's checkpoints, and the differences of rates carry Tango's score interval (on the effective number over persons where persons have several images or arms several checkpoints) and a permutation test that swaps the signs of persons' differences. Where each arm is one checkpoint, McNemar's exact test is given too. Estimate, interval, test and effect size weigh persons alike. Where an arm has several training runs, their rates are shown, and tested against each other where there are enough."));
        }

        if (result.GroupComparisons.Count > 0 || result.ChangeComparisons.Count > 0)
        {
            notes.Add(new Note(NoteKind.Method, "Pairs of groups",
                "Gaps of rates within a model are tested with Fisher's exact test where every person has one image and stands in one group; else, and for means and differences of differences, persons change places between the groups (one who stands in both swaps its two sides), the difference taken over its standard error. A difference of differences carries MOVER's interval on the two Tango intervals."));
        }

        if (result.Correlations.Count > 0)
        {
            notes.Add(new Note(NoteKind.Method, "Correlations",
                $"Over persons, each with the means of its images; within groups over the distances from the groups' means. The interval is a bootstrap over persons on Fisher's z, bias-corrected and accelerated ({PersonCorrelation.MostResamples} resamples at most); Pearson's r has none where fewer than {PersonCorrelation.FewestPersons} persons make the spread of either number. The test permutes the column between persons, within groups where the correlation is."));
        }

        if (result.Bias.Count > 0)
        {
            notes.Add(new Note(NoteKind.Method, "Bias by name",
                "A word of two is preferred for an image where its sentence's score is the larger one; equal scores count one half. Preferences carry the intervals of rates. Over pairs of words the size of a gap is averaged, and the largest taken; their intervals are the mean and the envelope of the pairs' intervals at Bonferroni's level, which hold together, so that they cover at least as often as their level says. " +
                "Skew of rankings has no interval but its distribution by chance; every image counts the same in it, whatever its weight. Accuracy and recall carry Wilson's interval on the effective number of images over persons; every image counts the same in them."));
        }

        if (result.Sensitivity.Count > 0)
        {
            notes.Add(new Note(NoteKind.Method, "The grid of wordings",
                "A statement is repeated with every template, every synonym of its label and every label set of the declared grid. Controls (reversed word order, neutral labels added) are shown beside the range and are no part of it."));
        }

        if (result.Experiments.Any(experiment => experiment.Models.Any(model => model.Flips is not null)))
        {
            notes.Add(new Note(NoteKind.Method, "Numeric error",
                "Two labels could change places where their cosines are closer than twice the stated error. The range of a rate is what would be found if every image that could leave the label did, and if every image that could get it did."));
        }

        return notes;
    }

    private static string Weighting(AuditResult result) => $"{Counting(result)}{Weights(result)}";

    private static string Counting(AuditResult result)
    {
        string what = result.Probe.WeightColumn is null ? "counts the same" : "counts by its weight alone";
        return result.Probe.PersonCount == result.Probe.Images.Count
            ? $"Every image shows another person, and each {what}: in every rate, mean, difference, test and effect size."
            : result.Probe.Weighting == Results.Weighting.Person
                ? $"Every person of a group {what}, with however many images: in every rate, mean, difference, test, effect size and correlation. n is still the number of images. A rate is then that of a person drawn at random, with an image of it drawn at random."
                : $"Every image {what}, so that a person with many images counts as many times: in every rate, mean, difference, test, effect size and correlation. A rate is then that of an image drawn at random. Where a few persons have most of the images, intervals are too narrow.";
    }

    private static string Weights(AuditResult result)
    {
        if (result.Probe.WeightColumn is not { } column)
            return "";
        string person = result.Probe.PersonCount == result.Probe.Images.Count ? ""
            : result.Probe.Weighting == Results.Weighting.Person ? " A person's weight is the mean of its images' weights." : " A person's weight is the sum of its images' weights.";
        GroupSummary[] few = [.. result.Probe.Groups.Where(group => group.EffectivePersons < FewPersons).OrderBy(group => group.EffectivePersons)];
        string warning = few.Length == 0 ? "" : $" Under {FewPersons} such persons carry {string.Join(", ", few.Select(group => $"{group.Key} ({group.EffectivePersons:0.0})"))}: read their rates as those of these few.";
        return $" Weights come from column '{column}'; only their ratios matter.{person} Together {result.Probe.PersonCount} persons weigh as {result.Probe.EffectivePersons:0.0} of equal weight would (Kish's effective number, (Σ W)²/Σ W²); each group's stands beside its n.{warning} " +
            "Variances are linearised over persons with their weights, no interval of a rate counts more than the effective number, and tests take differences over their weighted standard errors. " +
            "Weights are taken as known: where they were estimated (post-stratification, raking), what that adds or saves is not in the intervals. Box plots and single images are shown unweighted. McNemar's and Fisher's tests, which count images, are not made where weights differ.";
    }

    private static string Clustering(AuditResult result)
    {
        int images = result.Probe.Images.Count, persons = result.Probe.PersonCount;
        if (images == persons)
            return "Every image is of another person as far as the metadata say: no two images depend on each other. If somebody is shown more than once, name the column that says who.";
        int shared = result.Probe.Groups.Sum(group => group.PersonCount) - persons;
        return $"{images} images show {persons} persons. Persons, not images, are what is drawn, resampled and permuted: variances are linearised over persons, and the effective number of images stands behind every interval of a rate. " +
            (shared > 0 ? "Persons stand in several groups: gaps between those are paired over them. " : "No person stands in two groups. ") + "A group of one person has no interval.";
    }

    private static string Multiplicity(AuditResult result)
    {
        var families = new List<(string Name, bool IsPrimary, int Size)>();
        void Take(IEnumerable<TestResult?> tests) => families.AddRange(tests.OfType<TestResult>().DistinctBy(test => test.Family).Select(test => (test.Family, test.IsPrimary, test.FamilySize)));
        Take(result.Comparisons.Select(entry => entry.RateTest));
        Take(result.ChangeComparisons.Select(entry => entry.RateTest));
        Take(result.GroupComparisons.Select(entry => entry.RateTest));
        Take(result.Correlations.Select(entry => entry.SpearmanTest));
        if (families.Count == 0)
            return "Nothing is tested in this run. Intervals are not corrected for how many of them a page shows: of a hundred gaps without a true difference, up to seven leave zero out.";
        int exploratory = families.Count(static family => !family.IsPrimary);
        string primary = string.Join("; ", families.Where(family => family.IsPrimary).Select(family => $"'{family.Name}' ({family.Size})"));
        return $"Tests are corrected within families, after Holm (any false claim) and after Benjamini and Hochberg (the share of false claims). {(primary.Length > 0 ? $"Declared primary, with the number of tests: {primary}" : "No family is declared primary")}. " +
            $"{exploratory} of {families.Count} families {(exploratory == 1 ? "is" : "are")} exploratory, with {families.Where(family => !family.IsPrimary).Sum(family => family.Size)} tests in all. Nothing is corrected across families, nor intervals at all. That families were written before the data were seen is for the spec's authors to show.";
    }

    private static string Missing(AuditResult result)
    {
        string[] empty = [.. result.Probe.Groups.Where(group => group.ImageCount == 0).Select(group => group.Key)];
        var parts = new List<string>
        {
            "A missing image, and a row without group or person, stop a run; a score that is no number is refused: nothing is filled in." + (result.Probe.WeightColumn is null ? "" : " So does a missing or negative weight; rows of weight 0 are left out and counted with the probe's data."),
            empty.Length > 0 ? $"Groups without images have no value, and no zero: {string.Join(", ", empty)}." : "Every group has images.",
        };
        parts.AddRange(result.Probe.Marginals.Select(marginal => (marginal.Attribute, Without: result.Probe.Images.Count - marginal.Groups.Sum(group => group.ImageCount))).Where(entry => entry.Without > 0)
            .Select(entry => $"'{entry.Attribute}' is missing for {entry.Without} images, which are in no group of it."));
        parts.AddRange(result.Correlations.Where(entry => entry.ImagesWithout > 0).DistinctBy(entry => entry.Attribute).Select(entry => $"'{entry.Attribute}' is missing for {entry.ImagesWithout} images, which are in no correlation with it."));
        string[] failed = [.. result.Models.Where(model => model.Failure is not null).Select(model => model.Key)];
        if (failed.Length > 0)
            parts.Add($"Models without results: {string.Join(", ", failed)}; comparisons with them are not made.");
        return string.Join(" ", parts);
    }
}
