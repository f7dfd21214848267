// Attention in bf16: queries, keys, values and exponentials are rounded to bf16, sums and softmax stay fp32. Included inside an anonymous
// namespace, behind attention_body.h; for panels of two cache lines.

constexpr int64_t kPairLine = 2 * kLine;  // bf16 values in a cache line

// Keys as panels of pairs: word w of panel p is coordinates 2 w and 2 w + 1 of keys p * 32 .. p * 32 + 31; zeros beyond.
static inline void pack_keys_bf16(const AttentionHead& call, float* panels) {
#ifdef CLIPENGINE_BF16_PAIRS
  const int64_t keys = packed_keys(call), halves = divide_up(keys, kHalfPanelColumns);
#else  // the tile registers multiply whole panels
  const int64_t keys = call.keys, halves = round_up(keys, kPanelColumns) / kHalfPanelColumns;
#endif
  const int64_t words = round_up(call.width, kPairLine) / 2;
  float pairs[kHalfPanelColumns * kLine];
  for (int64_t h = 0; h < halves; ++h) {
    float* panel = panels + h / 2 * words * kPanelColumns + h % 2 * kHalfPanelColumns;
    for (int64_t line = 0; line < words; line += kLine) {
      for (int64_t j = 0; j < kHalfPanelColumns; ++j) {
        const int64_t key = h * kHalfPanelColumns + j;
        for (int64_t v = 0; v < kPairLine; v += kWidth) {
          const int64_t left = key < keys ? call.width - 2 * line - v : 0;
          store_bf16(reinterpret_cast<uint16_t*>(pairs + j * kLine) + v, left > 0 ? load_up_to(call.key + key * call.key_stride + 2 * line + v, left) : spread(0.0f));
        }
      }
      for (int64_t i = 0; i < kHalfPanelColumns; i += kWidth) {
        for (int64_t w = 0; w < kLine; w += kWidth) transpose_square(pairs + i * kLine + w, kLine, panel + (line + w) * kPanelColumns + i, kPanelColumns);
      }
    }
  }
}

// Values as panels of pairs: word w of panel p is coordinates p * 32 .. p * 32 + 31 of keys 2 w and 2 w + 1; zeros beyond.
static inline void pack_values_bf16(const AttentionHead& call, float* panels) {
  const int64_t words = round_up(call.keys, kPairLine) / 2;
  for (int64_t p = 0; p * kPanelColumns < call.width; ++p) {
    float* panel = panels + p * words * kPanelColumns;
    for (int64_t w = 0; w < words; ++w) {
      const float* value = call.value + 2 * w * call.value_stride + p * kPanelColumns;
      for (int64_t v = 0; v < kPanelColumns; v += kWidth) {
        const int64_t left = call.width - p * kPanelColumns - v;
        const Vector first = left > 0 && 2 * w < call.keys ? load_up_to(value + v, left) : spread(0.0f);
        const Vector second = left > 0 && 2 * w + 1 < call.keys ? load_up_to(value + call.value_stride + v, left) : spread(0.0f);
        store(panel + w * kPanelColumns + v, pairs_in_bf16(first, second));
      }
    }
  }
}

static inline int64_t key_panel_words(const AttentionHead& call) { return round_up(call.keys, kPanelColumns) * round_up(call.width, kPairLine) / 2; }

static void pack_attention_bf16(const AttentionHead& call) {
  pack_keys_bf16(call, call.panels);
  pack_values_bf16(call, call.panels + key_panel_words(call));
}

#ifdef CLIPENGINE_BF16_PAIRS  // amx/attention_body.h has its own
static void attention_bf16(const AttentionHead& call) {
  attend_tiles<PairDot, true>(call, call.panels, round_up(call.width, kPairLine) / 2, call.panels + key_panel_words(call), round_up(call.keys, kPairLine) / 2);
}
#endif
