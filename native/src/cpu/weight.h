// Weights as the kernels want them: panels for products, plain floats for everything else.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

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

// The elements of a stored tensor: in memory, or still in an open file, of which each thread then reads the part that it works on. What it
// has read lies in its own cache when it is packed; read as a whole, every byte would pass through memory twice more.
class Elements {
 public:
  Elements(const void* data, int32_t type) : type_(type), data_(static_cast<const char*>(data)) {}
  Elements(int64_t file, int64_t start, int32_t type);

  // Elements [first, first + count) as fp32. scratch: of the calling thread. Throws ReadFailure.
  void read(int64_t first, int64_t count, float* output, std::vector<char>& scratch);

  // The largest magnitude read so far, as the integer that its bits are without the sign. Of what lies in a file only.
  uint32_t largest() const { return largest_.load(); }

 private:
  int32_t type_;
  const char* data_ = nullptr;
  int64_t file_ = -1;
  int64_t start_ = 0;
  std::atomic<uint32_t> largest_{0};
};

// A file could not be read: the system's error, or 0 where it has ended.
struct ReadFailure {
  int64_t code;
};

// See clipengine_cpu_matrix_create.
Weight* create_matrix(Elements& elements, int64_t columns, int64_t depth, bool transposed, Precision precision, const Kernels& kernels);

}  // namespace clipengine::cpu
