// Operands of tile products: ordinary ones and those that are decided by rules.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

namespace amx_test {

inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float value_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

struct Operands {
  std::vector<uint32_t> left, right, sums;  // [16, 16] each; of left and sums the first rows count
};

enum class Kind { Ordinary, Wide, Tiny, Special };

// Ordinary: over 20 binades. Wide: over all of them. Tiny: around the smallest normal number. Special: a quarter zeros, denormals,
// infinities and, rarely, NaN.
inline Operands pairs(std::mt19937& generator, Kind kind) {
  const auto one = [&](bool half) {
    std::uniform_int_distribution<int> uniform(0, 1 << 30);
    const int spread = kind == Kind::Wide ? 254 : 20, from = kind == Kind::Wide ? 1 : kind == Kind::Tiny ? (half ? 54 : 1) : 117;
    uint32_t bits = static_cast<uint32_t>(from + uniform(generator) % spread) << 23 | (static_cast<uint32_t>(uniform(generator)) & 0x7fffffu) | (uniform(generator) % 2 == 0 ? 0x80000000u : 0);
    if (kind == Kind::Special || kind == Kind::Tiny) {
      switch (uniform(generator) % 64) {
        case 0: case 1: case 2: bits &= 0x80000000u; break;
        case 3: case 4: case 5: bits &= 0x807fffffu; break;
        case 6: if (kind == Kind::Special) bits = (bits & 0x80000000u) | 0x7f800000u; break;
        case 7: if (kind == Kind::Special && uniform(generator) % 16 == 0) bits = 0x7fc00000u; break;
        default: break;
      }
    }
    return half ? bits >> 16 : bits;
  };
  Operands made{std::vector<uint32_t>(256), std::vector<uint32_t>(256), std::vector<uint32_t>(256)};
  for (uint32_t& word : made.left) word = one(true) | one(true) << 16;
  for (uint32_t& word : made.right) word = one(true) | one(true) << 16;
  for (uint32_t& word : made.sums) word = one(false);
  return made;
}

inline Operands bytes(std::mt19937& generator, bool extreme) {
  Operands made{std::vector<uint32_t>(256), std::vector<uint32_t>(256), std::vector<uint32_t>(256)};
  for (auto* words : {&made.left, &made.right, &made.sums}) {
    for (uint32_t& word : *words) word = static_cast<uint32_t>(generator());
  }
  if (extreme) {
    for (uint32_t& word : made.left) word = 0xffffffffu;
    for (uint32_t& word : made.right) word = word % 2 == 0 ? 0x80808080u : 0x7f7f7f7fu;
  }
  return made;
}

inline bool same_bits_or_both_nan(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t x = a[static_cast<size_t>(i)], y = b[static_cast<size_t>(i)];
    if (x != y && !(std::isnan(value_of(x)) && std::isnan(value_of(y)))) return false;
  }
  return true;
}

}  // namespace amx_test
