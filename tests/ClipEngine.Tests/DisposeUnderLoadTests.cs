using ClipEngine.Checkpoints;
using ClipEngine.Files;
using ClipEngine.Native;
using ClipEngine.Scoring;
using ClipEngine.Tensors;
using ClipEngine.Testing;
using ClipEngine.Tokenization;

namespace ClipEngine.Tests;

/// <summary>
/// Whatever is disposed while calls run on it: the calls finish, right, or throw <see cref="ObjectDisposedException"/>; later ones throw it.
/// <c>CLIPENGINE_LONG=1</c> for 1,000 rounds each; <c>./test.sh --sanitize</c> runs them under AddressSanitizer too.
/// </summary>
public sealed class DisposeUnderLoadTests
{
    private const int Width = 16;

    /// <summary>Those with memory of their own.</summary>
    public static TheoryData<string> NativeBackends { get; } = new("cpu", "cpu bf16", "cpu int8", "cuda");

    public static TheoryData<string> Backends { get; } = new("cpu", "cpu bf16", "cpu int8", "cuda", "toy");

    [SkippableTheory]
    [MemberData(nameof(Backends))]
    public void A_model(string kind)
    {
        for (int round = 0; round < UnderLoad.Rounds; round++)
        {
            using IBackend backend = Open(kind);
            ClipModel model = Load(backend);
            (float[] image, float[] text) expected = Features(model);
            UnderLoad.Dispose(round, () => AssertSame(expected, Features(model)), model.Dispose, ThreadsFor(kind));
            AssertAllIsReleased(backend);
        }
    }

    [Fact]
    public void A_model_with_its_own_backend()
    {
        for (int round = 0; round < UnderLoad.Rounds; round++)
        {
            ClipModel model = Load(backend: null);
            (float[] image, float[] text) expected = Features(model);
            string[] files = [Photo, Photo, Photo];
            UnderLoad.Dispose(round, () =>
            {
                AssertSame(expected, Features(model));
                model.EncodeImages(files);
                model.EncodeTexts(["a", "b"]);
            }, model.Dispose);
            Assert.Throws<ObjectDisposedException>(() => model.EncodeImages(files));
        }
    }

    [Fact]
    public void A_model_by_its_own_call()
    {
        ClipModel model = Load(backend: null);
        // Disposed inside the call that uses it: the batch that runs is finished, the next one is not begun.
        Assert.Throws<ObjectDisposedException>(() => model.EncodeImages(Enumerable.Repeat(Photo, 40).ToArray(), progress: new Callback(model.Dispose)));
    }

    [SkippableTheory]
    [MemberData(nameof(NativeBackends))]
    public void A_backend_before_its_model(string kind)
    {
        for (int round = 0; round < UnderLoad.Rounds; round++)
        {
            IBackend backend = Open(kind);
            using ClipModel model = Load(backend);
            (float[] image, float[] text) expected = Features(model);
            UnderLoad.Dispose(round, () => AssertSame(expected, Features(model)), backend.Dispose, ThreadsFor(kind));
            Assert.Contains(backend.Name, backend.Description + backend.Name, StringComparison.Ordinal);
        }
    }

    [SkippableTheory]
    [MemberData(nameof(NativeBackends))]
    public unsafe void A_weight(string kind)
    {
        using IBackend backend = Open(kind);
        float[] values = Numbers(1, Width * Width), input = Numbers(2, 3 * Width);
        for (int round = 0; round < UnderLoad.Rounds; round++)
        {
            Weight weight;
            fixed (float* data = values)
                weight = backend.CreateWeight(new WeightData("weight", new Shape(Width, Width), ElementType.Float32, (nint)data), WeightRole.Linear);
            float[] expected = Multiply();
            UnderLoad.Dispose(round, () => Assert.Equal(expected, Multiply()), weight.Dispose, ThreadsFor(kind));

            float[] Multiply()
            {
                using IPass pass = backend.BeginPass();
                Tensor x = pass.Upload(input, new Shape(3, Width));
                x = pass.Linear(pass.Linear(x, weight, null), weight, null);
                float[] output = new float[3 * Width];
                pass.Read(x, output);
                return output;
            }
        }
    }

    /// <summary>A pass belongs to one thread at a time; disposed by another one it must not end up in two callers' hands.</summary>
    [SkippableTheory]
    [MemberData(nameof(NativeBackends))]
    public void A_pass(string kind)
    {
        using IBackend backend = Open(kind);
        float[] input = Numbers(2, 3 * Width), expected = new float[input.Length];
        using (IPass pass = backend.BeginPass())
            Normalize(pass, expected);
        using var stop = new CancellationTokenSource();
        Task[] others = [.. Enumerable.Range(0, 2).Select(_ => Task.Run(() =>
        {
            float[] output = new float[input.Length];
            while (!stop.IsCancellationRequested)
            {
                using IPass pass = backend.BeginPass();
                Normalize(pass, output);
                Assert.Equal(expected, output);
            }
        }))];
        for (int round = 0; round < UnderLoad.Rounds; round++)
        {
            IPass? opened = null;
            float[] output = new float[input.Length];
            Exception? failure = null;
            var thread = new Thread(() =>
            {
                IPass pass = backend.BeginPass();
                Volatile.Write(ref opened, pass);
                try
                {
                    while (true)
                    {
                        Normalize(pass, output);
                        Assert.Equal(expected, output);
                    }
                }
                catch (Exception exception)
                {
                    failure = exception;
                }
            });
            thread.Start();
            SpinWait.SpinUntil(() => Volatile.Read(ref opened) is not null);
            Thread.SpinWait(new Random(round).Next(50_000));
            opened!.Dispose();
            thread.Join();
            Assert.IsType<ObjectDisposedException>(failure);
            opened.Dispose();
        }

        stop.Cancel();
        Task.WaitAll(others);

        void Normalize(IPass pass, float[] output)
        {
            long mark = pass.EnterScope();
            Tensor x = pass.Upload(input, new Shape(3, Width));
            pass.Read(pass.LeaveScope(mark, pass.L2Normalize(pass.Add(x, x))), output);
        }
    }

    [SkippableTheory]
    [InlineData("cpu")]
    [InlineData("cuda")]
    public void A_sweep(string kind)
    {
        const int Prompts = 16;
        int rows = kind == "cuda" ? 48 : 8 * ProbeSweep.ChunkRows;
        using CudaDevices? devices = kind == "cuda" ? CudaDevices.Open([0, 1], EmulatedLibrary()) : null;
        using FeatureSource prompts = FeatureSource.FromMemory(Numbers(1, Prompts * 8), 8), images = FeatureSource.FromMemory(Numbers(2, rows * 8), 8);
        for (int round = 0; round < UnderLoad.Rounds; round++)
        {
            var sweep = new ProbeSweep(prompts, new ProbeSweepOptions { GroupCount = 1 }, devices);
            UnderLoad.Dispose(round, () => Assert.Equal(rows, Run(sweep, images).GroupRows(0)), sweep.Dispose, ThreadsFor(kind));
        }
    }

    [SkippableFact]
    public void Devices_and_features_on_them()
    {
        const int Rows = 48;
        using FeatureSource prompts = FeatureSource.FromMemory(Numbers(1, 16 * 8), 8), host = FeatureSource.FromMemory(Numbers(2, Rows * 8), 8);
        for (int round = 0; round < UnderLoad.Rounds; round++)
        {
            CudaDevices devices = CudaDevices.Open([0, 1], EmulatedLibrary());
            FeatureSource images = FeatureSource.LoadOnCuda(host, devices, groupCount: 1);
            using var sweep = new ProbeSweep(prompts, new ProbeSweepOptions { GroupCount = 1 }, devices);
            devices.Dispose(); // what lies on them keeps them
            UnderLoad.Dispose(round, () => Assert.Equal(Rows, Run(sweep, images).GroupRows(0)), images.Dispose, ThreadsFor("cuda"));
            Assert.Throws<ObjectDisposedException>(() => new ProbeSweep(prompts, new ProbeSweepOptions(), devices));
        }
    }

    [Theory]
    [InlineData("npy")]
    [InlineData("safetensors")]
    public void Features_in_a_file(string format)
    {
        const int Rows = 4 * ProbeSweep.ChunkRows;
        using var folder = new TemporaryFolder();
        string path = folder.File($"features.{format}");
        float[] values = Numbers(2, Rows * 8);
        if (format == "npy")
        {
            NpyFile.Write<float>(path, values, Rows, 8);
        }
        else
        {
            var writer = new SafetensorsWriter();
            writer.Add("features", values, Rows, 8);
            writer.Write(path);
        }

        using FeatureSource prompts = FeatureSource.FromMemory(Numbers(1, 16 * 8), 8);
        using var sweep = new ProbeSweep(prompts, new ProbeSweepOptions { GroupCount = 1 });
        for (int round = 0; round < UnderLoad.Rounds; round++)
        {
            FeatureSource images = FeatureSource.Open(path);
            UnderLoad.Dispose(round, () =>
            {
                Assert.Equal(Rows, Run(sweep, images).GroupRows(0));
                images.ReadRows(1, new float[8]);
            }, images.Dispose);
        }
    }

    private static string Photo => TestData.Path("preprocess", "images", "small.png");

    /// <summary>The emulated device does one thing at a time, slowly.</summary>
    private static int ThreadsFor(string kind) => kind == "cuda" ? 2 : 4;

    private static SweepTotals Run(ProbeSweep sweep, FeatureSource images) => sweep.Run(new ProbeSweepInput { Images = images });

    private static ClipModel Load(IBackend? backend) =>
        ClipModel.Load(TestData.Path("towers", "vit-quickgelu"), new ClipModelOptions { Backend = backend, Tokenizer = new LengthTokenizer() });

    private static (float[] Image, float[] Text) Features(ClipModel model)
    {
        float[] image = new float[model.EmbedDimension], text = new float[model.EmbedDimension];
        if (model.Backend is not CudaBackend) // emulated, an image takes too long
            model.EncodePixels(Pixels, image);
        model.EncodeTokens(Ids, Ids.Length, text);
        return (image, text);
    }

    private static readonly float[] Pixels = Numbers(3, 3 * 32 * 32);
    private static readonly int[] Ids = [1, 2, 3, 511];

    private static void AssertSame((float[] Image, float[] Text) expected, (float[] Image, float[] Text) found)
    {
        Assert.Equal(expected.Image, found.Image);
        Assert.Equal(expected.Text, found.Text);
    }

    private static void AssertAllIsReleased(IBackend backend)
    {
        if (backend is ToyBackend toy)
            Assert.Equal((0, 0, 0), (toy.LiveWeights, toy.LivePasses, toy.ReleasesDuringPasses));
    }

    private static IBackend Open(string kind) => kind switch
    {
        "cpu" => CpuBackend.Create(),
        "cpu bf16" => CpuBackend.Create(new CpuBackendOptions { ComputeType = ElementType.BFloat16 }),
        "cpu int8" => CpuBackend.Create(new CpuBackendOptions { ComputeType = ElementType.Int8 }),
        "cuda" => CudaBackend.Create(new CudaBackendOptions { LibraryPath = EmulatedLibrary() }),
        _ => new ToyBackend(),
    };

    private static string EmulatedLibrary()
    {
        string library = Path.Combine(TestData.NativeFolder, "libclipengine_cuda_emulated.so");
        Skip.IfNot(File.Exists(library), "the emulated CUDA device is built by ./test.sh with the native tests");
        return library;
    }

    private static float[] Numbers(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() * 2) - 1)];
    }

    /// <summary>The tower has no vocabulary of its own.</summary>
    private sealed class LengthTokenizer : ITokenizer
    {
        public int ContextLength => 16;

        public int VocabularySize => 512;

        public EncodedLength Encode(string text, Span<int> ids)
        {
            ids.Clear();
            ids[0] = text.Length;
            ids[1] = 511;
            return new EncodedLength(2, 2);
        }
    }

    private sealed class Callback(Action action) : IProgress<EncodeProgress>
    {
        public void Report(EncodeProgress value) => action();
    }
}
