using ClipEngine.Audit.Runs;
using ClipEngine.Checkpoints;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Runs;

public class ClipProbeModelsTests
{
    [Fact]
    public void AContradictingActivationIsLoadedOnlyWhereTheSpecAcceptsItAndIsThenNoticed()
    {
        using var folder = new TemporaryFolder();
        // The place says QuickGELU (the hub's cache of a file trained so), the configuration of this stand-in says GELU.
        string snapshot = Directory.CreateDirectory(folder.File("models--timm--vit_base_patch32_clip_224.laion400m_e32", "snapshots", "c")).FullName;
        foreach (string file in Directory.EnumerateFiles(TestData.Path("towers", "vit-gelu"), "open_clip_*"))
            File.Copy(file, Path.Combine(snapshot, Path.GetFileName(file)));
        var models = new ClipProbeModels();
        Assert.Throws<BadInputException>(() => models.Open(models.Find(snapshot, acceptActivationMismatch: false), "fp32"));
        using IProbeModel model = models.Open(models.Find(snapshot, acceptActivationMismatch: true), "fp32");
        Assert.Contains(model.Notices, notice => notice.Contains(CatalogueEntry.ActivationMismatchLabel, StringComparison.Ordinal));
    }

    [Fact]
    public void ThePublishedStudyAcceptsExactlyTheMismatchesThatItsModelsHave() =>
        Assert.All(ClipEngine.Audit.Specs.SpecReader.Paper().Models, row =>
        {
            CatalogueEntry entry = ModelCatalogue.TryFind(row.Model!)!;
            (_, string? label) = entry.ResolveActivation(ModelCatalogue.FindModel(entry.Model).Activation, acceptMismatch: true);
            Assert.Equal(label is not null, row.AcceptActivationMismatch);
        });
}
