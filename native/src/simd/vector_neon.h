// One NEON register of floats. Included inside an anonymous namespace: nothing here may be shared between instruction sets.

using Vector = float32x4_t;
constexpr int64_t kWidth = 4;

static inline Vector load(const float* p) { return vld1q_f32(p); }
static inline Vector load_first(const float* p, int64_t count) {
  Vector v = vdupq_n_f32(0.0f);
  if (count > 0) v = vld1q_lane_f32(p, v, 0);
  if (count > 1) v = vld1q_lane_f32(p + 1, v, 1);
  if (count > 2) v = vld1q_lane_f32(p + 2, v, 2);
  return v;
}
// kWidth / 2 floats, each twice.
static inline Vector load_twice(const float* p) {
  const float32x2_t two = vld1_f32(p);
  return vcombine_f32(vdup_lane_f32(two, 0), vdup_lane_f32(two, 1));
}
static inline void store(float* p, Vector v) { vst1q_f32(p, v); }
static inline void store_first(float* p, Vector v, int64_t count) {
  if (count > 0) vst1q_lane_f32(p, v, 0);
  if (count > 1) vst1q_lane_f32(p + 1, v, 1);
  if (count > 2) vst1q_lane_f32(p + 2, v, 2);
}
static inline Vector spread(float x) { return vdupq_n_f32(x); }
static inline Vector add(Vector a, Vector b) { return vaddq_f32(a, b); }
static inline Vector subtract(Vector a, Vector b) { return vsubq_f32(a, b); }
static inline Vector multiply(Vector a, Vector b) { return vmulq_f32(a, b); }
static inline Vector divide(Vector a, Vector b) { return vdivq_f32(a, b); }
static inline Vector reciprocal(Vector a) { return vdivq_f32(vdupq_n_f32(1.0f), a); }
static inline Vector multiply_add(Vector a, Vector b, Vector c) { return vfmaq_f32(c, a, b); }
// Like maxps: the second operand where one is NaN. (FMAX would give the NaN.)
static inline Vector maximum(Vector a, Vector b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
static inline Vector minimum(Vector a, Vector b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
static inline Vector absolute(Vector a) { return vabsq_f32(a); }
static inline Vector round_to_even(Vector a) { return vrndnq_f32(a); }
// n integral in [-254, 254]: two steps, so that results down to the smallest denormal come out right.
static inline Vector times_power_of_two(Vector a, Vector n) {
  const int32x4_t whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1), rest = vsubq_s32(whole, half);
  const int32x4_t bias = vdupq_n_s32(127);
  const Vector one = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23)), two = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23));
  return vmulq_f32(vmulq_f32(a, one), two);
}
static inline float sum_of(Vector a) {
  const float32x2_t two = vadd_f32(vget_low_f32(a), vget_high_f32(a));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
static inline float maximum_of(Vector a) { return vmaxvq_f32(a); }

using Mask = uint32x4_t;
static inline Mask greater(Vector a, Vector b) { return vcgtq_f32(a, b); }
static inline Vector select(Mask mask, Vector yes, Vector no) { return vbslq_f32(mask, yes, no); }
static inline unsigned mask_bits(Mask mask) {
  const uint32x4_t weight = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(mask, weight));
}

static inline Vector widen_bf16(const uint16_t* p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
static inline Vector widen_fp16(const uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }

// Round to nearest even, kept as a float; NaN stays as it is.
static inline Vector round_to_bf16(Vector v) {
  const uint32x4_t bits = vreinterpretq_u32_f32(v);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  const uint32x4_t rounded = vandq_u32(vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff))), vdupq_n_u32(0xffff0000u));
  return vbslq_f32(vceqq_f32(v, v), vreinterpretq_f32_u32(rounded), v);
}

// The upper halves of floats that are rounded to bf16: four words of one row's pairs make two.
static inline void store_upper_halves(uint16_t* p, Vector v) { vst1_u16(p, vshrn_n_u32(vreinterpretq_u32_f32(v), 16)); }

// 64 floats, scaled to [-127, 127] and rounded, to bytes: a cache line. SDOT and SMMLA take signed bytes, so nothing is added to
// them here, and load_int32_difference has nothing to take away.
static inline void store_offset_bytes(uint8_t* p, const float* floats, Vector scale) {
#pragma GCC unroll 4
  for (int line = 0; line < 4; ++line, p += 16, floats += 16) {
    int32x4_t whole[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) whole[i] = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(floats + 4 * i), scale));
    const int16x8_t low = vqmovn_high_s32(vqmovn_s32(whole[0]), whole[1]), high = vqmovn_high_s32(vqmovn_s32(whole[2]), whole[3]);
    vst1q_s8(reinterpret_cast<int8_t*>(p), vqmovn_high_s16(vqmovn_s16(low), high));
  }
}
static inline Vector load_int32_difference(const int32_t* p, const int32_t*) { return vcvtq_f32_s32(vld1q_s32(p)); }

// Rows become columns.
static inline void transpose(Vector (&r)[4]) {
  const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(r[0], r[1])), b = vreinterpretq_f64_f32(vtrn2q_f32(r[0], r[1]));
  const float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(r[2], r[3])), d = vreinterpretq_f64_f32(vtrn2q_f32(r[2], r[3]));
  r[0] = vreinterpretq_f32_f64(vzip1q_f64(a, c));
  r[1] = vreinterpretq_f32_f64(vzip1q_f64(b, d));
  r[2] = vreinterpretq_f32_f64(vzip2q_f64(a, c));
  r[3] = vreinterpretq_f32_f64(vzip2q_f64(b, d));
}

#include "simd/vector_body.h"
