// Products in bf16 and int8 on tile registers. Included inside an anonymous namespace, behind isa/product_body.h and tiles_hardware.h or
// tiles_emulated.h.
//
// Rows and panels are those of the other instruction sets: sixteen words of the rows of a tile lie side by side, which is what a tile
// register of left operands holds, and sixteen words of half a panel are one of right operands. Only the panels' words are padded to whole
// tile registers.
//
// An element of the sums is one chain over the depth, sixteen words a step, whatever stands beside it: a row gets the same bits in any batch.

static_assert(kPanelColumns == 32, "a panel is two tile registers wide");
constexpr int64_t kRowBytes = 64, kPanelBytes = kPanelColumns * 4;

// Memory that is wanted next: lines of it every step, in passing.
struct Ahead {
  const char* at;
  int64_t lines;
};

static inline void fetch(Ahead& ahead) {
  for (int64_t i = 0; i < ahead.lines; ++i) __builtin_prefetch(ahead.at + i * 64, 0, 2);
  ahead.at += ahead.lines * 64;
}

// Two tiles of rows times a panel: four independent chains hide the unit's latency, and each tile that is loaded serves twice.
// steps: of sixteen words; a_step: words from step to step.
template <bool bytes>
static inline void multiply_two_by_two(const uint32_t* a, int64_t a_step, const uint32_t* b, int64_t b_step, const uint32_t* panel, int64_t steps, uint32_t* c, uint32_t* d, bool accumulate, Ahead ahead) {
  if (accumulate) {
    load_tile<0>(c, kPanelBytes);
    load_tile<1>(c + kHalfPanelColumns, kPanelBytes);
    load_tile<2>(d, kPanelBytes);
    load_tile<3>(d + kHalfPanelColumns, kPanelBytes);
  } else {
    zero_tile<0>();
    zero_tile<1>();
    zero_tile<2>();
    zero_tile<3>();
  }
  for (int64_t s = 0; s < steps; ++s) {
    load_tile<4>(a, kRowBytes);
    load_tile<6>(panel, kPanelBytes);
    multiply_tiles<bytes, 0, 4, 6>();
    load_tile<7>(panel + kHalfPanelColumns, kPanelBytes);
    multiply_tiles<bytes, 1, 4, 7>();
    load_tile<5>(b, kRowBytes);
    multiply_tiles<bytes, 2, 5, 6>();
    multiply_tiles<bytes, 3, 5, 7>();
    fetch(ahead);
    a += a_step;
    b += b_step;
    panel += kLine * kPanelColumns;
  }
  store_tile<0>(c, kPanelBytes);
  store_tile<1>(c + kHalfPanelColumns, kPanelBytes);
  store_tile<2>(d, kPanelBytes);
  store_tile<3>(d + kHalfPanelColumns, kPanelBytes);
}

// One tile of rows times two panels: again four chains, for batches of a few rows and for the tile that is left over. Without other, times
// one panel. to: where the four tiles of sums go, their rows stride bytes apart.
template <bool bytes, bool two>
static inline void multiply_one(const uint32_t* a, int64_t a_step, const uint32_t* panel, const uint32_t* other, int64_t steps, uint32_t* const (&to)[4], int64_t stride, bool accumulate, Ahead ahead, Ahead other_ahead) {
  if (accumulate) {
    load_tile<0>(to[0], stride);
    load_tile<1>(to[1], stride);
    if (two) load_tile<2>(to[2], stride);
    if (two) load_tile<3>(to[3], stride);
  } else {
    zero_tile<0>();
    zero_tile<1>();
    if (two) zero_tile<2>();
    if (two) zero_tile<3>();
  }
  for (int64_t s = 0; s < steps; ++s) {
    load_tile<4>(a, kRowBytes);
    load_tile<6>(panel, kPanelBytes);
    multiply_tiles<bytes, 0, 4, 6>();
    load_tile<7>(panel + kHalfPanelColumns, kPanelBytes);
    multiply_tiles<bytes, 1, 4, 7>();
    if constexpr (two) {
      load_tile<6>(other, kPanelBytes);
      multiply_tiles<bytes, 2, 4, 6>();
      load_tile<7>(other + kHalfPanelColumns, kPanelBytes);
      multiply_tiles<bytes, 3, 4, 7>();
      other += kLine * kPanelColumns;
    }
    fetch(ahead);
    fetch(other_ahead);
    a += a_step;
    panel += kLine * kPanelColumns;
  }
  store_tile<0>(to[0], stride);
  store_tile<1>(to[1], stride);
  if (two) store_tile<2>(to[2], stride);
  if (two) store_tile<3>(to[3], stride);
}

template <bool bytes>
static void product_on_tiles(const Product& call) {
  uint32_t* partial = static_cast<uint32_t*>(call.scratch);
  const int64_t tiles = call.tile_to - call.tile_from, panels = call.panel_to - call.panel_from;
  const int64_t blocks = divide_up(call.depth_words, kDepthBlock), block = round_up(divide_up(call.depth_words, blocks), kLine);
  const int64_t common_height = call.rows / call.tiles, taller = call.rows % call.tiles;
  const int64_t all_panels = divide_up(call.columns, kPanelColumns), pairs = tiles / 2;
  // One shape for all: of a tile that is a row shorter, one row beyond is multiplied too and left behind. Rows have room for it.
  configure_tiles(common_height + (taller > 0 ? 1 : 0));

  const auto first_row = [&](int64_t t) { return (call.tile_from + t) * common_height + (call.tile_from + t < taller ? call.tile_from + t : taller); };
  const auto height_of = [&](int64_t t) { return common_height + (call.tile_from + t < taller ? 1 : 0); };
  // Sums that wait for the next block of the depth have places of their own; else the same four serve again and again.
  const auto sums_of = [&](int64_t t, int64_t p, int64_t place) { return partial + (blocks > 1 ? t * panels + p : place) * kMatrixRows * kPanelColumns; };

  for (int64_t from = 0; from < call.depth_words; from += block) {
    const int64_t rest = call.depth_words - from, words = rest < block ? rest : block, steps = words / kLine;
    const bool accumulate = from > 0, last = from + words >= call.depth_words;
    const auto rows_of = [&](int64_t t) { return static_cast<const uint32_t*>(call.rows_data) + first_row(t) * call.words + from * height_of(t); };
    const auto panel_of = [&](int64_t p) { return static_cast<const uint32_t*>(call.panels) + ((call.panel_from + p) * call.depth_words + from) * kPanelColumns; };
    // Panels come from far away, each once: what is multiplied meanwhile shares the work of fetching the next one.
    const auto ahead_of = [&](int64_t p, int64_t part, int64_t parts) {
      if (call.panel_from + p >= all_panels) return Ahead{static_cast<const char*>(call.panels), 0};
      const int64_t lines = divide_up(words * kPanelColumns * 4 / 64, parts * steps);
      return Ahead{reinterpret_cast<const char*>(panel_of(p)) + part * steps * lines * 64, lines};
    };
    const auto finish = [&](int64_t t, int64_t p, const uint32_t* sums) {
      if (last) finish_any(call, sums, {first_row(t), height_of(t), (call.panel_from + p) * kPanelColumns}, {});
    };
    for (int64_t p = 0; p < panels; p += 2) {
      const int64_t together = panels - p < 2 ? 1 : 2;
      for (int64_t q = p; pairs > 0 && q < p + together; ++q) {
        for (int64_t t = 0; t + 1 < tiles; t += 2) {
          uint32_t *c = sums_of(t, q, 0), *d = sums_of(t + 1, q, 1);
          multiply_two_by_two<bytes>(rows_of(t), height_of(t) * kLine, rows_of(t + 1), height_of(t + 1) * kLine, panel_of(q), steps, c, d, accumulate, ahead_of(q + 1, t / 2, pairs));
          finish(t, q, c);
          finish(t + 1, q, d);
        }
      }
      if (tiles % 2 != 0) {
        const int64_t t = tiles - 1;
        uint32_t *c = sums_of(t, p, 0), *d = sums_of(t, p + 1, 1);
        uint32_t* const to[4] = {c, c + kHalfPanelColumns, d, d + kHalfPanelColumns};
        const Ahead none{static_cast<const char*>(call.panels), 0};
        if (together == 2) {
          multiply_one<bytes, true>(rows_of(t), height_of(t) * kLine, panel_of(p), panel_of(p + 1), steps, to, kPanelBytes, accumulate, pairs > 0 ? none : ahead_of(p + 2, 0, 1), pairs > 0 ? none : ahead_of(p + 3, 0, 1));
          finish(t, p, c);
          finish(t, p + 1, d);
        } else {
          multiply_one<bytes, false>(rows_of(t), height_of(t) * kLine, panel_of(p), nullptr, steps, to, kPanelBytes, accumulate, none, none);
          finish(t, p, c);
        }
      }
    }
  }
}

static void product_of_matrices(const Product& call) {
  switch (call.precision) {
    case Precision::BFloat16: product_on_tiles<false>(call); break;
    case Precision::Int8: product_on_tiles<true>(call); break;
    default: product(call); break;
  }
}

template <bool bytes, int sums, int left, int right>
static inline void multiply_rows() {
  if constexpr (bytes) {
    multiply_signed_by_unsigned<sums, left, right>();
  } else {
    multiply_tiles<false, sums, left, right>();
  }
}

// See Kernels::multiply_tiles.
template <bool bytes, bool two>
static void rows_by_panel(const uint32_t* left, const uint32_t* right, int64_t words, uint32_t* sums) {
  const int64_t row_bytes = words * 4;
  zero_tile<0>();
  zero_tile<1>();
  if (two) zero_tile<2>();
  if (two) zero_tile<3>();
  for (int64_t w = 0; w < words; w += kLine) {
    load_tile<4>(left + w, row_bytes);
    load_tile<6>(right + w * kPanelColumns, kPanelBytes);
    multiply_rows<bytes, 0, 4, 6>();
    load_tile<7>(right + w * kPanelColumns + kHalfPanelColumns, kPanelBytes);
    multiply_rows<bytes, 1, 4, 7>();
    if constexpr (two) {
      load_tile<5>(left + kMatrixRows * words + w, row_bytes);
      multiply_rows<bytes, 2, 5, 6>();
      multiply_rows<bytes, 3, 5, 7>();
    }
  }
  store_tile<0>(sums, kPanelBytes);
  store_tile<1>(sums + kHalfPanelColumns, kPanelBytes);
  if (two) store_tile<2>(sums + kMatrixRows * kPanelColumns, kPanelBytes);
  if (two) store_tile<3>(sums + kMatrixRows * kPanelColumns + kHalfPanelColumns, kPanelBytes);
}

static void multiply_rows_by_panel(bool bytes, const uint32_t* left, const uint32_t* right, int64_t words, int64_t left_rows, uint32_t* sums) {
  configure_tiles(kMatrixRows);
  const bool two = left_rows > kMatrixRows;
  const auto multiply = bytes ? (two ? rows_by_panel<true, true> : rows_by_panel<true, false>) : (two ? rows_by_panel<false, true> : rows_by_panel<false, false>);
  multiply(left, right, words, sums);
}
