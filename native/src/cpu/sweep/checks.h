// What a probe sweep refuses, and what it says then.
#pragma once

#include "cpu/sweep/kernel.h"

namespace clipengine::sweep {

// Throws Error(INVALID_ARGUMENT) with this message where the condition does not hold.
void require(bool condition, const char* message);

// What is wrong with a row or prompt, as in "row 7 ...".
const char* describe(Refusal refusal);

}  // namespace clipengine::sweep
