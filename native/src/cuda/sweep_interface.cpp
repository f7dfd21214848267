#include <vector>

#include "clipengine_cuda_measure.h"
#include "cuda/interface.h"
#include "cuda/sweep.h"

using clipengine::Error;
using clipengine::guard;
using clipengine::cuda::Device;
using clipengine::cuda::require;
using clipengine::cuda::require_out;

struct clipengine_cuda_sweep {
  clipengine::cuda::Sweep sweep;
};

struct clipengine_cuda_features {
  clipengine::cuda::ResidentFeatures features;
};

namespace {

std::vector<Device*> collect(clipengine_cuda_device* const* devices, int32_t count) {
  if (devices == nullptr || count < 1) throw Error(CLIPENGINE_INVALID_ARGUMENT, "no devices");
  std::vector<Device*> all;
  for (int32_t i = 0; i < count; ++i) all.push_back(&require(devices[i]));
  return all;
}

clipengine_cuda_features* create_features(clipengine_cuda_device* const* devices, int32_t device_count, const clipengine_sweep_batch* rows, int64_t row_count, int64_t width,
                                          int64_t group_count) {
  if (rows == nullptr || rows->row_count < 1 || width < 1 || width > 1 << 20 || group_count < 0 || group_count >= INT32_MAX) throw Error(CLIPENGINE_INVALID_ARGUMENT, "no rows, or a count out of range");
  return new clipengine_cuda_features{{collect(devices, device_count), *rows, row_count, width, group_count}};
}

}  // namespace

extern "C" {

clipengine_status clipengine_cuda_sweep_create(clipengine_cuda_device* const* devices, int32_t device_count, const clipengine_sweep_plan* plan, clipengine_cuda_sweep** sweep,
                                               int64_t* failed_prompt) noexcept {
  return guard([&] {
    require_out(failed_prompt) = -1;
    if (plan == nullptr) throw Error(CLIPENGINE_INVALID_ARGUMENT, "the plan is null");
    require_out(sweep) = new clipengine_cuda_sweep{{collect(devices, device_count), *plan, *failed_prompt}};
  });
}

void clipengine_cuda_sweep_destroy(clipengine_cuda_sweep* sweep) noexcept { delete sweep; }

clipengine_status clipengine_cuda_sweep_run(clipengine_cuda_sweep* sweep, clipengine_sweep_batch* batch, const clipengine_cuda_features* features, int64_t first_row) noexcept {
  return guard([&] {
    if (sweep == nullptr || batch == nullptr) throw Error(CLIPENGINE_INVALID_ARGUMENT, "a null argument");
    sweep->sweep.run(*batch, features == nullptr ? nullptr : &features->features, first_row);
  });
}

clipengine_status clipengine_cuda_features_create(clipengine_cuda_device* const* devices, int32_t device_count, const clipengine_sweep_batch* rows, int64_t width,
                                                  int64_t group_count, clipengine_cuda_features** features) noexcept {
  return guard([&] { require_out(features) = create_features(devices, device_count, rows, rows == nullptr ? 0 : rows->row_count, width, group_count); });
}

clipengine_status clipengine_cuda_features_repeat(clipengine_cuda_device* const* devices, int32_t device_count, const clipengine_sweep_batch* rows, int64_t row_count,
                                                  int64_t width, int64_t group_count, clipengine_cuda_features** features) noexcept {
  return guard([&] {
    if (rows != nullptr && (rows->groups != nullptr || row_count < rows->row_count)) throw Error(CLIPENGINE_INVALID_ARGUMENT, "rows that repeat have no groups, and are not fewer");
    require_out(features) = create_features(devices, device_count, rows, row_count, width, group_count);
  });
}

void clipengine_cuda_features_destroy(clipengine_cuda_features* features) noexcept { delete features; }

}  // extern "C"
