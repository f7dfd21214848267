// Shared by the kernel tests: random data, rounding to an element type, launching in the emulator.
#pragma once

#include <random>
#include <vector>

#include "check.h"
#include "cuda/kernels/primitives.h"

namespace emulated {

inline std::mt19937 generator(20261122);

inline std::vector<float> random_values(size_t count, float spread = 1.0f) {
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

// 16-byte aligned storage behind a canary of 64 elements on either side.
template <typename T>
class Buffer {
 public:
  explicit Buffer(size_t count) : storage_(count + 2 * kGuard + 16 / sizeof(T)), count_(count) {
    unsigned char* bytes = reinterpret_cast<unsigned char*>(storage_.data());
    std::memset(bytes, 0x5a, storage_.size() * sizeof(T));
    start_ = kGuard;
    while (reinterpret_cast<uintptr_t>(&storage_[start_]) % 16 != 0) ++start_;
  }
  T* data() { return &storage_[start_]; }
  size_t size() const { return count_; }
  T& operator[](size_t index) { return storage_[start_ + index]; }
  bool guards_are_intact() const {
    const unsigned char* bytes = reinterpret_cast<const unsigned char*>(storage_.data());
    for (size_t i = 0; i < storage_.size() * sizeof(T); ++i) {
      const bool is_guard = i < start_ * sizeof(T) || i >= (start_ + count_) * sizeof(T);
      if (is_guard && bytes[i] != 0x5a) return false;
    }
    return true;
  }

 private:
  static constexpr size_t kGuard = 64;
  std::vector<T> storage_;
  size_t start_, count_;
};

template <typename T>
Buffer<T> to_buffer(const std::vector<float>& values) {
  Buffer<T> buffer(values.size());
  for (size_t i = 0; i < values.size(); ++i) from_float(values[i], buffer[i]);
  return buffer;
}

// What the kernel sees after its operands were rounded to T, for the double-precision reference.
template <typename T>
std::vector<double> rounded(Buffer<T>& buffer) {
  std::vector<double> values(buffer.size());
  for (size_t i = 0; i < values.size(); ++i) values[i] = to_float(buffer[i]);
  return values;
}

inline unsigned blocks(int64_t total, int size) { return (unsigned)((total + size - 1) / size); }

// Every launch draws another schedule; a failure repeats with the same sequence of tests.
template <typename Body>
void run(clipengine::emulator::Dimensions grid, unsigned block, size_t shared, Body body) {
  static uint64_t seed = 1;
  clipengine::emulator::launch(grid, block, shared, ++seed, body);
}

}  // namespace emulated
