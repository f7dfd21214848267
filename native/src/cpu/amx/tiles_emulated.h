// The tile registers in software, to the bit: the same kernels run where the processor has none. Included inside an anonymous namespace in
// place of tiles_hardware.h, behind the vectors and ByteDot. What the processor answers with an invalid-instruction fault ends the process
// here too: tiles that are used before they are configured, and products of tiles whose shapes do not fit.
//
// TDPBF16PS, found by experiment on an Emerald Rapids (all of 1,024,000 random elements over 20 binades): for each element of the sums two
// chains of fused multiply-adds, each from zero and in ascending order, over the first and over the second values of the pairs; their sum is
// added to the element. Each step rounds to nearest even; subnormal operands count as zeros, and subnormal results become zeros.
// TDPBUSD and TDPBSUD are sums modulo 2^32.

struct EmulatedTile {
  alignas(64) uint32_t words[16][16];
  int64_t rows, row_bytes;
};
static thread_local EmulatedTile emulated_tiles[8];
static thread_local int64_t configured_rows = 0;

static inline void configure_tiles(int64_t rows) {
  if (configured_rows == rows) return;
  if (rows < 1 || rows > 16) __builtin_trap();
  for (int tile = 0; tile < 8; ++tile) {
    EmulatedTile& made = emulated_tiles[tile];
    __builtin_memset(made.words, 0, sizeof made.words);
    made.rows = tile < 6 ? rows : 16;
    made.row_bytes = 64;
  }
  configured_rows = rows;
}

static void release_tiles() {
  if (configured_rows == 0) return;
  for (EmulatedTile& tile : emulated_tiles) tile.rows = tile.row_bytes = 0;
  configured_rows = 0;
}

template <int tile>
static inline EmulatedTile& configured_tile() {
  if (emulated_tiles[tile].rows == 0) __builtin_trap();
  return emulated_tiles[tile];
}

template <int tile>
static inline void zero_tile() {
  __builtin_memset(configured_tile<tile>().words, 0, sizeof emulated_tiles[tile].words);
}
template <int tile>
static inline void load_tile(const void* from, int64_t stride) {
  EmulatedTile& to = configured_tile<tile>();
  for (int64_t r = 0; r < to.rows; ++r) __builtin_memcpy(to.words[r], static_cast<const char*>(from) + r * stride, 64);
}
template <int tile>
static inline void store_tile(void* to, int64_t stride) {
  const EmulatedTile& from = configured_tile<tile>();
  for (int64_t r = 0; r < from.rows; ++r) __builtin_memcpy(static_cast<char*>(to) + r * stride, from.words[r], 64);
}

#ifdef __AVX512F__

// MXCSR: all exceptions masked, to nearest even, denormal operands and results are zeros (DAZ, FTZ).
static constexpr unsigned kFlushing = 0x9fc0;

static inline __m512 first_of_pairs(__m512i pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
static inline __m512 second_of_pairs(__m512i pairs) { return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000u)))); }

// Four rows at a time, whose chains overlap. Not inlined: the compiler must not move arithmetic over the change of MXCSR.
__attribute__((noinline)) static void multiply_pairs_flushing(EmulatedTile& sums, const EmulatedTile& left, const EmulatedTile& right) {
  for (int64_t r = 0; r < sums.rows; r += 4) {
    __m512 first[4], second[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) first[i] = second[i] = _mm512_setzero_ps();
    for (int64_t k = 0; k < right.rows; ++k) {
      const __m512i pairs = _mm512_load_si512(right.words[k]);
      const __m512 b = first_of_pairs(pairs), d = second_of_pairs(pairs);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {  // behind the last row is the tile's own memory
        const __m512i a = _mm512_set1_epi32(static_cast<int>(left.words[r + i][k]));
        first[i] = _mm512_fmadd_ps(first_of_pairs(a), b, first[i]);
        second[i] = _mm512_fmadd_ps(second_of_pairs(a), d, second[i]);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      _mm512_store_ps(sums.words[r + i], _mm512_add_ps(_mm512_load_ps(sums.words[r + i]), _mm512_add_ps(first[i], second[i])));
    }
  }
}

static inline void emulate_pairs(EmulatedTile& sums, const EmulatedTile& left, const EmulatedTile& right) {
  const unsigned before = _mm_getcsr();
  _mm_setcsr(kFlushing);
  multiply_pairs_flushing(sums, left, right);
  _mm_setcsr(before);
}

#else

static inline double value_of_bits(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return __builtin_fabsf(value) < 0x1p-126f ? __builtin_copysign(0.0, static_cast<double>(value)) : static_cast<double>(value);
}

// To the nearest fp32; below its normal numbers zero. Doubles hold the products of bf16 exactly, and rounding their sum with an fp32 twice, to
// 53 and to 24 bits, gives what rounding it once does, because 53 >= 2 * 24 + 2 (Figueroa, When is double rounding innocuous?, 1995). Small
// numbers are rounded far above the denormals: whether a result is tiny is decided behind the rounding, as the processor does.
static inline double rounded_to_float(double exact) {
  if (!(__builtin_fabs(exact) < 0x1p-100)) return static_cast<double>(static_cast<float>(exact));
  const double scaled = static_cast<double>(static_cast<float>(exact * 0x1p60));
  return __builtin_fabs(scaled) < 0x1p-66 ? __builtin_copysign(0.0, exact) : scaled * 0x1p-60;
}

static inline void emulate_pairs(EmulatedTile& sums, const EmulatedTile& left, const EmulatedTile& right) {
  for (int64_t r = 0; r < sums.rows; ++r) {
    double first[16] = {}, second[16] = {};
    for (int64_t k = 0; k < right.rows; ++k) {
      const double a = value_of_bits(left.words[r][k] << 16), c = value_of_bits(left.words[r][k] & 0xffff0000u);
      for (int64_t column = 0; column < 16; ++column) {
        const uint32_t pair = right.words[k][column];
        first[column] = rounded_to_float(a * value_of_bits(pair << 16) + first[column]);
        second[column] = rounded_to_float(c * value_of_bits(pair & 0xffff0000u) + second[column]);
      }
    }
    for (int64_t column = 0; column < 16; ++column) {
      const double both = rounded_to_float(first[column] + second[column]);
      const float sum = static_cast<float>(rounded_to_float(value_of_bits(sums.words[r][column]) + both));
      __builtin_memcpy(&sums.words[r][column], &sum, sizeof sum);
    }
  }
}

#endif

static inline void emulate_bytes(EmulatedTile& sums, const EmulatedTile& left, const EmulatedTile& right) {
  constexpr int64_t kLanes = sizeof(ByteDot::Sum) / 4;
  for (int64_t r = 0; r < sums.rows; ++r) {
    for (int64_t column = 0; column < 16; column += kLanes) {
      ByteDot::Sum sum = ByteDot::load(&sums.words[r][column]);
      for (int64_t k = 0; k < right.rows; ++k) sum = ByteDot::step(ByteDot::left(&left.words[r][k]), ByteDot::right(&right.words[k][column]), sum);
      ByteDot::store(&sums.words[r][column], sum);
    }
  }
}

static inline void emulate_signed_by_unsigned(EmulatedTile& sums, const EmulatedTile& left, const EmulatedTile& right) {
  for (int64_t r = 0; r < sums.rows; ++r) {
    for (int64_t k = 0; k < right.rows; ++k) {
      for (int byte = 0; byte < 32; byte += 8) {
        const int32_t factor = static_cast<int8_t>(left.words[r][k] >> byte);
        for (int64_t column = 0; column < 16; ++column) sums.words[r][column] += static_cast<uint32_t>(factor * static_cast<int32_t>(right.words[k][column] >> byte & 0xff));
      }
    }
  }
}

template <int sums, int left, int right>
static inline void require_shapes() {
  const EmulatedTile &c = configured_tile<sums>(), &a = configured_tile<left>(), &b = configured_tile<right>();
  if (a.rows != c.rows || b.rows * 4 != a.row_bytes || b.row_bytes != c.row_bytes) __builtin_trap();
}

template <bool bytes, int sums, int left, int right>
static inline void multiply_tiles() {
  require_shapes<sums, left, right>();
  if constexpr (bytes) {
    emulate_bytes(emulated_tiles[sums], emulated_tiles[left], emulated_tiles[right]);
  } else {
    emulate_pairs(emulated_tiles[sums], emulated_tiles[left], emulated_tiles[right]);
  }
}
template <int sums, int left, int right>
static inline void multiply_signed_by_unsigned() {
  require_shapes<sums, left, right>();
  emulate_signed_by_unsigned(emulated_tiles[sums], emulated_tiles[left], emulated_tiles[right]);
}
