using ClipEngine.Models;

namespace ClipEngine;

/// <summary>
/// Beam search as open_clip 3.3's <c>CoCa.generate</c> does it with the <c>BeamSearchScorer</c> of transformers 4.55: beams in groups that
/// know nothing of each other, each group beginning with one live beam; sums of raw logits, not of log-probabilities; a caption's score
/// is its sum over the number of all its ids, the first one and the end among them.
/// </summary>
internal static class GroupBeamSearch
{
    /// <inheritdoc cref="CaptionSearch.Run"/>
    public static int[] Run(ICaptioner model, PreparedImage image, ReadOnlySpan<int> prompt, CaptionOptions options, CancellationToken cancellation)
    {
        int end = options.EndId ?? model.EndId;
        if (prompt.Length >= options.MaximumLength)
            return [.. prompt];
        int[] first = [.. prompt];
        Group[] groups = [.. Enumerable.Range(0, options.BeamGroups).Select(_ => new Group(first, options.Beams / options.BeamGroups))];
        using CaptionState state = model.Begin(options.Beams, options.MaximumLength);
        int[] next = [.. Enumerable.Repeat(first, options.Beams).SelectMany(static ids => ids)];
        for (int length = first.Length; ;)
        {
            cancellation.ThrowIfCancellationRequested();
            double[][] scores = CaptionSearch.Step(model, image, state, next, options.Beams);
            for (int g = 0, beam = 0; g < groups.Length; beam += groups[g++].Size)
                groups[g].Advance(scores.AsSpan(beam, groups[g].Size), end, model.PaddingId, options);
            length++;
            if (length >= options.MaximumLength || groups.All(static group => group.IsDone))
                break;
            next = [.. groups.SelectMany(static group => group.Running.Select(static ids => ids[^1]))];
            CaptionSearch.Reorder(model, state, [.. groups.SelectMany(static (group, g) => group.Sources.Select(source => (g * group.Size) + source))]);
        }

        foreach (Group group in groups)
            group.Close();
        // Of equal captions the last one.
        (double _, int[] ids) = groups.SelectMany(static group => group.Finished).OrderBy(static caption => caption.Score).Last();
        return ids;
    }

    /// <summary>Beams that compete with each other alone.</summary>
    private sealed class Group
    {
        private double[] _sums;
        private double _worst = 1e9;

        public Group(int[] first, int size)
        {
            Size = size;
            Running = [.. Enumerable.Range(0, size).Select(_ => first.ToList())];
            _sums = [.. Enumerable.Range(0, size).Select(static beam => beam == 0 ? 0 : CaptionSearch.Hopeless)];
            Sources = new int[size];
        }

        public int Size { get; }

        /// <summary>The sentences.</summary>
        public List<int>[] Running { get; private set; }

        /// <summary>Which sentence of the step before each goes on from.</summary>
        public int[] Sources { get; private set; }

        /// <summary>Captions that ended, the end among their ids, and their scores.</summary>
        public List<(double Score, int[] Ids)> Finished { get; } = [];

        /// <summary>Whether no running sentence can become better than the worst finished one.</summary>
        public bool IsDone { get; private set; }

        /// <summary>Adds an id to every sentence.</summary>
        /// <param name="scores">Raw logits, for each sentence; changed.</param>
        /// <param name="end">What ends a caption.</param>
        /// <param name="padding">What a group that is done goes on with.</param>
        /// <param name="options">How.</param>
        public void Advance(Span<double[]> scores, int end, int padding, CaptionOptions options)
        {
            if (IsDone)
            {
                foreach (List<int> ids in Running)
                    ids.Add(padding);
                Sources = [.. Enumerable.Range(0, Size)];
                return;
            }

            for (int beam = 0; beam < Size; beam++)
                CaptionSearch.Adjust(scores[beam], Running[beam], end, options);
            int length = Running[0].Count + 1;
            CaptionSearch.Candidate[] best = CaptionSearch.Best(scores, _sums, 2 * Size);
            // Only those that end among the best may become finished captions.
            foreach ((double sum, int beam, int _) in best.Take(Size).Where(candidate => candidate.Id == end))
                Finish(sum / length, [.. Running[beam], end]);
            CaptionSearch.Candidate[] going = [.. best.Where(candidate => candidate.Id != end).Take(Size)];
            IsDone = Finished.Count == Size && _worst >= best[0].Sum / length;
            Running = [.. going.Select(candidate => new List<int>([.. Running[candidate.Beam], candidate.Id]))];
            Sources = [.. going.Select(static candidate => candidate.Beam)];
            _sums = [.. going.Select(static candidate => candidate.Sum)];
        }

        /// <summary>Counts sentences that have not ended as captions.</summary>
        public void Close()
        {
            for (int beam = 0; beam < Size && !IsDone; beam++)
                Finish(_sums[beam] / Running[beam].Count, [.. Running[beam]]);
        }

        private void Finish(double score, int[] ids)
        {
            if (Finished.Count == Size && score <= _worst)
                return;
            Finished.Add((score, ids));
            if (Finished.Count > Size)
                Finished.Remove(Finished.MinBy(static caption => caption.Score));
            _worst = Finished.Min(static caption => caption.Score);
        }
    }
}
