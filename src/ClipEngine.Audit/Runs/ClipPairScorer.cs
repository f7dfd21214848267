using ClipEngine.Imaging;

namespace ClipEngine.Audit.Runs;

/// <summary>A pair scorer of the engine as the audit sees it.</summary>
/// <param name="model">Released by this.</param>
/// <param name="backend">Where it runs; released behind the model.</param>
internal sealed class ClipPairScorer(PairModel model, IDisposable backend) : IProbePairScorer
{
    public string Device => $"{model.Backend.Name}: {model.Backend.Description}";

    public IReadOnlyList<string> Notices => model.Notices;

    public string Preprocessing => PreprocessNames.Describe(model.Preprocessor.Options);

    public float[] ScorePairs(IReadOnlyList<string> files, IReadOnlyList<string> sentences, CancellationToken cancellationToken) => model.ScorePairs(files, sentences, cancellationToken);

    public void Dispose()
    {
        model.Dispose();
        backend.Dispose();
    }
}
