using System.Diagnostics;
using ClipEngine.Checkpoints;
using ClipEngine.Cli.Commands;
using ClipEngine.Models;
using ClipEngine.Synthesis;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>
/// Architectures at their real size, with weights by formula, against open_clip: cosine at least 0.999999 and at most 2e-4 of the
/// features' spread. ViT-B-32 always; the others, which take minutes and gigabytes, with <c>CLIPENGINE_LONG=1</c>.
/// </summary>
public class FullSizeGoldenTests
{
    private const double Tolerance = 2e-4;
    private const double SmallestCosine = 0.999999;
    private const string LongSkip = "a long test: set CLIPENGINE_LONG=1";

    [SkippableTheory]
    [InlineData("ViT-B-32", false)]
    [InlineData("ViT-B-32-quickgelu", true)]
    [InlineData("ViT-B-16", true)]
    [InlineData("ViT-B-16-plus-240", true)]
    [InlineData("ViT-L-14", true)]
    [InlineData("ViT-H-14", true)]
    [InlineData("ViT-L-14-CLIPA", true)]
    [InlineData("RN50-quickgelu", true)]
    [InlineData("coca_ViT-B-32", true)]
    [InlineData("ViT-B-16-SigLIP", true)]
    [InlineData("EVA02-B-16", true)]
    public void FeaturesEqualThoseOfOpenClip(string name, bool isLong)
    {
        string description = TestData.SharedPath("goldens", "towers-full", $"{name}.json");
        Skip.If(isLong && Environment.GetEnvironmentVariable("CLIPENGINE_LONG") != "1", LongSkip);
        SynthesizedModel synthesized = SynthesizedModel.Load(description);
        string folder = Synthesize(synthesized);
        try
        {
            AssertGolden(folder, synthesized, description);
        }
        finally
        {
            if (isLong)
                Directory.Delete(folder, recursive: true); // gigabytes that nobody needs twice
        }
    }

    /// <summary>The same weights in transformers' layout, as <c>convert</c> writes it, loaded as they lie there.</summary>
    [SkippableTheory]
    [InlineData("ViT-B-32", false)]
    [InlineData("ViT-B-32-quickgelu", true)]
    [InlineData("ViT-B-16", true)]
    [InlineData("ViT-B-16-plus-240", true)]
    [InlineData("ViT-L-14", true)]
    [InlineData("ViT-H-14", true)]
    public void TransformersLayoutGivesTheSameFeatures(string name, bool isLong) => InAnotherLayout(name, isLong, (original, other) =>
    {
        ConvertCommand.Run(original, "transformers", other, configurationPath: null, TextWriter.Null);
        return other;
    });

    /// <summary>The same weights as a state dict that PyTorch itself saved, beside the same configuration.</summary>
    [SkippableTheory]
    [InlineData("ViT-B-32", false)]
    [InlineData("ViT-B-32-quickgelu", true)]
    [InlineData("ViT-B-16", true)]
    [InlineData("ViT-B-16-plus-240", true)]
    [InlineData("ViT-L-14", true)]
    [InlineData("ViT-H-14", true)]
    [InlineData("ViT-L-14-CLIPA", true)]
    [InlineData("RN50-quickgelu", true)]
    public void StateDictOfPyTorchGivesTheSameFeatures(string name, bool isLong)
    {
        Skip.IfNot(RunPython("-c", "import torch") == 0, "/usr/bin/python3 has no torch");
        InAnotherLayout(name, isLong, (original, other) =>
        {
            Directory.CreateDirectory(other);
            File.Copy(Path.Combine(original, "open_clip_config.json"), Path.Combine(other, "open_clip_config.json"));
            string path = Path.Combine(other, "state_dict.pt");
            Assert.Equal(0, RunPython(Path.Combine(TestData.RepositoryRoot, "tools", "safetensors-to-torch.py"), Path.Combine(original, "open_clip_model.safetensors"), path));
            return path;
        });
    }

    /// <summary>What transformers' CLIP has no words for is refused before anything is written.</summary>
    [SkippableTheory]
    [InlineData("ViT-L-14-CLIPA", "no ln_pre")]
    [InlineData("RN50-quickgelu", "a ResNet")]
    public void WhatTransformersCannotExpressIsRefused(string name, string reason)
    {
        Skip.If(Environment.GetEnvironmentVariable("CLIPENGINE_LONG") != "1", LongSkip);
        SynthesizedModel synthesized = SynthesizedModel.Load(TestData.SharedPath("goldens", "towers-full", $"{name}.json"));
        using var folder = new TemporaryFolder();
        synthesized.Write(folder.File("original"));
        var exception = Assert.Throws<BadInputException>(() => ConvertCommand.Run(folder.File("original"), "transformers", folder.File("other"), configurationPath: null, TextWriter.Null));
        Assert.Contains(reason, exception.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder.File("other")));
    }

    private static void InAnotherLayout(string name, bool isLong, Func<string, string, string> convert)
    {
        string description = TestData.SharedPath("goldens", "towers-full", $"{name}.json");
        Skip.If(isLong && Environment.GetEnvironmentVariable("CLIPENGINE_LONG") != "1", LongSkip);
        SynthesizedModel synthesized = SynthesizedModel.Load(description);
        string original = Synthesize(synthesized);
        using var folder = new TemporaryFolder();
        string path;
        try
        {
            path = convert(original, folder.File("other"));
        }
        finally
        {
            if (isLong)
                Directory.Delete(original, recursive: true);
        }

        AssertGolden(path, synthesized, description);
    }

    /// <summary>The model in the OpenCLIP layout; ViT-B-32 stays there for the next run.</summary>
    private static string Synthesize(SynthesizedModel synthesized)
    {
        string folder = Path.Combine(TestData.RepositoryRoot, "artifacts", "synthesized", synthesized.Name);
        if (!File.Exists(Path.Combine(folder, "open_clip_model.safetensors")))
            synthesized.Write(folder);
        return folder;
    }

    private static int RunPython(params string[] arguments)
    {
        const string Python = "/usr/bin/python3";
        if (!File.Exists(Python))
            return -1;
        using Process process = Process.Start(new ProcessStartInfo(Python, arguments) { RedirectStandardError = true, UseShellExecute = false })!;
        process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode;
    }

    private static void AssertGolden(string path, SynthesizedModel synthesized, string description)
    {
        using ClipModel model = ClipModel.Load(path);
        using ICheckpoint golden = Checkpoint.Open(Path.ChangeExtension(description, ".golden.safetensors"));
        float[] images = new float[golden.Tensors["image_features"].ElementCount], texts = new float[golden.Tensors["text_features"].ElementCount];
        model.EncodePixels(synthesized.Pixels(), images, normalize: false);
        model.EncodeTokens(GoldenFeatures.Ids(golden), (int)golden.Tensors["tokens"].Dimensions[1], texts, normalize: false);
        AssertEqual(golden, "image_features", images, model.EmbedDimension);
        AssertEqual(golden, "text_features", texts, model.EmbedDimension);
    }

    private static void AssertEqual(ICheckpoint golden, string name, ReadOnlySpan<float> found, int length)
    {
        GoldenFeatures.AssertClose(golden, name, found, Tolerance);
        float[] expected = golden.ReadSingles(name);
        for (int start = 0; start < expected.Length; start += length)
        {
            double dot = 0, left = 0, right = 0;
            for (int i = start; i < start + length; i++)
            {
                dot += (double)expected[i] * found[i];
                left += (double)expected[i] * expected[i];
                right += (double)found[i] * found[i];
            }

            Assert.InRange(dot / Math.Sqrt(left * right), SmallestCosine, 1 + 1e-12);
        }
    }
}
