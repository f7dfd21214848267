#include "cpu/sweep/checks.h"

#include "core/status.h"

namespace clipengine::sweep {

void require(bool condition, const char* message) {
  if (!condition) throw Error(CLIPENGINE_INVALID_ARGUMENT, message);
}

const char* describe(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNotFinite: return "holds a value that is not finite";
    case Refusal::kZero: return "is all zeros and has no direction";
    default: return "is so large that a score would overflow";
  }
}

}  // namespace clipengine::sweep
