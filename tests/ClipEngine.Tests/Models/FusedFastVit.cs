using ClipEngine.Checkpoints;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>
/// Writes a FastViT as timm's <c>reparameterize_model</c> leaves it. A branch is a linear map of the window around a pixel, so the fused
/// kernel's tap is what all branches together answer to an image that is 1 at that tap and 0 elsewhere, and its bias what they answer to zeros:
/// nothing is shared with the engine's own sums.
/// </summary>
internal static class FusedFastVit
{
    private const double Epsilon = 1e-5;

    private delegate double Branch(double[,] window, int output);

    public static void Write(ICheckpoint stored, string path)
    {
        var writer = new SafetensorsWriter();
        var taken = new HashSet<string>(StringComparer.Ordinal);
        foreach (string block in Blocks(stored))
        {
            taken.Add(block);
            Fuse(stored, block, writer);
        }

        foreach (string key in stored.Tensors.Keys.Where(key => !taken.Any(block => IsBranch(key, block))))
            writer.Add(stored, key);
        writer.Write(path);
    }

    /// <summary>Modules that become one convolution: what holds the branches, and a token mixer as a whole.</summary>
    private static IEnumerable<string> Blocks(ICheckpoint stored)
    {
        foreach (string key in stored.Tensors.Keys)
        {
            foreach (string end in new[] { ".token_mixer.mixer.conv_kxk.0.conv.weight", ".conv_kxk.0.conv.weight", ".large_conv.conv.weight", ".pos_enc.weight" })
            {
                if (!key.EndsWith(end, StringComparison.Ordinal))
                    continue;
                yield return end.StartsWith(".token_mixer", StringComparison.Ordinal) ? key[..^end.Length] + ".token_mixer" : key[..^end.Length];
                break;
            }
        }
    }

    private static bool IsBranch(string key, string block) => key.StartsWith(block + ".", StringComparison.Ordinal)
        && key[(block.Length + 1)..].Split('.')[0] is "conv_kxk" or "conv_scale" or "identity" or "mixer" or "norm" or "layer_scale" or "large_conv" or "small_conv" or "pos_enc"
        && !(block.EndsWith("token_mixer", StringComparison.Ordinal) && key.Contains(".qkv.", StringComparison.Ordinal));

    private static void Fuse(ICheckpoint stored, string block, SafetensorsWriter writer)
    {
        bool isMixer = block.EndsWith(".token_mixer", StringComparison.Ordinal), hasPositions = stored.Tensors.ContainsKey($"{block}.pos_enc.weight");
        string main = isMixer ? $"{block}.mixer.conv_kxk.0.conv.weight" : hasPositions ? $"{block}.pos_enc.weight"
            : stored.Tensors.ContainsKey($"{block}.large_conv.conv.weight") ? $"{block}.large_conv.conv.weight" : $"{block}.conv_kxk.0.conv.weight";
        long[] form = [.. stored.Tensors[main].Dimensions];
        int outputs = (int)form[0], inputs = (int)form[1], side = (int)form[2];
        var branches = new List<Branch>();
        if (hasPositions)
        {
            float[] kernel = stored.ReadSingles(main), bias = stored.ReadSingles($"{block}.pos_enc.bias");
            branches.Add((window, output) => Convolve(kernel, inputs, side, side, window, output) + bias[output] + window[0, side * side / 2]);
        }
        else if (isMixer)
        {
            float[] gamma = stored.ReadSingles($"{block}.layer_scale.gamma");
            List<Branch> mixer = MobileOne(stored, $"{block}.mixer", inputs, side);
            Branch norm = Norm(stored, $"{block}.norm.identity", (window, output) => window[0, side * side / 2]);
            branches.Add((window, output) => window[0, side * side / 2] + (gamma[output] * (mixer.Sum(branch => branch(window, output)) - norm(window, output))));
        }
        else
        {
            branches = MobileOne(stored, block, inputs, side);
        }

        float[] taps = new float[outputs * inputs * side * side], biases = new float[outputs];
        for (int output = 0; output < outputs; output++)
        {
            double zero = branches.Sum(branch => branch(new double[inputs, side * side], output));
            biases[output] = (float)zero;
            for (int tap = 0; tap < inputs * side * side; tap++)
            {
                var window = new double[inputs, side * side];
                window[tap / (side * side), tap % (side * side)] = 1;
                taps[(output * inputs * side * side) + tap] = (float)(branches.Sum(branch => branch(window, output)) - zero);
            }
        }

        writer.Add($"{block}.reparam_conv.weight", taps, outputs, inputs, side, side);
        writer.Add($"{block}.reparam_conv.bias", biases, outputs);
    }

    private static List<Branch> MobileOne(ICheckpoint stored, string block, int inputs, int side)
    {
        var branches = new List<Branch>();
        foreach (string name in new[] { "conv_kxk.0", "conv_scale", "large_conv", "small_conv" })
        {
            string key = $"{block}.{name}.conv.weight";
            if (!stored.Tensors.ContainsKey(key))
                continue;
            float[] kernel = stored.ReadSingles(key);
            int own = (int)stored.Tensors[key].Dimensions[2];
            branches.Add(Norm(stored, $"{block}.{name}.bn", (window, output) => Convolve(kernel, inputs, own, side, window, output)));
        }

        // With one channel to a group a channel's own is the group's only one.
        if (stored.Tensors.ContainsKey($"{block}.identity.weight"))
            branches.Add(Norm(stored, $"{block}.identity", (window, output) => window[output % inputs, side * side / 2]));
        return branches;
    }

    private static double Convolve(float[] kernel, int inputs, int own, int side, double[,] window, int output)
    {
        int edge = (side - own) / 2;
        double sum = 0;
        for (int c = 0; c < inputs; c++)
        {
            for (int tap = 0; tap < own * own; tap++)
                sum += kernel[(((output * inputs) + c) * own * own) + tap] * window[c, (((tap / own) + edge) * side) + (tap % own) + edge];
        }

        return sum;
    }

    private static Branch Norm(ICheckpoint stored, string norm, Branch inner)
    {
        float[] gamma = stored.ReadSingles($"{norm}.weight"), beta = stored.ReadSingles($"{norm}.bias");
        float[] mean = stored.ReadSingles($"{norm}.running_mean"), variance = stored.ReadSingles($"{norm}.running_var");
        return (window, output) => ((inner(window, output) - mean[output]) / Math.Sqrt(variance[output] + Epsilon) * gamma[output]) + beta[output];
    }
}
