using System.CommandLine;
using ClipEngine.Tensors;

namespace ClipEngine.FineTuning;

/// <summary>What the command line says.</summary>
internal sealed record Arguments(
    string[] Data, string Model, string Output, string? Weights, string? HeldOut, string Device, ElementType Type,
    int Batch, int? PairsAtOnce, int Steps, int SaveEvery, int WarmUp, double LearningRate, double WeightDecay, int Seed)
{
    /// <summary>Reads it; null where it was help, or wrong and said so.</summary>
    public static Arguments? Parse(string[] arguments)
    {
        var data = new Argument<string[]>("DATA") { Description = "A table (.csv, comma or tab) with the columns filepath and title, or webdataset shards (.tar).", Arity = ArgumentArity.OneOrMore };
        var model = new Option<string>("--model") { Description = "The checkpoint to begin with.", Required = true };
        var output = new Option<string>("--out") { Description = "The folder of the trained checkpoint; one that holds a training is gone on with.", Required = true };
        var weights = new Option<string?>("--weights") { Description = "A table with the columns row and q, as 'clipengine balance' writes it: how often each pair counts." };
        var heldOut = new Option<string?>("--held-out") { Description = "Pairs to measure the loss on before and after: a table or a shard." };
        var device = new Option<string>("--device") { Description = "cpu, cuda or cuda:N.", DefaultValueFactory = _ => "cpu" };
        var type = new Option<string>("--dtype") { Description = "What products are computed in.", DefaultValueFactory = _ => "fp32" };
        type.AcceptOnlyFromAmong("fp32", "bf16", "fp16");
        var batch = new Option<int>("--batch") { Description = "Pairs of a step, each a counter-example to all others.", DefaultValueFactory = _ => 128 };
        var pairsAtOnce = new Option<int?>("--pairs-at-once") { Description = "Pairs that pass the towers at once: less memory, the same loss." };
        var steps = new Option<int>("--steps") { Description = "Steps in all.", DefaultValueFactory = _ => 400 };
        var saveEvery = new Option<int>("--save-every") { Description = "Steps between checkpoints.", DefaultValueFactory = _ => 100 };
        var warmUp = new Option<int>("--warm-up") { Description = "Steps over which the learning rate rises; it falls as a cosine afterwards.", DefaultValueFactory = _ => 0 };
        var learningRate = new Option<double>("--learning-rate") { Description = "AdamW's.", DefaultValueFactory = _ => 5e-4 };
        var weightDecay = new Option<double>("--weight-decay") { Description = "AdamW's, of matrices.", DefaultValueFactory = _ => 0.02 };
        var seed = new Option<int>("--seed") { Description = "Of the order of the pairs.", DefaultValueFactory = _ => 1 };
        var command = new RootCommand("Fine-tunes a checkpoint with ClipEngine.TorchSharp. 'demo-data FOLDER' makes pairs to try it with.")
        {
            data, model, output, weights, heldOut, device, type, batch, pairsAtOnce, steps, saveEvery, warmUp, learningRate, weightDecay, seed,
        };
        foreach (Option<int> positive in new[] { batch, steps, saveEvery })
        {
            positive.Validators.Add(result =>
            {
                if (result.GetValueOrDefault<int>() < 1)
                    result.AddError($"{positive.Name} must be above 0.");
            });
        }

        ParseResult parsed = command.Parse(arguments);
        if (parsed.Errors.Count > 0 || parsed.Action is not null)
        {
            parsed.Invoke();
            return null;
        }

        return new Arguments(parsed.GetValue(data)!, parsed.GetValue(model)!, parsed.GetValue(output)!, parsed.GetValue(weights), parsed.GetValue(heldOut), parsed.GetValue(device)!,
            parsed.GetValue(type) switch { "bf16" => ElementType.BFloat16, "fp16" => ElementType.Float16, _ => ElementType.Float32 },
            parsed.GetValue(batch), parsed.GetValue(pairsAtOnce), parsed.GetValue(steps), parsed.GetValue(saveEvery), parsed.GetValue(warmUp), parsed.GetValue(learningRate), parsed.GetValue(weightDecay), parsed.GetValue(seed));
    }
}
