// How fast this processor multiplies bf16, against fp32: what decides whether an instruction that is there is worth using.
#pragma once

namespace clipengine::cpu {

// Multiply-adds of bf16 for one of a fused fp32 multiply-add; 0 where the instruction is not there.
struct Rates {
  double pairs;   // VDPBF16PS
  double tiles;   // TDPBF16PS
  bool measured;  // here and now, not known of the processor
};

// Looked up or measured once, the latter in some 20 ms.
const Rates& rates();

}  // namespace clipengine::cpu
