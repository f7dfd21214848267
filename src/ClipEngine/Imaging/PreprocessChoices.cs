namespace ClipEngine.Imaging;

/// <summary>How an image of any shape becomes the model's rectangle.</summary>
public enum ResizeMode
{
    /// <summary>The shorter side is resized to the target, the centre is cropped (OpenCLIP's default).</summary>
    Shortest,

    /// <summary>Both sides are resized to the target; the aspect ratio changes (SigLIP, CLIPA, BLIP).</summary>
    Squash,
}

/// <summary>The resampling filter, with antialiasing.</summary>
public enum Interpolation
{
    /// <summary>Cubic, a = -0.5, support 2.</summary>
    Bicubic,

    /// <summary>Triangle, support 1.</summary>
    Bilinear,
}

/// <summary>Whose resize. The filters and their weights are the same in double precision; rounding and the order of the passes differ.</summary>
public enum Resampler
{
    /// <summary>Pillow since 13.0: as <see cref="Pillow12"/>, but vertically first where (height before - after) &gt; 2 max(0, width before - after). What a new installation of open_clip brings.</summary>
    Pillow13,

    /// <summary>Pillow up to 12: weights of 22 bits, horizontally first, rounded to bytes between the passes.</summary>
    Pillow12,

    /// <summary>torchvision on uint8 tensors: weights of 16 bits, horizontally first. The default of transformers 5. It resizes RGB alone.</summary>
    Torchvision,
}

/// <summary>When an image of another mode (palette, alpha, 16-bit gray, CMYK, single bits) becomes RGB.</summary>
public enum RgbOrder
{
    /// <summary>Behind resize and crop, which work in the file's own mode: open_clip. Palettes and single bits then take the nearest pixel, and alpha weighs colours.</summary>
    Last,

    /// <summary>Before anything else: transformers.</summary>
    First,
}

/// <summary>What becomes of transparency.</summary>
public enum AlphaHandling
{
    /// <summary>Alpha is left out; hidden colours show. open_clip, and transformers before 5.21.</summary>
    Drop,

    /// <summary>Images with alpha or transparent palette entries are laid over white before anything else: transformers since 5.21.</summary>
    White,
}

/// <summary>Where the centre crop begins in the resized image.</summary>
public enum CropStart
{
    /// <summary>(side - crop) / 2, halves to the even number: torchvision, hence open_clip.</summary>
    HalfEven,

    /// <summary>(side - crop) / 2, rounded down: transformers.</summary>
    Down,
}

/// <summary>How bytes become the tower's numbers, in fp32. The results differ in the last bit.</summary>
public enum Normalization
{
    /// <summary>(u8 / 255 - mean) / deviation: open_clip, and transformers' Pillow processors.</summary>
    InTwoSteps,

    /// <summary>(u8 - 255 mean) / (255 deviation): transformers' torchvision processors.</summary>
    InOneStep,
}
