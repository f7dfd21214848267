// One AVX-512 register of floats. Included inside an anonymous namespace: nothing here may be shared between instruction sets.

using Vector = __m512;
constexpr int64_t kWidth = 16;

static inline __mmask16 first_lanes(int64_t count) { return static_cast<__mmask16>((1u << count) - 1u); }
static inline Vector load(const float* p) { return _mm512_loadu_ps(p); }
static inline Vector load_first(const float* p, int64_t count) { return _mm512_maskz_loadu_ps(first_lanes(count), p); }
// kWidth / 2 floats, each twice.
static inline Vector load_twice(const float* p) {
  const __m512i order = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  return _mm512_permutexvar_ps(order, _mm512_castps256_ps512(_mm256_loadu_ps(p)));
}
static inline void store(float* p, Vector v) { _mm512_storeu_ps(p, v); }
static inline void store_first(float* p, Vector v, int64_t count) { _mm512_mask_storeu_ps(p, first_lanes(count), v); }
static inline Vector spread(float x) { return _mm512_set1_ps(x); }
static inline Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
static inline Vector subtract(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
static inline Vector multiply(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
static inline Vector divide(Vector a, Vector b) { return _mm512_div_ps(a, b); }
// 1 / a for normal a and result, to about one unit in the last place: an estimate of 14 bits and one step of Newton's, a quarter of
// the time of a division.
static inline Vector reciprocal(Vector a) {
  const Vector estimate = _mm512_rcp14_ps(a);
  return _mm512_fmadd_ps(estimate, _mm512_fnmadd_ps(a, estimate, _mm512_set1_ps(1.0f)), estimate);
}
static inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
// Like maxps: the second operand where one is NaN.
static inline Vector maximum(Vector a, Vector b) { return _mm512_max_ps(a, b); }
static inline Vector minimum(Vector a, Vector b) { return _mm512_min_ps(a, b); }
static inline Vector absolute(Vector a) { return _mm512_abs_ps(a); }
static inline Vector round_to_even(Vector a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline Vector times_power_of_two(Vector a, Vector n) { return _mm512_scalef_ps(a, n); }
static inline float sum_of(Vector a) { return _mm512_reduce_add_ps(a); }
static inline float maximum_of(Vector a) { return _mm512_reduce_max_ps(a); }

// The elements of a table of sixteen that the lowest four bits of each lane name.
#define CLIPENGINE_LOOKS_UP
static inline Vector look_up(const float* table, Vector bits) { return _mm512_permutexvar_ps(_mm512_castps_si512(bits), _mm512_loadu_ps(table)); }

using Mask = __mmask16;
static inline Mask greater(Vector a, Vector b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
static inline Vector select(Mask mask, Vector yes, Vector no) { return _mm512_mask_blend_ps(mask, no, yes); }
static inline unsigned mask_bits(Mask mask) { return mask; }

static inline Vector widen_bf16(const uint16_t* p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
}
static inline Vector widen_fp16(const uint16_t* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }

// Round to nearest even, kept as a float. NaN stays NaN: adding to its payload cannot clear the upper bits of a quiet one.
static inline Vector round_to_bf16(Vector v) {
  const __m512i bits = _mm512_castps_si512(v), below_half = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
  const __m512i raised = _mm512_mask_add_epi32(below_half, _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000)), below_half, _mm512_set1_epi32(1));
  return _mm512_castsi512_ps(_mm512_mask_and_epi32(bits, _mm512_cmp_ps_mask(v, v, _CMP_ORD_Q), raised, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}

// The upper halves of the words, where values rounded to bf16 are.
static inline void store_upper_halves(uint16_t* p, Vector v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(v), 16)));
}

// Words of two values rounded to bf16, the first in the lower half.
static inline Vector pairs_of(Vector first, Vector second) {
  const __m512i upper = _mm512_and_si512(_mm512_castps_si512(second), _mm512_set1_epi32(static_cast<int>(0xffff0000u)));
  return _mm512_castsi512_ps(_mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(first), 16), upper));
}

// 64 floats, scaled to [-127, 127] and rounded, to offset bytes (1 .. 255): a cache line.
static inline void store_offset_bytes(uint8_t* p, const float* floats, Vector scale) {
  __m512i whole[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) whole[i] = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(floats + 16 * i), scale));
  // Packing works within lanes of 128 bits and leaves the words in the order 0, 4, 8, 12, 1, ...
  const __m512i bytes = _mm512_packs_epi16(_mm512_packs_epi32(whole[0], whole[1]), _mm512_packs_epi32(whole[2], whole[3]));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm512_storeu_si512(p, _mm512_xor_si512(_mm512_permutexvar_epi32(order, bytes), _mm512_set1_epi8(static_cast<char>(0x80))));
}
static inline Vector load_int32_difference(const int32_t* p, const int32_t* q) {
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_loadu_si512(p), _mm512_loadu_si512(q)));
}

// Rows become columns: 4 x 4 floats within lanes of 128 bits, then 4 x 4 of those lanes.
static inline void transpose(Vector (&r)[16]) {
  __m512 t[16];
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const __m512 a = _mm512_unpacklo_ps(r[i], r[i + 1]), b = _mm512_unpackhi_ps(r[i], r[i + 1]);
    const __m512 c = _mm512_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
    t[i] = _mm512_shuffle_ps(a, c, 0x44);
    t[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
    t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
    t[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512 a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88), b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
    const __m512 c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88), d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
    r[i] = _mm512_shuffle_f32x4(a, c, 0x88);
    r[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
    r[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
    r[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
  }
}

#include "simd/vector_body.h"
