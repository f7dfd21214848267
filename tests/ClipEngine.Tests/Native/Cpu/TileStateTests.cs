using System.Runtime.InteropServices;
using ClipEngine.Native;
using ClipEngine.Tensors;

namespace ClipEngine.Tests.Native.Cpu;

/// <summary>What tile registers ask of a process with the .NET runtime in it: signal stacks with room for them, signal handlers that go on working, the system's permission.</summary>
public partial class TileStateTests
{
    /// <summary>AT_MINSIGSTKSZ of an Emerald Rapids: a signal's frame with the tiles' 8 KiB. Linux denies AMX to a process with a smaller alternate stack.</summary>
    private const int LeastStack = 11_952;

    [SkippableFact]
    public void Every_thread_that_the_runtime_makes_has_a_signal_stack_with_room_for_tiles()
    {
        Skip.IfNot(OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64, "AMX is used on Linux on x86-64");
        var sizes = new List<(string Thread, nint Size)> { ("the test's", SignalStack()) };
        var thread = new Thread(() => sizes.Add(("a new thread's", SignalStack())));
        thread.Start();
        thread.Join();
        sizes.Add(("the pool's", Task.Run(SignalStack).GetAwaiter().GetResult()));
        foreach ((string name, nint size) in sizes)
            Assert.True(size == 0 || size >= LeastStack, $"{name} alternate signal stack has {size} bytes; AMX needs {LeastStack}");
    }

    /// <summary>The runtime turns a fault of managed code into an exception in a signal handler, also on a thread that has just multiplied tiles.</summary>
    [Fact]
    public void A_fault_behind_products_of_tiles_reaches_the_runtimes_handler()
    {
        string set = CpuInformation.WhyNoAmx is null ? "amx" : "amx_emulated";
        using CpuBackend backend = CpuBackend.Create(new CpuBackendOptions { ComputeType = ElementType.BFloat16, InstructionSet = set });
        float[] before = Multiply(backend);
        for (int round = 0; round < 3; round++)
        {
            Assert.Throws<NullReferenceException>(() => LengthOf(null!));
            Assert.Equal(before, Multiply(backend));
        }
    }

    /// <summary>The test host has run for a while, with threads and a garbage collector, when it asks.</summary>
    [SkippableFact]
    public void A_process_that_has_run_for_a_while_gets_the_permission()
    {
        Skip.IfNot(File.Exists("/proc/cpuinfo") && File.ReadAllText("/proc/cpuinfo").Contains(" amx_bf16", StringComparison.Ordinal), "this processor has no AMX");
        GC.Collect();
        Parallel.For(0, 64, static _ => Thread.Sleep(5));
        string? reason = CpuInformation.WhyNoAmx;
        Skip.If(reason?.Contains("seccomp", StringComparison.Ordinal) == true, reason);
        Assert.Null(reason);
    }

    private static int LengthOf(string text) => text.Length;

    private static unsafe float[] Multiply(CpuBackend backend)
    {
        float[] values = new float[64 * 96], output = new float[40 * 64];
        for (int i = 0; i < values.Length; i++)
            values[i] = (i % 23) - 11;
        fixed (float* data = values)
        {
            using Weight weight = backend.CreateWeight(new WeightData("w", new Shape(64, 96), ElementType.Float32, (nint)data), WeightRole.Linear);
            using IPass pass = backend.BeginPass();
            pass.Read(pass.Linear(pass.Upload(values.AsSpan(0, 40 * 96), new Shape(40, 96)), weight, null), output);
        }

        return output;
    }

    /// <summary>Bytes of this thread's alternate signal stack; 0 where it has none.</summary>
    private static nint SignalStack()
    {
        Assert.Equal(0, sigaltstack(0, out SignalStackOfThread stack));
        const int Disabled = 2;
        return (stack.Flags & Disabled) != 0 ? 0 : stack.Size;
    }

    [LibraryImport("libc", SetLastError = true)]
#pragma warning disable IDE1006, SA1300 // the C library's name
    private static partial int sigaltstack(nint wanted, out SignalStackOfThread found);
#pragma warning restore IDE1006, SA1300

    /// <summary><c>stack_t</c>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct SignalStackOfThread
    {
        public nint Address;
        public int Flags;
        public nint Size;
    }
}
