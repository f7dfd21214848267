namespace ClipEngine.Native;

/// <summary>Something that a GPU does at a highest rate, whatever the program; <see cref="CudaBackend.MeasureCeiling"/>.</summary>
internal enum CudaCeiling
{
    /// <summary>Operations of mma.sync on bf16 in registers with fp32 sums, two a multiply-add. Hopper's wgmma reaches more.</summary>
    BFloat16 = 0,

    /// <summary>The same on fp16.</summary>
    Float16 = 1,

    /// <summary>The same on tf32.</summary>
    Tf32 = 2,

    /// <summary>Operations of fused multiply-adds on fp32 in registers.</summary>
    Float32 = 3,

    /// <summary>Bytes read and written by a copy within device memory that no cache holds.</summary>
    Copy = 4,
}
