#include "cpu/memory.h"

#include "clipengine_cpu.h"

#if defined(_WIN32)
#include <malloc.h>
#include <windows.h>
#else
#include <sys/mman.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <utility>

namespace clipengine::cpu {
namespace {

constexpr int64_t kFirstChunk = int64_t{1} << 20;
constexpr int64_t kLargestStep = int64_t{64} << 20;
std::atomic<int64_t> live{0};

int64_t rounded(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

#if defined(_WIN32)

// Zeroed pages at a border of 64 KiB. Huge ones would need a privilege that users do not have.
void* map_aligned(int64_t bytes) {
  void* memory = VirtualAlloc(nullptr, static_cast<size_t>(bytes), MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void unmap(void* memory, int64_t) { VirtualFree(memory, 0, MEM_RELEASE); }

void* allocate_aligned(int64_t bytes) { return _aligned_malloc(static_cast<size_t>(bytes), kAlignment); }

void free_aligned(void* memory) { _aligned_free(memory); }

#else

constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kPage = 4096;

// Maps more than needed and gives back what lies outside the aligned part.
void* map_aligned(int64_t bytes) {
  const int64_t length = rounded(bytes, kPage), all = length + kHugePage;
  char* raw = static_cast<char*>(mmap(nullptr, static_cast<size_t>(all), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (raw == MAP_FAILED) throw std::bad_alloc();
  const int64_t before = static_cast<int64_t>(-reinterpret_cast<uintptr_t>(raw) & (kHugePage - 1));
  if (before > 0) munmap(raw, static_cast<size_t>(before));
  if (all - before - length > 0) munmap(raw + before + length, static_cast<size_t>(all - before - length));
  madvise(raw + before, static_cast<size_t>(length), MADV_HUGEPAGE);  // a wish; refused where huge pages are off
  return raw + before;
}

void unmap(void* memory, int64_t bytes) { munmap(memory, static_cast<size_t>(rounded(bytes, kPage))); }

void* allocate_aligned(int64_t bytes) { return std::aligned_alloc(kAlignment, static_cast<size_t>(rounded(bytes, kAlignment))); }

void free_aligned(void* memory) { std::free(memory); }

#endif

}  // namespace

Buffer::Buffer(int64_t bytes) : size_(bytes) {
  if (bytes <= 0) {
    size_ = 0;
    return;
  }
  if (bytes >= kMappedFrom) {
    data_ = map_aligned(bytes);
  } else {
    data_ = allocate_aligned(bytes);
    if (data_ == nullptr) throw std::bad_alloc();
  }
  live.fetch_add(size_, std::memory_order_relaxed);
}

Buffer::~Buffer() {
  if (data_ == nullptr) return;
  if (size_ >= kMappedFrom) {
    unmap(data_, size_);
  } else {
    free_aligned(data_);
  }
  live.fetch_sub(size_, std::memory_order_relaxed);
}

Buffer::Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

int64_t Buffer::live_bytes() { return live.load(std::memory_order_relaxed); }

void* Arena::allocate(int64_t bytes) {
  const int64_t needed = rounded(std::max<int64_t>(bytes, 1), kAlignment);
  // A chunk that is too small is passed over, not dropped: the same sequence of sizes finds the same places next time.
  for (; chunk_ < chunks_.size(); ++chunk_, offset_ = 0) {
    if (offset_ + needed <= chunks_[chunk_].size()) {
      char* memory = chunks_[chunk_].as<char>() + offset_;
      offset_ += needed;
      return memory;
    }
  }
  const int64_t step = chunks_.empty() ? kFirstChunk : std::min(2 * chunks_.back().size(), kLargestStep);
  chunks_.emplace_back(std::max(needed, step));
  chunk_ = chunks_.size() - 1;
  offset_ = needed;
  return chunks_[chunk_].data();
}

void Arena::release(int64_t mark) {
  chunk_ = static_cast<size_t>(mark >> kOffsetBits);
  offset_ = mark & ((int64_t{1} << kOffsetBits) - 1);
}

}  // namespace clipengine::cpu

extern "C" int64_t clipengine_cpu_live_bytes(void) noexcept { return clipengine::cpu::Buffer::live_bytes(); }
