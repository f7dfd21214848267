// Features as they are stored: CLIPENGINE_SWEEP_FLOAT16 and the other types.
#pragma once

#include <cstdint>

namespace clipengine::sweep {

// Bytes of one feature; throws Error(INVALID_ARGUMENT) where there is no such type.
int64_t element_size(int32_t type);

// One feature of any stored type, exactly.
double read_feature(const void* features, int32_t type, int64_t index);

}  // namespace clipengine::sweep
