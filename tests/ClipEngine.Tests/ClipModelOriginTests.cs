using ClipEngine.Testing;

namespace ClipEngine.Tests;

/// <summary>Weights whose origin the catalogue knows are not run with another activation unawares.</summary>
public sealed class ClipModelOriginTests
{
    [Fact]
    public void AContradictingActivationIsRefusedUnlessAskedForAndThenLabelled()
    {
        using var folder = new TemporaryFolder();
        // The place says QuickGELU (the hub's cache of a file trained so), the configuration of this stand-in says GELU.
        string snapshot = Directory.CreateDirectory(folder.File("models--timm--vit_base_patch32_clip_224.laion400m_e32", "snapshots", "c")).FullName;
        foreach (string file in Directory.EnumerateFiles(TestData.Path("towers", "vit-gelu"), "open_clip_*"))
            File.Copy(file, Path.Combine(snapshot, Path.GetFileName(file)));

        BadInputException refusal = Assert.Throws<BadInputException>(() => ClipModel.Load(snapshot));
        Assert.Contains("QuickGELU", refusal.Message, StringComparison.Ordinal);
        using ClipModel model = ClipModel.Load(snapshot, new ClipModelOptions { AcceptActivationMismatch = true });
        Assert.Contains(model.Notices, notice => notice.Contains("activation mismatch", StringComparison.Ordinal));
    }

    [Fact]
    public void ANameThatIsNeitherAFileNorInTheCatalogueIsRefused() =>
        Assert.Throws<BadInputException>(() => ClipModel.Load("ViT-B-32/no_such_weights"));
}
