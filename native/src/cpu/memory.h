// Aligned memory that is counted, and the arena of a pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace clipengine::cpu {

constexpr int64_t kAlignment = 64;
constexpr int64_t kMappedFrom = int64_t{1} << 20;

// Owns memory aligned to a cache line; from a megabyte on, mapped at a huge page's border and offered to huge pages, because
// a product walks through weights faster than 4 KiB translations can follow.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return data_; }
  int64_t size() const { return size_; }
  // Whether the memory is zero as it comes: what is mapped is.
  bool zeroed() const { return size_ >= kMappedFrom; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

  // Bytes of all live buffers of the process.
  static int64_t live_bytes();

 private:
  void* data_ = nullptr;
  int64_t size_ = 0;
};

// Memory handed out front to back and taken back by mark. Chunks never move and are kept for the next pass.
class Arena {
 public:
  void* allocate(int64_t bytes);
  template <typename T>
  T* allocate_array(int64_t count) {
    return static_cast<T*>(allocate(count * static_cast<int64_t>(sizeof(T))));
  }

  int64_t mark() const { return static_cast<int64_t>(chunk_) << kOffsetBits | offset_; }
  void release(int64_t mark);

 private:
  static constexpr int kOffsetBits = 44;
  std::vector<Buffer> chunks_;
  size_t chunk_ = 0;
  int64_t offset_ = 0;
};

// Takes everything back that was allocated while it lived.
class Scratch {
 public:
  explicit Scratch(Arena& arena) : arena_(arena), mark_(arena.mark()) {}
  ~Scratch() { arena_.release(mark_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

 private:
  Arena& arena_;
  int64_t mark_;
};

}  // namespace clipengine::cpu
