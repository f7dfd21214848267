using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Specs;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Probes;

public class ProbeLayoutsTests
{
    [Fact]
    public void CfdTakesEveryWantedExpressionOfAPersonAsThatPerson()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("cfd.csv"), "person_id,img_neutral,r_g,race,gender,fWHR\nAF-200,CFD-AF-200-228-N.jpg,AF,A,F,1.8\nBM-001,CFD-BM-001-014-N.jpg,BM,B,M,1.9\n");
        foreach (string file in new[] { "AF-200/CFD-AF-200-228-N.jpg", "BM-001/CFD-BM-001-014-N.jpg", "BM-001/CFD-BM-001-020-A.jpg", "BM-001/CFD-BM-001-030-HO.jpg" })
        {
            Directory.CreateDirectory(folder.File("images", file.Split('/')[0]));
            File.WriteAllText(folder.File("images", file), file);
        }

        var spec = new ProbeSpec { Layout = ProbeLayout.Cfd, Metadata = "cfd.csv", Images = "images" };
        Probe neutral = ProbeLayouts.Read(spec, Resolve(folder));
        Assert.Equal(["AF-200", "BM-001"], neutral.Images.Select(image => image.Id));
        Assert.Equal(folder.File("images", "BM-001", "CFD-BM-001-014-N.jpg"), ProbeLayouts.Files(spec, neutral, Resolve(folder))[1]);

        spec.Expressions = ["N", "A", "HO"];
        Probe all = ProbeLayouts.Read(spec, Resolve(folder));
        Assert.Equal(4, all.Images.Count);
        Assert.Equal(["AF-200", "BM-001", "BM-001", "BM-001"], all.Images.Select(image => image.Person));
        Assert.Equal(["N", "N", "A", "HO"], all.Attribute("expression"));
        Assert.Equal([1.8, 1.9, 1.9, 1.9], all.NumericAttribute("fWHR").Select(value => value!.Value));
        Assert.Equal(4, ProbeLayouts.Files(spec, all, Resolve(folder)).Length);
    }

    [Fact]
    public void FairFaceGroupsByRaceAndGender()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("label.csv"), "file,age,gender,race,service_test\nval/1.jpg,3-9,Male,East Asian,True\nval/2.jpg,50-59,Female,Black,False\n");
        Probe probe = ProbeLayouts.Read(new ProbeSpec { Layout = ProbeLayout.FairFace, Metadata = "label.csv" }, Resolve(folder));
        Assert.Equal(["Black Female", "East Asian Male"], probe.GroupKeys);
        Assert.Equal("val/1.jpg", probe.Images[0].File);
    }

    [Fact]
    public void UtkFaceReadsItsNamesAndReportsThoseThatSayNothing()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder.File("utk"));
        foreach (string name in new[] { "26_0_1_20170116.jpg", "61_1_20170109.jpg", "4_1_4_20161221.jpg" })
            File.WriteAllText(folder.File("utk", name), "");
        Probe probe = ProbeLayouts.Read(new ProbeSpec { Layout = ProbeLayout.UtkFace, Images = "utk" }, Resolve(folder));
        Assert.Equal(["Black male", "Others female"], probe.GroupKeys);
        Assert.Contains("61_1_20170109.jpg", Assert.Single(probe.Warnings));
        Probe aged = ProbeLayouts.Read(new ProbeSpec { Layout = ProbeLayout.UtkFace, Images = "utk", Group = ["age"], Bins = new Dictionary<string, ColumnBins> { ["age"] = new() { Edges = [18] } } }, Resolve(folder));
        Assert.Equal(["below 18", "18 or more"], aged.GroupKeys);
    }

    [Theory]
    [InlineData("../secret.jpg", "leads out of")]
    [InlineData("/etc/passwd", "leads out of")]
    [InlineData("none.jpg", "1 of 1 images are missing, the first: none.jpg")]
    public void ImagesStayInTheirFolderAndAreAllThere(string file, string message)
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder.File("images"));
        File.WriteAllText(folder.File("secret.jpg"), "");
        File.WriteAllText(folder.File("probe.csv"), $"id,file,group\n1,{file},A\n");
        var spec = new ProbeSpec { Metadata = "probe.csv", Images = "images", File = "file", Group = ["group"] };
        Probe probe = ProbeLayouts.Read(spec, Resolve(folder));
        Assert.Contains(message, Assert.Throws<BadInputException>(() => ProbeLayouts.Files(spec, probe, Resolve(folder))).Message);
    }

    private static Func<string, string> Resolve(TemporaryFolder folder) => path => folder.File(path);
}
