// How fast this processor multiplies bf16, against fp32: what decides whether an instruction that is there is worth using.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace clipengine::cpu {

// Multiply-adds of bf16 for one of a fused fp32 multiply-add; 0 where the instruction is not there.
struct Rates {
  double pairs = 0;    // VDPBF16PS
  double tiles = 0;    // TDPBF16PS
  int64_t source = 0;  // CLIPENGINE_CPU_RATES_*
};

// Known of the processor's model, else measured once for each model, in some 20 ms, and kept in the user's cache folder.
const Rates& rates();

// Where the measurement is kept: $XDG_CACHE_HOME, or .cache in the user's folder, and in it clipengine/rates/MODEL. Empty where there is no
// user's folder, or on other processors than x86.
const std::string& rates_file();

// The rates that a file holds, or else those of measure, which it then holds: not where it cannot be written. An entry counts that has a rate
// for what is there (pairs, tiles).
Rates kept_rates(const std::string& file, bool pairs, bool tiles, const std::function<Rates()>& measure);

}  // namespace clipengine::cpu
