using BenchmarkDotNet.Running;
using ClipEngine.Benchmarks;

// towers FOLDER image|text THREADS BATCH[,BATCH...] [fp32|bf16|fp16|int8] [SECONDS]: a whole tower, in the format of benchmarks/peers/ort_towers.js.
// load FOLDER [both|image|text] [THREADS] [ROUNDS]: loading against one read() of the file into a fresh buffer.
// Anything else goes to BenchmarkDotNet.
if (args is ["towers", .. string[] rest])
    return TowerRun.Execute(rest);
if (args is ["load", .. string[] others])
    return LoadRun.Execute(others);
BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
return 0;
