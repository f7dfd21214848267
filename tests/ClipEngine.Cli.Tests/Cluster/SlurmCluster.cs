using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Cluster;

/// <summary>
/// A real Slurm of two nodes on this machine, of Debian's packages slurm-wlm and munge: its daemons are children of the test, its key, sockets,
/// state and logs lie in a folder of the test's own, and its ports are free ones, so that nothing is left of it and no other Slurm is touched.
/// </summary>
[System.Runtime.Versioning.SupportedOSPlatform("linux")]
internal sealed class SlurmCluster : IAsyncDisposable
{
    private static readonly string[] s_programs = ["munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "sinfo"];

    private readonly TemporaryFolder _folder = new();
    private readonly List<Process> _daemons = [];

    private SlurmCluster()
    {
    }

    /// <summary>What points Slurm's commands here.</summary>
    public Dictionary<string, string?> Environment => new() { ["SLURM_CONF"] = _folder.File("slurm.conf") };

    /// <summary>Why there can be none here; null where there can.</summary>
    public static string? WhyNot()
    {
        if (!OperatingSystem.IsLinux() || System.Environment.UserName != "root")
            return "only root can start Slurm's nodes";
        string? missing = s_programs.FirstOrDefault(static program => Find(program) is null);
        return missing is null ? null : $"{missing} is not installed (Debian: apt-get install slurm-wlm munge)";
    }

    /// <summary>Starts it and waits until both nodes are idle.</summary>
    public static async Task<SlurmCluster> StartAsync()
    {
        var cluster = new SlurmCluster();
        try
        {
            cluster.Configure();
            TemporaryFolder folder = cluster._folder;
            cluster.Launch("munged", "--foreground", "--force", "--key-file", folder.File("munge", "key"), "--socket", folder.File("munge", "socket"),
                "--pid-file", folder.File("munge", "pid"), "--log-file", folder.File("munge", "log"), "--seed-file", folder.File("munge", "seed"));
            await WaitAsync(() => Task.FromResult(File.Exists(folder.File("munge", "socket"))), "munged's socket");
            cluster.Launch("slurmctld", "-D", "-f", folder.File("slurm.conf"));
            foreach (string node in new[] { "n1", "n2" })
                cluster.Launch("slurmd", "-D", "-N", node, "-f", folder.File("slurm.conf"));
            await cluster.WaitForNodesAsync();
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Waits until both nodes are idle.</summary>
    public Task WaitForNodesAsync() =>
        WaitAsync(async () => (await RunAsync("sinfo", "--noheader", "--Node", "--format=%T")).Output.Split('\n').Count(static state => state == "idle") == 2, "two idle nodes");

    /// <summary>Runs one of Slurm's commands.</summary>
    public Task<ProcessOutcome> RunAsync(string program, params string[] arguments) => ProcessRunner.RunAsync(Find(program)!, arguments, environment: Environment);

    /// <summary>Waits for something that must come.</summary>
    public static async Task WaitAsync(Func<Task<bool>> isThere, string what)
    {
        // Far beyond what it takes; a machine may be busy.
        for (var clock = Stopwatch.StartNew(); !await isThere(); await Task.Delay(100))
            Assert.True(clock.Elapsed < TimeSpan.FromMinutes(5), "did not come: " + what);
    }

    public async ValueTask DisposeAsync()
    {
        // The controller first, so that nothing is started again; each is asked before it is killed.
        foreach (Process daemon in _daemons.AsEnumerable().Reverse())
        {
            if (!daemon.HasExited)
                await ProcessRunner.RunAsync("kill", ["-TERM", daemon.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
        }

        foreach (Process daemon in _daemons)
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
            try
            {
                await daemon.WaitForExitAsync(patience.Token);
            }
            catch (OperationCanceledException)
            {
                daemon.Kill(entireProcessTree: true);
                await daemon.WaitForExitAsync(CancellationToken.None);
            }

            daemon.Dispose();
        }

        // Steps of jobs are processes of their own, which end when the node does; their folder is theirs until then.
        for (int attempt = 0; ; attempt++)
        {
            try
            {
                _folder.Dispose();
                break;
            }
            catch (IOException) when (attempt < 50)
            {
                await Task.Delay(100);
            }
        }
    }

    private static string? Find(string program) =>
        new[] { "/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin" }.Select(folder => Path.Combine(folder, program)).FirstOrDefault(File.Exists);

    private static int[] FreePorts(int count)
    {
        var listeners = Enumerable.Range(0, count).Select(static _ => new TcpListener(IPAddress.Loopback, 0)).ToList();
        listeners.ForEach(static listener => listener.Start());
        int[] ports = [.. listeners.Select(static listener => ((IPEndPoint)listener.LocalEndpoint).Port)];
        listeners.ForEach(static listener => listener.Stop());
        return ports;
    }

    private void Configure()
    {
        Directory.CreateDirectory(_folder.File("state"));
        Directory.CreateDirectory(_folder.File("munge"), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        File.WriteAllBytes(_folder.File("munge", "key"), RandomNumberGenerator.GetBytes(128));
        File.SetUnixFileMode(_folder.File("munge", "key"), UnixFileMode.UserRead);
        string host = System.Environment.MachineName.Split('.')[0];
        int[] ports = FreePorts(3);
        // cred_expire is how long a requeued job waits before it may start again; 120 seconds where nothing is said.
        File.WriteAllText(_folder.File("slurm.conf"), $"""
            ClusterName=clipengine-test
            SlurmctldHost={host}(127.0.0.1)
            SlurmUser=root
            AuthType=auth/munge
            AuthInfo=socket={_folder.File("munge", "socket")},cred_expire=5
            ProctrackType=proctrack/linuxproc
            TaskPlugin=task/none
            SelectType=select/cons_tres
            SelectTypeParameters=CR_CPU
            StateSaveLocation={_folder.File("state")}
            SlurmdSpoolDir={_folder.File("spool-%n")}
            SlurmctldPidFile={_folder.File("slurmctld.pid")}
            SlurmdPidFile={_folder.File("slurmd-%n.pid")}
            SlurmctldLogFile={_folder.File("slurmctld.log")}
            SlurmdLogFile={_folder.File("slurmd-%n.log")}
            SlurmctldPort={ports[0]}
            ReturnToService=2
            NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 State=UNKNOWN
            NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 State=UNKNOWN
            PartitionName=p Nodes=ALL Default=YES MaxTime=INFINITE State=UP

            """);
    }

    private void Launch(string program, params string[] arguments)
    {
        // Their output is not read: it goes to their logs as well. Should the test be killed, its daemons must not outlive it.
        const string Watched = "parent=$1; shift; \"$@\" >/dev/null 2>&1 & child=$!; trap 'kill $child; wait $child; exit' TERM; while kill -0 $parent 2>/dev/null && kill -0 $child 2>/dev/null; do sleep 1 & wait $!; done; kill $child 2>/dev/null; wait $child";
        var start = new ProcessStartInfo("sh", ["-c", Watched, "sh", System.Environment.ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture), Find(program)!, .. arguments]) { WorkingDirectory = _folder.Root };
        foreach ((string name, string? value) in Environment)
            start.Environment[name] = value;
        _daemons.Add(Process.Start(start)!);
    }
}
