// Attention in bf16 on tile registers: queries, keys, values and exponentials are rounded to bf16, sums and softmax stay fp32. Included inside
// an anonymous namespace, behind isa/attention_body.h and amx/product_body.h.

constexpr int64_t kPairLine = 2 * kLine;  // bf16 values in a cache line

// Keys as panels of pairs: word w of panel p is coordinates 2 w and 2 w + 1 of keys p * 32 .. p * 32 + 31; zeros beyond.
static inline void pack_keys_bf16(const AttentionHead& call, float* panels) {
  const int64_t words = round_up(call.width, kPairLine) / 2, halves = round_up(call.keys, kPanelColumns) / kHalfPanel;
  float pairs[kHalfPanel * kLine];
  for (int64_t h = 0; h < halves; ++h) {
    float* panel = panels + h / 2 * words * kPanelColumns + h % 2 * kHalfPanel;
    for (int64_t line = 0; line < words; line += kLine) {
      for (int64_t j = 0; j < kHalfPanel; ++j) {
        const int64_t key = h * kHalfPanel + j;
        for (int64_t v = 0; v < kPairLine; v += kWidth) {
          const int64_t left = key < call.keys ? call.width - 2 * line - v : 0;
          const Vector x = left > 0 ? round_to_bf16(load_up_to(call.key + key * call.key_stride + 2 * line + v, left)) : spread(0.0f);
          store_upper_halves(reinterpret_cast<uint16_t*>(pairs + j * kLine) + v, x);
        }
      }
      for (int64_t i = 0; i < kHalfPanel; i += kWidth) {
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
        const Vector first = left > 0 && 2 * w < call.keys ? round_to_bf16(load_up_to(value + v, left)) : spread(0.0f);
        const Vector second = left > 0 && 2 * w + 1 < call.keys ? round_to_bf16(load_up_to(value + call.value_stride + v, left)) : spread(0.0f);
        store(panel + w * kPanelColumns + v, pairs_of(first, second));
      }
    }
  }
}

static inline int64_t key_panel_words(const AttentionHead& call) { return round_up(call.keys, kPanelColumns) * round_up(call.width, kPairLine) / 2; }

static void pack_attention_bf16(const AttentionHead& call) {
  pack_keys_bf16(call, call.panels);
  pack_values_bf16(call, call.panels + key_panel_words(call));
}

// A tile of rows times panels, two at a time; out(p) is where the four tiles of sums of panels p and p + 1 go.
template <typename Out, typename Done>
static inline void multiply_panels(const float* rows, int64_t height, const float* panels, int64_t count, int64_t panel_words, int64_t steps, int64_t stride, const Out& out, const Done& done) {
  const uint32_t *a = reinterpret_cast<const uint32_t*>(rows), *b = reinterpret_cast<const uint32_t*>(panels);
  const Ahead none{reinterpret_cast<const char*>(panels), 0};
  for (int64_t p = 0; p < count; p += 2, b += 2 * panel_words * kPanelColumns) {
    uint32_t* to[4];
    for (int64_t i = 0; i < 4; ++i) to[i] = reinterpret_cast<uint32_t*>(out(p, i));
    if (p + 1 < count) {
      multiply_one<false, true>(a, height * kLine, b, b + panel_words * kPanelColumns, steps, to, stride, false, none, none);
    } else {
      multiply_one<false, false>(a, height * kLine, b, nullptr, steps, to, stride, false, none, none);
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
        const Vector x = left > 0 ? round_to_bf16(multiply(load_up_to(query + w, left), spread(call.scale))) : spread(0.0f);
        store_upper_halves(reinterpret_cast<uint16_t*>(queries) + (w / kPairLine) * height * kPairLine + r * kPairLine + w % kPairLine, x);
      }
    }

    // Scores, sixteen keys of all rows side by side. What a store writes behind the last row, the next one or nobody reads.
    multiply_panels(queries, height, keys, divide_up(seen, kPanelColumns), key_words, key_words / kLine, kRowBytes,
                    [&](int64_t p, int64_t i) { return scores + (2 * p + i) * height * kLine; }, [](int64_t, int64_t) {});
    exponentials_of_scores(call, first, height, seen, scores, inverse);

    // In place: a line of pairs takes the first of the two lines of floats that it is made of, or one before.
    const int64_t steps = divide_up(seen, kPairLine);
    for (int64_t line = 0; line < steps; ++line) {
      for (int64_t r = 0; r < height; ++r) {
        uint16_t* pairs = reinterpret_cast<uint16_t*>(scores) + line * height * kPairLine + r * kPairLine;
        for (int64_t v = 0; v < kPairLine; v += kWidth) {
          const int64_t key = line * kPairLine + v, left = seen - key;
          const float* from = scores + (key / kLine) * height * kLine + r * kLine + key % kLine;
          store_upper_halves(pairs + v, left > 0 ? round_to_bf16(load_up_to(from, left)) : spread(0.0f));
        }
      }
    }

    multiply_panels(scores, height, values, value_panels, value_words, steps, kPanelBytes,
                    [&](int64_t, int64_t i) { return sums + i / 2 * kMatrixRows * kPanelColumns + i % 2 * kHalfPanel; },
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
