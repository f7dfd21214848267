using System.Diagnostics;
using System.Globalization;
using ClipEngine.Peers;

// What others compute the same towers with, run as compare.py says, so that engines take turns within a second of each other:
//   onnx NAME.onnx THREADS                      ONNX Runtime's CPU provider
//   torchsharp NAME.onnx THREADS fp32|bf16      TorchSharp eager, the modules of export_towers.py
// NAME is of export_towers.py, which writes .json, .in.bin, .ref.bin and .weights.bin beside it. The output is compared with PyTorch's
// first, and said in a line that begins with '#'. Then each line 'BATCH SECONDS' of standard input is answered by one line: the
// milliseconds of every run, one at least, after one that does not count.
if (args is not ([("onnx"), _, _] or [("torchsharp"), _, _, "fp32" or "bf16"]))
{
    Console.Error.WriteLine("usage: onnx NAME.onnx THREADS | torchsharp NAME.onnx THREADS fp32|bf16");
    return 2;
}

var tower = ExportedTower.Read(args[1]);
int threads = int.Parse(args[2], CultureInfo.InvariantCulture);
using IPeer peer = args[0] == "onnx" ? new OnnxPeer(tower, threads) : new TorchSharpPeer(tower, threads, args[3]);
float[] found = peer.Run(tower.Shape[0]);
double error = found.Zip(tower.Reference, static (a, b) => Math.Abs((double)a - b)).Max(), dot = 0, one = 0, two = 0;
for (int i = 0; i < found.Length; i++)
    (dot, one, two) = (dot + ((double)found[i] * tower.Reference[i]), one + ((double)found[i] * found[i]), two + ((double)tower.Reference[i] * tower.Reference[i]));
Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"# {tower.Name} in {peer.Name}, {threads} threads, max difference from PyTorch {error:E1}, cosine {dot / Math.Sqrt(one * two):F6}"));
while (Console.ReadLine() is { } line)
{
    string[] words = line.Split(' ');
    int batch = int.Parse(words[0], CultureInfo.InvariantCulture);
    var time = TimeSpan.FromSeconds(double.Parse(words[1], CultureInfo.InvariantCulture));
    var times = new List<double>();
    peer.Run(batch);
    long start = Stopwatch.GetTimestamp();
    do
    {
        long from = Stopwatch.GetTimestamp();
        peer.Run(batch);
        times.Add(Stopwatch.GetElapsedTime(from).TotalMilliseconds);
    }
    while (Stopwatch.GetElapsedTime(start) < time);
    Console.WriteLine(string.Join(' ', times.Select(each => each.ToString("F3", CultureInfo.InvariantCulture))));
}

return 0;
