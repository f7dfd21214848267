// What only the probe sweep needs and every instruction set has in the same words. Included by sweep_<set>.h, last. Each has defined
//
//   fraction        x - floor(x) where x >= -126, else anything
//   times_power     y * 2^floor(x) for x <= 126; 0 where x < -126
//   narrow_doubles  kWidth doubles in memory, rounded to floats
//   DoubleVector    kWidth doubles in two registers: to_doubles (of floats in memory), multiply_add, sum_of
//   sum_of_each     lane i is the sum of vector i of kWidth, added in pairs
//   kAddToTotals    Kernel::add_to_totals
//   kSteps          a full product is kSteps * kColumnStep columns by 2 vectors of rows
//   kDotColumns     columns that two rows are multiplied with at a time where there are few

constexpr int kLanes = static_cast<int>(kWidth);

// The largest magnitudes so far, as bits: so a NaN, whose bits are larger than any number's, wins.
static inline Words larger(Words magnitude, Vector x) {
  const Words here = words_of(x) & 0x7fffffffu;
  return here > magnitude ? here : magnitude;
}

static inline DoubleVector zero_doubles() {
  DoubleVector x;
  x.low = x.high = decltype(x.low){};
  return x;
}
static inline DoubleVector load_doubles(const double* p) {
  DoubleVector x;
  __builtin_memcpy(&x.low, p, sizeof x.low);
  __builtin_memcpy(&x.high, p + kWidth / 2, sizeof x.high);
  return x;
}
static inline void store_doubles(double* p, DoubleVector x) {
  __builtin_memcpy(p, &x.low, sizeof x.low);
  __builtin_memcpy(p + kWidth / 2, &x.high, sizeof x.high);
}
static inline DoubleVector operator+(DoubleVector a, DoubleVector b) { return {a.low + b.low, a.high + b.high}; }

// kWidth features of any stored type, at any address.
template <int kType>
static inline Vector load_features(const uint8_t* p) {
  if constexpr (kType == CLIPENGINE_SWEEP_FLOAT32) {
    return load(reinterpret_cast<const float*>(p));
  } else if constexpr (kType == CLIPENGINE_SWEEP_FLOAT16) {
    return widen_fp16(reinterpret_cast<const uint16_t*>(p));
  } else if constexpr (kType == CLIPENGINE_SWEEP_BFLOAT16) {
    return widen_bf16(reinterpret_cast<const uint16_t*>(p));
  } else {
    return narrow_doubles(p);
  }
}
