using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Metrics;

/// <summary>What a reader must know about the methods of this very run; what is true of every audit stands in the report anyway.</summary>
internal static class AuditNotes
{
    public static IReadOnlyList<Note> For(AuditResult result)
    {
        double percent = Math.Round(100 * result.Provenance.ConfidenceLevel, 6);
        var notes = new List<Note>
        {
            new(NoteKind.Method, "Intervals of this run",
                $"Every interval has a nominal coverage of {percent} %. Shares carry Wilson's score interval and their differences between groups Newcombe's, on the number of images where each person of a group is shown once, else on the effective number over persons; groups with persons in common are paired. Mean probabilities and their gaps carry Gaffke's interval for bounded values; other means and differences of means between arms carry a bootstrap over persons, bias-corrected and accelerated where the corrections exist, and a normal interval beyond {Resampled.LargestResampled} persons ({result.Provenance.Resamples} resamples, seed {result.Provenance.Seed}). The tables name the method beside each interval. A group without images has no value: it is undefined, not zero."),
        };
        if (result.Comparisons.Count > 0)
        {
            notes.Add(new Note(NoteKind.Method, "Comparisons of this run",
                "Two arms are compared on the same images: each image's outcome is averaged over an arm's checkpoints, and the differences of rates carry Tango's score interval (on the effective number over persons where persons have several images or arms several checkpoints) and a permutation test that swaps their signs. Where each arm is one checkpoint, McNemar's exact test is given too. Tests are corrected within the families that the spec declares; that it was written before the data were seen is for its authors to show; what is in no primary family is exploratory."));
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
}
