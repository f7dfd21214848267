// A fused multiply-add that does not depend on the C library: that of mingw-w64 rounds the product first (a quarter of random operands come
// out wrong under wine).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace clipengine_test {

// a * b + c, rounded once, to nearest even. The product is exact in double precision; the sum is rounded to odd there, which a second rounding
// to fewer digits does not notice (Boldo and Melquiond, Emulation of FMA and correctly rounded sums, 2008).
inline float exact_fma(float a, float b, float c) {
  const double product = static_cast<double>(a) * static_cast<double>(b), addend = static_cast<double>(c);
  double sum = product + addend;
  if (std::isfinite(sum)) {
    const double back = sum - product, error = (product - (sum - back)) + (addend - back);  // of the sum, exactly (Knuth)
    uint64_t bits;
    std::memcpy(&bits, &sum, sizeof bits);
    if (error != 0 && bits % 2 == 0) {
      bits = (error > 0) == (sum > 0) ? bits + 1 : bits - 1;
      std::memcpy(&sum, &bits, sizeof sum);
    }
  }
  return static_cast<float>(sum);
}

}  // namespace clipengine_test
