using ClipEngine.Imaging;

namespace ClipEngine.Tests.Imaging;

public class PreprocessOptionsTests
{
    private static readonly PreprocessOptions s_options = new() { Height = 8, Width = 6, Mean = [0.1f, 0.2f, 0.3f], StandardDeviation = [1, 2, 3] };

    public static TheoryData<PreprocessOptions> Others => new()
    {
        s_options with { Height = 9 },
        s_options with { Width = 9 },
        s_options with { ResizeMode = ResizeMode.Squash },
        s_options with { Interpolation = Interpolation.Bilinear },
        s_options with { Mean = [0.1f, 0.2f, 0.4f] },
        s_options with { StandardDeviation = [1, 2, 4] },
    };

    [Fact]
    public void ArraysOfTheSameValuesAreEqual()
    {
        PreprocessOptions same = s_options with { Mean = [0.1f, 0.2f, 0.3f], StandardDeviation = [1, 2, 3] };
        Assert.Equal(s_options, same);
        Assert.Equal(s_options.GetHashCode(), same.GetHashCode());
        Assert.Equal(s_options with { Mean = default }, s_options with { Mean = default });
    }

    [Theory]
    [MemberData(nameof(Others))]
    public void ADifferenceInAnyValueIsOne(PreprocessOptions other) => Assert.NotEqual(s_options, other);
}
