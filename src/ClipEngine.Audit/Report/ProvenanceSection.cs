using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Report;

/// <summary>Everything that somebody needs to get the same bytes again, or to find out why they do not.</summary>
internal static class ProvenanceSection
{
    public static void Write(HtmlWriter page, AuditResult result)
    {
        Provenance provenance = result.Provenance;
        page.BeginSection("provenance", "How to repeat this");
        page.Paragraph(provenance.Spec.Length > 0
            ? "Save the spec below as SPEC.json, put the files beside it where it names them (their hashes stand below), and run this command with the same version:"
            : "Run this command with the same options, the same version and the same files (their hashes stand below):");
        page.Preformatted(provenance.Command);
        page.Paragraph(provenance.Device.Length > 0
            ? "On a device with the same instruction set every table, every figure and this page come out byte for byte the same, with any number of threads. On another, features differ by rounding: 'clipengine audit compare' says what that changes."
            : "Every table, every figure and this page come out byte for byte the same.");
        page.Table("What computed this", ["item", "value"],
        [
            ["ClipEngine", provenance.Version],
            ["device", provenance.Device.Length > 0 ? provenance.Device : "none: scores were given"],
            ["element type", provenance.ElementType],
            ["confidence level", $"{provenance.ConfidenceLevel:0.###}"],
            ["bootstrap resamples", provenance.Resamples.ToString()],
            ["seed", provenance.Seed.ToString()],
        ]);
        page.Table("Models", ["model", "architecture", "training set", "training run", "patch", "parameters (M)", "scoring", "cost", "source", "preprocessing", "SHA-256", "remarks"],
            result.Models.Select(model => new[]
            {
                model.Key, model.Architecture, model.TrainingSet, model.TrainingRun, model.PatchSize?.ToString() ?? "", model.MillionParameters?.ToString("0.00") ?? "", model.Scoring, model.Cost, model.Source, model.Preprocessing, model.Sha256,
                model.Failure is null ? string.Join(" ", model.Remarks) : "failed: " + model.Failure,
            }));
        page.Table("Files that were read", ["file", "role", "bytes", "SHA-256"],
            provenance.Inputs.Select(input => new[] { input.Name, input.Role, input.Length.ToString(), input.Sha256 }));
        if (provenance.Spec.Length > 0)
            page.BeginDetails("The spec, as it was read").Preformatted(provenance.Spec).EndDetails();
        page.EndSection();
    }
}
