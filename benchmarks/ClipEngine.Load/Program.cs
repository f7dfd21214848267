using System.Globalization;
using System.Net;
using ClipEngine.Load;

// Asks a server on this machine for embeddings as fast as it answers, or at a rate, and says what it got:
//   dotnet run -c Release --project benchmarks/ClipEngine.Load -- 127.0.0.1:8080 --images FOLDER [--connections 64] [--seconds 20] [--rate R] [--json]
//   ... --text "a sentence" in place of images; --json sends images as data URLs in JSON rather than as they are
string? Option(string name) => Array.IndexOf(args, name) is >= 0 and int i && i + 1 < args.Length ? args[i + 1] : null;
if (args.Length == 0 || !IPEndPoint.TryParse(args[0], out IPEndPoint? server) || (Option("--images") is null) == (Option("--text") is null))
{
    Console.Error.WriteLine("usage: ClipEngine.Load ADDRESS:PORT (--images FOLDER | --text SENTENCE) [--connections N] [--seconds N] [--rate PER_SECOND] [--json]");
    return 2;
}

var options = new LoadOptions
{
    Server = server,
    Requests = Option("--text") is { } text ? [LoadRequest.OfText(text)] : [.. Directory.GetFiles(Option("--images")!).Order(StringComparer.Ordinal).Select(file => LoadRequest.OfImage(file, asJson: args.Contains("--json")))],
    Connections = int.Parse(Option("--connections") ?? "64", CultureInfo.InvariantCulture),
    Duration = TimeSpan.FromSeconds(double.Parse(Option("--seconds") ?? "20", CultureInfo.InvariantCulture)),
    Rate = Option("--rate") is { } rate ? double.Parse(rate, CultureInfo.InvariantCulture) : null,
};
LoadResult result = await LoadRun.RunAsync(options);
Console.WriteLine(result);
return result.Mismatches == 0 && result.Broken == 0 ? 0 : 1;
