using ClipEngine.Synthesis;
using ClipEngine.Tensors;

// Full-size weights by formula, so that every architecture can be tried at its real size without a download:
//   dotnet run --project tools/synthesize-checkpoint -- DESCRIPTION.json OUT_FOLDER [fp32|fp16|bf16]
// DESCRIPTION.json is a file of goldens/towers-full; OUT_FOLDER gets the OpenCLIP layout, OUT_FOLDER.pixels.safetensors the
// golden's input. As a native executable (NativeAOT) it runs where there is no .NET: tools/gpu/prepare.sh.
if (args.Length is not (2 or 3))
{
    Console.Error.WriteLine("usage: synthesize-checkpoint DESCRIPTION.json OUT_FOLDER [fp32|fp16|bf16]");
    return 2;
}

ElementType? type = (args.Length == 3 ? args[2] : "fp32") switch
{
    "fp32" => ElementType.Float32,
    "fp16" => ElementType.Float16,
    "bf16" => ElementType.BFloat16,
    _ => null,
};
if (type is null)
{
    Console.Error.WriteLine($"{args[2]}: expected fp32, fp16 or bf16");
    return 2;
}

var model = SynthesizedModel.Load(args[0]);
string folder = args[1].TrimEnd('/');
model.Write(folder, type.Value);
model.WritePixels(folder + ".pixels.safetensors");
return 0;
