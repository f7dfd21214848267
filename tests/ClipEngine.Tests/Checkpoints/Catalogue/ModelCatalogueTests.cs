using System.Text;
using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Models;

namespace ClipEngine.Tests.Checkpoints.Catalogue;

public sealed class ModelCatalogueTests
{
    /// <summary>Table 1 of the audit paper, and the rest of open_clip's published profile of plain ViT models.</summary>
    [Theory]
    [InlineData("ViT-B-16", "149.62", "41.09")]
    [InlineData("ViT-B-16-plus-240", "208.38", "64.03")]
    [InlineData("ViT-B-32", "151.28", "14.78")]
    [InlineData("ViT-L-14", "427.62", "175.33")]
    [InlineData("ViT-S-32-alt", "43.22", "3.56")]
    [InlineData("ViT-S-16", "62.26", "12.58")]
    [InlineData("ViT-M-16-alt", "78.98", "19.36")]
    [InlineData("ViT-M-32", "103.12", "9.95")]
    [InlineData("ViT-B-32-256", "151.29", "17.46")]
    [InlineData("ViT-B-32-plus-256", "210.30", "24.83")]
    [InlineData("ViT-L-16-320", "427.95", "271.93")]
    [InlineData("ViT-L-14-336", "427.94", "395.22")]
    [InlineData("ViT-L-14-CLIPA", "414.21", "167.50")]
    [InlineData("ViT-H-14", "986.11", "381.68")]
    [InlineData("ViT-H-14-CLIPA-336", "968.64", "800.88")]
    [InlineData("ViT-g-14", "1366.68", "581.15")]
    [InlineData("ViT-bigG-14", "2539.57", "1065.36")]
    [InlineData("ViT-e-14", "4581.09", "2091.45")]
    public void ParametersAndOperationsEqualThePublishedTables(string name, string millions, string gigaOperations)
    {
        ModelCost cost = ModelCost.Of(Configuration(ModelCatalogue.FindModel(name)));
        Assert.Equal(millions, (cost.Parameters / 1e6).ToString("0.00"));
        Assert.Equal(gigaOperations, (cost.Operations / 1e9).ToString("0.00"));
    }

    [Fact]
    public void EveryReleaseFileTellsItsOriginByItsName()
    {
        foreach (CatalogueEntry entry in ModelCatalogue.Entries.Where(entry => entry.ReleaseUrl is not null && entry.ReleaseHash != HashKnowledge.Unknown))
            Assert.Equal(entry.ReleaseUrl, ModelCatalogue.OriginOf(Path.Combine("anywhere", Path.GetFileName(entry.ReleaseUrl!.AbsolutePath)))?.ReleaseUrl);
        foreach (CatalogueEntry entry in ModelCatalogue.Entries.Where(entry => entry.HubRepository is not null))
            Assert.Equal(entry.HubRepository, ModelCatalogue.OriginOf(Path.Combine("cache", $"models--{entry.HubRepository!.Replace("/", "--")}", "snapshots", "main", "open_clip_model.safetensors"))?.HubRepository);
    }

    [Fact]
    public void EveryConfigurationIsReadAndRunsWhatTheCatalogueSays()
    {
        Assert.Equal(137 + 44, ModelCatalogue.Models.Length); // open_clip's, and those in transformers' layout
        foreach (CatalogueModel model in ModelCatalogue.Models)
        {
            Assert.Equal(model.Activation == WeightsActivation.QuickGelu, model.ConfigurationJson.Contains(model.IsTransformers ? "\"hidden_act\": \"quick_gelu\"" : "\"quick_gelu\": true", StringComparison.Ordinal));
            Assert.NotNull(Plan(model.ConfigurationJson, model.Name).Cost);
            foreach (CatalogueEntry entry in model.Weights)
            {
                ModelPlan plan = Plan(model.ConfigurationFor(entry), entry.Name);
                Assert.Equal(entry.Mean.ToArray(), plan.Preprocess.Mean.ToArray());
                Assert.Equal(entry.ResizeMode, PreprocessNames.NameOf(plan.Preprocess.ResizeMode));
                Assert.Equal(entry.Interpolation, PreprocessNames.NameOf(plan.Preprocess.Interpolation));
            }
        }
    }

    /// <summary>open_clip 3.3.0 has 196 pairs of a model and a tag, of 115 models.</summary>
    [Fact]
    public void EveryPairOfOpenClipIsThere()
    {
        CatalogueEntry[] entries = [.. ModelCatalogue.Models.Where(static model => !model.IsTransformers).SelectMany(static model => model.Weights)];
        Assert.Equal(196, entries.Length);
        Assert.Equal(196, entries.Select(static entry => entry.Name).Distinct().Count());
        Assert.Equal(115, entries.Select(static entry => entry.Model).Distinct().Count());
        Assert.Equal(195, entries.Count(static entry => entry.HubRepository is not null)); // but for plus-240's epoch 32, which has no right one
        Assert.Equal(["pytorch_model.bin"], ModelCatalogue.Find("ViTamin-L/datacomp1b").HubFileNames.ToArray());
        Assert.Equal(3, ModelCatalogue.Find("PE-Core-B-16/meta").HubFileNames.Length);
    }

    /// <summary>Models of other families, against the same table of open_clip: parameters to its last digit, operations to a hundredth.</summary>
    [Theory]
    [InlineData("RN50", "102.01", 12.22, 5.96)]
    [InlineData("RN101", "119.69", 19.54, 5.96)]
    [InlineData("RN50x64", "623.26", 529.11, 23.55)]
    [InlineData("ViT-B-16-SigLIP", "203.16", 35.42, 11.02)]
    [InlineData("ViT-SO400M-14-SigLIP-384", "877.96", 670.35, 53.13)]
    [InlineData("ViT-L-16-SigLIP-256", "652.15", 162.56, 39.06)]
    [InlineData("EVA02-B-16", "149.69", 35.13, 5.96)]
    [InlineData("EVA02-L-14-336", "428.08", 381.86, 13.3)]
    [InlineData("EVA01-g-14", "1136.44", 534.06, 13.3)]
    [InlineData("EVA02-E-14", "4704.59", 2264.33, 47.09)]
    [InlineData("coca_ViT-B-32", "253.56", 9.19, 5.96)]
    [InlineData("coca_ViT-L-14", "638.45", 163.64, 13.3)]
    [InlineData("roberta-ViT-B-32", "212.72", 8.82, double.NaN)]
    [InlineData("xlm-roberta-large-ViT-H-14", "1193.01", 334.59, double.NaN)]
    [InlineData("nllb-clip-base", "501.89", 8.82, double.NaN)]
    [InlineData("nllb-clip-large-siglip", "1195.50", 670.35, double.NaN)]
    public void OtherFamiliesCostWhatThePublishedTableSays(string name, string millions, double image, double text)
    {
        ModelCost cost = Plan(ModelCatalogue.FindModel(name).ConfigurationJson, name).Cost!;
        Assert.Equal(millions, (cost.Parameters / 1e6).ToString("0.00"));
        // Of a ResNet's attention pool the table counts queries that nobody uses.
        Assert.Equal(image, cost.Image.Operations / 1e9, (name.StartsWith("RN", StringComparison.Ordinal) ? 0.06 : 0.01) * image);
        // The table counts text towers of transformers at 512 ids.
        if (!double.IsNaN(text))
            Assert.Equal(text, cost.Text.Operations / 1e9, 0.01 * text);
    }

    /// <summary>A causal tower costs what its context costs, by whatever id the end of a sentence is found.</summary>
    [Theory]
    [InlineData(100)]
    [InlineData(0)]
    [InlineData(49407)]
    public void ATextTowerThatPoolsAtACertainIdCostsAsMuchAsOneThatPoolsAtTheLargest(int end)
    {
        const string Start = """{"embed_dim": 64, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}, "text_cfg": {"context_length": 77, "vocab_size": 49409, "width": 64, "heads": 1, "layers": 2""";
        long largest = Plan(Start + "}}", "largest").Cost!.Text.Operations;
        Assert.Equal(largest, Plan($"{Start}, \"pool_type\": \"eos\", \"eos_id\": {end}" + "}}", "eos").Cost!.Text.Operations);
    }

    /// <summary>Lengths of published files less four bytes a parameter are their headers. A captioner's file of transformers 4.35 holds the word table twice.</summary>
    [Theory]
    [InlineData("blip-image-captioning-base", 989717056L - (4L * 30524 * 768), "BLIP", ModelAbilities.Caption)]
    [InlineData("blip2-itm-vit-g", 4688228520L, "BLIP-2", ModelAbilities.Embed | ModelAbilities.ScorePairs)]
    [InlineData("blip2-itm-vit-g-coco", 4690593960L, "BLIP-2", ModelAbilities.Embed | ModelAbilities.ScorePairs)]
    public void BlipsHaveAsManyParametersAsTheirPublishedFiles(string name, long bytes, string family, ModelAbilities abilities)
    {
        CatalogueModel model = ModelCatalogue.FindModel(name);
        ModelPlan plan = Plan(model.ConfigurationJson, name);
        Assert.InRange(bytes - (4 * plan.Cost!.Parameters), 30_000, 400_000);
        Assert.Equal((family, abilities), (plan.Family, plan.Abilities));
        Assert.Equal(["model.safetensors", "pytorch_model.bin"], Assert.Single(model.Weights).HubFileNames.ToArray());
    }

    /// <summary>The same models under open_clip's names, whose cost its own table confirms. 384 pixels are 27 patches of 14, as 378 are.</summary>
    [Theory]
    [InlineData("clip-vit-base-patch32", "ViT-B-32-quickgelu")]
    [InlineData("clip-vit-base-patch16", "ViT-B-16-quickgelu")]
    [InlineData("clip-vit-large-patch14", "ViT-L-14-quickgelu")]
    [InlineData("clip-vit-large-patch14-336", "ViT-L-14-336-quickgelu")]
    [InlineData("metaclip-b32", "ViT-B-32-quickgelu")]
    [InlineData("metaclip-b16", "ViT-B-16-quickgelu")]
    [InlineData("metaclip-l14", "ViT-L-14-quickgelu")]
    [InlineData("metaclip-h14", "ViT-H-14-quickgelu")]
    [InlineData("siglip-base-patch16-224", "ViT-B-16-SigLIP")]
    [InlineData("siglip-base-patch16-256", "ViT-B-16-SigLIP-256")]
    [InlineData("siglip-base-patch16-384", "ViT-B-16-SigLIP-384")]
    [InlineData("siglip-base-patch16-512", "ViT-B-16-SigLIP-512")]
    [InlineData("siglip-base-patch16-256-multilingual", "ViT-B-16-SigLIP-i18n-256")]
    [InlineData("siglip-large-patch16-256", "ViT-L-16-SigLIP-256")]
    [InlineData("siglip-large-patch16-384", "ViT-L-16-SigLIP-384")]
    [InlineData("siglip-so400m-patch14-224", "ViT-SO400M-14-SigLIP")]
    [InlineData("siglip-so400m-patch14-384", "ViT-SO400M-14-SigLIP-384")]
    [InlineData("siglip2-base-patch32-256", "ViT-B-32-SigLIP2-256")]
    [InlineData("siglip2-base-patch16-224", "ViT-B-16-SigLIP2")]
    [InlineData("siglip2-base-patch16-256", "ViT-B-16-SigLIP2-256")]
    [InlineData("siglip2-base-patch16-384", "ViT-B-16-SigLIP2-384")]
    [InlineData("siglip2-base-patch16-512", "ViT-B-16-SigLIP2-512")]
    [InlineData("siglip2-large-patch16-256", "ViT-L-16-SigLIP2-256")]
    [InlineData("siglip2-large-patch16-384", "ViT-L-16-SigLIP2-384")]
    [InlineData("siglip2-large-patch16-512", "ViT-L-16-SigLIP2-512")]
    [InlineData("siglip2-so400m-patch14-224", "ViT-SO400M-14-SigLIP2")]
    [InlineData("siglip2-so400m-patch14-384", "ViT-SO400M-14-SigLIP2-378")]
    [InlineData("siglip2-so400m-patch16-256", "ViT-SO400M-16-SigLIP2-256")]
    [InlineData("siglip2-so400m-patch16-384", "ViT-SO400M-16-SigLIP2-384")]
    [InlineData("siglip2-so400m-patch16-512", "ViT-SO400M-16-SigLIP2-512")]
    [InlineData("siglip2-base-patch16-naflex", "ViT-B-16-SigLIP2-256")]
    [InlineData("siglip2-so400m-patch16-naflex", "ViT-SO400M-16-SigLIP2-256")]
    public void WhatTransformersNamesCostsWhatOpenClipNamesTheSameModel(string name, string openClip)
    {
        ModelCost expected = Plan(ModelCatalogue.FindModel(openClip).ConfigurationJson, openClip).Cost!;
        ModelCost found = Plan(ModelCatalogue.FindModel(name).ConfigurationJson, name).Cost!;
        Assert.Equal((expected.Parameters, expected.Image.Parameters, expected.Image.Operations, expected.Text.Operations), (found.Parameters, found.Image.Parameters, found.Image.Operations, found.Text.Operations));
        Assert.Equal(ModelCatalogue.FindModel(openClip).Activation, ModelCatalogue.FindModel(name).Activation);
    }

    /// <summary>Lengths of published files, of some as exact as the hub shows them: four bytes a parameter, buffers and a header.</summary>
    [Theory]
    [InlineData("siglip-so400m-patch14-224", 3_509_549_856, 0.0002)]
    [InlineData("metaclip-b32", 605_240_770, 0.0005)]
    [InlineData("metaclip-h14", 3.94e9, 0.002)]
    [InlineData("AltCLIP-m9", 3.22 * (1 << 30), 0.002)]
    [InlineData("chinese-clip-vit-large-patch14", 1.63e9, 0.004)]
    [InlineData("chinese-clip-vit-large-patch14-336px", 1.63e9, 0.004)]
    [InlineData("chinese-clip-vit-huge-patch14", 3.83e9, 0.002)]
    public void WhatIsInTransformersLayoutHasAsManyParametersAsItsPublishedFile(string name, double bytes, double tolerance) =>
        Assert.Equal(bytes, 4.0 * Plan(ModelCatalogue.FindModel(name).ConfigurationJson, name).Cost!.Parameters, tolerance * bytes);

    [Fact]
    public void ARepositoryOfTheHubIsOfferedUnderItsNameHere()
    {
        Assert.Contains("siglip-base-patch16-224/webli", Assert.Throws<BadInputException>(static () => ModelCatalogue.Find("google/siglip-base-patch16-224")).Message, StringComparison.Ordinal);
        CatalogueEntry[] entries = [.. ModelCatalogue.Models.Where(static model => model.IsTransformers).SelectMany(static model => model.Weights)];
        Assert.Equal(entries.Length, entries.Select(static entry => entry.HubRepository).Distinct().Count());
    }

    /// <summary>Two trainings of each size for retrieval; what the base model is at 384 pixels, counted by hand: 12 blocks over 577 tokens, and 12 layers at 512 ids.</summary>
    [Fact]
    public void BlipForRetrievalIsThereInTwoSizesAndTwoTrainings()
    {
        Assert.Equal(["blip-itm-base/coco", "blip-itm-base/flickr", "blip-itm-large/coco", "blip-itm-large/flickr"],
            ModelCatalogue.Entries.Select(static entry => entry.Name).Where(static name => name.StartsWith("blip-itm", StringComparison.Ordinal)).ToArray());
        ModelCost cost = Plan(ModelCatalogue.FindModel("blip-itm-base").ConfigurationJson, "blip-itm-base").Cost!;
        const long Image = (2L * 577 * 12 * ((12L * 768 * 768) + (2L * 577 * 768))) + (2L * 576 * 768 * 768) + (2L * 768 * 256);
        const long Text = (2L * 512 * 12 * ((12L * 768 * 768) + (2L * 512 * 768))) + (2L * 768 * 256);
        Assert.Equal((Image, Text), (cost.Image.Operations, cost.Text.Operations));
    }

    [Fact]
    public void EveryModelWithATowerOfTimmIsReadWithItsOwnPixels()
    {
        CatalogueModel[] models = [.. ModelCatalogue.Models.Where(static model => model.HasNamedTower)];
        Assert.Equal(75, models.Length);
        foreach (CatalogueModel model in models)
        {
            Assert.Equal(WeightsActivation.Gelu, model.Activation);
            Assert.True(Plan(model.ConfigurationJson, model.Name).Cost!.Image.Parameters > 1e6, model.Name);
            foreach (CatalogueEntry entry in model.Weights)
            {
                ModelPlan plan = Plan(model.ConfigurationFor(entry), entry.Name);
                Assert.Equal(entry.Mean.ToArray(), plan.Preprocess.Mean.ToArray());
                Assert.Equal(entry.Interpolation, plan.Preprocess.Interpolation.ToString().ToLowerInvariant());
            }
        }

        Assert.Equal(["pytorch_model.bin"], ModelCatalogue.Find("ViTamin-S/datacomp1b").HubFileNames.ToArray());
        Assert.Equal("open_clip_model.safetensors", ModelCatalogue.Find("convnext_base_w/laion2b_s13b_b82k").HubFileNames[0]);
    }

    /// <summary>open_clip's published profile (docs/model_profile.csv): parameters of each tower in millions, and the image tower's GFLOP.</summary>
    [Theory]
    [InlineData("convnext_tiny", "28.61", "63.69", 8.91)]
    [InlineData("convnext_small", "49.85", "63.43", 17.37)]
    [InlineData("convnext_base", "88.09", "63.43", 30.71)]
    [InlineData("convnext_base_w", "88.22", "91.16", 40.11)]
    [InlineData("convnext_base_w_320", "88.22", "91.16", 62.67)]
    [InlineData("convnext_large", "197.41", "123.65", 68.72)]
    [InlineData("convnext_large_d", "199.77", "152.00", 89.76)]
    [InlineData("convnext_large_d_320", "199.77", "152.00", 140.25)]
    [InlineData("convnext_xlarge", "350.25", "303.65", 159.14)]
    [InlineData("convnext_xxlarge", "846.54", "354.03", 395.94)]
    [InlineData("convnext_xxlarge_320", "846.54", "354.03", 618.65)]
    public void WhatIsCountedOfAConvNextEqualsThePublishedProfile(string name, string imageMillions, string textMillions, double gigaOperations)
    {
        ModelCost cost = Plan(ModelCatalogue.FindModel(name).ConfigurationJson, name).Cost!;
        Assert.Equal(imageMillions, (cost.Image.Parameters / 1e6).ToString("0.00"));
        Assert.Equal(textMillions, (cost.Text.Parameters / 1e6).ToString("0.00"));
        Assert.InRange(cost.Image.Operations / 1e9, 0.995 * gigaOperations, 1.005 * gigaOperations);
    }

    [Fact]
    public void TheAuditedFourteenAreTwelveFilesOfEightRuns()
    {
        CatalogueEntry[] audited = [.. ModelCatalogue.Entries.Where(entry => entry.IsAudited)];
        Assert.Equal(14, audited.Length);
        Assert.Equal(12, audited.Select(entry => (entry.HubRepository, entry.ReleaseUrl)).Distinct().Count());
        Assert.Equal(8, audited.Select(entry => entry.TrainingRun).Distinct().Count());
        Assert.All(audited, entry => Assert.True(entry.HubRepository is not null || entry.ReleaseHash == HashKnowledge.Prefix));
        Assert.All(audited, entry => Assert.NotNull(entry.TrainingSet));
        Assert.Equal([0.5f, 0.5f, 0.5f], ModelCatalogue.Find("ViT-L-14/laion2b_s32b_b82k").Mean.ToArray());
        Assert.Equal(0.48145466f, ModelCatalogue.Find("ViT-L-14/laion400m_e32").Mean[0]);
    }

    [Fact]
    public void PlusTwoFortyEpoch32ComesFromTheReleaseFileOnly()
    {
        CatalogueEntry entry = ModelCatalogue.Find("ViT-B-16-plus-240/laion400m_e32");
        Assert.Null(entry.HubRepository);
        Assert.Equal("699c4b84", entry.ReleaseSha256Prefix);
        Assert.Contains("epoch 31", entry.Note, StringComparison.Ordinal);
    }

    [Fact]
    public void AnActivationThatContradictsTheWeightsIsAnErrorUnlessTheMistakeIsAskedFor()
    {
        CatalogueEntry entry = ModelCatalogue.Find("ViT-B-32/laion400m_e32");
        WeightsActivation configured = ModelCatalogue.FindModel("ViT-B-32").Activation;
        BadInputException refusal = Assert.Throws<BadInputException>(() => entry.ResolveActivation(configured));
        Assert.Contains("ViT-B-32-quickgelu/laion400m_e32", refusal.Message, StringComparison.Ordinal);
        Assert.Equal((WeightsActivation.Gelu, "activation mismatch"), entry.ResolveActivation(configured, acceptMismatch: true));
        Assert.Equal((WeightsActivation.QuickGelu, null), ModelCatalogue.Find("ViT-B-32-quickgelu/laion400m_e32").ResolveActivation(WeightsActivation.QuickGelu, acceptMismatch: true));
        Assert.NotNull(entry.Note);
    }

    [Theory]
    [InlineData("x/vit_b_32-quickgelu-laion400m_e32-46683a32.pt", "ViT-B-32-quickgelu/laion400m_e32")]
    [InlineData("hub/models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K/snapshots/c/open_clip_model.safetensors", "ViT-B-32/laion2b_s34b_b79k")]
    [InlineData("x/open_clip_model.safetensors", null)]
    public void TheOriginOfAFileIsToldByItsPlace(string path, string? name) => Assert.Equal(name, ModelCatalogue.OriginOf(path)?.Name);

    [Fact]
    public void UnknownNamesAreRefusedWithAnOffer()
    {
        Assert.Contains("ViT-B-32", Assert.Throws<BadInputException>(() => ModelCatalogue.Find("vit-b-32/openai")).Message, StringComparison.Ordinal);
        Assert.Contains("laion2b_s34b_b79k", Assert.Throws<BadInputException>(() => ModelCatalogue.Find("ViT-B-32/x")).Message, StringComparison.Ordinal);
        Assert.Contains("without its weights", Assert.Throws<BadInputException>(() => ModelCatalogue.Find("ViT-B-32")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void FieldsAreWellFormed()
    {
        foreach (CatalogueEntry entry in ModelCatalogue.Entries)
        {
            Assert.True(entry.HubRepository is null || HubCache.IsRepository(entry.HubRepository), entry.Name);
            Assert.True(entry.ReleaseUrl is null || entry.ReleaseUrl.Scheme == "https", entry.Name);
            Assert.True(entry.ReleaseSha256 is null || HubCache.IsHash(entry.ReleaseSha256), entry.Name);
            Assert.True(entry.HubRepository is not null || entry.ReleaseUrl is not null, entry.Name);
        }

        Assert.Equal(ModelCatalogue.Entries.Count(), ModelCatalogue.Entries.Select(entry => entry.Name).Distinct().Count());
    }

    private static ModelPlan Plan(string json, string name) => ModelFamilies.Plan(new ModelFiles(ConfigFile.ParseRoot(Encoding.UTF8.GetBytes(json), name), name));

    private static OpenClipConfig Configuration(CatalogueModel model) => OpenClipConfig.Parse(Encoding.UTF8.GetBytes(model.ConfigurationJson), model.Name);
}
