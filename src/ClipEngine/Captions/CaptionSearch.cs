using ClipEngine.Models;
using ClipEngine.Tensors;

namespace ClipEngine;

/// <summary>
/// Greedy search and beam search as transformers 5.24 does them (length penalty 1, no early stopping): a beam's score is the sum of the
/// log-probabilities of its new ids over their number.
/// </summary>
internal static class CaptionSearch
{
    private const double Hopeless = -1e9;

    /// <summary>Writes one caption.</summary>
    /// <param name="model">The model.</param>
    /// <param name="image">The image.</param>
    /// <param name="prompt">The first ids, <see cref="ICaptioner.BeginId"/> foremost.</param>
    /// <param name="options">How.</param>
    /// <param name="cancellation">Looked at before each step.</param>
    /// <returns>The prompt and the new ids, the end included where there is one.</returns>
    public static int[] Run(ICaptioner model, PreparedImage image, ReadOnlySpan<int> prompt, CaptionOptions options, CancellationToken cancellation) =>
        options.Beams == 1 ? Greedy(model, image, prompt, options, cancellation) : Beam(model, image, prompt, options, cancellation);

    private static int[] Greedy(ICaptioner model, PreparedImage image, ReadOnlySpan<int> prompt, CaptionOptions options, CancellationToken cancellation)
    {
        var written = new List<int>([.. prompt]);
        using CaptionState state = model.Begin(1, options.MaximumLength);
        int[] next = [.. prompt];
        while (written.Count < options.MaximumLength)
        {
            cancellation.ThrowIfCancellationRequested();
            double[] scores = Step(model, image, state, next, 1)[0];
            Adjust(scores, written, model.EndId, options);
            int best = 0;
            for (int id = 1; id < scores.Length; id++)
            {
                if (scores[id] > scores[best])
                    best = id;
            }

            written.Add(best);
            if (best == model.EndId)
                break;
            next = [best];
        }

        return [.. written];
    }

    private static int[] Beam(ICaptioner model, PreparedImage image, ReadOnlySpan<int> prompt, CaptionOptions options, CancellationToken cancellation)
    {
        int beams = options.Beams, given = prompt.Length;
        if (given >= options.MaximumLength)
            return [.. prompt];
        using CaptionState state = model.Begin(beams, options.MaximumLength);
        int[] first = [.. prompt];
        List<int>[] running = [.. Enumerable.Range(0, beams).Select(_ => first.ToList())];
        double[] sums = [.. Enumerable.Range(0, beams).Select(static beam => beam == 0 ? 0 : Hopeless)];
        var finished = new List<(double Score, int[] Ids)>();
        int[] next = [.. running.SelectMany(static ids => ids)];
        for (int length = given; ; length++)
        {
            cancellation.ThrowIfCancellationRequested();
            double[][] scores = Step(model, image, state, next, beams);
            var candidates = new List<(double Sum, int Beam, int Id)>();
            for (int beam = 0; beam < beams; beam++)
            {
                LogSoftmax(scores[beam]);
                Adjust(scores[beam], running[beam], model.EndId, options);
                for (int id = 0; id < scores[beam].Length; id++)
                    candidates.Add((scores[beam][id] + sums[beam], beam, id));
            }

            (double Sum, int Beam, int Id)[] best = [.. candidates.OrderByDescending(static candidate => candidate.Sum).Take(2 * beams)];
            bool isLast = length + 1 >= options.MaximumLength;
            // Only those that end among the best may become finished captions.
            foreach ((double sum, int beam, int id) in best.Take(beams).Where(candidate => isLast || candidate.Id == model.EndId))
                finished.Add((sum / (length + 1 - given), [.. running[beam], id]));
            finished = [.. finished.OrderByDescending(static caption => caption.Score).Take(beams)];
            if (isLast)
                break;
            (double Sum, int Beam, int Id)[] going = [.. best.Where(candidate => candidate.Id != model.EndId).Take(beams)];
            if (finished.Count == beams && going[0].Sum / (length + 1 - given) <= finished[^1].Score)
                break;
            running = [.. going.Select(candidate => new List<int>([.. running[candidate.Beam], candidate.Id]))];
            sums = [.. going.Select(static candidate => candidate.Sum)];
            next = [.. going.Select(static candidate => candidate.Id)];
            using IPass pass = model.Backend.BeginPass();
            state.Reorder(pass, [.. going.Select(static candidate => candidate.Beam)]);
            Drain(pass, model);
        }

        return finished[0].Ids;
    }

    /// <summary>Scores of the id behind the last one of each sentence.</summary>
    private static double[][] Step(ICaptioner model, PreparedImage image, CaptionState state, int[] ids, int sentences)
    {
        int count = ids.Length / sentences, vocabulary = model.VocabularySize;
        using IPass pass = model.Backend.BeginPass();
        Tensor logits = model.Continue(pass, image, state, ids, count);                 // [n, count, vocabulary]
        logits = pass.SliceTokens(logits, count - 1, 1);                                // [n, 1, vocabulary]
        float[] values = new float[sentences * vocabulary];
        pass.Read(logits, values);
        return [.. Enumerable.Range(0, sentences).Select(sentence => values.AsSpan(sentence * vocabulary, vocabulary).ToArray().Select(static value => (double)value).ToArray())];
    }

    /// <summary>Reading is what runs a pass: what was reordered must be in place before the pass ends.</summary>
    private static void Drain(IPass pass, ICaptioner model) => pass.Read(pass.Upload([(float)model.EndId], new Shape(1)), new float[1]);

    private static void Adjust(double[] scores, List<int> written, int end, CaptionOptions options)
    {
        if (options.RepetitionPenalty != 1)
        {
            foreach (int id in written.Distinct())
                scores[id] = scores[id] < 0 ? scores[id] * options.RepetitionPenalty : scores[id] / options.RepetitionPenalty;
        }

        if (written.Count < options.MinimumLength)
            scores[end] = double.NegativeInfinity;
    }

    private static void LogSoftmax(double[] scores)
    {
        double largest = scores.Max(), logarithm = largest + Math.Log(scores.Sum(score => Math.Exp(score - largest)));
        for (int i = 0; i < scores.Length; i++)
            scores[i] -= logarithm;
    }
}
