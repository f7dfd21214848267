// Shared by the kernel tests: random data, rounding to an element type, launching in the emulator.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <random>
#include <utility>
#include <vector>

#include "check.h"
#include "cuda/kernels/primitives.h"
#if defined(CLIPENGINE_TESTS_ON_DEVICE)
#include "on_device.h"
#endif

namespace emulated {

inline std::mt19937 generator(20261122);

inline std::vector<float> random_values(size_t count, float spread = 1.0f) {
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

// 16-byte aligned storage. What lies before it (and up to 15 bytes behind it) is a canary; the page behind those and the
// page before the canary cannot be touched at all: a read beyond the end shows as a crash, though its value be never used.
template <typename T>
class Buffer {
 public:
  explicit Buffer(size_t count) : count_(count) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), padded = (count * sizeof(T) + 15) / 16 * 16;
    open_bytes_ = (padded + kCanaryBytes + page - 1) / page * page;
    mapped_bytes_ = open_bytes_ + 2 * page;
    void* mapped = mmap(nullptr, mapped_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    mapped_ = static_cast<unsigned char*>(mapped);
    open_ = mapped_ + page;
    if (mprotect(open_, open_bytes_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    std::memset(open_, 0x5a, open_bytes_);
    data_ = reinterpret_cast<T*>(open_ + open_bytes_ - padded);
#if defined(CLIPENGINE_TESTS_ON_DEVICE)
    on_device::add(open_, open_bytes_);
#endif
  }
  Buffer(Buffer&& other) noexcept
      : mapped_(std::exchange(other.mapped_, nullptr)), open_(other.open_), mapped_bytes_(other.mapped_bytes_), open_bytes_(other.open_bytes_), data_(other.data_), count_(other.count_) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (mapped_ == nullptr) return;
#if defined(CLIPENGINE_TESTS_ON_DEVICE)
    on_device::remove(open_);
#endif
    munmap(mapped_, mapped_bytes_);
  }
  T* data() { return data_; }
  size_t size() const { return count_; }
  T& operator[](size_t index) { return data_[index]; }
  bool guards_are_intact() const {
    const unsigned char *first = reinterpret_cast<const unsigned char*>(data_), *last = first + count_ * sizeof(T);
    const auto is_untouched = [](unsigned char byte) { return byte == 0x5a; };
    return std::all_of(static_cast<const unsigned char*>(open_), first, is_untouched) && std::all_of(last, static_cast<const unsigned char*>(open_) + open_bytes_, is_untouched);
  }

 private:
  static constexpr size_t kCanaryBytes = 256;
  unsigned char *mapped_ = nullptr, *open_ = nullptr;
  size_t mapped_bytes_ = 0, open_bytes_ = 0;
  T* data_ = nullptr;
  size_t count_;
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

// Relative error of one rounding to the element type.
template <typename T>
constexpr double rounding() {
  return sizeof(T) == 4 ? 1.0 / (1 << 24) : std::is_same_v<T, bf16> ? 1.0 / (1 << 8) : 1.0 / (1 << 11);
}

inline unsigned blocks(int64_t total, int size) { return (unsigned)((total + size - 1) / size); }

// In the emulator every kernel is there.
inline bool has_kernel([[maybe_unused]] const char* name) {
#if defined(CLIPENGINE_TESTS_ON_DEVICE)
  return on_device::has_kernel(name);
#else
  return true;
#endif
}

inline uint64_t seed = 1;

// Launches a kernel with the arguments of a call. In the emulator every launch draws another schedule; a failure repeats with
// the same sequence of tests. Built with CLIPENGINE_TESTS_ON_DEVICE the very same tests launch it on a device (on_device.h).
template <typename... Parameters>
void run(clipengine::emulator::Dimensions grid, unsigned block, size_t shared, void (*kernel)(Parameters...), std::type_identity_t<Parameters>... arguments) {
#if defined(CLIPENGINE_TESTS_ON_DEVICE)
  const uint64_t slots[] = {on_device::slot(arguments)...};
  on_device::launch(reinterpret_cast<void*>(kernel), grid.x, grid.y, grid.z, block, shared, slots, (int)sizeof...(Parameters));
#else
  clipengine::emulator::launch(grid, block, shared, ++seed, [&] { kernel(arguments...); });
#endif
}

}  // namespace emulated
