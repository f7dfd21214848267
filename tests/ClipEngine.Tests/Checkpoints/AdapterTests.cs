using System.Text.Json.Nodes;
using ClipEngine.Checkpoints;
using ClipEngine.Cli.Commands;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>Adapters of peft, against the formulas of LoRA (arXiv:2106.09685) and DoRA (arXiv:2402.09353) written out element by element.</summary>
public sealed class AdapterTests : IDisposable
{
    private const string Query = "text_model.encoder.layers.0.self_attn.q_proj";
    private const string Patches = "vision_model.embeddings.patch_embedding";
    private const string Words = "text_model.embeddings.token_embedding";

    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<string, float[]> _base = [];
    private readonly Dictionary<string, long[]> _shapes = [];

    public AdapterTests()
    {
        ConvertCommand.Run(TestData.Path("towers", "vit-gelu"), "transformers", _folder.Root, configurationPath: null, TextWriter.Null);
        using ICheckpoint stored = Checkpoint.OpenAsStored(_folder.Root);
        foreach (StoredTensor tensor in stored.Tensors.Values)
        {
            _base.Add(tensor.Name, stored.ReadSingles(tensor.Name));
            _shapes.Add(tensor.Name, tensor.Dimensions.ToArray());
        }
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("{}", 16.0 / 2)]
    [InlineData("""{"use_rslora": true}""", 11.313708498984761)]
    [InlineData("""{"alpha_pattern": {"q_proj": 4}}""", 4.0 / 2)]
    [InlineData("""{"alpha_pattern": {"text_model.encoder.layers.\\d+.self_attn.[qv]_proj": 6}}""", 6.0 / 2)]
    [InlineData("""{"alpha_pattern": {"proj": 6}}""", 16.0 / 2)]
    public void TheProductOfTheTwoMatricesIsAdded(string options, double scale)
    {
        (float[] a, float[] b) = Pair(Query, 2, 32, 32);
        Write(options, ($"base_model.model.{Query}.lora_A.weight", a, [2, 32]), ($"base_model.model.{Query}.lora_B.weight", b, [32, 2]));
        AssertOnly(Query + ".weight", Reference(_base[Query + ".weight"], a, b, 32, 2, scale, magnitudes: null));
    }

    [Fact]
    public void DoraScalesEveryRowToItsMagnitude()
    {
        (float[] a, float[] b) = Pair(Query, 2, 32, 32);
        float[] magnitudes = [.. Enumerable.Range(0, 32).Select(static i => 0.5f + (i / 10f))];
        Write("""{"use_dora": true}""", ($"base_model.model.{Query}.lora_A.weight", a, [2, 32]), ($"base_model.model.{Query}.lora_B.weight", b, [32, 2]), ($"base_model.model.{Query}.lora_magnitude_vector", magnitudes, [32]));
        AssertOnly(Query + ".weight", Reference(_base[Query + ".weight"], a, b, 32, 2, 8, magnitudes));
    }

    [Fact]
    public void ConvolutionsEmbeddingsBiasesAndWholeModulesAreChanged()
    {
        (float[] a, float[] b) = Pair(Patches, 3, 3 * 8 * 8, 64);
        (float[] wordA, float[] wordB) = Pair(Words, 2, 512, 32);
        float[] bias = new float[32], projection = [.. Enumerable.Range(0, 24 * 64).Select(static i => i / 100f)];
        Array.Fill(bias, 7f);
        Write("""{"lora_alpha": 6, "bias": "all", "modules_to_save": ["visual_projection"], "rank_pattern": {"patch_embedding": 3}}""",
            ($"base_model.model.{Patches}.lora_A.weight", a, [3, 3, 8, 8]), ($"base_model.model.{Patches}.lora_B.weight", b, [64, 3, 1, 1]),
            ($"base_model.model.{Words}.lora_embedding_A", wordA, [2, 512]), ($"base_model.model.{Words}.lora_embedding_B", wordB, [32, 2]),
            ($"base_model.model.{Query}.base_layer.bias", bias, [32]), ("base_model.model.visual_projection.weight", projection, [24, 64]));
        using ICheckpoint merged = Checkpoint.OpenAsStored(_folder.Root);
        AssertNear(Reference(_base[Patches + ".weight"], a, b, 64, 3, 2, magnitudes: null), merged.ReadSingles(Patches + ".weight"));
        float[] words = _base[Words + ".weight"];
        double[] expected = [.. Enumerable.Range(0, 512 * 32).Select(i => words[i] + (3 * Enumerable.Range(0, 2).Sum(r => (double)wordA[(r * 512) + (i / 32)] * wordB[((i % 32) * 2) + r])))];
        AssertNear(expected, merged.ReadSingles(Words + ".weight"));
        Assert.Equal(bias, merged.ReadSingles(Query + ".bias"));
        Assert.Equal(projection, merged.ReadSingles("visual_projection.weight"));
    }

    /// <summary>Biases of a single projection come in fp32 while the model is fp16; queries, keys and values are put together all the same.</summary>
    [Fact]
    public void AWeightThatIsReplacedMayBeOfAnotherTypeThanThoseBesideIt()
    {
        var half = new SafetensorsWriter();
        foreach ((string key, float[] values) in _base)
            half.Add(key, ElementType.Float16, _shapes[key], System.Runtime.InteropServices.MemoryMarshal.AsBytes<Half>([.. values.Select(static value => (Half)value)]).ToArray());
        half.Write(_folder.File("model.safetensors"));
        float[] bias = [.. Enumerable.Range(0, 32).Select(static i => i / 7f)];
        Write("""{"bias": "lora_only"}""", ($"base_model.model.{Query}.base_layer.bias", bias, [32]));
        using ICheckpoint merged = Checkpoint.Open(_folder.Root); // in OpenCLIP's keys, where the three are one
        float[] together = merged.ReadSingles("transformer.resblocks.0.attn.in_proj_bias");
        Assert.Equal(bias, together[..32]);
        Assert.Equal(_base[Query.Replace("q_proj", "k_proj", StringComparison.Ordinal) + ".bias"].Select(static value => (float)(Half)value), together[32..64]);
    }

    /// <summary>The merged files are the same weights as those that loading adds up, in both layouts.</summary>
    [Theory]
    [InlineData("transformers")]
    [InlineData("openclip")]
    public void ConvertMergesOnRequestOnly(string layout)
    {
        (float[] a, float[] b) = Pair(Query, 2, 32, 32);
        Write("{}", ($"base_model.model.{Query}.lora_A.weight", a, [2, 32]), ($"base_model.model.{Query}.lora_B.weight", b, [32, 2]));
        string target = _folder.File("merged");
        string message = Assert.Throws<BadInputException>(() => ConvertCommand.Run(_folder.Root, layout, target, configurationPath: null, TextWriter.Null)).Message;
        Assert.Contains("adapter_config.json", message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(target));
        ConvertCommand.Run(_folder.Root, layout, target, configurationPath: null, TextWriter.Null, mergesAdapter: true);
        using ICheckpoint loaded = Checkpoint.Open(_folder.Root);
        using ICheckpoint merged = Checkpoint.Open(target);
        Assert.Equal(loaded.Tensors.Keys.Order(), merged.Tensors.Keys.Order());
        Assert.All(loaded.Tensors.Keys, key => Assert.Equal(loaded.ReadSingles(key), merged.ReadSingles(key)));
        Assert.Contains("--merge-adapter", Assert.Throws<BadInputException>(() => ConvertCommand.Run(target, layout, _folder.File("again"), null, TextWriter.Null, mergesAdapter: true)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void LoadingSaysThatItAddsTheAdapter()
    {
        (float[] a, float[] b) = Pair(Query, 2, 32, 32);
        Write("{}", ($"base_model.model.{Query}.lora_A.weight", a, [2, 32]), ($"base_model.model.{Query}.lora_B.weight", b, [32, 2]));
        using (ClipModel model = ClipModel.Load(_folder.Root))
            Assert.Contains(model.Notices, static notice => notice.Contains("the adapter is added to 1 of the model's weights", StringComparison.Ordinal));
        using (ClipModel model = ClipModel.Load(_folder.File("model.safetensors")))
            Assert.Contains(model.Notices, static notice => notice.Contains("not applied to a file", StringComparison.Ordinal));
    }

    [Fact]
    public void InAFolderOfOpenClipAnAdapterIsRefusedByItsName()
    {
        Write("{}", ("base_model.model.x.lora_A.weight", new float[2], [1, 2]));
        File.Copy(TestData.Path("towers", "vit-gelu", "open_clip_config.json"), _folder.File("open_clip_config.json"));
        Assert.Contains("adapter_config.json", Assert.Throws<CheckpointException>(() => Checkpoint.Open(_folder.Root)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"peft_type": "IA3"}""", "peft_type")]
    [InlineData("""{"init_lora_weights": "pissa"}""", "init_lora_weights")]
    [InlineData("""{"lora_bias": true}""", "lora_bias")]
    [InlineData("""{"layer_replication": [[0, 1]]}""", "layer_replication")]
    [InlineData("""{"a key of tomorrow": 1}""", "a key of tomorrow")]
    [InlineData("""{"lora_alpha": "16"}""", "lora_alpha")]
    [InlineData("""{"use_dora": true}""", "magnitudes")]
    [InlineData("""{"alpha_pattern": {"(": 1}}""", "alpha_pattern")]
    [InlineData("""{"rank_pattern": {"(": 1}}""", "rank_pattern")]
    [InlineData("""{"r": 8}""", "rank 2")]
    [InlineData("""{"r": null}""", "rank 2")]
    [InlineData("""{"rank_pattern": {"self_attn.q_proj": 4}}""", "rank 2")]
    public void WhatWouldAddSomethingElseIsRefusedByName(string options, string named)
    {
        (float[] a, float[] b) = Pair(Query, 2, 32, 32);
        Write(options, ($"base_model.model.{Query}.lora_A.weight", a, [2, 32]), ($"base_model.model.{Query}.lora_B.weight", b, [32, 2]));
        Assert.Contains(named, Assert.Throws<CheckpointException>(() => Checkpoint.Open(_folder.Root)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("text_model.encoder.layers.9.self_attn.q_proj", 2, 32, 32)]
    [InlineData(Query, 2, 31, 32)]
    [InlineData(Query, 2, 32, 33)]
    public void AnAdapterOfAnotherModelIsRefused(string module, int rank, int columns, int rows)
    {
        (float[] a, float[] b) = Pair(module, rank, columns, rows);
        Write("{}", ($"base_model.model.{module}.lora_A.weight", a, [rank, columns]), ($"base_model.model.{module}.lora_B.weight", b, [rows, rank]));
        Assert.Equal(CheckpointError.DoesNotFit, Assert.Throws<CheckpointException>(() => Checkpoint.Open(_folder.Root)).Error);
    }

    private static (float[] A, float[] B) Pair(string module, int rank, int columns, int rows)
    {
        var random = new Random(module.Length);
        return ([.. Enumerable.Range(0, rank * columns).Select(_ => (random.NextSingle() - 0.5f) / 4)], [.. Enumerable.Range(0, rows * rank).Select(_ => (random.NextSingle() - 0.5f) / 4)]);
    }

    private void Write(string options, params (string Key, float[] Values, long[] Shape)[] tensors)
    {
        JsonObject config = JsonNode.Parse("""
            {"peft_type": "LORA", "task_type": null, "base_model_name_or_path": "base", "r": 2, "lora_alpha": 16, "lora_dropout": 0.1, "bias": "none", "fan_in_fan_out": false,
             "target_modules": ["q_proj"], "use_rslora": false, "use_dora": false, "modules_to_save": null, "inference_mode": true, "init_lora_weights": true, "rank_pattern": {}, "peft_version": "0.21.2"}
            """)!.AsObject();
        foreach ((string key, JsonNode? value) in JsonNode.Parse(options)!.AsObject())
            config[key] = value?.DeepClone();
        File.WriteAllText(_folder.File("adapter_config.json"), config.ToJsonString());
        var writer = new SafetensorsWriter();
        foreach ((string key, float[] values, long[] shape) in tensors)
            writer.Add(key, values, shape);
        writer.Write(_folder.File("adapter_model.safetensors"));
    }

    private void AssertOnly(string changed, double[] expected)
    {
        using ICheckpoint merged = Checkpoint.OpenAsStored(_folder.Root);
        foreach (string key in _base.Keys)
        {
            if (key == changed)
                AssertNear(expected, merged.ReadSingles(key));
            else
                Assert.Equal(_base[key], merged.ReadSingles(key));
        }
    }

    private static double[] Reference(float[] weight, float[] a, float[] b, int rows, int rank, double scale, float[]? magnitudes)
    {
        int columns = weight.Length / rows;
        double[] sum = [.. Enumerable.Range(0, weight.Length).Select(i => weight[i] + (scale * Enumerable.Range(0, rank).Sum(r => (double)b[((i / columns) * rank) + r] * a[(r * columns) + (i % columns)])))];
        if (magnitudes is null)
            return sum;
        double[] norms = [.. Enumerable.Range(0, rows).Select(row => Math.Sqrt(Enumerable.Range(0, columns).Sum(c => sum[(row * columns) + c] * sum[(row * columns) + c])))];
        return [.. Enumerable.Range(0, weight.Length).Select(i => magnitudes[i / columns] * sum[i] / norms[i / columns])];
    }

    private static void AssertNear(double[] expected, float[] found)
    {
        Assert.Equal(expected.Length, found.Length);
        for (int i = 0; i < found.Length; i++)
            Assert.True(Math.Abs(expected[i] - found[i]) <= 1e-6 * Math.Max(1, Math.Abs(expected[i])), $"element {i}: expected {expected[i]}, found {found[i]}");
    }
}
