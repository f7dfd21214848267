using ClipEngine;
using ClipEngine.FineTuning;

// fine-tune OUT [DEVICE]: an example of training with ClipModules. Fine-tunes the demo's checkpoint "large", whose captions made
// certain figures go with certain things, on pairs that are as one-sided but weighted so that figures and things are independent.
if (args.Length is < 1 or > 2 || args[0].StartsWith('-'))
{
    Console.Error.WriteLine("usage: fine-tune OUT [cpu|cuda:N]");
    return 2;
}

try
{
    DemoFineTuning.Run(args[0], args.Length > 1 ? args[1] : "cpu", steps: 400, Console.Error);
    Console.WriteLine($"""
        What changed, in the audit's own figures:
          ./clipengine audit run {args[0]}/before.json --out {args[0]}/audit-before
          ./clipengine audit run {args[0]}/after.json --out {args[0]}/audit-after
          ./clipengine audit compare {args[0]}/audit-before {args[0]}/audit-after
        """);
    return 0;
}
catch (Exception exception) when (exception is BadInputException or NotSupportedException)
{
    Console.Error.WriteLine($"fine-tune: {exception.Message}");
    return 2;
}
