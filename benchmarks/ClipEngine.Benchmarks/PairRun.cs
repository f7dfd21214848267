using System.Diagnostics;
using ClipEngine.Models;
using ClipEngine.Tensors;

namespace ClipEngine.Benchmarks;

/// <summary>What a scorer of pairs costs: an image once, and sentences against it, in user time of the process.</summary>
internal static class PairRun
{
    private const int Sentences = 32;

    internal static int Execute(string[] arguments)
    {
        if (arguments.Length is < 1 or > 3)
        {
            Console.Error.WriteLine("usage: pairs FOLDER [IDS] [ROUNDS]");
            return 2;
        }

        int length = arguments.Length > 1 ? int.Parse(arguments[1]) : 35, rounds = arguments.Length > 2 ? int.Parse(arguments[2]) : 5;
        using PairModel model = PairModel.Load(arguments[0]);
        IPairScorer scorer = model.Scorer;
        var random = new Random(1);
        float[] pixels = [.. Enumerable.Range(0, 3 * scorer.Preprocess.Height * scorer.Preprocess.Width).Select(_ => (float)((2 * random.NextDouble()) - 1))];
        int[] ids = [.. Enumerable.Range(0, Sentences * length).Select(_ => random.Next(1, scorer.VocabularySize))];
        float[] logits = new float[2 * Sentences];
        double once = double.MaxValue, against = double.MaxValue;
        using PreparedImage image = PairScoring.Prepare(scorer, pixels);
        for (int round = 0; round <= rounds; round++)
        {
            double start = UserTime();
            PairScoring.Prepare(scorer, pixels).Dispose();
            double prepared = UserTime();
            using (IPass pass = scorer.Backend.BeginPass())
                pass.Read(scorer.ScorePairs(pass, image, ids, length), logits);
            if (round == 0)
                continue; // what is compiled and allocated the first time
            once = Math.Min(once, prepared - start);
            against = Math.Min(against, UserTime() - prepared);
        }

        double thousand = against / Sentences * 1000;
        Console.WriteLine($"{model.Backend.Description}; least user time of {rounds} rounds: an image once {once:F3} s, {Sentences} sentences of {length} ids against it {against:F3} s; 1000 sentences {thousand:F1} s, with the image {thousand + once:F1} s ({(thousand + once) / thousand:F3} times)");
        return 0;
    }

    private static double UserTime() => Process.GetCurrentProcess().UserProcessorTime.TotalSeconds;
}
