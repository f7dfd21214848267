// The table of a set with tile registers. Included outside the anonymous namespace, last.
extern const Kernels CLIPENGINE_TABLE;
const Kernels CLIPENGINE_TABLE = {
    CLIPENGINE_TABLE_NAME, kTileRows, kPanelColumns, kBf16Pairs, kDepthBlock, true,
    pack_rows, product_of_matrices, pack_attention, attention, pack_attention_bf16, attention_bf16, layer_norm, rms_norm, l2_normalize, activate, add_arrays, multiply_arrays, depthwise, depthwise_lines, release_tiles, multiply_rows_by_panel,
};
