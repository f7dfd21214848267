#include "cuda/emulator.h"

#include <setjmp.h>

#include <algorithm>
#include <exception>
#include <memory>

namespace clipengine::emulator {
namespace {

constexpr size_t kStackBytes = 128 << 10;

enum class State { kRunning, kAtWarp, kAtBlock, kDone };

struct PendingCopy {
  void* destination;
  unsigned char bytes[16];
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
};

// One launch at a time on one host thread; nothing here is shared between threads.
struct Machine {
  std::vector<Fiber> fibers;
  std::vector<unsigned char> mailboxes;
  std::vector<unsigned char> shared;
  unsigned char* shared_aligned = nullptr;
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
  fiber.group = 0;
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
      return;
    } else if (at_block == machine.threads) {
      for (unsigned t = 0; t < machine.threads; ++t) machine.fibers[t].state = State::kRunning;
    } else {
      throw Fault("deadlock: a barrier or a warp collective that not every thread reaches");
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
  m.shared.resize(dynamic_shared_bytes + 128);
  m.shared_aligned = m.shared.data() + (128 - (uintptr_t)m.shared.data() % 128) % 128;
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
  fiber.copies.push_back(copy);
}

void copy_async_commit() { ++machine.fibers[machine.current].group; }

void copy_async_wait(int pending) {
  Fiber& fiber = machine.fibers[machine.current];
  const int landed = fiber.group - pending;
  size_t kept = 0;
  for (PendingCopy& copy : fiber.copies) {
    if (copy.group < landed)
      std::memcpy(copy.destination, copy.bytes, 16);
    else
      fiber.copies[kept++] = copy;
  }
  fiber.copies.resize(kept);
}

}  // namespace clipengine::emulator
