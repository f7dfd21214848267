using ClipEngine.Models;
using ClipEngine.Tensors;

namespace ClipEngine;

/// <summary>
/// One id after the other, and beam search as transformers 5.24 does it (length penalty 1, no early stopping): a beam's score is the sum of
/// the log-probabilities of its new ids over their number. open_clip's beam search is <see cref="GroupBeamSearch"/>.
/// </summary>
internal static class CaptionSearch
{
    /// <summary>The sum of a beam that must not be gone on from while there is any other.</summary>
    internal const double Hopeless = -1e9;

    /// <summary>Writes one caption.</summary>
    /// <param name="model">The model.</param>
    /// <param name="image">The image.</param>
    /// <param name="prompt">The first ids, <see cref="ICaptioner.BeginId"/> foremost.</param>
    /// <param name="options">How.</param>
    /// <param name="cancellation">Looked at before each step.</param>
    /// <returns>The prompt and the new ids, the end included where there is one.</returns>
    public static int[] Run(ICaptioner model, PreparedImage image, ReadOnlySpan<int> prompt, CaptionOptions options, CancellationToken cancellation) =>
        options.Beams == 1 ? OneByOne(model, image, prompt, options, cancellation)
        : model.Style == CaptionStyle.OpenClip ? GroupBeamSearch.Run(model, image, prompt, options, cancellation)
        : Beam(model, image, prompt, options, cancellation);

    private static int[] OneByOne(ICaptioner model, PreparedImage image, ReadOnlySpan<int> prompt, CaptionOptions options, CancellationToken cancellation)
    {
        bool isOpenClip = model.Style == CaptionStyle.OpenClip;
        int end = options.EndId ?? model.EndId;
        var written = new List<int>([.. prompt]);
        var random = new Random(options.Seed); // a seed's numbers are the same in every version of .NET
        using CaptionState state = model.Begin(1, options.MaximumLength);
        int[] next = [.. prompt];
        while (written.Count < options.MaximumLength)
        {
            cancellation.ThrowIfCancellationRequested();
            if (isOpenClip && written.Count + 1 == options.MaximumLength)
            {
                written.Add(end);
                break;
            }

            double[] scores = Step(model, image, state, next, 1)[0];
            Adjust(scores, written, end, options);
            int id = options.Draws ? Draw(scores, options, isOpenClip, random) : LargestOf(scores);
            written.Add(id);
            // open_clip takes padding for the end of a row, too.
            if (id == end || (isOpenClip && id == model.PaddingId))
                break;
            next = [id];
        }

        return [.. written];
    }

    private static int[] Beam(ICaptioner model, PreparedImage image, ReadOnlySpan<int> prompt, CaptionOptions options, CancellationToken cancellation)
    {
        int beams = options.Beams, given = prompt.Length, end = options.EndId ?? model.EndId;
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
            for (int beam = 0; beam < beams; beam++)
            {
                LogSoftmax(scores[beam]);
                Adjust(scores[beam], running[beam], end, options);
            }

            Candidate[] best = Best(scores, sums, 2 * beams);
            bool isLast = length + 1 >= options.MaximumLength;
            // Only those that end among the best may become finished captions.
            foreach ((double sum, int beam, int id) in best.Take(beams).Where(candidate => isLast || candidate.Id == end))
                finished.Add((sum / (length + 1 - given), [.. running[beam], id]));
            finished = [.. finished.OrderByDescending(static caption => caption.Score).Take(beams)];
            if (isLast)
                break;
            Candidate[] going = [.. best.Where(candidate => candidate.Id != end).Take(beams)];
            if (finished.Count == beams && going[0].Sum / (length + 1 - given) <= finished[^1].Score)
                break;
            running = [.. going.Select(candidate => new List<int>([.. running[candidate.Beam], candidate.Id]))];
            sums = [.. going.Select(static candidate => candidate.Sum)];
            next = [.. going.Select(static candidate => candidate.Id)];
            Reorder(model, state, [.. going.Select(static candidate => candidate.Beam)]);
        }

        return finished[0].Ids;
    }

    /// <summary>Scores of the id behind the last one of each sentence.</summary>
    internal static double[][] Step(ICaptioner model, PreparedImage image, CaptionState state, int[] ids, int sentences)
    {
        int count = ids.Length / sentences, vocabulary = model.CaptionVocabulary;
        using IPass pass = model.Backend.BeginPass();
        Tensor logits = model.Continue(pass, image, state, ids, count);                 // [n, count, vocabulary]
        logits = pass.SliceTokens(logits, count - 1, 1);                                // [n, 1, vocabulary]
        float[] values = new float[sentences * vocabulary];
        pass.Read(logits, values);
        // An id that the text tower has no vector for cannot be continued.
        for (int sentence = 0; sentence < sentences && model.VocabularySize < vocabulary; sentence++)
            values.AsSpan((sentence * vocabulary) + model.VocabularySize, vocabulary - model.VocabularySize).Fill(float.NegativeInfinity);
        return [.. Enumerable.Range(0, sentences).Select(sentence => values.AsSpan(sentence * vocabulary, vocabulary).ToArray().Select(static value => (double)value).ToArray())];
    }

    /// <summary>Sentence i goes on from what sentence <c>sources[i]</c> was.</summary>
    internal static void Reorder(ICaptioner model, CaptionState state, int[] sources)
    {
        using IPass pass = model.Backend.BeginPass();
        state.Reorder(pass, sources);
        // Reading is what runs a pass: what was reordered must be in place before the pass ends.
        pass.Read(pass.Upload([(float)model.EndId], new Shape(1)), new float[1]);
    }

    /// <summary>The penalty on ids that are there already, and the end that is forbidden at first.</summary>
    internal static void Adjust(double[] scores, List<int> written, int end, CaptionOptions options)
    {
        if (options.RepetitionPenalty != 1)
        {
            // A prompt may hold ids that sentences have and captions do not.
            foreach (int id in written.Distinct().Where(id => id < scores.Length))
                scores[id] = scores[id] < 0 ? scores[id] * options.RepetitionPenalty : scores[id] / options.RepetitionPenalty;
        }

        if (written.Count < options.MinimumLength && end < scores.Length)
            scores[end] = double.NegativeInfinity;
    }

    /// <summary>The candidates with the largest sums, best first; of equal ones the first beam's smallest id.</summary>
    /// <param name="scores">Of every id, for each beam.</param>
    /// <param name="sums">Of each beam so far.</param>
    /// <param name="count">How many.</param>
    internal static Candidate[] Best(ReadOnlySpan<double[]> scores, ReadOnlySpan<double> sums, int count)
    {
        var best = new List<Candidate>(count + 1);
        for (int beam = 0; beam < scores.Length; beam++)
        {
            for (int id = 0; id < scores[beam].Length; id++)
            {
                double sum = scores[beam][id] + sums[beam];
                if (best.Count == count && !(sum > best[^1].Sum))
                    continue;
                int place = best.Count;
                while (place > 0 && sum > best[place - 1].Sum)
                    place--;
                best.Insert(place, new Candidate(sum, beam, id));
                if (best.Count > count)
                    best.RemoveAt(count);
            }
        }

        return [.. best];
    }

    /// <summary>Draws an id.</summary>
    /// <remarks>
    /// open_clip leaves ids out by the probabilities of the plain logits and divides those that stay by the temperature; transformers
    /// divides first. The ids of either filter are those of transformers' <c>TopKLogitsWarper</c> and <c>TopPLogitsWarper</c>.
    /// </remarks>
    private static int Draw(double[] scores, CaptionOptions options, bool isOpenClip, Random random)
    {
        // Relative to the largest: divided by a tiny temperature, two logits themselves would both become infinite, and their difference NaN.
        double largest = scores.Max();
        double[] tempered = [.. scores.Select(score => (score - largest) / options.Temperature)];
        double[] filtered = isOpenClip ? scores : tempered;
        int[] order = [.. Enumerable.Range(0, scores.Length).OrderByDescending(id => filtered[id])];
        int kept;
        if (options.TopK is { } most)
        {
            // Ids as likely as the last of them stay, too.
            kept = Math.Min(most, order.Length);
            while (kept < order.Length && filtered[order[kept]] == filtered[order[kept - 1]])
                kept++;
        }
        else
        {
            double sum = 0;
            double[] chances = Softmax(filtered, order);
            for (kept = 0; kept < order.Length && (kept == 0 || sum < options.TopP); kept++)
                sum += chances[kept];
        }

        double[] probabilities = Softmax(tempered, order[..kept]);
        double drawn = random.NextDouble();
        for (int i = 0; i < kept; i++)
        {
            drawn -= probabilities[i];
            if (drawn < 0)
                return order[i];
        }

        return order[kept - 1]; // what rounding has left
    }

    private static double[] Softmax(double[] scores, int[] ids)
    {
        double largest = ids.Max(id => scores[id]);
        double[] powers = [.. ids.Select(id => Math.Exp(scores[id] - largest))];
        double sum = powers.Sum();
        return [.. powers.Select(power => power / sum)];
    }

    private static int LargestOf(double[] scores)
    {
        int best = 0;
        for (int id = 1; id < scores.Length; id++)
        {
            if (scores[id] > scores[best])
                best = id;
        }

        return best;
    }

    private static void LogSoftmax(double[] scores)
    {
        double largest = scores.Max(), logarithm = largest + Math.Log(scores.Sum(score => Math.Exp(score - largest)));
        for (int i = 0; i < scores.Length; i++)
            scores[i] -= logarithm;
    }

    /// <summary>A beam with one more id.</summary>
    /// <param name="Sum">Of the scores of its ids.</param>
    /// <param name="Beam">The beam.</param>
    /// <param name="Id">The id.</param>
    internal readonly record struct Candidate(double Sum, int Beam, int Id);
}
