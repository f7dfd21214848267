// One line for every struct that crosses the C border.
#include <cstring>

#include "clipengine.h"

namespace {

struct StructSize {
  const char* name;
  int64_t size;
};

#define CLIPENGINE_STRUCT(type) {#type, static_cast<int64_t>(sizeof(type))}
constexpr StructSize kStructSizes[] = {
    CLIPENGINE_STRUCT(clipengine_status),
    CLIPENGINE_STRUCT(clipengine_sweep_total),
    CLIPENGINE_STRUCT(clipengine_sweep_plan),
    CLIPENGINE_STRUCT(clipengine_sweep_batch),
    CLIPENGINE_STRUCT(clipengine_cpu_attention),
    CLIPENGINE_STRUCT(clipengine_cpu_block),
    CLIPENGINE_STRUCT(clipengine_cpu_convolution),
    CLIPENGINE_STRUCT(clipengine_cpu_convolution_block),
    CLIPENGINE_STRUCT(clipengine_cpu_rates),
    CLIPENGINE_STRUCT(clipengine_cpu_read),
};

}  // namespace

extern "C" int64_t clipengine_struct_size(const char* name) noexcept {
  if (name == nullptr) return -1;
  for (const StructSize& entry : kStructSizes) {
    if (std::strcmp(entry.name, name) == 0) return entry.size;
  }
  return -1;
}
