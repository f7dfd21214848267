// Attention of one head, queries a tile at a time: its scores stay in the first-level cache from the product with the keys to
// the product with the values. Included inside an anonymous namespace, behind product_body.h.

constexpr float kLogTwoOfE = 1.44269504f;

#ifndef CLIPENGINE_STORES_BF16  // dots_avx512.h has the instruction
// Words of two values rounded to bf16, the first in the lower half. A template because sets without pairs_of compile it too, without
// calling it.
template <class V>
static inline V pairs_in_bf16(V first, V second) { return pairs_of(round_to_bf16(first), round_to_bf16(second)); }
#endif

// How many of the last visible keys are multiplied one by one. None where rows' keys are not the same ones: a token's bits must not depend
// on those that are computed beside it.
static inline int64_t lone_keys(const AttentionHead& call) {
#ifdef CLIPENGINE_OWN_TILES
  (void)call;
  return 0;
#else
  const int64_t last = call.visible % kLine;
  return call.causal || call.mask != nullptr || last > kMostLoneKeys ? 0 : last;
#endif
}

static inline int64_t packed_keys(const AttentionHead& call) { return call.shared ? call.keys : call.keys - lone_keys(call); }

// Whether the first tile packs the values while it multiplies by them.
static inline bool packs_values_in_passing(const AttentionHead& call) {
#ifdef CLIPENGINE_OWN_TILES
  (void)call;
  return false;
#else
  return !call.shared && !call.causal && call.width % kPanelColumns == 0;
#endif
}

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

// Columns of a panel that are multiplied where only so many count: all, or the first half.
static inline int64_t used_columns(int64_t columns) {
#ifdef CLIPENGINE_OWN_TILES
  (void)columns;
#else
  if (columns <= kHalfPanelColumns) return kHalfPanelColumns;
#endif
  return kPanelColumns;
}

// Columns of scores that a tile multiplies at once where left are left: a panel's (all or half of them, as above), or, where the last panel is at
// most half full, those of the one before it and of its first half together.
static inline int64_t score_columns(int64_t left) {
#ifndef CLIPENGINE_OWN_TILES
  if (left > kPanelColumns && left <= kPanelColumns + kHalfPanelColumns) return kPanelColumns + kHalfPanelColumns;
#endif
  return used_columns(left);
}

// Keys as panels: word w of panel p is coordinate w of keys p * panel .. p * panel + panel - 1; zeros beyond the last, where they are used.
static inline void pack_keys(const AttentionHead& call, float* panels) {
  float last[kWidth * kWidth];  // keys and coordinates that fill no square
  const int64_t packed = packed_keys(call);
  for (int64_t p = 0; p * kPanelColumns < packed; ++p) {
    float* panel = panels + p * call.width * kPanelColumns;
    for (int64_t k = 0; k < used_columns(packed - p * kPanelColumns); k += kWidth) {
      const int64_t here = packed - p * kPanelColumns - k;
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
  if (!packs_values_in_passing(call)) pack_values(call, call.panels + round_up(call.keys, kPanelColumns) * round_up(call.width, kLine));
}

// What the lanes of one or four vectors come to: the same for a vector beside others and alone.
struct Sum {
  static inline Vector of(Vector a, Vector b) { return add(a, b); }
  static inline float lanes(Vector a) { return sum_of(a); }
};
struct Largest {
  static inline Vector of(Vector a, Vector b) { return maximum(a, b); }
  static inline float lanes(Vector a) { return maximum_of(a); }
};
#ifdef __AVX512F__
// All four at once, in a fifth of the shuffles.
template <class Fold, int count>
static inline void fold_lanes(const Vector (&v)[count], float* to) {
  static_assert(count == 4 || count == 1);
  const Vector &a = v[0], &b = v[1 % count], &c = v[2 % count], &d = v[3 % count];
  const Vector first = Fold::of(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)), second = Fold::of(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  Vector all = Fold::of(_mm512_shuffle_ps(first, second, 0x44), _mm512_shuffle_ps(first, second, 0xee));
  all = Fold::of(all, _mm512_shuffle_f32x4(all, all, 0x4e));
  all = Fold::of(all, _mm512_shuffle_f32x4(all, all, 0xb1));
  if constexpr (count == 4) {
    _mm_storeu_ps(to, _mm512_castps512_ps128(all));
  } else {
    *to = _mm512_cvtss_f32(all);
  }
}
#else
template <class Fold, int count>
static inline void fold_lanes(const Vector (&v)[count], float* to) {
  for (int i = 0; i < count; ++i) to[i] = Fold::lanes(v[i]);
}
#endif

// A shift beyond is rounded by more than its row's sum can take away again: such scores, of masks as low as the smallest number for one,
// are brought down themselves.
constexpr float kLargestShift = 1e6f;

// Rows of a tile in groups: body(count, the first), count a constant.
template <class Body>
static inline void in_groups(int64_t height, const Body& body) {
  constexpr int kTogether = kWidth == kLine ? 4 : 2;  // as many as there are registers for
  int64_t from = 0;
  for (; from + kTogether <= height; from += kTogether) body(Constant<kTogether>(), from);
  for (; from < height; ++from) body(Constant<1>(), from);
}

// Softmax over the scores of a tile, in steps; rows go together, so that their long chains overlap.
template <bool pairs>
class TileSoftmax {
 public:
  TileSoftmax(const AttentionHead& call, int64_t first, int64_t height, int64_t seen, float* scores)
      : call_(call), first_(first), height_(height), seen_(seen), line_(height * kLine), scores_(scores), masked_(call.mask != nullptr), factor_(masked_ ? kLogTwoOfE : call.scale * kLogTwoOfE) {}

  // The tiled scores to exponentials: what a query may not see becomes zero, up to seen keys. lone: words of kLine rows for each of lone_count
  // more keys, likewise. inverse: of each row's sum. pairs: the exponentials are left rounded to bf16, tiled likewise, in the same
  // place, zeros up to whole lines; of the lone keys, pairs of keys.
  void run(float* lone, int64_t lone_count, float* inverse) {
    in_groups(height_, [&](auto count, int64_t from) { this->template find_largest<decltype(count)::value>(from); });
    const Vector factors = spread(factor_);
    for (int64_t i = 0; i < height_; i += kWidth) {
      Vector largest = load(largest_ + i);
      for (int64_t j = 0; j < lone_count; ++j) largest = maximum(load(lone + j * kLine + i), largest);
      store(largest_ + i, largest);
      if (mask_bits(greater(absolute(multiply(largest, factors)), spread(kLargestShift))) != 0) bring_down(i, i + kWidth < height_ ? i + kWidth : height_, lone, lone_count);
      largest = load(largest_ + i);
      // Rounding of the shift is the same for the whole row, and its sum takes it away again. Where no key is seen there is nothing to shift.
      store(shifts_ + i, select(greater(spread(-__FLT_MAX__), largest), spread(0.0f), multiply(largest, spread(-factor_))));
    }
    in_groups(height_, [&](auto count, int64_t from) { this->template exponentials<decltype(count)::value>(from); });
    for (int64_t i = 0; i < height_; i += kWidth) {
      Vector sum = load(sums_ + i);
      for (int64_t j = 0; j < lone_count; ++j) {
        const Vector e = exponential_of_two(multiply_add(load(lone + j * kLine + i), factors, load(shifts_ + i)));
        sum = add(sum, e);
        store(lone + j * kLine + i, e);
      }
#ifdef CLIPENGINE_BF16_PAIRS
      if constexpr (pairs) {
        for (int64_t j = 0; j < lone_count; j += 2) {
          store(lone + j / 2 * kLine + i, pairs_in_bf16(load(lone + j * kLine + i), j + 1 < lone_count ? load(lone + (j + 1) * kLine + i) : spread(0.0f)));
        }
      }
#endif
      // What sees no key becomes zero.
      store(inverse + i, select(greater(spread(__FLT_MIN__), sum), spread(0.0f), divide(spread(1.0f), sum)));
    }
  }

 private:
  float* place(int64_t row, int64_t k) const { return scores_ + row * kLine + k / kLine * line_ + k % kLine; }

  // Keys that a row sees.
  int64_t own(int64_t row) const {
    const int64_t reach = call_.offset + first_ + row + 1;
    return call_.causal && reach < seen_ ? reach : seen_;
  }

  // Hides what a row does not see.
  template <int count>
  void find_largest(int64_t from) {
    if (masked_) {
      for (int r = 0; r < count; ++r) {
        const float* mask = call_.mask + (first_ + from + r) * call_.mask_stride;
        for (int64_t k = 0; k < own(from + r); k += kWidth) {
          float* p = place(from + r, k);
          store(p, multiply_add(load(p), spread(call_.scale), load_up_to(mask + k, own(from + r) - k)));
        }
      }
    }
    Vector best[count];
    for (int r = 0; r < count; ++r) best[r] = spread(-__builtin_inff());
    const int64_t whole = own(from) - kWidth;  // the first row sees the fewest
    int64_t k = 0;
    for (; k <= whole; k += kWidth) {
      const float* p = place(from, k);
      for (int r = 0; r < count; ++r) best[r] = maximum(load(p + r * kLine), best[r]);
    }
    for (; k < seen_; k += kWidth) {
      float* p = place(from, k);
      for (int r = 0; r < count; ++r) {
        const int64_t left = own(from + r) - k;
        const Vector s = minimum(load(p + r * kLine), bounds_of_lanes(left < 0 ? 0 : left < kWidth ? left : kWidth));
        store(p + r * kLine, s);
        best[r] = maximum(s, best[r]);
      }
    }
    fold_lanes<Largest>(best, largest_ + from);
  }

  void bring_down(int64_t from, int64_t to, float* lone, int64_t lone_count) {
    for (int64_t row = from; row < to; ++row) {
      const float largest = largest_[row];
      if (!(__builtin_fabsf(largest * factor_) > kLargestShift && __builtin_fabsf(largest) <= __FLT_MAX__)) continue;
      for (int64_t k = 0; k < seen_; k += kWidth) store(place(row, k), subtract(load(place(row, k)), spread(largest)));
      for (int64_t j = 0; j < lone_count; ++j) lone[j * kLine + row] -= largest;
      largest_[row] = 0.0f;
    }
  }

  template <int count>
  void exponentials(int64_t from) {
    const Vector factors = spread(factor_);
    Vector shift[count], total[count];
    for (int r = 0; r < count; ++r) {
      shift[r] = spread(shifts_[from + r]);
      total[r] = spread(0.0f);
    }
    uint16_t* const halves = reinterpret_cast<uint16_t*>(scores_) + from * 2 * kLine;
    // A line of pairs takes the first of the two lines of floats that it is made of, or one before: behind what is read.
    const auto half_place = [&](int64_t at) { return halves + at / (2 * kLine) * line_ * 2 + at % (2 * kLine); };
    int64_t k = 0;
    for (; k < seen_; k += kWidth) {
      float* p = place(from, k);
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
    fold_lanes<Sum>(total, sums_ + from);
  }

  const AttentionHead& call_;
  int64_t first_, height_, seen_, line_;
  float* scores_;
  bool masked_;
  float factor_;
  float largest_[kMatrixRows] = {}, shifts_[kMatrixRows] = {}, sums_[kMatrixRows] = {};
};

template <bool pairs>
static inline void exponentials_of_scores(const AttentionHead& call, int64_t first, int64_t height, int64_t seen, float* scores, float* inverse, float* lone = nullptr, int64_t lone_count = 0) {
  TileSoftmax<pairs>(call, first, height, seen, scores).run(lone, lone_count, inverse);
}

// A tile of rows times a panel.
struct AttentionTile {
  const uint32_t* a;
  int64_t a_step;           // words from a line of all rows to the next
  int64_t words;
  const uint32_t* tail;     // behind them: words of all rows side by side, kLine from one to the next
  int64_t tail_words;
  uint32_t* tail_panel;     // what the tail is multiplied by; null: the panel goes on
  uint32_t* b;
  int64_t b_step;           // words to the next panel, where its first half is multiplied too
  float* c;
  int64_t row_step, line_step;  // floats
  const float* scales;      // of the rows
  const float* rows;        // where not null, the panel is written from these first
  int64_t rows_step;
  const float* ahead;       // rows that the next head reads, to be fetched
  int64_t ahead_step;       // floats
};

#ifdef CLIPENGINE_OWN_TILES
template <class Dot, bool>
static inline void attention_tile(int64_t height, int64_t, const AttentionTile& call) {
  uint32_t sums[kTileRows * kPanelColumns];
  multiply_tile<Dot>(height, call.a, WholePanel{call.b}, call.words, sums, false, reinterpret_cast<const char*>(call.b), 0, 0);
  for (int64_t r = 0; r < height; ++r) {
    const Vector scale = spread(call.scales[r]);
    for (int64_t v = 0; v < kPanelColumns; v += kWidth) {
      store(call.c + r * call.row_step + v / kLine * call.line_step + v % kLine, multiply(load(reinterpret_cast<const float*>(sums) + r * kPanelColumns + v), scale));
    }
  }
}
#else
// Lines of a row that are fetched for the next head.
constexpr int kLinesAhead = 4;

// What tile_product computes, where the operands lie in the first two caches, for V vectors of a panel, or a panel and half of the next.
// fill: the panel is packed in passing. kLinesAhead lines of a row ahead are asked for every four words.
template <class Dot, int R, int V, bool fill>
static void attention_tile_of(const AttentionTile& call) {
  typename Dot::Sum sum[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sum[r][v] = Dot::zero();
  }
  const uint32_t* a = call.a;
  uint32_t* b = call.b;
  const float* rows = call.rows;
  auto ahead = reinterpret_cast<uintptr_t>(call.ahead);  // the last step leaves the array
  const uintptr_t ahead_step = static_cast<uintptr_t>(call.ahead_step) * sizeof(float);
  const auto step = [&](const uint32_t* from, auto row_step) __attribute__((always_inline)) {
    typename Dot::Right right[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      if constexpr (fill) {
        right[v] = Dot::right(reinterpret_cast<const uint32_t*>(rows) + v * kWidth);
        Dot::store(b + v * kWidth, right[v]);
      } else {
        right[v] = Dot::right(v < kPanelVectors ? b + v * kWidth : b + call.b_step + (v - kPanelVectors) * kWidth);
      }
    }
    if constexpr (fill) rows += call.rows_step;
    b += kPanelColumns;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const typename Dot::Left left = Dot::left(from + r * decltype(row_step)::value);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) sum[r][v] = Dot::step(left, right[v], sum[r][v]);
    }
  };
  int64_t words = call.words;
  for (; words >= kLine; words -= kLine, a += call.a_step) {
#pragma GCC unroll 1
    for (int w = 0; w < kLine; w += 4) {
#pragma GCC unroll 4
      for (int i = 0; i < kLinesAhead; ++i) __builtin_prefetch(reinterpret_cast<const void*>(ahead + static_cast<uintptr_t>(i * kLine) * sizeof(float)), 0, 2);
      ahead += ahead_step;
      step(a + w, Constant<kLine>());
      step(a + w + 1, Constant<kLine>());
      step(a + w + 2, Constant<kLine>());
      step(a + w + 3, Constant<kLine>());
    }
  }
#pragma GCC unroll 1
  for (int64_t w = 0; w < words; ++w) step(a + w, Constant<kLine>());
  if (call.tail_panel != nullptr) b = call.tail_panel;
#pragma GCC unroll 1
  for (int64_t w = 0; w < call.tail_words; ++w) step(call.tail + w * kLine, Constant<1>());
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const Vector scale = spread(call.scales[r]);
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store(call.c + r * call.row_step + v * kWidth / kLine * call.line_step + v * kWidth % kLine, multiply(sum[r][v], scale));
  }
}

template <class Dot, int V, bool fill>
static inline void attention_tile_of_height(int64_t height, const AttentionTile& call) {
#define CLIPENGINE_TILE(R)                                                                                          \
  case R:                                                                                                           \
    if constexpr (R <= (V > kPanelVectors ? kTileRows / 2 : kTileRows)) attention_tile_of<Dot, R, V, fill>(call); \
    break;
  switch (height) { CLIPENGINE_FOR_TILE_HEIGHTS(CLIPENGINE_TILE) }
#undef CLIPENGINE_TILE
}

// Three halves of a panel are multiplied for half of the rows at a time (attention_tile).
static_assert(kTileRows % 2 == 0 && kPanelVectors % 2 == 0);

template <class Dot, bool pairs>
static inline void attention_tile(int64_t height, int64_t columns, const AttentionTile& call) {
  constexpr int kHalf = kPanelVectors / 2;
  if (columns == kPanelColumns) {
    if constexpr (!pairs) {
      if (call.rows != nullptr) return attention_tile_of_height<Dot, kPanelVectors, true>(height, call);
    }
    return attention_tile_of_height<Dot, kPanelVectors, false>(height, call);
  }
  if (columns < kPanelColumns) return attention_tile_of_height<Dot, kHalf, false>(height, call);
  // Three halves, for half of the rows at a time: a half for all would load as much as it multiplies.
  AttentionTile half = call;
  const int64_t upper = height / 2;
  if (upper > 0) attention_tile_of_height<Dot, kPanelVectors + kHalf, false>(upper, half);
  half.a += upper * kLine;
  half.c += upper * call.row_step;
  half.scales += upper;
  half.ahead_step = 0;  // the upper half has asked
  attention_tile_of_height<Dot, kPanelVectors + kHalf, false>(height - upper, half);
}
#endif

// The keys that are in no panel, a line after another; pairs: rounded to bf16.
template <bool pairs>
static inline void take_lone_keys(const AttentionHead& call, int64_t count, int64_t padded_width, float* to) {
  for (int64_t j = 0; j < count; ++j) {
    const float* key = call.key + (call.visible - count + j) * call.key_stride;
    for (int64_t w = 0; w < padded_width; w += kWidth) {
      const Vector x = w < call.width ? load_up_to(key + w, call.width - w) : spread(0.0f);
      if constexpr (pairs) {
        store_bf16(reinterpret_cast<uint16_t*>(to) + j * padded_width + w, x);
      } else {
        store(to + j * padded_width + w, x);
      }
    }
  }
}

// Scores of a key for count rows of a tile.
template <class Dot, bool pairs, int count>
static inline void lone_scores(const float* queries, int64_t line, int64_t words, const float* key, float* scores) {
  Vector sum[count];
  for (int r = 0; r < count; ++r) sum[r] = spread(0.0f);
  for (int64_t w = 0; w < words; w += kLine, queries += line, key += kLine) {
#pragma GCC unroll 4
    for (int64_t v = 0; v < kLine; v += kWidth) {
      for (int r = 0; r < count; ++r) {
        if constexpr (pairs) {
          sum[r] = Dot::step(Dot::right(reinterpret_cast<const uint32_t*>(queries + r * kLine + v)), Dot::right(reinterpret_cast<const uint32_t*>(key + v)), sum[r]);
        } else {
          sum[r] = multiply_add(load(queries + r * kLine + v), load(key + v), sum[r]);
        }
      }
    }
  }
  fold_lanes<Sum>(sum, scores);
}

// Rows of queries to a tile; pairs: rounded to bf16.
template <bool pairs>
static inline void tile_queries(const AttentionHead& call, int64_t first, int64_t height, float* queries) {
  constexpr int64_t kLineFloats = pairs ? 2 * kLine : kLine;
  for (int64_t r = 0; r < height; ++r) {
    const float* query = call.query + (first + r) * call.query_stride;
    float* to = queries + r * kLine;
    for (int64_t at = 0; at < call.width; at += kLineFloats, to += height * kLine) {
      const int64_t left = call.width - at;
#pragma GCC unroll 8
      for (int64_t v = 0; v < kLineFloats; v += kWidth) {
        const Vector x = left - v >= kWidth ? load(query + at + v) : left > v ? load_first(query + at + v, left - v) : spread(0.0f);
        if constexpr (pairs) {
          store_bf16(reinterpret_cast<uint16_t*>(to) + v, x);
        } else {
          store(to + v, x);
        }
      }
    }
  }
}

#ifndef CLIPENGINE_OWN_TILES
// Which rows of the next head a tile asks for: they lie too far apart for the processor to foresee them, and all at once would hold the
// tile's own loads up. Of heads too narrow for kLinesAhead lines, none.
class RowsAhead {
 public:
  explicit RowsAhead(const AttentionHead& call)
      : parts_{{call.next_query, call.queries, call.query_stride}, {call.next_key, call.keys, call.key_stride}, {call.next_value, call.keys, call.value_stride}}, part_(call.width > (kLinesAhead - 1) * kLine ? 0 : 3) {}

  // The first of count rows, a step apart; or one row again and again.
  const float* take(int64_t count, int64_t* step, const float* none) {
    *step = 0;
    for (; count > 0 && part_ < 3; ++part_, row_ = 0) {
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
  int part_;
  int64_t row_ = 0;
};
#endif

// Attention over packed keys and values; pairs: in bf16 (attention_pairs_body.h), where a word is two coordinates or two keys.
template <class Dot, bool pairs>
static inline void attend_tiles(const AttentionHead& call, float* keys, int64_t key_words, float* values, int64_t value_words) {
  constexpr int64_t kPerWord = pairs ? 2 : 1;
  const int64_t padded_width = round_up(call.width, kPerWord * kLine), width_words = divide_up(call.width, kPerWord);
  const auto words_at = [](const float* p) { return reinterpret_cast<const uint32_t*>(p); };
  float* queries = call.scratch;
  float* scores = queries + kTileRows * padded_width;
  float* sums = scores + kTileRows * round_up(call.keys, 2 * kPanelColumns);
  float* inverse = sums + kTileRows * kPanelColumns;
  const int64_t lone_count = lone_keys(call), lone_words = padded_width / kPerWord;
  float* lone = inverse + kTileRows * kLine;
  float* lone_rows = lone + lone_count * kLine;
  take_lone_keys<pairs>(call, lone_count, padded_width, lone_rows);
  // Whole vectors of its rows are read, also of a tile that has fewer.
  for (int64_t i = 0; i < lone_count * kLine; i += kWidth) store(lone + i, spread(0.0f));
  uint32_t tail_panel[kMostLoneKeys / 2 * kPanelColumns];

#ifndef CLIPENGINE_OWN_TILES
  RowsAhead rows(call);
#endif
  const int64_t tiles = divide_up(call.queries, kTileRows);
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t first = tile_begin(tile, tiles, call.queries), height = tile_begin(tile + 1, tiles, call.queries) - first;
    // Keys in panels that any query of the tile sees.
    const int64_t visible = call.visible - lone_count, seen = call.causal && call.offset + first + height < visible ? call.offset + first + height : visible;
    tile_queries<pairs>(call, first, height, queries);
    const auto lone_scores_of = [&](auto count, int64_t from) {
      for (int64_t j = 0; j < lone_count; ++j) lone_scores<Dot, pairs, decltype(count)::value>(queries + from * kLine, height * kLine, lone_words, lone_rows + j * lone_words, lone + j * kLine + from);
    };
    if (lone_count > 0) in_groups(height, lone_scores_of);

    // Scores, tiled like the left operand that they become.
    static constexpr struct Ones {
      float of[kTileRows];
      constexpr Ones() : of() {
        for (float& one : of) one = 1.0f;
      }
    } ones;
    AttentionTile product{};
    product.scales = ones.of;
    for (int64_t p = 0, columns; p * kPanelColumns < seen; p += columns > kPanelColumns ? 2 : 1) {
      columns = score_columns(seen - p * kPanelColumns);
      product.a = words_at(queries);
      product.a_step = height * kLine;
      product.words = width_words;
      product.b = reinterpret_cast<uint32_t*>(keys + p * key_words * kPanelColumns);
      product.b_step = key_words * kPanelColumns;
      product.c = scores + p * kPanelColumns * height;
      product.row_step = kLine;
      product.line_step = height * kLine;
#ifndef CLIPENGINE_OWN_TILES
      product.ahead = rows.take(width_words / kLine * 4, &product.ahead_step, keys);
#endif
      attention_tile<Dot, pairs>(height, columns, product);
    }

    exponentials_of_scores<pairs>(call, first, height, seen, scores, inverse, lone, lone_count);

    product.a = words_at(scores);
    product.words = divide_up(seen, kPerWord);
    product.tail = words_at(lone);
    product.tail_words = divide_up(lone_count, kPerWord);
    // Shared values hold hidden ones too. Where one of them is the other half of the last visible value's pair, that pair is multiplied with a
    // copy in which it is cleared: its exponential is zero, but zero times infinity is not.
    const bool hidden_half = pairs && call.shared && (seen + lone_count) % 2 != 0 && seen + lone_count < call.keys;
    if (hidden_half && lone_count == 0) {
      --product.words;
      const uint32_t* last = words_at(scores) + product.words / kLine * height * kLine + product.words % kLine;
      for (int64_t r = 0; r < height; ++r) __builtin_memcpy(lone + r, last + r * kLine, sizeof *lone);
      product.tail_words = 1;
    }
    product.scales = inverse;
    for (int64_t at = 0; at < call.width; at += kPanelColumns) {
      const int64_t left = call.width - at, columns = used_columns(left);
      float* output = call.output + first * call.output_stride + at;
      const bool whole = left >= columns;
      product.b = reinterpret_cast<uint32_t*>(values + at * value_words);
      if (hidden_half) {
        const int64_t words = product.tail_words * kPanelColumns;
        __builtin_memcpy(tail_panel, product.b + product.words * kPanelColumns, static_cast<size_t>(words) * sizeof *tail_panel);
        for (int64_t i = words - kPanelColumns; i < words; ++i) tail_panel[i] &= 0xffff;
        product.tail_panel = tail_panel;
      }
      product.c = whole ? output : sums;
      product.row_step = whole ? call.output_stride : kPanelColumns;
      product.line_step = kLine;
      product.rows = !pairs && tile == 0 && packs_values_in_passing(call) ? call.value + at : nullptr;
      product.rows_step = call.value_stride;
#ifndef CLIPENGINE_OWN_TILES
      product.ahead = rows.take(product.words / kLine * 4, &product.ahead_step, keys);
#endif
      attention_tile<Dot, pairs>(height, columns, product);
      if (whole) continue;
      for (int64_t r = 0; r < height; ++r) {
        for (int64_t v = 0; v < left; v += kWidth) store_up_to(output + r * call.output_stride + v, load(sums + r * kPanelColumns + v), left - v);
      }
    }
  }
}

static void attention(const AttentionHead& call) {
  attend_tiles<FloatDot, false>(call, call.panels, call.width, call.panels + round_up(call.keys, kPanelColumns) * round_up(call.width, kLine), call.keys);
}
