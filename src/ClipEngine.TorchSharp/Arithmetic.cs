using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>
/// Arithmetic between tensors and numbers whose <see cref="Scalar"/> outlives the native call.
/// </summary>
/// <remarks>
/// TorchSharp hands libtorch the address of a <see cref="Scalar"/> and keeps no reference to it: a number that is converted on the fly
/// (<c>x * 0.5</c>, <c>x + y</c>, which passes the factor 1, <c>x.ToDouble()</c>) may be finalized while libtorch reads it, and the
/// result is then an error or a wrong number, once in some hundred thousand calls (TorchSharp 0.107; pull requests 1434 and 1496 there).
/// Here each lives until it is disposed. BannedSymbols.txt refuses the other forms in this assembly.
/// </remarks>
internal static class Arithmetic
{
    private static readonly Scalar s_one = 1L.ToScalar(); // never finalized: the field holds it

    /// <summary><c>x + y</c>, broadcast.</summary>
    public static TorchTensor Plus(this TorchTensor x, TorchTensor y) => x.add(y, s_one);

    /// <summary><c>x + y</c>.</summary>
    public static TorchTensor Plus(this TorchTensor x, double y)
    {
        using Scalar number = y.ToScalar();
        return x.add(number, s_one);
    }

    /// <summary>Adds y to x in place.</summary>
    public static TorchTensor AddInPlace(this TorchTensor x, TorchTensor y) => x.add_(y, s_one);

    /// <summary>Adds factor y to x in place.</summary>
    public static TorchTensor AddInPlace(this TorchTensor x, TorchTensor y, double factor)
    {
        using Scalar number = factor.ToScalar();
        return x.add_(y, number);
    }

    /// <summary>Adds an integer to x in place.</summary>
    public static TorchTensor AddInPlace(this TorchTensor x, long y)
    {
        using Scalar number = y.ToScalar();
        return x.add_(number, s_one);
    }

    /// <summary>Adds y to x in place.</summary>
    public static TorchTensor AddInPlace(this TorchTensor x, double y)
    {
        using Scalar number = y.ToScalar();
        return x.add_(number, s_one);
    }

    /// <summary><c>factor x</c>.</summary>
    public static TorchTensor Times(this TorchTensor x, double factor)
    {
        using Scalar number = factor.ToScalar();
        return x.mul(number);
    }

    /// <summary>Multiplies x in place.</summary>
    public static TorchTensor MultiplyInPlace(this TorchTensor x, double factor)
    {
        using Scalar number = factor.ToScalar();
        return x.mul_(number);
    }

    /// <summary><c>x / divisor</c>.</summary>
    public static TorchTensor DividedBy(this TorchTensor x, double divisor)
    {
        using Scalar number = divisor.ToScalar();
        return x.div(number);
    }

    /// <summary>Adds <c>factor y z</c> to x in place.</summary>
    public static TorchTensor AddProductInPlace(this TorchTensor x, TorchTensor y, TorchTensor z, double factor)
    {
        using Scalar number = factor.ToScalar();
        return x.addcmul_(y, z, number);
    }

    /// <summary>Adds <c>factor y / z</c> to x in place.</summary>
    public static TorchTensor AddQuotientInPlace(this TorchTensor x, TorchTensor y, TorchTensor z, double factor)
    {
        using Scalar number = factor.ToScalar();
        return x.addcdiv_(y, z, number);
    }

    /// <summary>max(x, minimum).</summary>
    public static TorchTensor AtLeast(this TorchTensor x, double minimum)
    {
        using Scalar number = minimum.ToScalar();
        return x.clamp_min(number);
    }

    /// <summary>Moves every element of x into [minimum, maximum], in place.</summary>
    public static TorchTensor ClampInPlace(this TorchTensor x, double minimum, double maximum)
    {
        using Scalar low = minimum.ToScalar(), high = maximum.ToScalar();
        return x.clamp_(low, high);
    }

    /// <summary>Sets every element of x.</summary>
    public static TorchTensor FillInPlace(this TorchTensor x, double value)
    {
        using Scalar number = value.ToScalar();
        return x.fill_(number);
    }

    /// <summary>x with value where mask is true.</summary>
    public static TorchTensor FilledWhere(this TorchTensor x, TorchTensor mask, double value)
    {
        using Scalar number = value.ToScalar();
        return x.masked_fill(mask, number);
    }

    /// <summary>Where x equals value.</summary>
    public static TorchTensor EqualTo(this TorchTensor x, double value)
    {
        using Scalar number = value.ToScalar();
        return x.eq(number);
    }

    /// <summary>ln(1 + e^x), without overflow.</summary>
    public static TorchTensor Softplus(this TorchTensor x) => torch.logaddexp(x, torch.zeros_like(x));

    /// <summary>A tensor of one value.</summary>
    public static TorchTensor Full(long[] sizes, double value, torch.ScalarType type, torch.Device device)
    {
        using Scalar number = value.ToScalar();
        return torch.full(sizes, number, type, device);
    }

    /// <summary>0, 1, ... count - 1 as int64.</summary>
    public static TorchTensor Range(long count, torch.Device device)
    {
        using Scalar start = 0L.ToScalar(), stop = count.ToScalar();
        return torch.arange(start, stop, s_one, torch.ScalarType.Int64, device);
    }

    /// <summary>The number in a tensor of one element, in a wait for its device.</summary>
    public static double Number(this TorchTensor x)
    {
        using Scalar number = x.ToScalar();
        return number.ToDouble();
    }
}
