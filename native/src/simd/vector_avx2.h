// One AVX2 register of floats. Included inside an anonymous namespace: nothing here may be shared between instruction sets.

using Vector = __m256;
constexpr int64_t kWidth = 8;

static inline __m256i first_lanes(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline Vector load(const float* p) { return _mm256_loadu_ps(p); }
static inline Vector load_first(const float* p, int64_t count) { return _mm256_maskload_ps(p, first_lanes(count)); }
// kWidth / 2 floats, each twice.
static inline Vector load_twice(const float* p) {
  return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
}
static inline void store(float* p, Vector v) { _mm256_storeu_ps(p, v); }
static inline void store_first(float* p, Vector v, int64_t count) { _mm256_maskstore_ps(p, first_lanes(count), v); }
static inline Vector spread(float x) { return _mm256_set1_ps(x); }
static inline Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
static inline Vector subtract(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
static inline Vector multiply(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
static inline Vector divide(Vector a, Vector b) { return _mm256_div_ps(a, b); }
static inline Vector reciprocal(Vector a) { return _mm256_div_ps(_mm256_set1_ps(1.0f), a); }
static inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
// Like maxps: the second operand where one is NaN.
static inline Vector maximum(Vector a, Vector b) { return _mm256_max_ps(a, b); }
static inline Vector minimum(Vector a, Vector b) { return _mm256_min_ps(a, b); }
static inline Vector absolute(Vector a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline Vector round_to_even(Vector a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
// n integral in [-254, 254]: two steps, so that results down to the smallest denormal come out right.
static inline Vector times_power_of_two(Vector a, Vector n) {
  const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1), rest = _mm256_sub_epi32(whole, half);
  const __m256 one = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, _mm256_set1_epi32(127)), 23));
  const __m256 two = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, _mm256_set1_epi32(127)), 23));
  return _mm256_mul_ps(_mm256_mul_ps(a, one), two);
}
static inline float sum_of(Vector a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
static inline float maximum_of(Vector a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

using Mask = __m256;
static inline Mask greater(Vector a, Vector b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
static inline Vector select(Mask mask, Vector yes, Vector no) { return _mm256_blendv_ps(no, yes, mask); }
static inline unsigned mask_bits(Mask mask) { return static_cast<unsigned>(_mm256_movemask_ps(mask)); }

static inline Vector widen_bf16(const uint16_t* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
}
static inline Vector widen_fp16(const uint16_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }

// Round to nearest even, kept as a float; NaN stays as it is.
static inline Vector round_to_bf16(Vector v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_and_si256(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), _mm256_set1_epi32(static_cast<int>(0xffff0000u)));
  return _mm256_blendv_ps(_mm256_castsi256_ps(rounded), v, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}

static inline void store_upper_halves(uint16_t*, Vector) {}  // this set has no pairs

// 64 floats, scaled to [-127, 127] and rounded, to offset bytes (1 .. 255): a cache line.
static inline void store_offset_bytes(uint8_t* p, const float* floats, Vector scale) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half, p += 32, floats += 32) {
    __m256i whole[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) whole[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(floats + 8 * i), scale));
    // Packing works within lanes of 128 bits and leaves the words in the order 0, 4, 1, ...
    const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(whole[0], whole[1]), _mm256_packs_epi32(whole[2], whole[3]));
    const __m256i ordered = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_xor_si256(ordered, _mm256_set1_epi8(static_cast<char>(0x80))));
  }
}
static inline Vector load_int32_difference(const int32_t* p, const int32_t* q) {
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q))));
}

// Rows become columns: 4 x 4 floats within lanes of 128 bits, then the lanes.
static inline void transpose(Vector (&r)[8]) {
  __m256 t[8];
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    const __m256 a = _mm256_unpacklo_ps(r[i], r[i + 1]), b = _mm256_unpackhi_ps(r[i], r[i + 1]);
    const __m256 c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
    t[i] = _mm256_shuffle_ps(a, c, 0x44);
    t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
    t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
    t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
  }
}

#include "simd/vector_body.h"
