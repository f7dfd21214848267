// Weights as the kernels want them: panels for products, plain floats for everything else.
#pragma once

#include <cstdint>

#include "cpu/kernels.h"
#include "cpu/memory.h"

// The C border's opaque handle.
struct clipengine_cpu_weight {
  const clipengine::cpu::Kernels* kernels = nullptr;  // null for plain values
  clipengine::cpu::Precision precision = clipengine::cpu::Precision::Float32;
  int64_t columns = 0;
  int64_t depth = 0;
  int64_t depth_words = 0;
  clipengine::cpu::Buffer data;           // panels, or values
  clipengine::cpu::Buffer column_scales;  // Int8: floats, padded to whole panels
  clipengine::cpu::Buffer column_sums;    // Int8: 128 * sum of the column's bytes, padded alike

  int64_t panels() const { return clipengine::cpu::divide_up(columns, kernels->panel_columns); }
  int64_t bytes() const { return data.size() + column_scales.size() + column_sums.size(); }
  const float* values() const { return data.as<float>(); }
};

namespace clipengine::cpu {

using Weight = clipengine_cpu_weight;

// The values of a weight, or null where there is none.
inline const float* values_of(const Weight* weight) { return weight == nullptr ? nullptr : weight->values(); }

// Reads count elements of a floating-point type, at any alignment. Throws Error(UNSUPPORTED) for other types.
void convert_to_float(const void* data, int32_t type, int64_t first, int64_t count, float* output);

// See clipengine_cpu_matrix_create.
Weight* create_matrix(const void* data, int32_t type, int64_t columns, int64_t depth, bool transposed, Precision precision, const Kernels& kernels);

}  // namespace clipengine::cpu
