using System.Text.Json.Nodes;
using ClipEngine.TorchSharp;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.FineTuning;

/// <summary>The training loop, and the audit's specs for before and after.</summary>
internal static class DemoFineTuning
{
    private const int Batch = 128;
    private const int Trained = 6000, HeldOut = 16 * Batch;
    private const double LearningRate = 5e-4;
    private const string Model = "large";

    /// <summary>Fine-tunes and writes: the checkpoint to <c>OUT/model</c>, specs to <c>OUT/before.json</c> and <c>OUT/after.json</c>.</summary>
    /// <param name="output">The folder; created where it is not there.</param>
    /// <param name="device"><c>cpu</c>, <c>cuda</c> or <c>cuda:N</c>.</param>
    /// <param name="steps">Batches to train on.</param>
    /// <param name="progress">Gets a line now and then.</param>
    /// <returns>The loss on pairs that were not trained on, in nats: before and after.</returns>
    public static (double Before, double After) Run(string output, string device, int steps, TextWriter progress)
    {
        string demo = Path.Combine(AppContext.BaseDirectory, "Demo");
        using ClipModules clip = ClipModules.Load(Path.Combine(demo, "models", Model), new TorchBackendOptions { Device = device });
        progress.WriteLine("drawing pairs ...");
        DemoPairs pairs = DemoPairs.Draw(Trained + HeldOut, strength: 1.4, seed: 1, clip);
        double[] weights = pairs.BalancingWeights();
        using var optimizer = torch.optim.AdamW(clip.parameters(), LearningRate, beta1: 0.9, beta2: 0.98, eps: 1e-6, weight_decay: 0.02);
        var random = new Random(2);
        double before = Evaluate(clip, pairs, weights);
        progress.WriteLine($"loss on pairs that are held out: {before:F4}");
        for (int step = 0; step < steps; step++)
        {
            using DisposeScope scope = torch.NewDisposeScope();
            foreach (var group in optimizer.ParamGroups)
                group.LearningRate = LearningRate * 0.5 * (1 + Math.Cos(Math.PI * step / steps));
            int[] chosen = [.. Enumerable.Range(0, Batch).Select(_ => random.Next(Trained))];
            TorchTensor loss = Loss(clip, pairs, weights, chosen);
            optimizer.zero_grad();
            loss.backward();
            optimizer.step();
            clip.ClampLogitScale();
            if (step % 50 == 0)
                progress.WriteLine($"step {step}: loss {loss.ToDouble():F4}");
        }

        clip.SaveCheckpoint(Path.Combine(output, "model"));
        WriteSpec(demo, Path.Combine(demo, "models", Model), Path.Combine(output, "before.json"));
        WriteSpec(demo, Path.GetFullPath(Path.Combine(output, "model")), Path.Combine(output, "after.json"));
        double after = Evaluate(clip, pairs, weights);
        progress.WriteLine($"loss on pairs that are held out: {after:F4}; checkpoint in {Path.Combine(output, "model")}");
        return (before, after);
    }

    private static TorchTensor Loss(ClipModules clip, DemoPairs pairs, double[] weights, int[] chosen)
    {
        (TorchTensor pixels, TorchTensor ids) = pairs.Batch(chosen);
        return clip.Loss(pixels, ids, torch.tensor(Array.ConvertAll(chosen, i => weights[i])));
    }

    private static double Evaluate(ClipModules clip, DemoPairs pairs, double[] weights)
    {
        using DisposeScope scope = torch.NewDisposeScope();
        using (torch.no_grad())
            return Enumerable.Range(Trained, HeldOut).Chunk(Batch).Average(chosen => Loss(clip, pairs, weights, chosen).ToDouble());
    }

    /// <summary>The demo's audit for a single checkpoint.</summary>
    private static void WriteSpec(string demo, string model, string path)
    {
        JsonNode spec = JsonNode.Parse(File.ReadAllText(Path.Combine(demo, "spec.json")))!;
        JsonArray models = spec["models"]!.AsArray();
        for (int i = models.Count - 1; i >= 0; i--)
        {
            if ((string?)models[i]!["key"] != Model)
                models.RemoveAt(i);
        }

        models[0]!["model"] = model;
        spec.AsObject().Remove("comparisons");
        foreach (string file in new[] { "metadata", "images" })
            spec["probe"]![file] = Path.Combine(demo, (string)spec["probe"]![file]!);
        File.WriteAllText(path, spec.ToJsonString());
    }
}
