using System.Security.Cryptography;
using System.Text;
using ClipEngine.Audit.Runs;

namespace ClipEngine.Audit.Tests.Runs;

/// <summary>Models whose features are a function of the image's bytes or the sentence; a model is a text file with its name in it.</summary>
internal sealed class FakeModels(Action<string>? encoding = null) : IProbeModelSource
{
    public ProbeModelFiles Find(string model, bool acceptActivationMismatch) =>
        File.Exists(model) ? new ProbeModelFiles(model, [model], null, acceptActivationMismatch) : throw new BadInputException(model, "there is no such model.");

    public IProbeModel Open(ProbeModelFiles files, string elementType) => new Model(File.ReadAllText(files.Path), encoding);

    private sealed class Model(string name, Action<string>? encoding) : IProbeEncoder
    {
        public int Width => 16;

        public double? Scale => 10;

        public string Device => "fake";

        public IReadOnlyList<string> Notices => [];

        public string Preprocessing => "none";

        public float[] EncodeImages(IReadOnlyList<string> files, CancellationToken cancellationToken)
        {
            encoding?.Invoke($"{name} images {Path.GetFileName(files[0])}");
            return [.. files.SelectMany(file => Unit($"{name}|{Convert.ToHexString(File.ReadAllBytes(file))}"))];
        }

        public float[] EncodeTexts(IReadOnlyList<string> sentences, CancellationToken cancellationToken)
        {
            encoding?.Invoke($"{name} texts");
            return [.. sentences.SelectMany(sentence => Unit($"{name}|{sentence}"))];
        }

        public void Dispose()
        {
        }

        private static float[] Unit(string text)
        {
            byte[] hash = SHA256.HashData(Encoding.UTF8.GetBytes(text));
            double[] values = [.. hash.Take(16).Select(value => (value / 127.5) - 1)];
            double length = Math.Sqrt(values.Sum(value => value * value));
            return [.. values.Select(value => (float)(value / length))];
        }
    }
}
