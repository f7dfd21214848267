using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// An image of any shape as one table of floats, so that it travels like every other image: <see cref="Maximum"/> patches, and a last
/// one that holds the grid in its first two floats. Its size in pixels says how many floats there are, not how the image looks.
/// </summary>
/// <param name="PatchSize">Pixels of a patch's side.</param>
/// <param name="Maximum">Patches of one image.</param>
public sealed record PatchPacking(int PatchSize, int Maximum)
{
    /// <summary>Floats of a patch: row, column, channel.</summary>
    public int PatchLength => 3 * PatchSize * PatchSize;

    /// <summary>Floats of an image.</summary>
    public int ImageLength => PatchLength * (Maximum + 1);

    /// <summary>The size whose <c>3 * height * width</c> is <see cref="ImageLength"/>.</summary>
    public (int Height, int Width) Size => (PatchSize * PatchSize, Maximum + 1);

    /// <summary>Writes the grid behind the patches.</summary>
    /// <param name="image"><see cref="ImageLength"/> floats.</param>
    /// <param name="grid">At most <see cref="Maximum"/> patches.</param>
    public void WriteGrid(Span<float> image, PatchGrid grid)
    {
        Span<float> last = image[(Maximum * PatchLength)..];
        last.Clear();
        (last[0], last[1]) = (grid.Rows, grid.Columns);
    }
}

/// <summary>Makes images of any shape into packed patches.</summary>
internal sealed class PatchPreprocessor(PreprocessOptions options, PatchPacking packing) : IImagePreprocessor
{
    private readonly NaFlexPreprocessor _patches = new(options, packing.PatchSize, packing.Maximum);

    public PreprocessOptions Options => options;

    public void Crop(ReadOnlySpan<byte> encoded, string name, Span<byte> crop) =>
        throw new NotSupportedException("An image that keeps its shape has no crop of one size.");

    public void Preprocess(ReadOnlySpan<byte> encoded, string name, Span<float> pixels)
    {
        PatchGrid grid = _patches.Preprocess(encoded, name, pixels[..(packing.Maximum * packing.PatchLength)]);
        packing.WriteGrid(pixels, grid);
    }
}

/// <summary>
/// SigLIP 2's image tower for images of any shape (NaFlex, arXiv:2502.14786, section 2.4.2): patches come packed, padding is hidden from
/// attention and pool, and the square table of positions is resized to each image's own grid.
/// </summary>
internal sealed class SigLipNaFlexVision : IImageTower
{
    private readonly SigLipVisionConfig _config;
    private readonly PatchPacking _packing;
    private readonly Weight _patchWeight, _patchBias, _normWeight, _normBias;
    private readonly TransformerBlock[] _blocks;
    private readonly AttentionPoolLatent _pool;
    private readonly float[] _positions; // [side, side, width]
    private readonly int _side;

    /// <summary>Loads the tower.</summary>
    /// <param name="config">Its sizes; the grid is that of the table of positions.</param>
    /// <param name="packing">How images arrive.</param>
    /// <param name="weights">A reader below <c>visual.trunk</c>.</param>
    public SigLipNaFlexVision(SigLipVisionConfig config, PatchPacking packing, WeightReader weights)
    {
        _config = config;
        _packing = packing;
        _side = config.GridHeight;
        int width = config.Width;
        _patchWeight = weights.Read("patch_embed.proj.weight", WeightRole.Linear, width, packing.PatchLength);
        _patchBias = weights.Read("patch_embed.proj.bias", WeightRole.Vector, width);
        if (!weights.TakesValues)
            weights.Require("pos_embed", new Shape(_side * _side, width));
        _positions = weights.TakesValues ? weights.ReadValues("pos_embed", _side * _side, width) : [];
        _blocks = new TransformerBlock[config.Layers];
        for (int layer = 0; layer < _blocks.Length; layer++)
            _blocks[layer] = TimmBlock.Read(weights.Scope($"blocks.{layer}"), width, config.HiddenWidth, config.Heads, config.Activation, config.Epsilon);
        _normWeight = weights.Read("norm.weight", WeightRole.Vector, width);
        _normBias = weights.Read("norm.bias", WeightRole.Vector, width);
        _pool = new AttentionPoolLatent(weights.Scope("attn_pool"), width, config.Heads, config.HiddenWidth, config.Activation, config.Epsilon);
    }

    /// <inheritdoc/>
    public int Tokens => _packing.Maximum;

    /// <inheritdoc/>
    public Tensor Forward(IPass pass, in Tensor pixels)
    {
        int batch = (int)pixels.Shape[0], width = _config.Width, length = _packing.PatchLength;
        Tensor packed = pixels.Reshape(new Shape(batch, _packing.Maximum + 1, length));
        // The grids decide about positions, which are made here: a few floats come back from the device.
        float[] last = new float[batch * length];
        pass.Read(pass.SliceTokens(packed, _packing.Maximum, 1), last);
        int[] counts = new int[batch];
        var grids = new PatchGrid[batch];
        for (int n = 0; n < batch; n++)
        {
            grids[n] = new PatchGrid((int)last[n * length], (int)last[(n * length) + 1]);
            counts[n] = grids[n].Count;
            if (grids[n].Rows < 1 || grids[n].Columns < 1 || counts[n] > _packing.Maximum)
                throw new ArgumentException($"expected 1 to {_packing.Maximum} patches, found a grid of {grids[n].Rows} x {grids[n].Columns}.", nameof(pixels));
        }

        int used = counts.Max();
        long mark = pass.EnterScope();
        var positionsShape = new Shape(batch, used, width);
        Tensor positions = CountingPass.InPlaceOfUpload(pass, positionsShape) ?? pass.Upload(Positions(grids, used), positionsShape);
        var mask = new AttentionMask { KeyLengths = pass.Upload(counts, new Shape(batch)) };
        Tensor x = pass.Linear(pass.SliceTokens(packed, 0, used), _patchWeight, _patchBias, new Epilogue { Residual = positions });   // [n, used, width]
        x = pass.TransformerStack(x, _blocks, mask);
        x = pass.LayerNorm(x, _normWeight, _normBias, _config.Epsilon);
        return pass.LeaveScope(mark, _pool.Forward(pass, x, mask));                                                                  // [n, width]
    }

    /// <summary>The table at each image's grid, by triangles as wide as the map shrinks; rows of padding get the first position, as in transformers.</summary>
    private float[] Positions(PatchGrid[] grids, int used)
    {
        int width = _config.Width;
        float[] all = new float[grids.Length * used * width];
        for (int n = 0; n < grids.Length; n++)
        {
            Span<float> own = all.AsSpan(n * used * width, used * width);
            PositionGrid.ResizeLinear(_positions, (_side, _side), own[..(grids[n].Count * width)], (grids[n].Rows, grids[n].Columns), width);
            for (int token = grids[n].Count; token < used; token++)
                own[..width].CopyTo(own[(token * width)..]);
        }

        return all;
    }
}
