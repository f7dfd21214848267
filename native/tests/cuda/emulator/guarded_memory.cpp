#include "cuda/emulator/guarded_memory.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <mutex>
#include <new>

#include "cuda/emulator/emulator.h"

namespace clipengine::emulator {
namespace {

constexpr size_t kAlignment = 256;
constexpr size_t kRemembered = 64;  // blocks that were freed, which nobody may touch

struct Block {
  unsigned char *mapped, *first;
  size_t mapped_bytes, bytes;
  bool is_freed;
};

// Of all devices of the process. The handler reads it on the thread that is in a kernel, which holds no lock.
std::mutex mutex;
std::deque<Block> blocks;

size_t page() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

thread_local bool is_in_launch = false;
struct sigaction previous;

void on_bad_access(int signal, siginfo_t* information, void* context) {
  if (is_in_launch) {
    if (const std::string what = describe_guard(information->si_addr); !what.empty()) fail_thread(what);  // does not return
  }
  if ((previous.sa_flags & SA_SIGINFO) != 0 && previous.sa_sigaction != nullptr) {
    previous.sa_sigaction(signal, information, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    sigaction(signal, &previous, nullptr);  // the access is made again, and ends the process as it would have
  }
}

// Once, at the first launch; a handler that somebody else installed before is asked where the access was not a kernel's.
void install() {
  static const bool is_installed = [] {
    struct sigaction action {};
    action.sa_sigaction = on_bad_access;
    // SA_NODEFER: the handler is left by a jump, and the signal must not stay blocked.
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGSEGV, &action, &previous) == 0;
  }();
  (void)is_installed;
}

}  // namespace

GuardedMemory::~GuardedMemory() {
  while (!blocks_.empty()) {
    try {
      free(blocks_.begin()->first);
    } catch (const Fault&) {  // a destructor has nobody to tell
    }
  }
}

void* GuardedMemory::allocate(size_t bytes) {
  const size_t rounded = (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment, whole = (rounded + page() - 1) / page() * page();
  Block block{};
  block.mapped_bytes = whole + 2 * page();
  void* mapped = mmap(nullptr, block.mapped_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  block.mapped = static_cast<unsigned char*>(mapped);
  if (mprotect(block.mapped + page(), whole, PROT_READ | PROT_WRITE) != 0) {
    munmap(mapped, block.mapped_bytes);
    throw std::bad_alloc();
  }
  block.first = block.mapped + page() + whole - rounded;
  block.bytes = bytes;
  std::memset(block.mapped + page(), 0xff, whole);
  blocks_[block.first] = bytes;
  const std::lock_guard lock(mutex);
  blocks.push_back(block);
  return block.first;
}

void GuardedMemory::free(void* memory) {
  if (memory == nullptr) return;
  const auto own = blocks_.find(memory);
  if (own == blocks_.end()) throw Fault("device memory was freed that was not allocated, or was freed before");
  const std::lock_guard lock(mutex);
  const auto found = std::find_if(blocks.begin(), blocks.end(), [&](const Block& block) { return !block.is_freed && block.first == memory; });
  const unsigned char *start = found->mapped + page(), *last = found->first + found->bytes, *end = found->mapped + found->mapped_bytes - page();
  const auto is_untouched = [](unsigned char byte) { return byte == 0xff; };
  const bool is_intact = std::all_of(start, static_cast<const unsigned char*>(found->first), is_untouched) && std::all_of(last, end, is_untouched);
  const size_t bytes = found->bytes;
  mprotect(found->mapped, found->mapped_bytes, PROT_NONE);
  madvise(found->mapped, found->mapped_bytes, MADV_DONTNEED);
  found->is_freed = true;
  blocks_.erase(own);
  if (std::count_if(blocks.begin(), blocks.end(), [](const Block& block) { return block.is_freed; }) > static_cast<std::ptrdiff_t>(kRemembered)) {
    const auto oldest = std::find_if(blocks.begin(), blocks.end(), [](const Block& block) { return block.is_freed; });
    munmap(oldest->mapped, oldest->mapped_bytes);
    blocks.erase(oldest);
  }
  if (!is_intact) throw Fault("something wrote beside an allocation of " + std::to_string(bytes) + " bytes, into what aligns it");
}

void run_guarded(const std::function<void()>& launch) {
  install();
  is_in_launch = true;
  try {
    launch();
  } catch (...) {
    is_in_launch = false;
    throw;
  }
  is_in_launch = false;
}

std::string describe_guard(const void* address) {
  const unsigned char* at = static_cast<const unsigned char*>(address);
  for (const Block& block : blocks) {
    if (at < block.mapped || at >= block.mapped + block.mapped_bytes) continue;
    const std::string of = " an allocation of " + std::to_string(block.bytes) + " bytes";
    if (block.is_freed) return "touches" + of + " that was freed";
    const std::ptrdiff_t offset = at - block.first;
    if (offset < 0) return "touches memory " + std::to_string(-offset) + " bytes before" + of;
    return "touches memory " + std::to_string(offset - static_cast<std::ptrdiff_t>(block.bytes)) + " bytes behind the end of" + of;
  }
  return "";
}

}  // namespace clipengine::emulator
