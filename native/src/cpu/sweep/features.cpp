#include "cpu/sweep/features.h"

#include <cmath>
#include <cstring>
#include <string>

#include "clipengine_sweep.h"
#include "core/status.h"

namespace clipengine::sweep {

int64_t element_size(int32_t type) {
  switch (type) {
    case CLIPENGINE_SWEEP_FLOAT16:
    case CLIPENGINE_SWEEP_BFLOAT16: return 2;
    case CLIPENGINE_SWEEP_FLOAT32: return 4;
    case CLIPENGINE_SWEEP_FLOAT64: return 8;
    default: throw Error(CLIPENGINE_INVALID_ARGUMENT, "unknown element type " + std::to_string(type));
  }
}

double read_feature(const void* features, int32_t type, int64_t index) {
  const uint8_t* bytes = static_cast<const uint8_t*>(features);
  switch (type) {
    case CLIPENGINE_SWEEP_FLOAT64: {
      double value;
      std::memcpy(&value, bytes + index * 8, sizeof value);
      return value;
    }
    case CLIPENGINE_SWEEP_FLOAT32: {
      float value;
      std::memcpy(&value, bytes + index * 4, sizeof value);
      return value;
    }
    default: break;
  }
  uint16_t half;
  std::memcpy(&half, bytes + index * 2, sizeof half);
  if (type == CLIPENGINE_SWEEP_BFLOAT16) {
    const uint32_t word = static_cast<uint32_t>(half) << 16;
    float value;
    std::memcpy(&value, &word, sizeof value);
    return value;
  }
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  const double sign = (half & 0x8000) != 0 ? -1 : 1;
  if (exponent == 31) return fraction != 0 ? std::nan("") : sign * HUGE_VAL;
  return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

}  // namespace clipengine::sweep
