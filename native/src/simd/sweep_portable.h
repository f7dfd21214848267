// What only the probe sweep needs of any processor, on vector_portable.h. Included behind it; sweep_body.h says what is what.

constexpr int kColumnStep = 2;
constexpr int kSteps = 3;
constexpr int kDotColumns = 4;

// The largest integer that is not above max(x, -127).
static inline Vector floor_of(Vector x) {
  x = maximum(x, spread(-127.0f));
  const Vector nearest = round_to_even(x);
  return subtract(nearest, select(greater(nearest, x), spread(1.0f), spread(0.0f)));
}
static inline Vector fraction(Vector x) { return subtract(maximum(x, spread(-127.0f)), floor_of(x)); }
static inline Vector times_power(Vector y, Vector x) {
  const VectorInt exponent = (__builtin_convertvector(floor_of(x), VectorInt) + 127) << 23;
  return select(greater(spread(-126.0f), x), spread(0.0f), multiply(y, reinterpret_cast<Vector>(exponent)));
}
static inline Vector narrow_doubles(const uint8_t* p) {
  double values[kWidth];
  __builtin_memcpy(values, p, sizeof values);
  Vector result;
  for (int i = 0; i < kWidth; ++i) result[i] = static_cast<float>(values[i]);
  return result;
}

typedef double TwoDoubles __attribute__((vector_size(16)));
struct DoubleVector { TwoDoubles low, high; };
static inline DoubleVector to_doubles(const float* p) { return {TwoDoubles{p[0], p[1]}, TwoDoubles{p[2], p[3]}}; }
static inline DoubleVector multiply_add(DoubleVector a, DoubleVector b, DoubleVector c) { return {a.low * b.low + c.low, a.high * b.high + c.high}; }
static inline double sum_of(DoubleVector x) {
  const TwoDoubles two = x.low + x.high;
  return two[0] + two[1];
}

static inline Vector sum_of_each(const Vector (&r)[4]) {
  Vector lane[4] = {r[0], r[1], r[2], r[3]};
  transpose(lane);
  return add(add(lane[0], lane[1]), add(lane[2], lane[3]));
}

constexpr AddToTotals kAddToTotals = nullptr;

// It takes denormals as they come, because not every processor can flush them: half-precision subnormals need them.
struct FlushDenormals {
  FlushDenormals() {}
  ~FlushDenormals() {}
};

#include "simd/sweep_body.h"
