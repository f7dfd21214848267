// What a device does at best.
#pragma once

#include <cstdint>

#include "cuda/device.h"

namespace clipengine::cuda {

// As clipengine_cuda_ceiling_measure.
double measure_ceiling(Device& device, int32_t ceiling, double seconds);

}  // namespace clipengine::cuda
