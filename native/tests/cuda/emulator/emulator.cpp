#include "cuda/emulator/emulator.h"

#include <setjmp.h>

#include <algorithm>
#include <exception>
#include <memory>

namespace clipengine::emulator {
namespace {

constexpr size_t kStackBytes = 128 << 10;
constexpr size_t kBehindShared = 4096;  // nobody's: who copies there is found out

enum class State { kRunning, kAtWarp, kAtBlock, kDone };

struct PendingCopy {
  void* destination;
  unsigned char bytes[16];
  int group;
};

struct PendingProduct {
  int columns;
  uint64_t a, b;
  ReadElement read;
  int group;
};

// A fiber starts through its context, once; from then on it is left and entered by jumps, which, other than contexts, do not
// ask the system for the signal mask each time. It runs one thread of one block after another.
struct Fiber {
  ucontext_t context;
  jmp_buf place;
  bool is_started = false;
  std::unique_ptr<unsigned char[]> stack;
  State state = State::kDone;
  unsigned operation = 0;
  int group = 0;
  std::vector<PendingCopy> copies;
  std::vector<unsigned char*> landed;  // copies that the products' view does not show yet
  // Products in their order; the first `added` of them are in `shadow`, while the registers themselves are poisoned.
  std::vector<PendingProduct> products;
  size_t added = 0;
  int product_group = 0;
  bool is_settled = false;
  float* sums = nullptr;
  std::vector<float> shadow;
  uint64_t trace = 0;  // of all descriptors
};

// One launch at a time on one host thread; nothing here is shared between threads.
struct Machine {
  std::vector<Fiber> fibers;
  std::vector<unsigned char> mailboxes;
  std::vector<unsigned char> shared;
  unsigned char* shared_aligned = nullptr;
  size_t shared_bytes = 0;
  std::vector<unsigned char> product_view;  // what products see of shared memory
  uint32_t shared_start = 0;                // where it begins in the address space of shared memory
  jmp_buf scheduler;
  unsigned current = 0;
  unsigned threads = 0;
  Dimensions block, grid;
  uint64_t random = 1;
  const std::function<void()>* body = nullptr;
  std::exception_ptr failure;
};
thread_local Machine machine;

unsigned random_number() {
  machine.random = machine.random * 6364136223846793005ull + 1442695040888963407ull;
  return (unsigned)(machine.random >> 33);
}

void suspend(State state, unsigned operation) {
  Fiber& fiber = machine.fibers[machine.current];
  fiber.state = state;
  fiber.operation = operation;
  if (_setjmp(fiber.place) == 0) _longjmp(machine.scheduler, 1);
}

void run_body() {
  try {
    (*machine.body)();
  } catch (...) {
    if (!machine.failure) machine.failure = std::current_exception();
  }
  if (!machine.fibers[machine.current].copies.empty() && !machine.failure)
    machine.failure = std::make_exception_ptr(Fault("a thread ended with asynchronous copies that nobody waited for"));
  if (!machine.fibers[machine.current].products.empty() && !machine.failure)
    machine.failure = std::make_exception_ptr(Fault("a thread ended with warpgroup products that nobody waited for"));
}

void run_threads() {
  for (;;) {
    run_body();
    suspend(State::kDone, 0);
  }
}

// A function of its own, and no local of its callers lives in a register across it: _setjmp returns twice.
__attribute__((noinline)) void enter(Fiber& fiber) {
  if (_setjmp(machine.scheduler) != 0) return;
  if (fiber.is_started) _longjmp(fiber.place, 1);
  fiber.is_started = true;
  setcontext(&fiber.context);
}

void resume(unsigned thread) {
  machine.current = thread;
  enter(machine.fibers[thread]);
  if (machine.failure) std::rethrow_exception(machine.failure);
}

// Lets a warp go on if all its lanes stand at the same collective. Lanes that meet at different ones are a fault.
bool release_warp(unsigned first) {
  const unsigned end = std::min(machine.threads, first + 32);
  for (unsigned t = first; t < end; ++t) {
    if (machine.fibers[t].state != State::kAtWarp) return false;
  }
  for (unsigned t = first; t < end; ++t) {
    if (machine.fibers[t].operation != machine.fibers[first].operation) throw Fault("lanes of a warp meet at different collectives");
  }
  for (unsigned t = first; t < end; ++t) machine.fibers[t].state = State::kRunning;
  return true;
}

void run_warp(unsigned first) {
  unsigned lanes[32], count = 0;
  for (unsigned t = first; t < std::min(machine.threads, first + 32); ++t) {
    if (machine.fibers[t].state == State::kRunning) lanes[count++] = t;
  }
  for (unsigned i = count; i > 1; --i) std::swap(lanes[i - 1], lanes[random_number() % i]);
  for (unsigned i = 0; i < count; ++i) resume(lanes[i]);
  release_warp(first);
}

// A function of its own: getcontext may return twice, and a loop variable around it could be lost.
void prepare(Fiber& fiber) {
  fiber.copies.clear();
  fiber.landed.clear();
  fiber.group = 0;
  fiber.products.clear();
  fiber.added = 0;
  fiber.product_group = 0;
  fiber.is_settled = false;
  fiber.trace = 0;
  // What a fault left in the middle of a kernel starts anew.
  if (fiber.state != State::kDone) fiber.is_started = false;
  fiber.state = State::kRunning;
  if (fiber.is_started) return;
  if (!fiber.stack) fiber.stack = std::make_unique<unsigned char[]>(kStackBytes);
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, run_threads, 0);
}

void run_block() {
  // Shared memory starts as garbage on hardware; a pattern that is a NaN in every type shows who reads before writing.
  std::fill(machine.shared.begin(), machine.shared.end(), (unsigned char)0xff);
  std::fill(machine.product_view.begin(), machine.product_view.end(), (unsigned char)0xff);
  // Only 128 bytes of alignment are promised.
  machine.shared_start = 1024 + 128 * (random_number() % 8);
  for (unsigned t = 0; t < machine.threads; ++t) prepare(machine.fibers[t]);

  unsigned last = 0;
  std::vector<unsigned> warps;
  for (;;) {
    warps.clear();
    unsigned done = 0, at_block = 0;
    for (unsigned t = 0; t < machine.threads; ++t) {
      const State state = machine.fibers[t].state;
      if (state == State::kRunning && (warps.empty() || warps.back() != t / 32)) warps.push_back(t / 32);
      done += state == State::kDone;
      at_block += state == State::kAtBlock;
    }
    if (!warps.empty()) {
      if (std::find(warps.begin(), warps.end(), last) == warps.end() || random_number() % 64 == 0) last = warps[random_number() % warps.size()];
      run_warp(last * 32);
    } else if (done == machine.threads) {
      for (unsigned t = 0; t < machine.threads; ++t) {
        if (machine.fibers[t].trace != machine.fibers[t / 128 * 128].trace) throw Fault("the warps of a group of four multiply different matrices");
      }
      return;
    } else if (at_block == machine.threads) {
      for (unsigned t = 0; t < machine.threads; ++t) machine.fibers[t].state = State::kRunning;
    } else {
      throw Fault("deadlock: a barrier or a warp collective that not every thread reaches");
    }
  }
}

bool is_dynamic_shared(const void* pointer) {
  const unsigned char* at = static_cast<const unsigned char*>(pointer);
  return at >= machine.shared_aligned && at < machine.shared.data() + machine.shared.size();
}

size_t offset_in_shared(const void* pointer, size_t bytes) {
  const size_t offset = static_cast<size_t>(static_cast<const unsigned char*>(pointer) - machine.shared_aligned);
  if (offset + bytes > machine.shared_bytes) throw Fault("shared memory behind what the launch gave");
  return offset;
}

// Eight 16-bit elements, the depth's first or second half, of a matrix with rows along the depth (PTX ISA, matrix descriptor for
// wgmma): address and stride of eight rows in 16 bytes; in the 128-byte swizzle rows are 128 bytes apart and bits 7 to 9 of an
// address are mixed into bits 4 to 6.
const unsigned char* half_row(uint64_t descriptor, unsigned row, unsigned half) {
  if (descriptor >> 62 != 1 || (descriptor >> 49 & 7) != 0) throw Fault("a matrix descriptor of another kind than the 128-byte swizzle from the start of its pattern");
  const uint32_t start = (uint32_t)(descriptor & 0x3fff) << 4, eight_rows = (uint32_t)(descriptor >> 32 & 0x3fff) << 4;
  uint32_t address = start + row / 8 * eight_rows + row % 8 * 128 + half * 16;
  address ^= (address >> 7 & 7) << 4;
  if (address < machine.shared_start || address - machine.shared_start + 16 > machine.shared_bytes) throw Fault("a matrix descriptor points outside the block's shared memory");
  const size_t offset = address - machine.shared_start;
  // It is one memory: what somebody has stored there since shows too, at the wrong time.
  static const std::vector<unsigned char> overwritten(16, 0xff);
  return std::memcmp(machine.product_view.data() + offset, machine.shared_aligned + offset, 16) == 0 ? machine.product_view.data() + offset : overwritten.data();
}

void read_row(const PendingProduct& product, uint64_t descriptor, unsigned row, float values[16]) {
  for (unsigned half = 0; half < 2; ++half) {
    const unsigned char* elements = half_row(descriptor, row, half);
    for (unsigned k = 0; k < 8; ++k) values[half * 8 + k] = product.read(elements + k * 2);
  }
}

// This thread's share of its oldest product that is not in the sums yet: d[4 j + e] is row t / 32 * 16 + t % 32 / 4 + e / 2 * 8 and
// column 8 j + t % 4 * 2 + e % 2 of the group's 64 rows (PTX ISA, the figure of wgmma's matrix D).
void add_product(Fiber& fiber) {
  const PendingProduct& product = fiber.products[fiber.added++];
  const unsigned t = machine.current % 128;
  float left[2][16], right[16];
  for (unsigned upper = 0; upper < 2; ++upper) read_row(product, product.a, t / 32 * 16 + t % 32 / 4 + upper * 8, left[upper]);
  for (unsigned pair = 0; pair < (unsigned)product.columns / 4; ++pair) {
    read_row(product, product.b, pair / 2 * 8 + t % 4 * 2 + pair % 2, right);
    for (unsigned upper = 0; upper < 2; ++upper) {
      float& sum = fiber.shadow[pair / 2 * 4 + upper * 2 + pair % 2];
      for (unsigned k = 0; k < 16; ++k) sum += left[upper][k] * right[k];
    }
  }
}

}  // namespace

void launch(Dimensions grid, unsigned block, size_t dynamic_shared_bytes, uint64_t seed, const std::function<void()>& body) {
  Machine& m = machine;
  m.threads = block;
  m.grid = grid;
  m.random = seed * 2 + 1;
  m.body = &body;
  m.failure = nullptr;
  if (m.fibers.size() < block) m.fibers.resize(block);
  m.mailboxes.assign((size_t)(block + 31) / 32 * 32 * 64, 0);
  m.shared_bytes = dynamic_shared_bytes;
  m.shared.resize(dynamic_shared_bytes + 128 + kBehindShared);
  m.shared_aligned = m.shared.data() + (128 - (uintptr_t)m.shared.data() % 128) % 128;
  m.product_view.resize(dynamic_shared_bytes);
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        m.block = {x, y, z};
        run_block();
      }
    }
  }
}

void fail_thread(const std::string& what) {
  const Dimensions block = machine.block;
  machine.failure = std::make_exception_ptr(Fault("thread " + std::to_string(machine.current) + " of block " + std::to_string(block.x) + ", " + std::to_string(block.y) + ", " + std::to_string(block.z) + " " + what));
  // As a suspension, but the fiber is never entered again where it stands: prepare() starts it anew.
  machine.fibers[machine.current].state = State::kRunning;
  _longjmp(machine.scheduler, 1);
}

unsigned thread() { return machine.current; }
unsigned block_threads() { return machine.threads; }
Dimensions block() { return machine.block; }
Dimensions grid() { return machine.grid; }
unsigned char* dynamic_shared() { return machine.shared_aligned; }
void meet_block() { suspend(State::kAtBlock, 0); }
void meet_warp(unsigned operation) { suspend(State::kAtWarp, operation); }
unsigned lane() { return machine.current % 32; }
unsigned char* mailbox(unsigned lane) { return machine.mailboxes.data() + ((size_t)(machine.current / 32) * 32 + lane) * 64; }

void check_alignment(const void* pointer, unsigned bytes, const char* what) {
  if ((uintptr_t)pointer % bytes != 0) throw Fault(std::string(what) + ": an address is not a multiple of " + std::to_string(bytes));
}

void copy_async(void* destination, const void* source, bool valid) {
  check_alignment(destination, 16, "cp.async to shared memory");
  Fiber& fiber = machine.fibers[machine.current];
  PendingCopy copy = {destination, {0}, fiber.group};
  if (valid) {
    check_alignment(source, 16, "cp.async from device memory");
    std::memcpy(copy.bytes, source, 16);
  }
  std::memset(destination, 0xff, 16);
  if (is_dynamic_shared(destination)) std::memset(machine.product_view.data() + offset_in_shared(destination, 16), 0xff, 16);
  fiber.copies.push_back(copy);
}

void copy_async_commit() { ++machine.fibers[machine.current].group; }

void copy_async_wait(int pending) {
  Fiber& fiber = machine.fibers[machine.current];
  const int landed = fiber.group - pending;
  size_t kept = 0;
  for (PendingCopy& copy : fiber.copies) {
    if (copy.group < landed) {
      std::memcpy(copy.destination, copy.bytes, 16);
      if (is_dynamic_shared(copy.destination)) fiber.landed.push_back(static_cast<unsigned char*>(copy.destination));
    } else {
      fiber.copies[kept++] = copy;
    }
  }
  fiber.copies.resize(kept);
}

uint32_t shared_address(const void* pointer) { return machine.shared_start + (uint32_t)offset_in_shared(pointer, 0); }

void fence_async_proxy() {
  Fiber& fiber = machine.fibers[machine.current];
  for (const unsigned char* chunk : fiber.landed) std::memcpy(machine.product_view.data() + (chunk - machine.shared_aligned), chunk, 16);
  fiber.landed.clear();
}

void product_fence() { machine.fibers[machine.current].is_settled = true; }

void product_begin(float* sums, int columns, uint64_t a, uint64_t b, ReadElement read) {
  Fiber& fiber = machine.fibers[machine.current];
  if (machine.threads % 128 != 0) throw Fault("a warpgroup product in a block that has no whole groups of four warps");
  const size_t count = (size_t)columns / 2;
  if (fiber.products.empty()) {
    if (!fiber.is_settled) throw Fault("a warpgroup product adds to registers that no fence has settled");
    fiber.sums = sums;
    fiber.shadow.assign(sums, sums + count);
    fiber.added = 0;
    std::memset(sums, 0xff, count * sizeof(float));
  } else if (fiber.sums != sums) {
    throw Fault("warpgroup products add to other registers while some are under way");
  }
  fiber.products.push_back({columns, a, b, read, fiber.product_group});
  fiber.trace = (fiber.trace ^ a) * 0x100000001B3ull ^ b;
  // It may read its operands at once, or as late as it is waited for.
  if (random_number() % 2 == 0 && fiber.added + 1 == fiber.products.size()) add_product(fiber);
}

void product_commit() { ++machine.fibers[machine.current].product_group; }

void product_wait(int pending) {
  Fiber& fiber = machine.fibers[machine.current];
  size_t done = 0;
  while (done < fiber.products.size() && fiber.products[done].group < fiber.product_group - pending) ++done;
  while (fiber.added < done) add_product(fiber);
  fiber.products.erase(fiber.products.begin(), fiber.products.begin() + (std::ptrdiff_t)done);
  fiber.added -= done;
  if (done == 0 || !fiber.products.empty()) return;
  std::copy(fiber.shadow.begin(), fiber.shadow.end(), fiber.sums);
  fiber.is_settled = false;
}

}  // namespace clipengine::emulator
