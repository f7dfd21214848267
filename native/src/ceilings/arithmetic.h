// Loops of one kind of instruction in registers.
#pragma once

#include <cstdint>

namespace clipengine {

struct Arithmetic {
  void (*loop)(int64_t rounds);
  double operations;  // of one round, on one thread
};

// ceiling: as in clipengine_ceilings.h, not memory. Throws Error(UNSUPPORTED) where the instruction set has no such instruction; the caller
// has seen to it that the processor has the set.
Arithmetic arithmetic_of(int32_t ceiling, int32_t isa);

}  // namespace clipengine
