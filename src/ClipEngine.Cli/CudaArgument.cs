using ClipEngine.Files;
using ClipEngine.Native;

namespace ClipEngine.Cli;

/// <summary><c>--device</c> where several GPUs may share the work.</summary>
internal static class CudaArgument
{
    public const string Description = "cpu, cuda (the first GPU), cuda:N, several as in cuda:0,cuda:1, or cuda:all; nothing falls back.";

    /// <summary>Opens what was asked for; null for the processor.</summary>
    /// <exception cref="BadInputException">The value is none of these, or the device cannot be used; says why.</exception>
    public static CudaDevices? Open(string device)
    {
        if (device == "cpu")
            return null;
        int[]? ordinals = device == "cuda:all" ? null : Ordinals(device);
        try
        {
            return CudaDevices.Open(ordinals);
        }
        catch (Exception exception) when (exception is NotSupportedException or NativeLibraryException)
        {
            throw new BadInputException("--device", $"{device} cannot be used: {exception.Message}.", "'clipengine devices' shows what there is; leave --device out to run on the processor.", exception);
        }
    }

    private static int[] Ordinals(string device)
    {
        if (device == "cuda")
            return [0];
        string[] parts = device.Split(',');
        int[] ordinals = new int[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            if (!parts[i].StartsWith("cuda:", StringComparison.Ordinal) || !NumberText.TryParse(parts[i].AsSpan(5), out ordinals[i]))
                throw new BadInputException("--device", $"expected cpu, cuda, cuda:N, several as in cuda:0,cuda:1, or cuda:all; found '{BadInputException.Escape(device, 80)}'.", "'clipengine devices' shows what there is.");
            if (Array.IndexOf(ordinals, ordinals[i]) < i)
                throw new BadInputException("--device", $"names cuda:{ordinals[i]} twice.");
        }

        return ordinals;
    }
}
