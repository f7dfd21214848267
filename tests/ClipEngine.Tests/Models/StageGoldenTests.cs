using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Stages;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>Every stage of a tower compared with the golden's <c>stage.*</c> in their order, as <c>tools/stages</c> does it: the first wrong stage is the one that fails.</summary>
public class StageGoldenTests
{
    public static TheoryData<string> AllFamilies() => [.. FamilyGoldenTests.AllFamilies];

    [SkippableTheory]
    [MemberData(nameof(AllFamilies))]
    public void StagesEqualThoseOfTheOriginal(string family)
    {
        StageTrace trace = Trace(TestData.SharedPath("goldens", "families", family));
        Assert.All(trace.Stages, static stage => Assert.True(stage.IsRight, $"{stage.Name}: {stage.Error:E1} of the stage's spread ({stage.Result?.Operation})"));
        Assert.Contains(trace.Stages, static stage => stage.Name == "image.features");
        Assert.Contains(trace.Stages, static stage => stage.Name == "text.features");
    }

    /// <summary>One weight of a block is wrong: the stages before it are right, that block is the first wrong one, and so is all behind it.</summary>
    [SkippableTheory]
    [InlineData("siglip-b16", "visual.trunk.blocks.1.mlp.fc1.bias", "image.block.1")]
    [InlineData("mt5-b32", "text.transformer.block.0.layer.0.SelfAttention.o.weight", "text.block.0")]
    [InlineData("hf-altclip", "text_model.pre_LN.bias", "text.pre_projection_norm")]
    public void TheFirstWrongStageIsWhereTheFaultIs(string family, string weight, string stage)
    {
        using var folder = new TemporaryFolder();
        string original = TestData.SharedPath("goldens", "families", family), model = File.Exists(Path.Combine(original, "config.json")) ? "model.safetensors" : "open_clip_model.safetensors";
        foreach (string file in Directory.GetFiles(original).Where(file => !file.EndsWith(model, StringComparison.Ordinal)))
            File.Copy(file, folder.File(Path.GetFileName(file)));
        using (ICheckpoint stored = Checkpoint.OpenAsStored(Path.Combine(original, model)))
        {
            var writer = new SafetensorsWriter();
            foreach (string name in stored.Tensors.Keys.Where(name => name != weight))
                writer.Add(stored, name);
            float[] changed = stored.ReadSingles(weight);
            changed[0] += 1;
            writer.Add(weight, changed, stored.Tensors[weight].Dimensions.AsSpan());
            writer.Write(folder.File(model));
        }

        List<FoundStage> stages = Trace(folder.Root).Stages;
        Assert.Equal(stage, stages.First(static found => !found.IsRight).Name);
        string tower = stage.Split('.')[0];
        Assert.All(stages.Where(found => !found.Name.StartsWith(tower, StringComparison.Ordinal)), static found => Assert.True(found.IsRight));
        Assert.All(stages.Where(found => found.Name.StartsWith(tower, StringComparison.Ordinal)).SkipWhile(found => found.Name != stage), static found => Assert.False(found.IsRight));
    }

    private static StageTrace Trace(string folder)
    {
        using var backend = new ToyBackend();
        using LoadedModel model = LoadedModel.Load(folder, backend);
        using ICheckpoint golden = Checkpoint.OpenAsStored(Path.Combine(folder, "golden.safetensors"));
        return StageTrace.Run(model.Encoder, golden);
    }
}
