#include "cpu/sweep/checks.h"

#include <string>

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
