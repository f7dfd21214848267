using ClipEngine.Tensors;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>
/// A weight that models compute when they are loaded, computed here from the parameters in every pass, so that gradients reach them; or a table
/// that depends on no parameter. The names are those that the models give to <c>WeightReader.CreateFromValues</c>.
/// </summary>
internal sealed class ComputedWeight(in WeightData data, WeightRole role, Func<TorchTensor> compute) : TorchWeight(data.Name, data.Shape, role, data.Type)
{
    /// <summary>Tables of angles, and the query that averages: made of a model's sizes alone, buffers in the original.</summary>
    private static readonly string[] s_constants = ["rope cosines", "rope sines", "sines of positions", "query of the mean"];

    /// <summary>None of its own but for a constant's table, which is small.</summary>
    public override long ByteLength => 0;

    internal override TorchTensor Value => compute();

    /// <summary>Whether a weight depends on no parameter.</summary>
    public static bool IsConstant(string name) => Array.Exists(s_constants, constant => name.EndsWith(constant, StringComparison.Ordinal));

    /// <summary>How a weight follows from parameters, or null where that is not known.</summary>
    /// <param name="name">As the model called it, with its place.</param>
    /// <param name="shape">What comes out.</param>
    /// <param name="find">Gives a parameter by its key; null where there is none.</param>
    public static Func<TorchTensor>? Recipe(string name, Shape shape, Func<string, Func<TorchTensor>?> find)
    {
        const string TokenType = "position_embeddings.weight and token type 0", Biases = "q_bias and v_bias", Words = " times the root of the width", Free = " behind a class token without one";
        if (Ends(name, TokenType, out string place) && find(place + "position_embeddings.weight") is { } positions && find(place + "token_type_embeddings.weight") is { } types)
            return () => positions().Plus(types().narrow(0, 0, 1));
        if (Ends(name, Biases, out place) && find(place + "q_bias") is { } queries && find(place + "v_bias") is { } values)
            return () => torch.cat([queries(), torch.zeros_like(queries()), values()], 0);
        if (Ends(name, Words, out place) && find(place) is { } words)
        {
            double factor = Math.Sqrt(shape[^1]);
            return () => words().Times(factor);
        }

        if (Ends(name, Free, out place) && find(place) is { } patches)
        {
            long rows = shape[0] - 1, width = shape[^1];
            return () =>
            {
                TorchTensor own = patches().reshape(rows, width);
                return torch.cat([torch.zeros_like(own.narrow(0, 0, 1)), own], 0);
            };
        }

        return null;
    }

    protected override void Dispose(bool disposing)
    {
        // Parameters belong to their modules; a constant goes with the module's scope.
    }

    private static bool Ends(string name, string end, out string place)
    {
        bool ends = name.EndsWith(end, StringComparison.Ordinal);
        place = ends ? name[..^end.Length] : "";
        return ends;
    }
}
