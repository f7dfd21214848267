// Attention of one head, queries a tile at a time: its scores stay in the first-level cache from the product with the keys to
// the product with the values. Included inside an anonymous namespace, behind product_body.h.

constexpr float kLogTwoOfE = 1.44269504f;

// Bounds that hide all lanes from left on: a score is the smaller of itself and its bound.
static inline Vector bounds_of_lanes(int64_t left) {
  struct Bounds {
    float of[2 * kWidth];
    constexpr Bounds() : of() {
      for (int64_t i = 0; i < 2 * kWidth; ++i) of[i] = i < kWidth ? __builtin_inff() : -__builtin_inff();
    }
  };
  static constexpr Bounds bounds;
  return load(bounds.of + kWidth - left);
}

// Keys as panels: word w of panel p is coordinate w of keys p * panel .. p * panel + panel - 1; zeros beyond the last.
static inline void pack_keys(const AttentionHead& call, float* panels) {
  float last[kWidth * kWidth];  // keys and coordinates that fill no square
  for (int64_t p = 0; p * kPanelColumns < call.keys; ++p) {
    float* panel = panels + p * call.width * kPanelColumns;
    for (int64_t k = 0; k < kPanelColumns; k += kWidth) {
      const int64_t here = call.keys - p * kPanelColumns - k;
      const float* keys = call.key + (p * kPanelColumns + k) * call.key_stride;
      for (int64_t w = 0; w < call.width; w += kWidth) {
        const int64_t left = call.width - w;
        float* to = panel + w * kPanelColumns + k;
        if (here >= kWidth && left >= kWidth) {
          transpose_square(keys + w, call.key_stride, to, kPanelColumns);
          continue;
        }
        float turned[kWidth * kWidth];
        for (int64_t j = 0; j < kWidth; ++j) store(last + j * kWidth, j < here ? load_up_to(keys + j * call.key_stride + w, left) : spread(0.0f));
        if (left >= kWidth) {
          transpose_square(last, kWidth, to, kPanelColumns);
          continue;
        }
        transpose_square(last, kWidth, turned, kWidth);
        for (int64_t j = 0; j < left; ++j) store(to + j * kPanelColumns, load(turned + j * kWidth));
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

// A shift beyond is rounded by more than its row's sum can take away again: such scores, of masks as low as the smallest number for one,
// are brought down themselves.
constexpr float kLargestShift = 1e6f;

// count rows of scores, tiled, to exponentials: what a query may not see becomes zero, up to seen keys. Rows go together, so that their
// long chains overlap. inverse: of each row's sum. pairs: the exponentials are left rounded to bf16, tiled likewise, in the same place; zeros up
// to whole lines.
template <int count, bool pairs>
static inline void exponentials_of_rows(const AttentionHead& call, int64_t first, int64_t height, int64_t seen, float* scores, int64_t from, float* inverse) {
  const int64_t line = height * kLine;
  int64_t own[count], whole = seen;
  Vector best[count], shift[count], total[count];
  for (int r = 0; r < count; ++r) {
    const int64_t reach = call.offset + first + from + r + 1;
    own[r] = call.causal && reach < call.visible ? reach : call.visible;
    if (own[r] < whole) whole = own[r];
    best[r] = spread(-__builtin_inff());
    total[r] = spread(0.0f);
  }
  const bool masked = call.mask != nullptr;
  const float factor = masked ? kLogTwoOfE : call.scale * kLogTwoOfE;
  const Vector factors = spread(factor);
  float* const rows = scores + from * kLine;
  const auto place = [&](int64_t k) { return rows + k / kLine * line + k % kLine; };
  if (masked) {
    for (int r = 0; r < count; ++r) {
      const float* mask = call.mask + (first + from + r) * call.mask_stride;
      for (int64_t k = 0; k < own[r]; k += kWidth) {
        float* p = place(k) + r * kLine;
        store(p, multiply_add(load(p), spread(call.scale), load_up_to(mask + k, own[r] - k)));
      }
    }
  }
  uint64_t k = 0;
  for (; k + kWidth <= static_cast<uint64_t>(whole); k += kWidth) {
    const float* p = place(k);
    for (int r = 0; r < count; ++r) best[r] = maximum(load(p + r * kLine), best[r]);
  }
  for (; k < static_cast<uint64_t>(seen); k += kWidth) {
    float* p = place(k);
    for (int r = 0; r < count; ++r) {
      const int64_t left = own[r] - static_cast<int64_t>(k);
      const Vector s = minimum(load(p + r * kLine), bounds_of_lanes(left < 0 ? 0 : left < kWidth ? left : kWidth));
      store(p + r * kLine, s);
      best[r] = maximum(s, best[r]);
    }
  }
  for (int r = 0; r < count; ++r) {
    float largest = maximum_of(best[r]);
    if (__builtin_fabsf(largest * factor) > kLargestShift && __builtin_fabsf(largest) <= __FLT_MAX__) {
      for (uint64_t i = 0; i < static_cast<uint64_t>(seen); i += kWidth) store(place(static_cast<int64_t>(i)) + r * kLine, subtract(load(place(static_cast<int64_t>(i)) + r * kLine), spread(largest)));
      largest = 0.0f;
    }
    // Rounding of the shift is the same for the whole row, and its sum takes it away again. Where no key is seen there is nothing to shift.
    shift[r] = spread(largest == -__builtin_inff() ? 0.0f : -largest * factor);
  }
  uint16_t* const halves = reinterpret_cast<uint16_t*>(scores) + from * 2 * kLine;
  // A line of pairs takes the first of the two lines of floats that it is made of, or one before: behind what is read.
  const auto half_place = [&](int64_t at) { return halves + at / (2 * kLine) * line * 2 + at % (2 * kLine); };
  for (k = 0; k < static_cast<uint64_t>(seen); k += kWidth) {
    float* p = place(k);
    for (int r = 0; r < count; ++r) {
      const Vector e = exponential_of_two(multiply_add(load(p + r * kLine), factors, shift[r]));
      total[r] = add(total[r], e);
      if constexpr (pairs) {
        store_bf16(half_place(k) + r * 2 * kLine, e);
      } else {
        store(p + r * kLine, e);
      }
    }
  }
  if constexpr (pairs) {
    for (; k % (2 * kLine) != 0; k += kWidth) {
      for (int r = 0; r < count; ++r) store_bf16(half_place(k) + r * 2 * kLine, spread(0.0f));
    }
  }
  for (int r = 0; r < count; ++r) {
    const float sum = sum_of(total[r]);
    inverse[from + r] = sum == 0.0f ? 0.0f : 1.0f / sum;  // what sees no key becomes zero
  }
}

template <bool pairs>
static inline void exponentials_of_scores(const AttentionHead& call, int64_t first, int64_t height, int64_t seen, float* scores, float* inverse) {
  constexpr int kTogether = kWidth == kLine ? 4 : 2;  // as many as there are registers for
  int64_t from = 0;
  for (; from + kTogether <= height; from += kTogether) exponentials_of_rows<kTogether, pairs>(call, first, height, seen, scores, from, inverse);
  for (; from < height; ++from) exponentials_of_rows<1, pairs>(call, first, height, seen, scores, from, inverse);
}

#ifdef CLIPENGINE_OWN_TILES
// c = a b for a tile of rows; lines of a row stand line_step words apart, and rows row_step.
template <class Dot>
static inline void attention_tile(int64_t height, const uint32_t* a, const uint32_t* b, int64_t words, uint32_t* c, int64_t row_step, int64_t line_step, const float*, int64_t) {
  uint32_t sums[kTileRows * kPanelColumns];
  multiply_tile<Dot>(height, a, WholePanel{b}, words, sums, false, reinterpret_cast<const char*>(b), 0, 0);
  for (int64_t r = 0; r < height; ++r) {
    for (int64_t v = 0; v < kPanelColumns; v += kWidth) {
      store(reinterpret_cast<float*>(c) + r * row_step + v / kLine * line_step + v % kLine, load(reinterpret_cast<const float*>(sums) + r * kPanelColumns + v));
    }
  }
}
#else
// What tile_product computes, where the operands lie in the first two caches. ahead walks over rows that the next head reads, four lines
// of one every four words.
template <class Dot, int R>
static void attention_tile_of(const uint32_t* a, const uint32_t* b, int64_t words, uint32_t* c, int64_t row_step, int64_t line_step, const float* ahead, int64_t ahead_step) {
  typename Dot::Sum sum[R][kPanelVectors];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) sum[r][v] = Dot::zero();
  }
  const auto step = [&](const uint32_t* from) {
    typename Dot::Right right[kPanelVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) right[v] = Dot::right(b + v * kWidth);
    b += kPanelColumns;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const typename Dot::Left left = Dot::left(from + r * kLine);
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVectors; ++v) sum[r][v] = Dot::step(left, right[v], sum[r][v]);
    }
  };
  for (; words >= kLine; words -= kLine, a += R * kLine) {
#pragma GCC unroll 1
    for (int w = 0; w < kLine; w += 4) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) __builtin_prefetch(ahead + i * kLine, 0, 2);
      ahead += ahead_step;
      step(a + w);
      step(a + w + 1);
      step(a + w + 2);
      step(a + w + 3);
    }
  }
#pragma GCC unroll 1
  for (int64_t w = 0; w < words; ++w) step(a + w);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) Dot::store(c + r * row_step + v * kWidth / kLine * line_step + v * kWidth % kLine, sum[r][v]);
  }
}

template <class Dot>
static inline void attention_tile(int64_t height, const uint32_t* a, const uint32_t* b, int64_t words, uint32_t* c, int64_t row_step, int64_t line_step, const float* ahead, int64_t ahead_step) {
#define CLIPENGINE_TILE(R)                                                                                 \
  case R:                                                                                                  \
    if constexpr (R <= kTileRows) attention_tile_of<Dot, R>(a, b, words, c, row_step, line_step, ahead, ahead_step); \
    break;
  switch (height) { CLIPENGINE_FOR_TILE_HEIGHTS(CLIPENGINE_TILE) }
#undef CLIPENGINE_TILE
}
#endif

// Which rows of the next head a tile asks for: they lie too far apart for the processor to foresee them, and all at once would hold the
// tile's own loads up.
class RowsAhead {
 public:
  explicit RowsAhead(const AttentionHead& call)
      : parts_{{call.next_query, call.queries, call.query_stride}, {call.next_key, call.keys, call.key_stride}, {call.next_value, call.keys, call.value_stride}} {}

  // The first of count rows, a step apart; or one row again and again.
  const float* take(int64_t count, int64_t* step, const float* none) {
    *step = 0;
    for (; part_ < 3; ++part_, row_ = 0) {
      const Rows& rows = parts_[part_];
      if (rows.first == nullptr || row_ >= rows.count || rows.count < count) continue;
      const int64_t from = row_ < rows.count - count ? row_ : rows.count - count;
      row_ += count;
      *step = rows.stride;
      return rows.first + from * rows.stride;
    }
    return none;
  }

 private:
  struct Rows {
    const float* first;
    int64_t count, stride;
  };
  Rows parts_[3];
  int part_ = 0;
  int64_t row_ = 0;
};

// Attention over packed keys and values; pairs: in bf16 (attention_pairs_body.h), where a word is two coordinates or two keys.
template <class Dot, bool pairs>
static inline void attend_tiles(const AttentionHead& call, const float* keys, int64_t key_words, const float* values, int64_t value_words) {
  constexpr int64_t kPerWord = pairs ? 2 : 1;
  const int64_t line_floats = kPerWord * kLine, padded_width = round_up(call.width, line_floats);
  const int64_t value_panels = divide_up(call.width, kPanelColumns);
  const auto words_at = [](const float* p) { return reinterpret_cast<const uint32_t*>(p); };
  float* queries = call.scratch;
  float* scores = queries + kTileRows * padded_width;
  float* sums = scores + kTileRows * round_up(call.keys, 2 * kPanelColumns);
  float* inverse = sums + kTileRows * kPanelColumns;

  RowsAhead rows(call);
  const int64_t tiles = divide_up(call.queries, kTileRows);
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t first = tile_begin(tile, tiles, call.queries), height = tile_begin(tile + 1, tiles, call.queries) - first;
    const int64_t seen = call.causal && call.offset + first + height < call.visible ? call.offset + first + height : call.visible;  // by any query of the tile
    for (int64_t r = 0; r < height; ++r) {
      const float* query = call.query + (first + r) * call.query_stride;
      for (int64_t w = 0; w < padded_width; w += kWidth) {
        const int64_t left = call.width - w;
        const Vector x = left > 0 ? load_up_to(query + w, left) : spread(0.0f);
        const int64_t at = (w / line_floats) * height * line_floats + r * line_floats + w % line_floats;
        if constexpr (pairs) {
          store_bf16(reinterpret_cast<uint16_t*>(queries) + at, x);
        } else {
          store(queries + at, x);
        }
      }
    }

    // Scores, tiled like the left operand that they become.
    for (int64_t p = 0; p * kPanelColumns < seen; ++p) {
      int64_t step;
      const float* ahead = rows.take(divide_up(call.width, kPerWord) / 4, &step, keys);
      attention_tile<Dot>(height, words_at(queries), words_at(keys + p * key_words * kPanelColumns), divide_up(call.width, kPerWord),
                          reinterpret_cast<uint32_t*>(scores + p * kPanelColumns * height), kLine, height * kLine, ahead, step);
    }

    exponentials_of_scores<pairs>(call, first, height, seen, scores, inverse);

    for (int64_t p = 0; p < value_panels; ++p) {
      int64_t step;
      const float* ahead = rows.take(divide_up(seen, kPerWord) / 4, &step, keys);
      attention_tile<Dot>(height, words_at(scores), words_at(values + p * value_words * kPanelColumns), divide_up(seen, kPerWord),
                          reinterpret_cast<uint32_t*>(sums), kPanelColumns, kLine, ahead, step);
      for (int64_t r = 0; r < height; ++r) {
        for (int64_t v = 0; v < kPanelColumns; v += kWidth) {
          const int64_t at = p * kPanelColumns + v;
          if (at < call.width) store_up_to(call.output + (first + r) * call.output_stride + at, multiply(load(sums + r * kPanelColumns + v), spread(inverse[r])), call.width - at);
        }
      }
    }
  }
}

static void attention(const AttentionHead& call) {
  attend_tiles<FloatDot, false>(call, call.panels, call.width, call.panels + round_up(call.keys, kPanelColumns) * round_up(call.width, kLine), call.keys);
}
