// The matrix product. Included inside an anonymous namespace, behind rows_body.h; the including file defines
// kTileRows, kPanelVectors (vectors of a panel), kBf16Pairs and the Dot types FloatDot, and ByteDot, PairDot where it has them.

constexpr int64_t kPanelColumns = kPanelVectors * kWidth;
// Words of one pass over the depth: a panel's share of the second-level cache. Sums go on from block to block in the same order
// as without blocks, so the result does not depend on it.
constexpr int64_t kDepthBlock = 1024;

// c[R][panel] = (accumulate ? c : 0) + a b, every element one chain over the words in ascending order: whatever R is, a row
// gets the same bits. ahead walks over memory that is wanted next.
// Two prefetches matter: a tile's next line of every row (sixteen words on, all rows change lines at once, and so many misses
// in one step stall the products: 5 to 7 % of the time on Cascade Lake), and the panel kAhead words on, which streams from the
// second-level cache.
template <class Dot, int R>
static void tile_product(const uint32_t* a, const uint32_t* b, int64_t words, uint32_t* c, bool accumulate, const char* ahead, int64_t ahead_step) {
  typename Dot::Sum sum[R][kPanelVectors];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) sum[r][v] = accumulate ? Dot::load(c + r * kPanelColumns + v * kWidth) : Dot::zero();
  }
  const uint32_t* next_lines = a + R * kLine;
  for (; words >= kLine; words -= kLine) {
#pragma GCC unroll 1
    for (int quarter = 0; quarter < 4; ++quarter) {
      __builtin_prefetch(ahead, 0, 2);
      ahead += ahead_step;
#pragma GCC unroll 4
      for (int w = 0; w < 4; ++w) {
        __builtin_prefetch(next_lines + w * kLine, 0, 3);
        typename Dot::Right right[kPanelVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kPanelVectors; ++v) {
          right[v] = Dot::right(b + w * kPanelColumns + v * kWidth);
          __builtin_prefetch(b + (w + kAhead) * kPanelColumns + v * kWidth, 0, 3);
        }
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          const typename Dot::Left left = Dot::left(a + r * kLine + w);
#pragma GCC unroll 4
          for (int v = 0; v < kPanelVectors; ++v) sum[r][v] = Dot::step(left, right[v], sum[r][v]);
        }
      }
      a += 4;
      b += 4 * kPanelColumns;
      next_lines += 4 * kLine;
    }
    next_lines += (R - kLine) * kLine;
    a += (R - 1) * kLine;
  }
#pragma GCC unroll 1
  for (int64_t w = 0; w < words; ++w) {
    typename Dot::Right right[kPanelVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) right[v] = Dot::right(b + v * kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const typename Dot::Left left = Dot::left(a + r * kLine + w);
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVectors; ++v) sum[r][v] = Dot::step(left, right[v], sum[r][v]);
    }
    b += kPanelColumns;
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) Dot::store(c + r * kPanelColumns + v * kWidth, sum[r][v]);
  }
}

template <class Dot>
static void multiply_tile(int64_t height, const uint32_t* a, const uint32_t* b, int64_t words, uint32_t* c, bool accumulate, const char* ahead, int64_t ahead_step) {
#define CLIPENGINE_TILE(R)                                                          \
  case R:                                                                           \
    if constexpr (R <= kTileRows) tile_product<Dot, R>(a, b, words, c, accumulate, ahead, ahead_step); \
    break;
  switch (height) {
    CLIPENGINE_TILE(1)
    CLIPENGINE_TILE(2)
    CLIPENGINE_TILE(3)
    CLIPENGINE_TILE(4)
    CLIPENGINE_TILE(5)
    CLIPENGINE_TILE(6)
    CLIPENGINE_TILE(7)
    CLIPENGINE_TILE(8)
    CLIPENGINE_TILE(9)
    CLIPENGINE_TILE(10)
    CLIPENGINE_TILE(11)
    CLIPENGINE_TILE(12)
    CLIPENGINE_TILE(13)
    CLIPENGINE_TILE(14)
  }
#undef CLIPENGINE_TILE
}

// Bias, activation, scale and residual on a tile of sums, and out.
template <Activation kind>
static inline void finish_tile(const Product& call, const uint32_t* sums, int64_t first, int64_t height, int64_t column) {
  const Finish& finish = call.finish;
  const bool bytes = call.precision == Precision::Int8;
  for (int64_t v = 0; v < kPanelVectors; ++v) {
    const int64_t at = column + v * kWidth, left = call.columns - at;
    if (left <= 0) break;
    const Vector bias = finish.bias != nullptr ? load_up_to(finish.bias + at, left) : spread(0.0f);
    for (int64_t r = 0; r < height; ++r) {
      const uint32_t* word = sums + r * kPanelColumns + v * kWidth;
      Vector y;
      if (bytes) {
        // Column arrays are padded to whole panels.
        y = load_int32_difference(reinterpret_cast<const int32_t*>(word), call.column_sums + at);
        y = multiply(multiply(y, load(call.column_scales + at)), spread(call.row_scales[first + r]));
      } else {
        y = load(reinterpret_cast<const float*>(word));
      }
      if (finish.bias != nullptr) y = add(y, bias);
      y = activated<kind>(y);
      if (finish.scale != nullptr) y = multiply(y, load_up_to(finish.scale + at, left));
      if (finish.residual != nullptr) y = add(y, load_up_to(finish.residual + (first + r) * finish.residual_stride + at, left));
      if (finish.output_stride != 0) {
        store_up_to(finish.output + (first + r) * finish.output_stride + at, y, left);
      } else {
        store_up_to(finish.output + first * finish.output_words + (at / kLine) * height * kLine + r * kLine + at % kLine, y, left);
      }
    }
  }
}

static inline void finish_any(const Product& call, const uint32_t* sums, int64_t first, int64_t height, int64_t column) {
  with_activation(call.finish.activation, [&](auto kind) { finish_tile<decltype(kind)::value>(call, sums, first, height, column); });
}

// Widens 16-bit panel words to floats.
static inline void widen(const uint16_t* from, uint32_t* to, int64_t count, bool half) {
  float* out = reinterpret_cast<float*>(to);
  for (int64_t i = 0; i < count; i += kWidth) store(out + i, half ? widen_fp16(from + i) : widen_bf16(from + i));
}

template <class Dot>
static void product_with(const Product& call, bool narrow) {
  uint32_t* partial = static_cast<uint32_t*>(call.scratch);
  const int64_t tiles = call.tile_to - call.tile_from, panels = call.panel_to - call.panel_from;
  const int64_t blocks = divide_up(call.depth_words, kDepthBlock);
  const int64_t block = round_up(divide_up(call.depth_words, blocks > 0 ? blocks : 1), kLine);
  uint32_t* widened = partial + (blocks > 1 ? tiles * panels : 1) * kTileRows * kPanelColumns;
  for (int64_t from = 0; from < call.depth_words || from == 0; from += block > 0 ? block : 1) {
    const int64_t rest = call.depth_words - from, words = rest < block ? rest : block;
    const bool last = from + words >= call.depth_words;
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t offset = ((call.panel_from + p) * call.depth_words + from) * kPanelColumns;
      const uint32_t* b;
      const char* next;
      int64_t next_bytes;
      if (narrow) {
        const uint16_t* stored = static_cast<const uint16_t*>(call.panels) + offset;
        widen(stored, widened, words * kPanelColumns, call.precision == Precision::Float16);
        b = widened;
        next = reinterpret_cast<const char*>(stored + call.depth_words * kPanelColumns);
        next_bytes = words * kPanelColumns * 2;
      } else {
        b = static_cast<const uint32_t*>(call.panels) + offset;
        next = reinterpret_cast<const char*>(b + call.depth_words * kPanelColumns);
        next_bytes = words * kPanelColumns * 4;
      }
      // The tiles share the work of fetching the next panel: each touches as many of its lines as its quarters allow.
      const int64_t steps = (words / kLine) * 4;
      const int64_t lines_each = divide_up(next_bytes / 64, tiles);
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t tile = call.tile_from + t;
        const int64_t first = tile_begin(tile, call.tiles, call.rows), height = tile_begin(tile + 1, call.tiles, call.rows) - first;
        const uint32_t* a = static_cast<const uint32_t*>(call.rows_data) + first * call.words + from * height;
        uint32_t* c = partial + (blocks > 1 ? (t * panels + p) * kTileRows * kPanelColumns : 0);
        const int64_t stride = steps > 0 ? divide_up(lines_each, steps) * 64 : 0;
        multiply_tile<Dot>(height, a, b, words, c, from > 0, next + t * lines_each * 64, stride);
        if (last) finish_any(call, c, first, height, (call.panel_from + p) * kPanelColumns);
      }
    }
    if (last) break;
  }
}

static void product(const Product& call) {
  switch (call.precision) {
    case Precision::Float32: product_with<FloatDot>(call, false); break;
    case Precision::Float16: product_with<FloatDot>(call, true); break;
    case Precision::BFloat16: product_with<PairDot>(call, !kBf16Pairs); break;
    case Precision::Int8: product_with<ByteDot>(call, false); break;
  }
}
