using System.Globalization;
using ClipEngine;
using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Native;
using ClipEngine.Stages;
using ClipEngine.Tensors;

// Where a tower goes wrong:
//   dotnet run --project tools/stages -c Release -- FOLDER [OUT.safetensors]
// FOLDER holds a model and golden.safetensors with inputs, stages (stage.*) and features. Every stage is listed in the order in which
// it is computed, with its error and the operation that gives it; the first wrong one is where to look. OUT gets what was found under the
// stages' names, and the result of every operation. Exit code 1 where a stage is wrong.
if (args.Length is not (1 or 2))
{
    Console.Error.WriteLine("usage: stages FOLDER [OUT.safetensors]");
    return 2;
}

try
{
    string folder = args[0];
    using IBackend backend = CpuBackend.Create();
    using ICheckpoint checkpoint = Checkpoint.OpenAsStored(folder);
    ModelPlan plan = ModelConfiguration.Plan(folder);
    using ICheckpoint arranged = plan.Arrange(checkpoint);
    using var reader = new WeightReader(arranged, backend);
    IModel model = plan.Build(reader, backend, new ModelOptions());
    IReadOnlyList<Weight> weights = reader.Complete();
    using ICheckpoint golden = Checkpoint.OpenAsStored(Path.Combine(folder, "golden.safetensors"));
    StageTrace trace = model switch
    {
        IPairScorer scorer => StageTrace.RunPair(scorer, golden),
        IDualEncoder encoder => StageTrace.Run(encoder, golden),
        _ => throw new BadInputException(folder, $"{model.Architecture} makes no features of images and sentences."),
    };
    foreach (FoundStage stage in trace.Stages)
    {
        string part = stage.Part.Length == 0 ? "" : $" ({stage.Part})";
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{(stage.IsRight ? "     " : "WRONG")} {stage.Name,-32} {stage.Error,8:0.0E+0}  {stage.Result?.Operation ?? "no result has such a shape"}{part}"));
    }

    if (args.Length == 2)
        Write(trace, args[1]);
    foreach (Weight weight in weights)
        weight.Dispose();
    FoundStage? first = trace.Stages.FirstOrDefault(static stage => !stage.IsRight);
    Console.WriteLine(first is null ? $"all {trace.Stages.Count} stages are right" : $"first wrong stage: {first.Name}");
    return first is null ? 0 : 1;
}
catch (BadInputException exception)
{
    Console.Error.WriteLine(exception.Message);
    return 2;
}

static void Write(StageTrace trace, string path)
{
    var writer = new SafetensorsWriter();
    foreach (FoundStage stage in trace.Stages.Where(static stage => stage.Result is not null))
        Add(writer, stage.Name, stage.Result!);
    for (int i = 0; i < trace.Operations.Count; i++)
    {
        (string tower, RecordedOperation operation) = trace.Operations[i];
        Add(writer, string.Create(CultureInfo.InvariantCulture, $"operation.{i:0000}.{tower}.{operation.Operation}"), operation);
    }

    writer.Write(path);
}

static void Add(SafetensorsWriter writer, string name, RecordedOperation operation)
{
    long[] sizes = new long[operation.Shape.Rank];
    for (int i = 0; i < sizes.Length; i++)
        sizes[i] = operation.Shape[i];
    writer.Add(name, operation.Values, sizes);
}
