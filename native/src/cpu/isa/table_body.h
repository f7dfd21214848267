// The table of this instruction set. Included outside the anonymous namespace, last.
extern const Kernels CLIPENGINE_TABLE;
const Kernels CLIPENGINE_TABLE = {
    CLIPENGINE_TABLE_NAME, kTileRows, kPanelColumns, kBf16Pairs, kDepthBlock, false,
    pack_rows, product, pack_attention, attention,
#ifdef CLIPENGINE_BF16_PAIRS
    pack_attention_bf16, attention_bf16,
#else
    nullptr, nullptr,
#endif
    layer_norm, rms_norm, l2_normalize, activate, add_arrays, multiply_arrays, depthwise, depthwise_lines, nullptr, nullptr,
#ifdef CLIPENGINE_WORD_PAIRS
    true,
#endif
};
