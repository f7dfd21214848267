// What only the probe sweep needs of NEON, on vector_neon.h. Included behind it; sweep_body.h says what is what.

constexpr int kColumnStep = 4;
constexpr int kSteps = 3;  // 12 columns by 2 vectors: 24 sums, 2 rows and 3 of prompts in 32 registers
constexpr int kDotColumns = 8;

static inline Vector fraction(Vector x) { return vsubq_f32(x, vrndmq_f32(x)); }
static inline Vector times_power(Vector y, Vector x) {
  const Vector lowest = spread(-126.0f);
  const int32x4_t whole = vcvtmq_s32_f32(vmaxq_f32(x, lowest));  // FMAX: no NaN comes here
  const Vector power = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(whole, vdupq_n_s32(127)), 23));
  return select(greater(lowest, x), spread(0.0f), multiply(y, power));
}
static inline Vector narrow_doubles(const uint8_t* p) { return vcvt_high_f32_f64(vcvt_f32_f64(vreinterpretq_f64_u8(vld1q_u8(p))), vreinterpretq_f64_u8(vld1q_u8(p + 16))); }

struct DoubleVector { float64x2_t low, high; };
static inline DoubleVector to_doubles(const float* p) {
  const Vector x = load(p);
  return {vcvt_f64_f32(vget_low_f32(x)), vcvt_high_f64_f32(x)};
}
static inline DoubleVector multiply_add(DoubleVector a, DoubleVector b, DoubleVector c) { return {vfmaq_f64(c.low, a.low, b.low), vfmaq_f64(c.high, a.high, b.high)}; }
static inline double sum_of(DoubleVector x) { return vaddvq_f64(vaddq_f64(x.low, x.high)); }

static inline Vector sum_of_each(const Vector (&r)[4]) { return vpaddq_f32(vpaddq_f32(r[0], r[1]), vpaddq_f32(r[2], r[3])); }

// What products in fewer bits need besides.

static inline Vector square_root(Vector x) { return vsqrtq_f32(x); }
static inline Words nearest_integers(Vector x) { return vreinterpretq_u32_s32(vcvtnq_s32_f32(x)); }
static inline Vector from_integers(Words x) { return vcvtq_f32_s32(vreinterpretq_s32_u32(x)); }
// a's and b's words by turns.
static inline void store_pairs(uint32_t* p, Words a, Words b) {
  vst1q_u32(p, vzip1q_u32(a, b));
  vst1q_u32(p + 4, vzip2q_u32(a, b));
}
// Which of the two vectors of a panel's rows, and which lane of it, each lane takes.
struct Lanes { int32_t at[kWidth]; };
static inline Lanes load_lanes(const int32_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
static inline Vector pick(const float* rows, const Lanes& lanes) { return Vector{rows[lanes.at[0]], rows[lanes.at[1]], rows[lanes.at[2]], rows[lanes.at[3]]}; }
static inline void store_where(float* p, unsigned lanes, Vector x) {
  const uint32x4_t weight = {1, 2, 4, 8};
  store(p, select(vtstq_u32(vdupq_n_u32(lanes), weight), x, load(p)));
}

constexpr AddToTotals kAddToTotals = nullptr;

#include "simd/flush_denormals.h"
#include "simd/sweep_body.h"
