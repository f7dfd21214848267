// The matrix product. Included inside an anonymous namespace, behind rows_body.h; the including file defines
// kTileRows, kPanelVectors (vectors of a panel), kBf16Pairs and the Dot types FloatDot, and ByteDot, PairDot where it has them.

#include "cpu/isa/panels.h"

#ifndef CLIPENGINE_OWN_TILES
constexpr int64_t kPanelColumns = kPanelVectors * kWidth;
#endif
constexpr int64_t kHalfPanelColumns = kPanelColumns / 2;
// Words of one pass over the depth: a panel's share of the second-level cache. Sums go on from block to block in the same order
// as without blocks, so the result does not depend on it.
constexpr int64_t kDepthBlock = 1024;

#ifndef CLIPENGINE_OWN_TILES  // dots_neon.h has its own

// c[R][panel] = (accumulate ? c : 0) + a b, every element one chain over the words in ascending order: whatever R is, a row
// gets the same bits. ahead walks over memory that is wanted next, in steps of ahead_step bytes, one or two lines (where the second
// is ahead_pair bytes on) every four words.
// Two prefetches matter: a tile's next line of every row (sixteen words on, all rows change lines at once, and so many misses
// in one step stall the products: 5 to 7 % of the time on Cascade Lake), and the panel kAhead words on, which streams from the
// second-level cache.
template <class Dot, int R, class Panel>
static void tile_product(const uint32_t* a, Panel b, int64_t words, uint32_t* c, bool accumulate, const char* ahead, int64_t ahead_step, int64_t ahead_pair) {
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
      __builtin_prefetch(ahead + ahead_pair, 0, 2);
      ahead += ahead_step;
#pragma GCC unroll 4
      for (int w = 0; w < 4; ++w) {
        __builtin_prefetch(next_lines + w * kLine, 0, 3);
        typename Dot::Right right[kPanelVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kPanelVectors; ++v) {
          right[v] = b.template right<Dot>(w * kPanelColumns + v * kWidth);
          b.fetch((w + kAhead) * kPanelColumns + v * kWidth);
        }
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          const typename Dot::Left left = Dot::left(a + r * kLine + w);
#pragma GCC unroll 4
          for (int v = 0; v < kPanelVectors; ++v) sum[r][v] = Dot::step(left, right[v], sum[r][v]);
        }
      }
      a += 4;
      b.advance(4 * kPanelColumns);
      next_lines += 4 * kLine;
    }
    next_lines += (R - kLine) * kLine;
    a += (R - 1) * kLine;
  }
#pragma GCC unroll 1
  for (int64_t w = 0; w < words; ++w) {
    typename Dot::Right right[kPanelVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) right[v] = b.template right<Dot>(v * kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const typename Dot::Left left = Dot::left(a + r * kLine + w);
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVectors; ++v) sum[r][v] = Dot::step(left, right[v], sum[r][v]);
    }
    b.advance(kPanelColumns);
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) Dot::store(c + r * kPanelColumns + v * kWidth, sum[r][v]);
  }
}

#endif

template <class Dot, class Panel>
static void multiply_tile(int64_t height, const uint32_t* a, Panel b, int64_t words, uint32_t* c, bool accumulate, const char* ahead, int64_t ahead_step, int64_t ahead_pair) {
#define CLIPENGINE_TILE(R)                                                          \
  case R:                                                                           \
    if constexpr (R <= kTileRows) tile_product<Dot, R>(a, b, words, c, accumulate, ahead, ahead_step, ahead_pair); \
    break;
  switch (height) { CLIPENGINE_FOR_TILE_HEIGHTS(CLIPENGINE_TILE) }
#undef CLIPENGINE_TILE
}

// The rows of a tile and the first column of a panel: where sums go.
struct Place {
  int64_t first, height, column;
};

// Bias, activation, scale and residual on a tile of sums, and out. whole: all columns of the panel exist. A row at a time, its
// vectors side by side, so that their long chains overlap. next: where the sums after these go; the memory there is asked for in passing,
// long before it is wanted and a little at a time.
template <Activation kind, bool whole>
static inline void finish_tile(const Product& call, const uint32_t* sums, const Place& place, const Place& next) {
  const int64_t first = place.first, height = place.height, column = place.column;
  const Finish& finish = call.finish;
  const bool bytes = call.precision == Precision::Int8;
  const auto left = [&](int64_t v) { return call.columns - column - v * kWidth; };
  const auto take = [&](const float* p, int64_t v) { return whole ? load(p + v * kWidth) : left(v) > 0 ? load_up_to(p + v * kWidth, left(v)) : spread(0.0f); };
  Vector bias[kPanelVectors];
  for (int64_t v = 0; v < kPanelVectors; ++v) bias[v] = finish.bias != nullptr ? take(finish.bias + column, v) : spread(0.0f);
  // Column arrays are padded to whole panels.
  Vector column_scales[kPanelVectors];
  if (bytes) {
    for (int64_t v = 0; v < kPanelVectors; ++v) column_scales[v] = load(call.column_scales + column + v * kWidth);
  }
  // Row-major, or cache lines of the rows of a tile side by side.
  const bool tiled = finish.output_stride == 0;
  const bool pairs = tiled && finish.output_bf16 && kBf16Pairs;
  const auto output_at = [&](const Place& p) {
    if (!tiled) return finish.output + p.first * finish.output_stride + p.column;
    return finish.output + p.first * finish.output_words + (p.column / (pairs ? 2 * kLine : kLine)) * p.height * kLine;
  };
  float* output = output_at(place);
  uint16_t* halves = reinterpret_cast<uint16_t*>(output) + column % (2 * kLine);
  const int64_t row_step = tiled ? kLine : finish.output_stride, line_step = tiled ? height * kLine : kLine;
  const int64_t lines = pairs ? divide_up(kPanelColumns, 2 * kLine) : divide_up(kPanelColumns, kLine);  // of a row
  // Addresses that are only asked for may lie outside their arrays: numbers, not pointers. Lines behind the last column are left out.
  const int64_t next_left = call.columns - next.column, line_columns = pairs ? 2 * kLine : kLine;
  const uintptr_t next_line_bytes = static_cast<uintptr_t>(tiled ? next.height * kLine : kLine) * 4;
  auto next_output = reinterpret_cast<uintptr_t>(output_at(next));
  const float* residual = finish.residual != nullptr ? finish.residual + first * finish.residual_stride + column : nullptr;
  auto next_residual = reinterpret_cast<uintptr_t>(finish.residual) + static_cast<uintptr_t>(next.first * finish.residual_stride + next.column) * 4;
  const float* multiplier = finish.multiplier != nullptr ? finish.multiplier + first * finish.multiplier_stride + column : nullptr;
  for (int64_t r = 0; r < height; ++r, sums += kPanelColumns, output += row_step) {
    if (r < next.height) {
      for (int64_t line = 0; line < lines && line * line_columns < next_left; ++line) {
        __builtin_prefetch(reinterpret_cast<const void*>(next_output + static_cast<uintptr_t>(line) * next_line_bytes), 1, 3);
      }
      next_output += static_cast<uintptr_t>(row_step) * 4;
    }
    Vector y[kPanelVectors];
    if (bytes) {
      const Vector row_scale = spread(call.row_scales[first + r]);
      for (int64_t v = 0; v < kPanelVectors; ++v) {
        y[v] = load_int32_difference(reinterpret_cast<const int32_t*>(sums) + v * kWidth, call.column_sums + column + v * kWidth);
        y[v] = multiply_add(multiply(y[v], column_scales[v]), row_scale, bias[v]);
      }
    } else {
      for (int64_t v = 0; v < kPanelVectors; ++v) y[v] = add(load(reinterpret_cast<const float*>(sums) + v * kWidth), bias[v]);
    }
    for (int64_t v = 0; v < kPanelVectors; ++v) y[v] = activated<kind>(y[v]);
    if (finish.scale != nullptr) {
      for (int64_t v = 0; v < kPanelVectors; ++v) y[v] = multiply(y[v], take(finish.scale + column, v));
    }
    if (multiplier != nullptr) {
      for (int64_t v = 0; v < kPanelVectors; ++v) y[v] = multiply(y[v], take(multiplier, v));
      multiplier += finish.multiplier_stride;
    }
    if (residual != nullptr) {
      for (int64_t v = 0; v < kPanelVectors; ++v) y[v] = add(y[v], take(residual, v));
      if (r < next.height) {
        for (int64_t line = 0; line < kPanelColumns && line < next_left; line += kLine) {
          __builtin_prefetch(reinterpret_cast<const void*>(next_residual + static_cast<uintptr_t>(line) * 4), 0, 3);
        }
        next_residual += static_cast<uintptr_t>(finish.residual_stride) * 4;
      }
      residual += finish.residual_stride;
    }
    if (pairs) {
      // Whole lines: what a row has behind its last column is read as zeros.
      for (int64_t v = 0; v < kPanelVectors; ++v) {
        if (!whole && left(v) < kWidth) {
          float lanes[kWidth];
          store(lanes, y[v]);
          y[v] = left(v) > 0 ? load_first(lanes, left(v)) : spread(0.0f);
        }
        store_bf16(halves + r * 2 * kLine + v * kWidth, y[v]);
      }
      continue;
    }
    for (int64_t v = 0; v < kPanelVectors; ++v) {
      if (tiled && finish.output_bf16) y[v] = round_to_bf16(y[v]);
      float* out = output + (v * kWidth / kLine) * line_step + v * kWidth % kLine;
      if (whole) {
        store(out, y[v]);
      } else if (left(v) > 0) {
        store_up_to(out, y[v], left(v));
      }
    }
  }
}

static inline void finish_any(const Product& call, const uint32_t* sums, const Place& place, const Place& next) {
  const bool whole = place.column + kPanelColumns <= call.columns;
  with_activation(call.finish.activation, [&](auto kind) {
    if (whole) {
      finish_tile<decltype(kind)::value, true>(call, sums, place, next);
    } else {
      finish_tile<decltype(kind)::value, false>(call, sums, place, next);
    }
  });
}

template <class Dot, class Stored>
static void product_with(const Product& call) {
  uint32_t* partial = static_cast<uint32_t*>(call.scratch);
  const int64_t tiles = call.tile_to - call.tile_from, panels = call.panel_to - call.panel_from;
  const int64_t blocks = divide_up(call.depth_words, kDepthBlock);
  const int64_t block = round_up(divide_up(call.depth_words, blocks > 0 ? blocks : 1), kLine);
  uint32_t* widened = partial + (blocks > 1 ? tiles * panels : 1) * kTileRows * kPanelColumns;
  // tile_begin without its divisions, which cost as much as a few words of a tile.
  const int64_t common_height = call.rows / call.tiles, taller = call.rows % call.tiles;
  const auto place_of = [&](int64_t t, int64_t p) {
    const int64_t tile = call.tile_from + t;
    return Place{tile * common_height + (tile < taller ? tile : taller), common_height + (tile < taller ? 1 : 0), (call.panel_from + p) * kPanelColumns};
  };
  const int64_t all_panels = divide_up(call.columns, kPanelColumns);
  for (int64_t from = 0; from < call.depth_words || from == 0; from += block > 0 ? block : 1) {
    const int64_t rest = call.depth_words - from, words = rest < block ? rest : block;
    const bool last = from + words >= call.depth_words;
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t offset = ((call.panel_from + p) * call.depth_words + from) * kPanelColumns;
      const auto* stored = static_cast<const typename Stored::Word*>(call.panels) + offset;
      const WholePanel whole{Stored::kNarrow ? widened : reinterpret_cast<const uint32_t*>(stored)};
      // The tiles share the work of fetching the next panel; behind the last one there may be no memory, and asking for none is dear.
      const bool more = call.panel_from + p + 1 < all_panels;
      const char* next = reinterpret_cast<const char*>(more ? stored + call.depth_words * kPanelColumns : stored);
      const int64_t next_bytes = words * kPanelColumns * static_cast<int64_t>(sizeof(typename Stored::Word));
      const int64_t steps = (words / kLine) * 4, lines_each = more ? divide_up(next_bytes / 64, tiles) : 0;
      const int64_t pair = lines_each > steps ? 64 : 0;
      const int64_t step = steps > 0 ? divide_up(lines_each, pair > 0 ? 2 * steps : steps) * (64 + pair) : 0;
      for (int64_t t = 0; t < tiles; ++t) {
        const Place place = place_of(t, p);
        const uint32_t* a = static_cast<const uint32_t*>(call.rows_data) + place.first * call.words + from * place.height;
        uint32_t* c = partial + (blocks > 1 ? (t * panels + p) * kTileRows * kPanelColumns : 0);
        const char* ahead = next + t * lines_each * 64;
        if (Stored::kNarrow && t == 0) {
          multiply_tile<Dot>(place.height, a, Stored::panel(stored, widened), words, c, from > 0, ahead, step, pair);
        } else {
          multiply_tile<Dot>(place.height, a, whole, words, c, from > 0, ahead, step, pair);
        }
        // Of wider types a tile takes so long that what is asked for now may be gone again: no gain was seen.
        const bool asks = call.precision == Precision::Int8;
        if (last) finish_any(call, c, place, asks && t + 1 < tiles ? place_of(t + 1, p) : asks && p + 1 < panels ? place_of(0, p + 1) : Place{});
      }
    }
    if (last) break;
  }
}

static void product(const Product& call) {
  switch (call.precision) {
    case Precision::Float32: product_with<FloatDot, WholePanel>(call); break;
    case Precision::Float16: product_with<FloatDot, NarrowPanel<true>>(call); break;
    case Precision::BFloat16:
      if constexpr (kBf16Pairs) {
        product_with<PairDot, WholePanel>(call);
      } else {
        product_with<FloatDot, NarrowPanel<false>>(call);
      }
      break;
    case Precision::Int8: product_with<ByteDot, WholePanel>(call); break;
  }
}
