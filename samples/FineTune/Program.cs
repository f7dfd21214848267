using ClipEngine;
using ClipEngine.FineTuning;
using ClipEngine.TorchSharp;
using TorchSharp;

// Fine-tunes a checkpoint on pairs of images and captions, and goes on where it was when it is started again.
if (args is ["demo-data", string demo])
    return DemoData.Write(demo);
if (Arguments.Parse(args) is not { } options)
    return 2;
try
{
    string state = Path.Combine(options.Output, ClipTrainer.StateName);
    bool resumes = File.Exists(state);
    using ClipModules clip = ClipModules.Load(resumes ? options.Output : options.Model, new TorchBackendOptions { Device = options.Device, ComputeType = options.Type });
    using var trainer = new ClipTrainer(clip, new ClipTrainerOptions { LearningRate = options.LearningRate, WeightDecay = options.WeightDecay, PairsAtOnce = options.PairsAtOnce });
    if (resumes)
        trainer.Resume(options.Output);
    using TrainingPairs pairs = TrainingPairs.Open(options.Data, options.Weights);
    using TrainingPairs? heldOut = options.HeldOut is null ? null : TrainingPairs.Open([options.HeldOut]);
    Console.Error.WriteLine($"{pairs.Count} pairs, {trainer.Steps} of {options.Steps} steps done{HeldOutLoss()}");
    foreach (int[] rows in pairs.Batches(options.Batch, options.Seed, trainer.Steps))
    {
        if (trainer.Steps >= options.Steps)
            break;
        using DisposeScope scope = torch.NewDisposeScope();
        (torch.Tensor pixels, torch.Tensor ids, torch.Tensor weights) = pairs.Batch(rows, clip);
        double warm = Math.Min(1, (trainer.Steps + 1.0) / Math.Max(1, options.WarmUp));
        trainer.LearningRate = options.LearningRate * warm * 0.5 * (1 + Math.Cos(Math.PI * trainer.Steps / options.Steps));
        double loss = trainer.Step(pixels, ids, weights);
        if (trainer.Steps % 50 == 0)
            Console.Error.WriteLine($"step {trainer.Steps}: loss {loss:F4}");
        if (trainer.Steps % options.SaveEvery == 0 || trainer.Steps == options.Steps)
            trainer.Save(options.Output);
    }

    Console.Error.WriteLine($"{trainer.Steps} steps done{HeldOutLoss()}; the checkpoint is in {options.Output}");
    return 0;

    // The mean loss of whole batches that are not trained on, in nats.
    string HeldOutLoss()
    {
        if (heldOut is null)
            return "";
        using var noTape = torch.no_grad();
        clip.eval();
        double[] losses = [.. Enumerable.Range(0, heldOut.Count).Chunk(options.Batch).Where(rows => rows.Length == options.Batch || heldOut.Count < options.Batch).Select(rows =>
        {
            using DisposeScope scope = torch.NewDisposeScope();
            (torch.Tensor pixels, torch.Tensor ids, torch.Tensor weights) = heldOut.Batch(rows, clip);
            return clip.Loss(pixels, ids, weights).ToDouble();
        })];
        clip.train();
        return $"; loss on {heldOut.Count} pairs that are held out: {losses.Average():F4}";
    }
}
catch (Exception exception) when (exception is BadInputException or NotSupportedException or IOException)
{
    Console.Error.WriteLine($"fine-tune: {exception.Message}");
    return exception is IOException ? 1 : 2;
}
