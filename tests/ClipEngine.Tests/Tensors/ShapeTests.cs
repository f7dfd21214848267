using ClipEngine.Tensors;

namespace ClipEngine.Tests.Tensors;

public class ShapeTests
{
    [Fact]
    public void AScalarHasOneElement() => Assert.Equal(1, new Shape().ElementCount);

    [Fact]
    public void AZeroDimensionMakesItEmpty() => Assert.Equal(0, new Shape(3, 0, 5).ElementCount);

    [Fact]
    public void AnOverflowingCountIsRefused() => Assert.Throws<OverflowException>(() => new Shape(1L << 40, 1L << 40));

    [Fact]
    public void EqualityLooksAtRankAndSizes()
    {
        Assert.Equal(new Shape(2, 3), new Shape(2, 3));
        Assert.NotEqual(new Shape(2, 3), new Shape(3, 2));
        Assert.NotEqual(new Shape(2, 3), new Shape(2, 3, 1));
        Assert.Equal(new Shape(2, 7), new Shape(2, 3).WithLast(7));
    }
}
