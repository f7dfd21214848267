// What the files that implement clipengine_cuda.h share.
#pragma once

#include <memory>

#include "clipengine_cuda.h"
#include "core/status.h"
#include "cuda/device.h"
#include "cuda/products.h"

struct clipengine_cuda_device {
  std::unique_ptr<clipengine::cuda::Device> device;
  std::unique_ptr<clipengine::cuda::Products> products;  // has memory on the device, and goes before it
};

namespace clipengine::cuda {

inline Device& require(clipengine_cuda_device* device) {
  if (device == nullptr) throw Error(CLIPENGINE_INVALID_ARGUMENT, "the device is null");
  return *device->device;
}

template <typename T>
T& require_out(T* pointer) {
  if (pointer == nullptr) throw Error(CLIPENGINE_INVALID_ARGUMENT, "an out-pointer is null");
  return *pointer;
}

}  // namespace clipengine::cuda
