using ClipEngine.Models;

namespace ClipEngine.Audit.Runs;

/// <summary>A pair scorer of the engine as the audit sees it.</summary>
/// <param name="model">Released by this.</param>
/// <param name="backend">Where it runs; released behind the model.</param>
/// <param name="cost">What the model costs; null where it is not computed.</param>
internal sealed class ClipPairScorer(PairModel model, IDisposable backend, ModelCost? cost) : IProbePairScorer
{
    public string Device => $"{model.Backend.Name}: {model.Backend.Description}";

    public IReadOnlyList<string> Notices => model.Notices;

    public (double Image, double Sentence)? Operations => cost?.Pair is { } pair ? (pair.ImageOperations, pair.Operations) : null;

    public string Preprocessing => model.Preprocessor.Options.Describe();

    public float[] ScorePairs(IReadOnlyList<string> files, IReadOnlyList<string> sentences, CancellationToken cancellationToken) => model.ScorePairs(files, sentences, cancellationToken);

    public void Dispose()
    {
        model.Dispose();
        backend.Dispose();
    }
}
