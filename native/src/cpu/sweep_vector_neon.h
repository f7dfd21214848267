// The probe sweep's vectors for NEON. Included inside a namespace of its own, before sweep_kernel.h.

constexpr int kLanes = 4;
constexpr int kColumnStep = 4;
constexpr int kSteps = 3;  // 12 columns by 2 vectors: 24 sums, 2 rows and 3 of prompts in 32 registers
constexpr int kDotColumns = 8;

struct Vec { float32x4_t v; };
struct DoubleVec { float64x2_t low, high; };
struct Magnitude { uint32x4_t v; };
struct Mask { uint32x4_t v; };

inline Vec load(const float* p) { return {vld1q_f32(p)}; }
inline void store(float* p, Vec x) { vst1q_f32(p, x.v); }
inline void store_unaligned(float* p, Vec x) { vst1q_f32(p, x.v); }
inline Vec set(float x) { return {vdupq_n_f32(x)}; }
inline Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
inline Mask greater(Vec a, Vec b) { return {vcgtq_f32(a.v, b.v)}; }
inline Vec select(Mask m, Vec yes, Vec no) { return {vbslq_f32(m.v, yes.v, no.v)}; }
// No NaN comes here: rows and prompts that are not finite are refused.
inline Vec max(Vec a, Vec b) { return {vmaxq_f32(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {vminq_f32(a.v, b.v)}; }
inline unsigned bits(Mask m) {
  const uint32x4_t weight = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(m.v, weight));
}
inline Vec fraction(Vec x) { return {vsubq_f32(x.v, vrndmq_f32(x.v))}; }
inline Vec times_power(Vec y, Vec x) {
  const Vec floor = set(-126.0f);
  const int32x4_t whole = vcvtmq_s32_f32(max(x, floor).v);
  const float32x4_t power = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(whole, vdupq_n_s32(127)), 23));
  return select(greater(floor, x), set(0.0f), {vmulq_f32(y.v, power)});
}

inline Magnitude no_magnitude() { return {vdupq_n_u32(0)}; }
inline Magnitude larger(Magnitude m, Vec x) { return {vmaxq_u32(m.v, vandq_u32(vreinterpretq_u32_f32(x.v), vdupq_n_u32(0x7FFFFFFF)))}; }
inline Vec as_vec(Magnitude m) { return {vreinterpretq_f32_u32(m.v)}; }

inline DoubleVec zero_doubles() { return {vdupq_n_f64(0), vdupq_n_f64(0)}; }
inline DoubleVec to_doubles(const float* p) {
  const float32x4_t x = vld1q_f32(p);
  return {vcvt_f64_f32(vget_low_f32(x)), vcvt_high_f64_f32(x)};
}
inline DoubleVec load_doubles(const double* p) { return {vld1q_f64(p), vld1q_f64(p + 2)}; }
inline void store_doubles(double* p, DoubleVec x) {
  vst1q_f64(p, x.low);
  vst1q_f64(p + 2, x.high);
}
inline DoubleVec operator+(DoubleVec a, DoubleVec b) { return {vaddq_f64(a.low, b.low), vaddq_f64(a.high, b.high)}; }
inline DoubleVec fma(DoubleVec a, DoubleVec b, DoubleVec c) { return {vfmaq_f64(c.low, a.low, b.low), vfmaq_f64(c.high, a.high, b.high)}; }
inline double sum_of(DoubleVec x) { return vaddvq_f64(vaddq_f64(x.low, x.high)); }

template <int kType>
inline Vec load_features(const uint8_t* p) {
  if constexpr (kType == CLIPENGINE_SWEEP_FLOAT32) {
    return {vreinterpretq_f32_u8(vld1q_u8(p))};
  } else if constexpr (kType == CLIPENGINE_SWEEP_FLOAT16) {
    return {vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)))};
  } else if constexpr (kType == CLIPENGINE_SWEEP_BFLOAT16) {
    return {vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16))};
  } else {
    return {vcvt_high_f32_f64(vcvt_f32_f64(vreinterpretq_f64_u8(vld1q_u8(p))), vreinterpretq_f64_u8(vld1q_u8(p + 16)))};
  }
}

inline void transpose(Vec (&r)[4]) {
  const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(r[0].v, r[1].v)), b = vreinterpretq_f64_f32(vtrn2q_f32(r[0].v, r[1].v));
  const float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(r[2].v, r[3].v)), d = vreinterpretq_f64_f32(vtrn2q_f32(r[2].v, r[3].v));
  r[0].v = vreinterpretq_f32_f64(vzip1q_f64(a, c));
  r[1].v = vreinterpretq_f32_f64(vzip1q_f64(b, d));
  r[2].v = vreinterpretq_f32_f64(vzip2q_f64(a, c));
  r[3].v = vreinterpretq_f32_f64(vzip2q_f64(b, d));
}

inline Vec sum_of_each(const Vec (&r)[4]) { return {vpaddq_f32(vpaddq_f32(r[0].v, r[1].v), vpaddq_f32(r[2].v, r[3].v))}; }

// Exponentials below 2^-126 are zero by definition here; the same bits on every processor, whatever it does with smaller ones.
class FlushDenormals {
 public:
  FlushDenormals() {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" : : "r"(saved_ | uint64_t{1} << 24));
  }
  ~FlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(saved_)); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  uint64_t saved_;
};

// What products in fewer bits need besides.

struct Words { uint32x4_t v; };

inline Words words(uint32_t x) { return {vdupq_n_u32(x)}; }
inline Words bits_of(Vec x) { return {vreinterpretq_u32_f32(x.v)}; }
inline Vec from_bits(Words x) { return {vreinterpretq_f32_u32(x.v)}; }
inline Words operator+(Words a, Words b) { return {vaddq_u32(a.v, b.v)}; }
inline Words operator&(Words a, Words b) { return {vandq_u32(a.v, b.v)}; }
inline Words operator^(Words a, Words b) { return {veorq_u32(a.v, b.v)}; }
inline Words operator|(Words a, Words b) { return {vorrq_u32(a.v, b.v)}; }
template <int kBits>
inline Words shift_left(Words x) { return {vshlq_n_u32(x.v, kBits)}; }
template <int kBits>
inline Words shift_right(Words x) { return {vshrq_n_u32(x.v, kBits)}; }
inline Words to_integers(Vec x) { return {vreinterpretq_u32_s32(vcvtnq_s32_f32(x.v))}; }
inline Vec to_floats(Words x) { return {vcvtq_f32_s32(vreinterpretq_s32_u32(x.v))}; }
inline void store_words(uint32_t* p, Words x) { vst1q_u32(p, x.v); }
// a's and b's words by turns.
inline void store_pairs(uint32_t* p, Words a, Words b) {
  vst1q_u32(p, vzip1q_u32(a.v, b.v));
  vst1q_u32(p + 4, vzip2q_u32(a.v, b.v));
}
inline Vec square_root(Vec x) { return {vsqrtq_f32(x.v)}; }
// Which of the two vectors of a panel's rows, and which lane of it, each lane takes.
struct Lanes { int32_t at[kLanes]; };
inline Lanes load_lanes(const int32_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
inline Vec pick(const float* rows, const Lanes& lanes) {
  const float32x4_t picked = {rows[lanes.at[0]], rows[lanes.at[1]], rows[lanes.at[2]], rows[lanes.at[3]]};
  return {picked};
}
inline void store_where(float* p, unsigned lanes, Vec x) {
  const uint32x4_t weight = {1, 2, 4, 8};
  store(p, {vbslq_f32(vtstq_u32(vdupq_n_u32(lanes), weight), x.v, vld1q_f32(p))});
}
