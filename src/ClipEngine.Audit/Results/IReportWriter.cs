namespace ClipEngine.Audit.Results;

/// <summary>Turns a result into what people look at.</summary>
public interface IReportWriter
{
    /// <summary>
    /// Writes <c>report.html</c> and <c>figures/*.svg</c> into a folder, each whole or not at all, replacing what is there.
    /// The bytes depend on the result alone: no clock, no machine, no path.
    /// </summary>
    /// <param name="result">What was found; <see cref="ModelExperimentResult.Probabilities"/> are filled in.</param>
    /// <param name="directory">An existing folder.</param>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    void Write(AuditResult result, string directory);
}
