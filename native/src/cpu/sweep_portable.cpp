// The probe sweep in the compiler's own 128-bit vectors: SSE2 or NEON, whatever every processor of the family has.
#include "core/half.h"
#include "cpu/sweep_plan.h"

namespace clipengine::sweep {
namespace portable {
namespace {

constexpr int kLanes = 4;
constexpr int kColumnStep = 2;
constexpr int kSteps = 3;
constexpr int kDotColumns = 4;

typedef float Floats __attribute__((vector_size(16)));
typedef uint32_t Words __attribute__((vector_size(16)));
typedef int32_t Integers __attribute__((vector_size(16)));
typedef double Doubles __attribute__((vector_size(16)));

struct Vec { Floats v; };
struct DoubleVec { Doubles low, high; };
struct Magnitude { Words v; };
struct Mask { Integers v; };

inline Vec load(const float* p) { return {*reinterpret_cast<const Floats*>(p)}; }
inline void store(float* p, Vec x) { *reinterpret_cast<Floats*>(p) = x.v; }
inline void store_unaligned(float* p, Vec x) { __builtin_memcpy(p, &x.v, sizeof x.v); }
inline Vec set(float x) { return {Floats{x, x, x, x}}; }
inline Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
inline Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
inline Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
inline Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
inline Mask greater(Vec a, Vec b) { return {a.v > b.v}; }
inline Vec select(Mask m, Vec yes, Vec no) { return {m.v ? yes.v : no.v}; }
inline Vec max(Vec a, Vec b) { return select(greater(a, b), a, b); }
inline Vec min(Vec a, Vec b) { return select(greater(b, a), a, b); }
inline unsigned bits(Mask m) {
  return static_cast<unsigned>((m.v[0] & 1) | (m.v[1] & 2) | (m.v[2] & 4) | (m.v[3] & 8));
}
// The largest integer that is not above max(x, -127). Adding and taking away 1.5 * 2^23 leaves the nearest one; exact for |x| < 2^22.
inline Vec floor_of(Vec x) {
  x = max(x, set(-127.0f));
  const Vec nearest = (x + set(12582912.0f)) - set(12582912.0f);
  return nearest - select(greater(nearest, x), set(1.0f), set(0.0f));
}
inline Vec fraction(Vec x) { return max(x, set(-127.0f)) - floor_of(x); }
inline Vec times_power(Vec y, Vec x) {
  const Integers exponent = (__builtin_convertvector(floor_of(x).v, Integers) + 127) << 23;
  return select(greater(set(-126.0f), x), set(0.0f), {y.v * reinterpret_cast<Floats>(exponent)});
}

inline Magnitude no_magnitude() { return {Words{0, 0, 0, 0}}; }
inline Magnitude larger(Magnitude m, Vec x) {
  const Words magnitude = reinterpret_cast<Words>(x.v) & 0x7FFFFFFFu;
  return {magnitude > m.v ? magnitude : m.v};
}
inline Vec as_vec(Magnitude m) { return {reinterpret_cast<Floats>(m.v)}; }

inline DoubleVec zero_doubles() { return {Doubles{0, 0}, Doubles{0, 0}}; }
inline DoubleVec to_doubles(const float* p) { return {Doubles{p[0], p[1]}, Doubles{p[2], p[3]}}; }
inline DoubleVec load_doubles(const double* p) { return {Doubles{p[0], p[1]}, Doubles{p[2], p[3]}}; }
inline void store_doubles(double* p, DoubleVec x) {
  p[0] = x.low[0];
  p[1] = x.low[1];
  p[2] = x.high[0];
  p[3] = x.high[1];
}
inline DoubleVec operator+(DoubleVec a, DoubleVec b) { return {a.low + b.low, a.high + b.high}; }
inline DoubleVec fma(DoubleVec a, DoubleVec b, DoubleVec c) { return {a.low * b.low + c.low, a.high * b.high + c.high}; }
inline double sum_of(DoubleVec x) {
  const Doubles two = x.low + x.high;
  return two[0] + two[1];
}

template <int kType>
inline Vec load_features(const uint8_t* p) {
  Vec result;
  if constexpr (kType == CLIPENGINE_SWEEP_FLOAT32) {
    __builtin_memcpy(&result.v, p, sizeof result.v);
  } else if constexpr (kType == CLIPENGINE_SWEEP_FLOAT64) {
    double values[kLanes];
    __builtin_memcpy(values, p, sizeof values);
    for (int i = 0; i < kLanes; ++i) result.v[i] = static_cast<float>(values[i]);
  } else {
    uint16_t values[kLanes];
    __builtin_memcpy(values, p, sizeof values);
    for (int i = 0; i < kLanes; ++i) {
      if constexpr (kType == CLIPENGINE_SWEEP_FLOAT16) {
        result.v[i] = half_to_float(values[i]);
      } else {
        result.v[i] = bf16_to_float(values[i]);
      }
    }
  }
  return result;
}

inline void transpose(Vec (&r)[4]) {
  const Floats a = r[0].v, b = r[1].v, c = r[2].v, d = r[3].v;
  for (int i = 0; i < 4; ++i) r[i].v = Floats{a[i], b[i], c[i], d[i]};
}

inline Vec sum_of_each(const Vec (&r)[4]) {
  Vec lane[4] = {r[0], r[1], r[2], r[3]};
  transpose(lane);
  return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

// The plain path must run anywhere; it takes denormals as they come. Half-precision subnormals need them.
struct FlushDenormals {
  FlushDenormals() {}
  ~FlushDenormals() {}
};

#include "cpu/sweep_kernel.h"

constexpr Kernel kKernel{"portable", kLanes, kPanelRows, kProductColumns, kColumnStep, kDotColumns, 16, &run_chunk, nullptr, {}};

}  // namespace
}  // namespace portable

const Kernel* portable_kernel() { return &portable::kKernel; }

}  // namespace clipengine::sweep
