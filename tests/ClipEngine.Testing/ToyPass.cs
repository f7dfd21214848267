using ClipEngine.Tensors;

namespace ClipEngine.Testing;

/// <summary>The operations of <see cref="IPass"/>, written to be read beside their formulas.</summary>
internal sealed class ToyPass(ToyBackend backend) : IPass
{
    private int _openScopes;
    private bool _isDisposed;

    public Tensor Upload(ReadOnlySpan<float> values, in Shape shape)
    {
        Require(shape.ElementCount == values.Length, $"{values.Length} values for {shape}");
        double[] copy = new double[values.Length];
        for (int i = 0; i < copy.Length; i++)
            copy[i] = values[i];
        return Wrap(shape, copy);
    }

    public Tensor Upload(ReadOnlySpan<int> values, in Shape shape)
    {
        Require(shape.ElementCount == values.Length, $"{values.Length} values for {shape}");
        return new Tensor(shape, ElementType.Int32, 0, values.ToArray());
    }

    public void Read(in Tensor tensor, Span<float> destination)
    {
        double[] x = Values(tensor);
        Require(x.Length == destination.Length, $"{destination.Length} floats for {tensor.Shape}");
        for (int i = 0; i < x.Length; i++)
            destination[i] = (float)x[i];
    }

    public long EnterScope() => ++_openScopes;

    public Tensor LeaveScope(long mark, in Tensor kept)
    {
        Require(mark == _openScopes, $"scope {mark} is closed while {_openScopes} is open");
        _openScopes--;
        return kept;
    }

    public Tensor ReleaseAllBut(long mark, in Tensor kept)
    {
        Require(mark == _openScopes, $"scope {mark} is not the innermost of {_openScopes}");
        return kept;
    }

    public void Store(TokenStore store, in TokenView tokens, int position = 0)
    {
        OperationShapes.Store(store, tokens, position);
        double[] x = Columns(tokens), y = ((ToyTokenStore)store).Values;
        int count = (int)(tokens.Count * tokens.Width), capacity = (int)(store.Shape[1] * store.Shape[2]);
        for (int n = 0; n < tokens.Batch; n++)
            Array.Copy(x, n * count, y, (n * capacity) + (position * (int)tokens.Width), count);
    }

    public Tensor Load(TokenStore store) => Wrap(store.Shape, ((ToyTokenStore)store).Values);

    public void Reorder(TokenStore store, ReadOnlySpan<int> sources)
    {
        OperationShapes.Reorder(store, sources);
        double[] y = ((ToyTokenStore)store).Values, old = [.. y];
        int one = (int)(store.Shape[1] * store.Shape[2]);
        for (int n = 0; n < sources.Length; n++)
            Array.Copy(old, sources[n] * one, y, n * one, one);
    }

    public Tensor Linear(in Tensor input, Weight weight, Weight? bias, in Epilogue epilogue = default)
    {
        Require(weight.Role is WeightRole.Linear or WeightRole.LinearTransposed, $"{weight.Name} is a {weight.Role}");
        bool isTransposed = weight.Role == WeightRole.LinearTransposed;
        int inputs = (int)weight.Shape[isTransposed ? 0 : 1], outputs = (int)weight.Shape[isTransposed ? 1 : 0];
        Require(input.Shape[^1] == inputs, $"{input.Shape} times {weight.Name} {weight.Shape}");
        Shape shape = input.Shape.WithLast(outputs);
        OperationShapes.Linear(input, weight, bias, epilogue);
        double[] x = Values(input), w = Values(weight), y = New(shape);
        double[]? b = Values(bias, outputs), scale = Values(epilogue.Scale, outputs);
        double[]? multiplier = epilogue.Multiplier.Exists ? Values(epilogue.Multiplier) : null;
        double[]? residual = epilogue.Residual.Exists ? Values(epilogue.Residual) : null;
        Activation activation = epilogue.Activation;
        Parallel.For(0, x.Length / inputs, row =>
        {
            for (int o = 0; o < outputs; o++)
            {
                double sum = b?[o] ?? 0;
                for (int i = 0; i < inputs; i++)
                    sum += x[(row * inputs) + i] * (isTransposed ? w[(i * outputs) + o] : w[(o * inputs) + i]);
                y[(row * outputs) + o] = (Apply(activation, sum) * (scale?[o] ?? 1) * (multiplier?[(row * outputs) + o] ?? 1)) + (residual?[(row * outputs) + o] ?? 0);
            }
        });
        return Wrap(shape, y);
    }

    public Tensor LayerNorm(in Tensor input, Weight weight, Weight bias, float epsilon)
    {
        int width = (int)input.Shape[^1];
        double[] x = Values(input), w = Values(weight, width)!, b = Values(bias, width)!, y = New(input.Shape);
        for (int start = 0; start < x.Length; start += width)
        {
            Span<double> row = x.AsSpan(start, width);
            double mean = Sum(row) / width, variance = 0;
            foreach (double value in row)
                variance += (value - mean) * (value - mean) / width;
            for (int i = 0; i < width; i++)
                y[start + i] = ((row[i] - mean) / Math.Sqrt(variance + epsilon) * w[i]) + b[i];
        }

        return Wrap(input.Shape, y);
    }

    public Tensor RmsNorm(in Tensor input, Weight weight, float epsilon)
    {
        int width = (int)input.Shape[^1];
        double[] x = Values(input), w = Values(weight, width)!, y = New(input.Shape);
        for (int start = 0; start < x.Length; start += width)
        {
            double squares = 0;
            for (int i = 0; i < width; i++)
                squares += x[start + i] * x[start + i] / width;
            for (int i = 0; i < width; i++)
                y[start + i] = x[start + i] / Math.Sqrt(squares + epsilon) * w[i];
        }

        return Wrap(input.Shape, y);
    }

    public Tensor Attention(in TokenView query, in TokenView key, in TokenView value, int heads, in AttentionMask mask = default)
    {
        Shape shape = OperationShapes.Attention(query, key, value, heads, mask);
        int batch = (int)shape[0], queries = (int)shape[1], keys = (int)key.Count, width = (int)shape[2], headWidth = width / heads;
        double[] q = Columns(query), k = Columns(key), v = Columns(value), y = New(shape);
        double[]? additive = mask.Additive.Exists ? Values(mask.Additive) : null;
        int[]? lengths = (int[]?)mask.KeyLengths.Storage;
        bool isCausal = mask.Causal, isShared = key.Batch == 1, isMaskShared = additive is not null && mask.Additive.Shape[0] == 1;
        int masks = mask.Additive.Exists && mask.Additive.Shape.Rank == 4 ? heads : 1;
        int offset = mask.Offset;
        Parallel.For(0, batch * heads, task =>
        {
            int n = task / heads, head = task % heads, keyed = isShared ? 0 : n;
            double[] scores = new double[keys];
            for (int i = 0; i < queries; i++)
            {
                int at = (((n * queries) + i) * width) + (head * headWidth);
                for (int j = 0; j < keys; j++)
                {
                    scores[j] = additive?[((((((isMaskShared ? 0 : n) * masks) + (head % masks)) * queries) + i) * keys) + j] ?? 0;
                    for (int c = 0; c < headWidth; c++)
                        scores[j] += q[at + c] * k[(((keyed * keys) + j) * width) + (head * headWidth) + c] / Math.Sqrt(headWidth);
                    if ((isCausal && j > offset + i) || j >= (lengths?[n] ?? keys))
                        scores[j] = double.NegativeInfinity;
                }

                Softmax(scores);
                for (int j = 0; j < keys; j++)
                {
                    for (int c = 0; c < headWidth; c++)
                        y[at + c] += scores[j] * v[(((keyed * keys) + j) * width) + (head * headWidth) + c];
                }
            }
        });
        return Wrap(shape, y);
    }

    public Tensor Rotary(in TokenView input, Weight cosines, Weight sines, int heads, RotaryPairing pairing, int firstPosition = 0)
    {
        Shape shape = OperationShapes.Rotary(input, cosines, sines, heads, firstPosition);
        int count = (int)shape[1], width = (int)shape[2], headWidth = width / heads, pairs = headWidth / 2;
        double[] x = Columns(input), cosine = Values(cosines), sine = Values(sines), y = New(shape);
        for (int row = 0; row < x.Length / width; row++)
        {
            for (int i = 0; i < width / 2; i++)
            {
                int start = (row * width) + (i / pairs * headWidth), pair = i % pairs, angle = ((firstPosition + (row % count)) * pairs) + pair;
                int a = start + (pairing == RotaryPairing.Interleaved ? 2 * pair : pair), b = pairing == RotaryPairing.Interleaved ? a + 1 : a + pairs;
                y[a] = (x[a] * cosine[angle]) - (x[b] * sine[angle]);
                y[b] = (x[b] * cosine[angle]) + (x[a] * sine[angle]);
            }
        }

        return Wrap(shape, y);
    }

    public Tensor PatchEmbedding(in Tensor pixels, Weight kernel, Weight? bias)
    {
        Require(kernel.Role == WeightRole.PatchEmbedding, $"{kernel.Name} is a {kernel.Role}");
        Tensor map = Convolve(pixels, kernel, bias, (int)kernel.Shape[2], (int)kernel.Shape[3], padding: 0, groups: 1);
        return MapToTokens(map);
    }

    public Tensor AssembleTokens(in Tensor tokens, Weight? firstToken, Weight? positions)
    {
        int batch = (int)tokens.Shape[0], extra = firstToken is null ? 0 : 1, count = (int)tokens.Shape[1] + extra, width = (int)tokens.Shape[2];
        Require(positions is null || positions.Shape == new Shape(count, width), $"positions {positions?.Shape} for {count} tokens of {width}");
        double[] x = Values(tokens), y = new double[batch * count * width];
        double[]? first = Values(firstToken, width), p = positions is null ? null : Values(positions);
        for (int n = 0; n < batch; n++)
        {
            for (int t = 0; t < count; t++)
            {
                for (int c = 0; c < width; c++)
                {
                    double token = t < extra ? first![c] : x[(((n * (count - extra)) + t - extra) * width) + c];
                    y[(((n * count) + t) * width) + c] = token + (p?[(t * width) + c] ?? 0);
                }
            }
        }

        return Wrap(new Shape(batch, count, width), y);
    }

    public Tensor TokenEmbedding(in Tensor ids, Weight table, Weight? appendedToken, Weight? positions, int firstPosition = 0)
    {
        int batch = (int)ids.Shape[0], given = (int)ids.Shape[1], count = given + (appendedToken is null ? 0 : 1), width = (int)table.Shape[1];
        OperationShapes.TokenEmbedding(ids, table, appendedToken, positions, firstPosition);
        int[] id = (int[])ids.Storage!;
        double[]? p = positions is null ? null : Values(positions);
        double[] rows = Values(table), y = new double[batch * count * width];
        double[]? last = Values(appendedToken, width);
        for (int n = 0; n < batch; n++)
        {
            for (int t = 0; t < count; t++)
            {
                int row = t < given ? id[(n * given) + t] : 0;
                ArgumentOutOfRangeException.ThrowIfNegative(row, nameof(ids));
                ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(row, table.Shape[0], nameof(ids));
                for (int c = 0; c < width; c++)
                    y[(((n * count) + t) * width) + c] = (t < given ? rows[(row * width) + c] : last![c]) + (p?[((firstPosition + t) * width) + c] ?? 0);
            }
        }

        return Wrap(new Shape(batch, count, width), y);
    }

    public Tensor SelectTokens(in Tensor tokens, in Tensor indices)
    {
        int batch = (int)tokens.Shape[0], count = (int)tokens.Shape[1], width = (int)tokens.Shape[2];
        int[] index = (int[])indices.Storage!;
        Require(index.Length == batch && index.All(i => i >= 0 && i < count), $"{index.Length} indices for {tokens.Shape}");
        double[] x = Values(tokens), y = new double[batch * width];
        for (int n = 0; n < batch; n++)
            Array.Copy(x, ((n * count) + index[n]) * width, y, n * width, width);
        return Wrap(new Shape(batch, width), y);
    }

    public Tensor SliceTokens(in Tensor tokens, int start, int count)
    {
        int batch = (int)tokens.Shape[0], all = (int)tokens.Shape[1], width = (int)tokens.Shape[2];
        Require(start >= 0 && count > 0 && start + count <= all, $"{start} + {count} of {tokens.Shape}");
        double[] x = Values(tokens), y = new double[batch * count * width];
        for (int n = 0; n < batch; n++)
            Array.Copy(x, ((n * all) + start) * width, y, n * count * width, count * width);
        return Wrap(new Shape(batch, count, width), y);
    }

    public Tensor MeanTokens(in Tensor tokens)
    {
        int batch = (int)tokens.Shape[0], count = (int)tokens.Shape[1], width = (int)tokens.Shape[2];
        double[] x = Values(tokens), y = new double[batch * width];
        for (int i = 0; i < x.Length; i++)
            y[((i / (count * width)) * width) + (i % width)] += x[i] / count;
        return Wrap(new Shape(batch, 1, width), y);
    }

    public Tensor ConcatenateTokens(in Tensor first, in Tensor second)
    {
        int batch = (int)first.Shape[0], a = (int)first.Shape[1], b = (int)second.Shape[1], width = (int)first.Shape[2];
        Require(second.Shape[0] == batch && second.Shape[2] == width, $"{first.Shape} and {second.Shape}");
        double[] x = Values(first), z = Values(second), y = new double[batch * (a + b) * width];
        for (int n = 0; n < batch; n++)
        {
            Array.Copy(x, n * a * width, y, n * (a + b) * width, a * width);
            Array.Copy(z, n * b * width, y, ((n * (a + b)) + a) * width, b * width);
        }

        return Wrap(new Shape(batch, a + b, width), y);
    }

    public Tensor BroadcastTokens(Weight tokens, int batch)
    {
        double[] x = Values(tokens);
        return Wrap(new Shape(batch, tokens.Shape[0], tokens.Shape[1]), [.. Enumerable.Repeat(x, batch).SelectMany(copy => copy)]);
    }

    public Tensor Convolution(in Tensor input, Weight kernel, Weight? bias, in ConvolutionOptions options)
    {
        Require(kernel.Role == WeightRole.Convolution, $"{kernel.Name} is a {kernel.Role}");
        Tensor map = Convolve(input, kernel, bias, options.Stride, options.Stride, options.Padding, options.Groups);
        Require(!options.Residual.Exists || options.Residual.Shape == map.Shape, $"residual {options.Residual.Shape} for {map.Shape}");
        if (options.Residual.Exists)
            map = Add(map, options.Residual);
        return Activate(map, options.Activation);
    }

    public Tensor AveragePool(in Tensor input, int size, int stride, int padding = 0)
    {
        int planes = (int)(input.Shape[0] * input.Shape[1]), height = (int)input.Shape[2], width = (int)input.Shape[3];
        int rows = ((height + (2 * padding) - size) / stride) + 1, columns = ((width + (2 * padding) - size) / stride) + 1;
        double[] x = Values(input), y = new double[planes * rows * columns];
        for (int at = 0; at < y.Length; at++)
        {
            int plane = at / columns / rows, top = (at / columns % rows * stride) - padding, left = (at % columns * stride) - padding, count = 0;
            for (int i = top; i < top + size; i++)
            {
                for (int j = left; j < left + size; j++)
                {
                    if (i < 0 || i >= height || j < 0 || j >= width)
                        continue;
                    y[at] += x[(((plane * height) + i) * width) + j];
                    count++;
                }
            }

            y[at] /= count;
        }

        return Wrap(new Shape(input.Shape[0], input.Shape[1], rows, columns), y);
    }

    public Tensor GateTokens(in Tensor tokens, in Tensor gates, Activation activation = Activation.None)
    {
        Require(gates.Shape == new Shape(tokens.Shape[0], 1, tokens.Shape[2]), $"gates {gates.Shape} for {tokens.Shape}");
        int width = (int)tokens.Shape[2], each = (int)tokens.Shape[1] * width;
        double[] x = Values(tokens), gate = Values(gates), y = new double[x.Length];
        for (int i = 0; i < y.Length; i++)
            y[i] = x[i] / (1 + Math.Exp(-gate[(i / each * width) + (i % width)]));
        return Activate(Wrap(tokens.Shape, y), activation);
    }

    public Tensor MapToTokens(in Tensor map)
    {
        int batch = (int)map.Shape[0], channels = (int)map.Shape[1], pixels = (int)(map.Shape[2] * map.Shape[3]);
        double[] x = Values(map), y = new double[x.Length];
        for (int n = 0; n < batch; n++)
        {
            for (int c = 0; c < channels; c++)
            {
                for (int p = 0; p < pixels; p++)
                    y[(((n * pixels) + p) * channels) + c] = x[(((n * channels) + c) * pixels) + p];
            }
        }

        return Wrap(new Shape(batch, pixels, channels), y);
    }

    public Tensor TokensToMap(in Tensor tokens, int height, int width)
    {
        Shape shape = OperationShapes.TokensToMap(tokens, height, width);
        int channels = (int)shape[1], pixels = height * width;
        double[] x = Values(tokens), y = New(shape);
        for (int i = 0; i < y.Length; i++)
            y[i] = x[(((i / (channels * pixels)) * pixels) + (i % pixels)) * channels + (i / pixels % channels)];
        return Wrap(shape, y);
    }

    public Tensor Activate(in Tensor input, Activation activation) => Wrap(input.Shape, [.. Values(input).Select(x => Apply(activation, x))]);

    public Tensor Add(in Tensor left, in Tensor right)
    {
        Require(left.Shape == right.Shape, $"{left.Shape} and {right.Shape}");
        return Wrap(left.Shape, [.. Values(left).Zip(Values(right), (a, b) => a + b)]);
    }

    public Tensor Multiply(in Tensor left, in Tensor right) =>
        Wrap(OperationShapes.Elementwise(left, right), [.. Values(left).Zip(Values(right), (a, b) => a * b)]);

    public Tensor L2Normalize(in Tensor input)
    {
        int width = (int)input.Shape[^1];
        double[] x = Values(input), y = New(input.Shape);
        for (int start = 0; start < x.Length; start += width)
        {
            double squares = 0;
            for (int i = 0; i < width; i++)
                squares += x[start + i] * x[start + i];
            for (int i = 0; i < width; i++)
                y[start + i] = x[start + i] / Math.Max(Math.Sqrt(squares), 1e-12);
        }

        return Wrap(input.Shape, y);
    }

    public void Dispose()
    {
        if (!_isDisposed)
            backend.EndPass();
        _isDisposed = true;
    }

    /// <summary>Abramowitz and Stegun 7.1.5's series near zero and the continued fraction of erfc beyond, both to the last digits of a double.</summary>
    internal static double ErrorFunction(double x)
    {
        double size = Math.Abs(x);
        if (size < 2.5)
        {
            double term = size, sum = size;
            for (int n = 1; n < 80; n++)
            {
                term *= -size * size / n;
                sum += term / ((2 * n) + 1);
            }

            return Math.Sign(x) * 2 / Math.Sqrt(Math.PI) * sum;
        }

        double fraction = 0;
        for (int n = 120; n > 0; n--)
            fraction = n / 2.0 / (size + fraction);
        return Math.Sign(x) * (1 - (Math.Exp(-size * size) / Math.Sqrt(Math.PI) / (size + fraction)));
    }

    private static double Apply(Activation activation, double x) => activation switch
    {
        Activation.None => x,
        Activation.Gelu => 0.5 * x * (1 + ErrorFunction(x / Math.Sqrt(2))),
        Activation.GeluTanh => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x)))),
        Activation.QuickGelu => x / (1 + Math.Exp(-1.702 * x)),
        Activation.Relu => Math.Max(x, 0),
        Activation.Silu => x / (1 + Math.Exp(-x)),
        Activation.Tanh => Math.Tanh(x),
        _ => throw new ArgumentOutOfRangeException(nameof(activation), activation, "Unknown activation."),
    };

    private static void Softmax(double[] scores)
    {
        double largest = scores.Max(), sum = 0;
        if (double.IsNegativeInfinity(largest))
        {
            Array.Clear(scores); // a query that sees no key
            return;
        }

        for (int i = 0; i < scores.Length; i++)
            sum += scores[i] = Math.Exp(scores[i] - largest);
        for (int i = 0; i < scores.Length; i++)
            scores[i] /= sum;
    }

    private static Tensor Convolve(in Tensor input, Weight kernel, Weight? bias, int rowStep, int columnStep, int padding, int groups)
    {
        int batch = (int)input.Shape[0], channels = (int)input.Shape[1], height = (int)input.Shape[2], width = (int)input.Shape[3];
        int outputs = (int)kernel.Shape[0], perGroup = (int)kernel.Shape[1], kernelHeight = (int)kernel.Shape[2], kernelWidth = (int)kernel.Shape[3];
        Require(channels == perGroup * groups && outputs % groups == 0, $"{kernel.Name} {kernel.Shape} over {input.Shape} in {groups} groups");
        int rows = ((height + (2 * padding) - kernelHeight) / rowStep) + 1, columns = ((width + (2 * padding) - kernelWidth) / columnStep) + 1;
        double[] x = Values(input), w = Values(kernel), y = new double[batch * outputs * rows * columns];
        double[]? b = Values(bias, outputs);
        Parallel.For(0, batch * outputs, plane =>
        {
            int n = plane / outputs, o = plane % outputs, firstChannel = o / (outputs / groups) * perGroup;
            for (int i = 0; i < rows; i++)
            {
                for (int j = 0; j < columns; j++)
                {
                    double sum = b?[o] ?? 0;
                    for (int c = 0; c < perGroup; c++)
                    {
                        for (int di = 0; di < kernelHeight; di++)
                        {
                            for (int dj = 0; dj < kernelWidth; dj++)
                            {
                                int row = (i * rowStep) + di - padding, column = (j * columnStep) + dj - padding;
                                if (row >= 0 && row < height && column >= 0 && column < width)
                                    sum += x[(((((n * channels) + firstChannel + c) * height) + row) * width) + column] * w[(((((o * perGroup) + c) * kernelHeight) + di) * kernelWidth) + dj];
                            }
                        }
                    }

                    y[(((plane * rows) + i) * columns) + j] = sum;
                }
            }
        });
        return Wrap(new Shape(batch, outputs, rows, columns), y);
    }

    private static double Sum(ReadOnlySpan<double> values)
    {
        double sum = 0;
        foreach (double value in values)
            sum += value;
        return sum;
    }

    private static double[] New(in Shape shape) => new double[shape.ElementCount];

    private static Tensor Wrap(in Shape shape, double[] values) => new(shape, ElementType.Float64, 0, values);

    private static double[] Values(in Tensor tensor) => (double[])tensor.Storage!;

    private static double[] Columns(in TokenView view)
    {
        double[] x = Values(view.Tokens), y = New(view.Shape);
        int row = (int)view.Tokens.Shape[2], width = (int)view.Width, start = (int)view.Start;
        for (int i = 0; i < y.Length; i++)
            y[i] = x[(i / width * row) + start + (i % width)];
        return y;
    }

    private static double[] Values(Weight weight) => ((ToyWeight)weight).Values;

    private static double[]? Values(Weight? weight, int width)
    {
        Require(weight is null || weight.Shape.ElementCount == width, $"{weight?.Name} {weight?.Shape} where {width} elements are expected");
        return weight is null ? null : Values(weight);
    }

    private static void Require(bool condition, string message)
    {
        if (!condition)
            throw new ArgumentException(message, nameof(condition));
    }
}
