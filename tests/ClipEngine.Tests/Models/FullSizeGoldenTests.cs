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
    public void FeaturesEqualThoseOfOpenClip(string name, bool isLong)
    {
        string description = TestData.SharedPath("goldens", "towers-full", $"{name}.json");
        Skip.If(isLong && Environment.GetEnvironmentVariable("CLIPENGINE_LONG") != "1", "a long test: set CLIPENGINE_LONG=1");
        SynthesizedModel synthesized = SynthesizedModel.Load(description);
        string folder = Path.Combine(TestData.RepositoryRoot, "artifacts", "synthesized", name);
        if (!File.Exists(Path.Combine(folder, "open_clip_model.safetensors")))
            synthesized.Write(folder);
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

    [SkippableTheory]
    [InlineData(CheckpointLayout.Transformers)]
    [InlineData(CheckpointLayout.OpenClip)]
    public void TheOtherLayoutsGiveTheSameFeatures(CheckpointLayout layout)
    {
        string description = TestData.SharedPath("goldens", "towers-full", "ViT-B-32.json");
        Skip.If(Environment.GetEnvironmentVariable("CLIPENGINE_LONG") != "1", "a long test: set CLIPENGINE_LONG=1");
        SynthesizedModel synthesized = SynthesizedModel.Load(description);
        using var folder = new TemporaryFolder();
        string original = folder.File("original");
        synthesized.Write(original);
        string path;
        if (layout == CheckpointLayout.Transformers)
        {
            path = folder.File("transformers");
            ConvertCommand.Run(original, "transformers", path, configurationPath: null, TextWriter.Null);
        }
        else
        {
            // A state dict that PyTorch itself saved, beside the same configuration.
            Skip.IfNot(RunPython("-c", "import torch") == 0, "/usr/bin/python3 has no torch");
            path = Path.Combine(original, "state_dict.pt");
            Assert.Equal(0, RunPython(Path.Combine(TestData.RepositoryRoot, "tools", "safetensors-to-torch.py"), Path.Combine(original, "open_clip_model.safetensors"), path));
        }

        AssertGolden(path, synthesized, description);
    }

    [SkippableTheory]
    [InlineData("ViT-B-16-SigLIP")]
    [InlineData("EVA02-B-16")]
    [InlineData("convnext_base_w")]
    public void WhatIsNotBuiltIsRefusedByName(string name)
    {
        string description = TestData.SharedPath("goldens", "towers-full", $"{name}.json");
        using var folder = new TemporaryFolder();
        using (System.Text.Json.JsonDocument document = System.Text.Json.JsonDocument.Parse(File.ReadAllBytes(description)))
            File.WriteAllText(folder.File("config.json"), document.RootElement.GetProperty("model_cfg").GetRawText());
        var exception = Assert.Throws<BadInputException>(() => OpenClipConfig.Load(folder.File("config.json")));
        Assert.Contains("is not built", exception.Message);
        Assert.Contains("timm_model_name", exception.Message);
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
