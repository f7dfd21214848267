// fp16 and bf16 as numbers, one at a time. Internal linkage on purpose: this is read by files of several instruction sets, and one
// copy for all could be the one that a processor cannot run. The vectors of each set have instructions of their own.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace clipengine {

[[maybe_unused]] static inline float half_to_float(uint16_t half) {
  const uint32_t magnitude = half & 0x7fffu;
  uint32_t bits = magnitude << 13;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  value *= 0x1p112f;  // the difference of the exponents' biases; exact, denormals included
  if (magnitude >= 0x7c00u) {
    bits |= 0x7f800000u;
    std::memcpy(&value, &bits, sizeof value);
  }
  return (half & 0x8000u) != 0 ? -value : value;
}

// Round to nearest even; infinity beyond 65520.
[[maybe_unused]] static inline uint16_t float_to_half(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const float magnitude = std::abs(value);
  if (!(magnitude < 65520.0f)) return static_cast<uint16_t>(sign | (std::isnan(value) ? 0x7e00u : 0x7c00u));
  if (magnitude < 0x1p-14f) return static_cast<uint16_t>(sign | static_cast<uint32_t>(std::nearbyintf(magnitude * 0x1p24f)));  // in steps of 2^-24
  bits &= 0x7fffffffu;
  bits += 0xfffu + (bits >> 13 & 1u);
  return static_cast<uint16_t>(sign | ((bits >> 13) - (112u << 10)));
}

[[maybe_unused]] static inline float bf16_to_float(uint16_t stored) {
  const uint32_t bits = static_cast<uint32_t>(stored) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Round to nearest even; a NaN stays one.
[[maybe_unused]] static inline uint16_t float_to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (std::isnan(value)) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace clipengine
