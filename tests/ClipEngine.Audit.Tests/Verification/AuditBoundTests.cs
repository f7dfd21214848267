using ClipEngine.Audit.Results;
using ClipEngine.Audit.Tests.Report;
using ClipEngine.Audit.Verification;

namespace ClipEngine.Audit.Tests.Verification;

public class AuditBoundTests
{
    [Fact]
    public void BoundsAreHeldAgainstTheTables()
    {
        AuditResult result = SampleResult.Make();
        ModelExperimentResult model = result.Experiments[0].Models[0];
        GroupMetricFrame frame = model.ArgmaxFrequency[0];
        double[] rates = [.. frame.Groups.Where(static group => group.Estimate.Value is not null).Select(static group => group.Estimate.Value!.Value)];
        BoundFinding Find(string text) => AuditBound.Parse(text).Check(result).First(finding => finding.Model == model.Model && finding.Experiment == result.Experiments[0].Key);
        Assert.Equal(rates.Max(), Find($"rate:{frame.Subject}<=1").Found!.Value, 1e-12);
        Assert.Equal(rates.Min(), Find($"rate:{frame.Subject}>=0").Found!.Value, 1e-12);
        Assert.Equal(rates.Max() - rates.Min(), Find($"gap:{frame.Subject}<=0.1").Found!.Value, 1e-12);
        Assert.Equal(rates.Max() == 0 ? 1 : rates.Min() / rates.Max(), Find($"ratio:{frame.Subject}>=0.8").Found!.Value, 1e-12);
        Assert.Equal(rates.Max() <= 0, Find($"rate:{frame.Subject}<=0").IsKept);
        Assert.True(Find($"rate:{frame.Subject}<=1").IsKept);
    }

    [Theory]
    [InlineData("")]
    [InlineData("rate:cat")]
    [InlineData("rate:cat<0.5")]
    [InlineData("rate:cat<=1.5")]
    [InlineData("rate:cat<=NaN")]
    [InlineData("mean:cat<=0.5")]
    [InlineData("rate:<=0.5")]
    public void AnotherFormIsRefused(string text) => Assert.Throws<BadInputException>(() => AuditBound.Parse(text));

    [Fact]
    public void ALabelThatNobodyAskedForIsRefused() =>
        Assert.Contains("no experiment has the label 'zebra'", Assert.Throws<BadInputException>(() => AuditBound.Parse("rate:zebra<=0.5").Check(SampleResult.Make())).Message, StringComparison.Ordinal);
}
