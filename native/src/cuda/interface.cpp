#include <algorithm>
#include <cstring>
#include <vector>

#include "clipengine_cuda.h"
#include "core/status.h"
#include "cuda/interface.h"

using clipengine::Error;
using clipengine::guard;
using clipengine::cuda::KernelLaunch;
using clipengine::cuda::LaunchList;
using clipengine::cuda::ProductType;
using clipengine::cuda::require;
using clipengine::cuda::require_out;

namespace {

LaunchList collect(clipengine_cuda_device* device, const clipengine_cuda_launch* launches, int32_t count, const uint64_t* arguments, int64_t argument_count) {
  if (count < 0 || (count > 0 && launches == nullptr)) throw Error(CLIPENGINE_INVALID_ARGUMENT, "no launches");
  require(device);
  LaunchList all;
  all.launches.reserve(static_cast<size_t>(count));
  for (int32_t i = 0; i < count; ++i) {
    const clipengine_cuda_launch& launch = launches[i];
    if (launch.argument_count < 0 || launch.first_argument < 0 || launch.first_argument + launch.argument_count > argument_count)
      throw Error(CLIPENGINE_INVALID_ARGUMENT, "a launch's arguments are not in the list");
    if (launch.kernel < 0) {
      const int wanted = device->products->argument_count(launch.kernel);
      if (launch.argument_count != wanted) throw Error(CLIPENGINE_INVALID_ARGUMENT, "this product takes " + std::to_string(wanted) + " arguments");
      device->products->expand(launch.kernel, arguments + launch.first_argument, all);
    } else {
      all.launches.push_back({launch.kernel, {launch.grid_x, launch.grid_y, launch.grid_z, launch.block, launch.shared_bytes}, arguments + launch.first_argument, launch.argument_count});
    }
  }
  return all;
}

}  // namespace

extern "C" {

int32_t clipengine_cuda_abi_version(void) noexcept { return CLIPENGINE_CUDA_ABI_VERSION; }

int64_t clipengine_cuda_error_message(char* buffer, int64_t capacity) noexcept { return clipengine::copy_last_message(buffer, capacity); }

clipengine_status clipengine_cuda_device_count(int32_t* count) noexcept {
  return guard([&] { require_out(count) = clipengine::cuda::count_devices(); });
}

clipengine_status clipengine_cuda_device_open(int32_t ordinal, const char* kernel_folder, clipengine_cuda_device** device) noexcept {
  return guard([&] {
    auto opened = std::make_unique<clipengine_cuda_device>();
    opened->device = clipengine::cuda::open_device(ordinal, kernel_folder);
    opened->products = std::make_unique<clipengine::cuda::Products>(*opened->device);
    require_out(device) = opened.release();
  });
}

void clipengine_cuda_device_close(clipengine_cuda_device* device) noexcept { delete device; }

clipengine_status clipengine_cuda_device_describe(clipengine_cuda_device* device, char* buffer, int64_t capacity, int64_t* length) noexcept {
  return guard([&] {
    const std::string text = require(device).describe() + device->products->describe();
    require_out(length) = static_cast<int64_t>(text.size());
    if (buffer != nullptr && capacity > 0) {
      const size_t copied = std::min(text.size(), static_cast<size_t>(capacity - 1));
      std::memcpy(buffer, text.data(), copied);
      buffer[copied] = '\0';
    }
  });
}

clipengine_status clipengine_cuda_memory_allocate(clipengine_cuda_device* device, int64_t bytes, uint64_t* address) noexcept {
  return guard([&] {
    if (bytes <= 0) throw Error(CLIPENGINE_INVALID_ARGUMENT, "asked for " + std::to_string(bytes) + " bytes of device memory");
    require_out(address) = require(device).allocate(bytes);
  });
}

clipengine_status clipengine_cuda_memory_free(clipengine_cuda_device* device, uint64_t address) noexcept {
  return guard([&] { require(device).free(address); });
}

clipengine_status clipengine_cuda_memory_upload(clipengine_cuda_device* device, uint64_t destination, const void* source, int64_t bytes) noexcept {
  return guard([&] { require(device).upload(destination, source, bytes); });
}

clipengine_status clipengine_cuda_memory_download(clipengine_cuda_device* device, void* destination, uint64_t source, int64_t bytes) noexcept {
  return guard([&] { require(device).download(destination, source, bytes); });
}

clipengine_status clipengine_cuda_kernel_find(clipengine_cuda_device* device, const char* name, int32_t shared_bytes, int64_t* kernel) noexcept {
  return guard([&] {
    if (name == nullptr) throw Error(CLIPENGINE_INVALID_ARGUMENT, "the kernel's name is null");
    require_out(kernel) = require(device).find_kernel(name, shared_bytes);
  });
}

clipengine_status clipengine_cuda_product_find(clipengine_cuda_device* device, int32_t operand_type, int32_t is_result_fp32, int32_t columns, int32_t depth, int64_t* product) noexcept {
  return guard([&] {
    require(device);
    if (operand_type < CLIPENGINE_CUDA_FP32 || operand_type > CLIPENGINE_CUDA_FP8) throw Error(CLIPENGINE_INVALID_ARGUMENT, "there are no products of type " + std::to_string(operand_type));
    require_out(product) = device->products->find(static_cast<ProductType>(operand_type), is_result_fp32 != 0, columns, depth);
  });
}

clipengine_status clipengine_cuda_launches_enqueue(clipengine_cuda_device* device, const clipengine_cuda_launch* launches, int32_t count, const uint64_t* arguments,
                                                   int64_t argument_count) noexcept {
  return guard([&] {
    const LaunchList list = collect(device, launches, count, arguments, argument_count);
    for (const KernelLaunch& launch : list.launches) require(device).launch(launch);
  });
}

clipengine_status clipengine_cuda_graph_create(clipengine_cuda_device* device, const clipengine_cuda_launch* launches, int32_t count, const uint64_t* arguments,
                                               int64_t argument_count, int64_t* graph) noexcept {
  return guard([&] { require_out(graph) = require(device).create_graph(collect(device, launches, count, arguments, argument_count).launches); });
}

clipengine_status clipengine_cuda_graph_enqueue(clipengine_cuda_device* device, int64_t graph) noexcept {
  return guard([&] { require(device).launch_graph(graph); });
}

clipengine_status clipengine_cuda_graph_destroy(clipengine_cuda_device* device, int64_t graph) noexcept {
  return guard([&] { require(device).destroy_graph(graph); });
}

clipengine_status clipengine_cuda_device_synchronize(clipengine_cuda_device* device) noexcept {
  return guard([&] { require(device).synchronize(); });
}

}  // extern "C"
