#include "clipengine_cuda_measure.h"
#include "cuda/ceilings.h"
#include "cuda/interface.h"
#include "cuda/ranges.h"

using clipengine::Error;
using clipengine::guard;
using clipengine::cuda::Device;
using clipengine::cuda::Queue;
using clipengine::cuda::require;
using clipengine::cuda::require_out;

extern "C" {

clipengine_status clipengine_cuda_ceiling_measure(clipengine_cuda_device* device, int32_t ceiling, double seconds, double* per_second) noexcept {
  return guard([&] { require_out(per_second) = clipengine::cuda::measure_ceiling(require(device), ceiling, seconds); });
}

clipengine_status clipengine_cuda_memory_available(clipengine_cuda_device* device, int64_t* bytes) noexcept {
  return guard([&] { require_out(bytes) = require(device).free_bytes(); });
}

clipengine_status clipengine_cuda_event_create(clipengine_cuda_device* device, int64_t* event) noexcept {
  return guard([&] { require_out(event) = require(device).create_event(); });
}

clipengine_status clipengine_cuda_event_destroy(clipengine_cuda_device* device, int64_t event) noexcept {
  return guard([&] { require(device).destroy_event(event); });
}

clipengine_status clipengine_cuda_event_record(clipengine_cuda_device* device, int64_t event) noexcept {
  return guard([&] { require(device).record(event, Queue::kCompute); });
}

clipengine_status clipengine_cuda_event_elapsed(clipengine_cuda_device* device, int64_t start, int64_t end, double* milliseconds) noexcept {
  return guard([&] {
    Device& own = require(device);
    own.await(end);
    require_out(milliseconds) = own.elapsed(start, end);
  });
}

int32_t clipengine_cuda_ranges_are_recorded(void) noexcept { return clipengine::cuda::ranges_are_recorded() ? 1 : 0; }

void clipengine_cuda_range_push(const char* name) noexcept {
  if (name != nullptr) clipengine::cuda::push_range(name);
}

void clipengine_cuda_range_pop(void) noexcept { clipengine::cuda::pop_range(); }

}  // extern "C"
