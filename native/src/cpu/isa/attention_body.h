// Attention of one head, queries a tile at a time: its scores stay in the first-level cache from the product with the keys to
// the product with the values. Included inside an anonymous namespace, behind product_body.h.

// Keys as panels: word w of panel p is coordinate w of keys p * panel .. p * panel + panel - 1.
static inline void pack_keys(const AttentionHead& call, float* panels) {
  for (int64_t p = 0; p * kPanelColumns < call.keys; ++p) {
    float* panel = panels + p * call.width * kPanelColumns;
    const int64_t here = call.keys - p * kPanelColumns < kPanelColumns ? call.keys - p * kPanelColumns : kPanelColumns;
    const float* keys = call.key + p * kPanelColumns * call.key_stride;
    for (int64_t k = 0; k < kPanelColumns; k += kWidth) {
      int64_t w = 0;
      if (k + kWidth <= here) {
        for (; w + kWidth <= call.width; w += kWidth) transpose_square(keys + k * call.key_stride + w, call.key_stride, panel + w * kPanelColumns + k, kPanelColumns);
      }
      for (; w < call.width; ++w) {
        for (int64_t j = k; j < k + kWidth; ++j) panel[w * kPanelColumns + j] = j < here ? keys[j * call.key_stride + w] : 0.0f;
      }
    }
  }
}

// Values as panels: word k of panel p is key k's coordinates p * panel .. p * panel + panel - 1.
static inline void pack_values(const AttentionHead& call, float* panels) {
  for (int64_t p = 0; p * kPanelColumns < call.width; ++p) {
    float* panel = panels + p * call.keys * kPanelColumns;
    for (int64_t k = 0; k < call.keys; ++k) {
      const float* value = call.value + k * call.value_stride + p * kPanelColumns;
      for (int64_t v = 0; v < kPanelColumns; v += kWidth) {
        const int64_t left = call.width - p * kPanelColumns - v;
        store(panel + k * kPanelColumns + v, left > 0 ? load_up_to(value + v, left) : spread(0.0f));
      }
    }
  }
}

static void pack_attention(const AttentionHead& call) {
  pack_keys(call, call.panels);
  pack_values(call, call.panels + round_up(call.keys, kPanelColumns) * round_up(call.width, kLine));
}

// The scores of a tile of queries, tiled, to exponentials: what no query may see becomes zero, up to seen keys. inverse: of each row's sum.
static inline void exponentials_of_scores(const AttentionHead& call, int64_t first, int64_t height, int64_t seen, float* scores, float* inverse) {
  for (int64_t r = 0; r < height; ++r) {
    const int64_t own = call.causal && call.offset + first + r + 1 < call.visible ? call.offset + first + r + 1 : call.visible;
    float* row = scores + r * kLine;
    const int64_t line = height * kLine;
    const float* mask = call.mask != nullptr ? call.mask + (first + r) * call.mask_stride : nullptr;
    float largest = -__builtin_inff();
    {
      Vector best = spread(-__builtin_inff());
      int64_t k = 0;
      for (; k + kWidth <= own; k += kWidth) {
        float* p = row + (k / kLine) * line + k % kLine;
        Vector s = load(p);
        if (mask != nullptr) {
          s = add(s, load(mask + k));
          store(p, s);
        }
        best = maximum(s, best);
      }
      largest = maximum_of(best);
      for (; k < own; ++k) {
        float* p = row + (k / kLine) * line + k % kLine;
        if (mask != nullptr) *p += mask[k];
        largest = *p > largest ? *p : largest;
      }
    }
    Vector total = spread(0.0f);
    float tail = 0;
    const Vector shift = spread(largest == -__builtin_inff() ? 0.0f : largest);  // a row that sees no key
    for (int64_t k = 0; k < seen; k += kWidth) {
      float* p = row + (k / kLine) * line + k % kLine;
      const int64_t left = own - k;
      if (left >= kWidth) {
        const Vector e = exponential(subtract(load(p), shift));
        total = add(total, e);
        store(p, e);
      } else {
        const Vector e = left > 0 ? exponential(subtract(load(p), shift)) : spread(0.0f);
        store(p, spread(0.0f));
        if (left > 0) store_first(p, e, left);
        for (int64_t j = 0; j < left; ++j) tail += p[j];
      }
    }
    const float sum = sum_of(total) + tail;
    inverse[r] = sum == 0.0f ? 0.0f : 1.0f / sum;  // what sees no key becomes zero
  }
}

static void attention(const AttentionHead& call) {
  const int64_t padded_width = round_up(call.width, kLine);
  const int64_t key_panels = divide_up(call.keys, kPanelColumns), value_panels = divide_up(call.width, kPanelColumns);
  const float* keys = call.panels;
  const float* values = keys + key_panels * kPanelColumns * padded_width;
  float* queries = call.scratch;
  float* scores = queries + kTileRows * padded_width;
  float* sums = scores + kTileRows * key_panels * kPanelColumns;
  float* inverse = sums + kTileRows * kPanelColumns;

  const int64_t tiles = divide_up(call.queries, kTileRows);
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t first = tile_begin(tile, tiles, call.queries), height = tile_begin(tile + 1, tiles, call.queries) - first;
    const int64_t seen = call.causal && call.offset + first + height < call.visible ? call.offset + first + height : call.visible;  // by any query of the tile
    for (int64_t r = 0; r < height; ++r) {
      const float* query = call.query + (first + r) * call.query_stride;
      for (int64_t w = 0; w < padded_width; w += kWidth) {
        const int64_t left = call.width - w;
        store(queries + (w / kLine) * height * kLine + r * kLine + w % kLine, left > 0 ? multiply(load_up_to(query + w, left), spread(call.scale)) : spread(0.0f));
      }
    }

    // Scores, tiled like the left operand that they become.
    for (int64_t p = 0; p * kPanelColumns < seen; ++p) {
      multiply_tile<FloatDot>(height, reinterpret_cast<const uint32_t*>(queries), WholePanel{reinterpret_cast<const uint32_t*>(keys + p * call.width * kPanelColumns)},
                              call.width, reinterpret_cast<uint32_t*>(sums), false, reinterpret_cast<const char*>(keys), 0, 0);
      for (int64_t r = 0; r < height; ++r) {
        for (int64_t v = 0; v < kPanelColumns; v += kWidth) {
          const int64_t at = p * kPanelColumns + v;
          store(scores + (at / kLine) * height * kLine + r * kLine + at % kLine, load(sums + r * kPanelColumns + v));
        }
      }
    }

    exponentials_of_scores(call, first, height, seen, scores, inverse);

    for (int64_t p = 0; p < value_panels; ++p) {
      multiply_tile<FloatDot>(height, reinterpret_cast<const uint32_t*>(scores), WholePanel{reinterpret_cast<const uint32_t*>(values + p * call.keys * kPanelColumns)},
                              seen, reinterpret_cast<uint32_t*>(sums), false, reinterpret_cast<const char*>(values), 0, 0);
      for (int64_t r = 0; r < height; ++r) {
        for (int64_t v = 0; v < kPanelColumns; v += kWidth) {
          const int64_t at = p * kPanelColumns + v;
          if (at < call.width) store_up_to(call.output + (first + r) * call.output_stride + at, multiply(load(sums + r * kPanelColumns + v), spread(inverse[r])), call.width - at);
        }
      }
    }
  }
}
