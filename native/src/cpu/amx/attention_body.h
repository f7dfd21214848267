// Attention in bf16 on tile registers. Included inside an anonymous namespace, behind isa/attention_pairs_body.h and amx/product_body.h.

// A tile of rows times panels, two at a time; out(p) is where the four tiles of sums of panels p and p + 1 go. last: of each panel's last step
// the words that count instead of its own, panel by panel; or null.
template <typename Out, typename Done>
static inline void multiply_panels(const float* rows, int64_t height, const float* panels, int64_t count, int64_t panel_words, int64_t steps, const float* last, int64_t stride, const Out& out, const Done& done) {
  const uint32_t *a = reinterpret_cast<const uint32_t*>(rows), *b = reinterpret_cast<const uint32_t*>(panels);
  const int64_t whole = last != nullptr ? steps - 1 : steps, last_words = kLine * kPanelColumns;
  const uint32_t *a_last = a + whole * height * kLine, *b_last = reinterpret_cast<const uint32_t*>(last);
  const Ahead none{reinterpret_cast<const char*>(panels), 0};
  for (int64_t p = 0; p < count; p += 2, b += 2 * panel_words * kPanelColumns) {
    uint32_t* to[4];
    for (int64_t i = 0; i < 4; ++i) to[i] = reinterpret_cast<uint32_t*>(out(p, i));
    if (p + 1 < count) {
      multiply_one<false, true>(a, height * kLine, b, b + panel_words * kPanelColumns, whole, to, stride, false, none, none);
      if (last != nullptr) multiply_one<false, true>(a_last, height * kLine, b_last + p * last_words, b_last + (p + 1) * last_words, 1, to, stride, true, none, none);
    } else {
      multiply_one<false, false>(a, height * kLine, b, nullptr, whole, to, stride, false, none, none);
      if (last != nullptr) multiply_one<false, false>(a_last, height * kLine, b_last + p * last_words, nullptr, 1, to, stride, true, none, none);
    }
    done(p, p + 1 < count ? 2 : 1);
  }
}

static void attention_bf16(const AttentionHead& call) {
  const int64_t key_words = round_up(call.width, kPairLine) / 2, value_words = round_up(call.keys, kPairLine) / 2;
  const int64_t value_panels = divide_up(call.width, kPanelColumns);
  const float *keys = call.panels, *values = keys + key_panel_words(call);
  float* queries = call.scratch;
  float* scores = queries + kMatrixRows * round_up(call.width, kPairLine);
  float* sums = scores + kMatrixRows * round_up(call.keys, 2 * kPanelColumns);
  float* inverse = sums + 2 * kMatrixRows * kPanelColumns;

  // Shared values hold hidden ones too. Those in the step of the last visible one are cleared, in a copy: their exponentials are zero, but
  // zero times infinity is not.
  float* last_values = inverse + kMatrixRows * kLine;
  const bool hides_values = call.shared && call.visible < call.keys && call.visible % kPairLine != 0;
  for (int64_t p = 0; hides_values && p < value_panels; ++p) {
    const int64_t visible = call.visible % kPairLine, words = kLine * kPanelColumns;
    uint32_t* to = reinterpret_cast<uint32_t*>(last_values) + p * words;
    __builtin_memcpy(to, values + (p * value_words + call.visible / kPairLine * kLine) * kPanelColumns, static_cast<size_t>(words) * sizeof *to);
    for (int64_t i = visible / 2 * kPanelColumns; i < words; ++i) to[i] &= visible % 2 != 0 && i < (visible / 2 + 1) * kPanelColumns ? 0xffff : 0;
  }

  const int64_t tiles = divide_up(call.queries, kMatrixRows);
  // One shape for all; of a tile that is a row shorter, one row beyond is multiplied too and left behind.
  configure_tiles(divide_up(call.queries, tiles));
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t first = tile_begin(tile, tiles, call.queries), height = tile_begin(tile + 1, tiles, call.queries) - first;
    const int64_t seen = call.causal && call.offset + first + height < call.visible ? call.offset + first + height : call.visible;  // by any query of the tile
    for (int64_t r = 0; r < height; ++r) {
      const float* query = call.query + (first + r) * call.query_stride;
      for (int64_t w = 0; w < 2 * key_words; w += kWidth) {
        const int64_t left = call.width - w;
        store_bf16(reinterpret_cast<uint16_t*>(queries) + (w / kPairLine) * height * kPairLine + r * kPairLine + w % kPairLine, left > 0 ? load_up_to(query + w, left) : spread(0.0f));
      }
    }

    // Scores, sixteen keys of all rows side by side. What a store writes behind the last row, the next one or nobody reads.
    multiply_panels(queries, height, keys, divide_up(seen, kPanelColumns), key_words, key_words / kLine, nullptr, kRowBytes,
                    [&](int64_t p, int64_t i) { return scores + (2 * p + i) * height * kLine; }, [](int64_t, int64_t) {});
    exponentials_of_scores<true>(call, first, height, seen, scores, inverse);

    multiply_panels(scores, height, values, value_panels, value_words, divide_up(seen, kPairLine), hides_values && divide_up(seen, kPairLine) == divide_up(call.visible, kPairLine) ? last_values : nullptr, kPanelBytes,
                    [&](int64_t, int64_t i) { return sums + i / 2 * kMatrixRows * kPanelColumns + i % 2 * kHalfPanelColumns; },
                    [&](int64_t p, int64_t count) {
                      for (int64_t at = p * kPanelColumns; at < (p + count) * kPanelColumns && at < call.width; at += kWidth) {
                        const int64_t place = at - p * kPanelColumns;
                        const float* from = sums + place / kPanelColumns * kMatrixRows * kPanelColumns + place % kPanelColumns;
                        for (int64_t r = 0; r < height; ++r) {
                          store_up_to(call.output + (first + r) * call.output_stride + at, multiply(load(from + r * kPanelColumns), spread(inverse[r])), call.width - at);
                        }
                      }
                    });
  }
}
