using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Models;

namespace ClipEngine.Cli;

/// <summary>Tensors of other implementations, under their names or transformers'.</summary>
internal static class RawInput
{
    /// <summary>The first of the names that the file has, or null.</summary>
    public static string? Find(ICheckpoint file, params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            if (file.Tensors.ContainsKey(name))
                return name;
        }

        return null;
    }

    /// <summary>Ids below a vocabulary.</summary>
    /// <exception cref="BadInputException">One lies outside.</exception>
    public static int[] ReadIds(ICheckpoint file, string name, int vocabulary)
    {
        long[] ids = file.ReadInt64s(name);
        int wrong = Array.FindIndex(ids, id => id < 0 || id >= vocabulary);
        return wrong < 0
            ? Array.ConvertAll(ids, static id => (int)id)
            : throw new BadInputException(file.Path, $"{name}: expected ids from 0 to {vocabulary - 1}, found {ids[wrong]} at element {wrong}.");
    }

    /// <summary>Preprocessed pixels of one size.</summary>
    /// <exception cref="BadInputException">They have another shape.</exception>
    public static float[] ReadPixels(ICheckpoint file, string name, PreprocessOptions size, out long count)
    {
        StoredTensor pixels = file.Tensors[name];
        if (pixels.Dimensions is not [var images, 3, var rows, var columns] || rows != size.Height || columns != size.Width)
            throw new BadInputException(file.Path, $"{name}: expected [n, 3, {size.Height}, {size.Width}], found {pixels}.");
        count = images;
        return file.ReadSingles(name);
    }

    /// <summary>Patches of images of any shape, as transformers' processor makes them: <c>[n, patches, length]</c> with <c>spatial_shapes [n, 2]</c>.</summary>
    /// <exception cref="BadInputException">They have other shapes, or do not fit each other or the mask.</exception>
    public static float[] Pack(ICheckpoint file, string name, PatchPacking packing, out long count)
    {
        const string Shapes = "spatial_shapes", MaskName = "pixel_attention_mask";
        StoredTensor patches = file.Tensors[name];
        if (patches.Dimensions is not [var images, var given, var length] || length != packing.PatchLength || given < 1)
            throw new BadInputException(file.Path, $"{name}: expected [n, patches, {packing.PatchLength}], found {patches}.");
        if (!file.Tensors.TryGetValue(Shapes, out StoredTensor shapes) || shapes.Dimensions is not [var rows, 2] || rows != images)
            throw new BadInputException(file.Path, $"{Shapes}: expected [{images}, 2], the rows and columns of patches of every image.");
        long[] sides = file.ReadInt64s(Shapes);
        long[]? mask = file.Tensors.TryGetValue(MaskName, out StoredTensor stored) && stored.Dimensions is [var masked, var wide] && masked == images && wide == given ? file.ReadInt64s(MaskName) : null;
        float[] values = file.ReadSingles(name), packed = new float[images * packing.ImageLength];
        for (int image = 0; image < images; image++)
        {
            long height = sides[2 * image], width = sides[(2 * image) + 1];
            if (height < 1 || width < 1 || height > given || width > given || height * width > Math.Min(given, packing.Maximum))
                throw new BadInputException(file.Path, $"{Shapes}: image {image} has {height} x {width} patches; expected 1 to {Math.Min(given, packing.Maximum)} in all.");
            int patchCount = (int)(height * width);
            if (mask is not null && (mask.AsSpan(image * (int)given, patchCount).Contains(0) || mask.AsSpan((image * (int)given) + patchCount, (int)given - patchCount).IndexOfAnyExcept(0L) >= 0))
                throw new BadInputException(file.Path, $"{MaskName}: row {image} does not show just the first {patchCount} patches, which {Shapes} says there are.");
            Span<float> own = packed.AsSpan(image * packing.ImageLength, packing.ImageLength);
            values.AsSpan(image * (int)(given * length), (int)(patchCount * length)).CopyTo(own);
            packing.WriteGrid(own, new PatchGrid((int)height, (int)width));
        }

        count = images;
        return packed;
    }

    /// <summary>How many ids of each sentence the <c>attention_mask</c> leaves; all of them where there is none.</summary>
    /// <exception cref="BadInputException">It has another shape, or hides an id in front of one that it does not hide.</exception>
    public static int[] ReadLengths(ICheckpoint file, int count, int length)
    {
        const string Name = "attention_mask";
        int[] lengths = new int[count];
        Array.Fill(lengths, length);
        if (!file.Tensors.TryGetValue(Name, out StoredTensor mask))
            return lengths;
        if (mask.Dimensions is not [var rows, var columns] || rows != count || columns != length)
            throw new BadInputException(file.Path, $"{Name}: expected [{count}, {length}], found {mask}.");
        long[] values = file.ReadInt64s(Name);
        for (int row = 0; row < count; row++)
        {
            Span<long> own = values.AsSpan(row * length, length);
            int seen = own.IndexOf(0L);
            lengths[row] = seen < 0 ? length : seen;
            if (own[lengths[row]..].IndexOfAnyExcept(0L) >= 0)
                throw new BadInputException(file.Path, $"{Name}: row {row} hides an id before one that it shows; padding stands at the end.");
        }

        return lengths;
    }
}
