using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.NoEmit;
using ClipEngine.Benchmarks;

// towers FOLDER image|text|prompts THREADS BATCH[,BATCH...] [fp32|bf16|fp16|int8] [SECONDS]: a whole tower, in the format of benchmarks/peers/towers.
// load FOLDER [both|image|text] [THREADS] [ROUNDS]: loading against one read() of the file into a fresh buffer.
// pairs FOLDER [IDS] [ROUNDS]: an image once and sentences against it, of a scorer of pairs.
// merge FOLDER [PARTS] [ROWS] [WIDTH] [EXTENSION]: putting parts together, against reading and writing as many bytes.
// tables FOLDER [ROWS] [WIDTH] [EXTENSION]: features as NumPy, Parquet and Arrow files, written and read.
// Anything else goes to BenchmarkDotNet.
if (args is ["towers", .. string[] rest])
    return TowerRun.Execute(rest);
if (args is ["load", .. string[] others])
    return LoadRun.Execute(others);
if (args is ["pairs", .. string[] pairs])
    return PairRun.Execute(pairs);
if (args is ["merge", .. string[] merge])
    return MergeRun.Execute(merge);
if (args is ["tables", .. string[] tables])
    return TableRun.Execute(tables);
// In this process: a child would have to be built first, and nothing here depends on the other benchmarks' state.
IConfig config = ManualConfig.Create(DefaultConfig.Instance).AddColumn(new RateColumn(), new ShareColumn(), StatisticColumn.Median)
    .AddJob(Job.Default.WithToolchain(InProcessNoEmitToolchain.Instance).WithWarmupCount(2).WithIterationCount(9).AsDefault())
    .WithSummaryStyle(SummaryStyle.Default.WithMaxParameterColumnWidth(60));
BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args, config);
return 0;
