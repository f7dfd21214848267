using System.Runtime.InteropServices;
using ClipEngine.Models;
using ClipEngine.Tensors;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>The towers from TorchSharp tensors to TorchSharp tensors, for models and for modules.</summary>
internal static class TorchTowers
{
    /// <summary>The image tower. Pixels of the backend's type and device are used where they lie; features are the tower's own memory.</summary>
    public static TorchTensor EncodeImages(TorchBackend backend, IDualEncoder encoder, TorchTensor pixels, bool normalize)
    {
        using TorchPass pass = backend.BeginTorchPass();
        return Finish(pass, encoder.EncodeImages(pass, pass.Import(pixels)), normalize);
    }

    /// <summary>The text tower. Ids pass through the host, where they are checked.</summary>
    public static TorchTensor EncodeTexts(TorchBackend backend, IDualEncoder encoder, TorchTensor ids, bool normalize)
    {
        if (ids.dim() != 2)
            throw new ArgumentException($"expected [n, length] token ids, found [{string.Join(", ", ids.shape)}].", nameof(ids));
        int[] values;
        using (torch.NewDisposeScope())
            values = MemoryMarshal.Cast<byte, int>(ids.detach().to(torch.ScalarType.Int32).cpu().contiguous().bytes).ToArray();
        using TorchPass pass = backend.BeginTorchPass();
        return Finish(pass, encoder.EncodeTexts(pass, values, checked((int)ids.shape[1])), normalize);
    }

    private static TorchTensor Finish(TorchPass pass, Tensor features, bool normalize) => pass.Export(normalize ? pass.L2Normalize(features) : features);
}
