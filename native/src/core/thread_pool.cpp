#include "core/thread_pool.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <sched.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

#include "core/status.h"

namespace clipengine {
namespace {

// How long a thread looks for the next job before it sleeps. The jobs of a forward pass follow each other within microseconds
// and waking a sleeper costs tens of them; longer spinning would take the processor from others.
constexpr int kSpins = 400;
constexpr int kMaximumThreads = 1024;

thread_local int current_worker = -1;  // -1: not inside a job

constexpr int kMaximumRests = 2;
std::atomic<void (*)()> rests[kMaximumRests];

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");  // as long as a pause; yield is nothing on most processors
#endif
}

#if defined(_WIN32)

// Processors in this process's affinity mask. It covers one group of up to 64; a process that Windows lets run in all of them has no
// mask worth counting.
int allowed_processors() {
  DWORD_PTR process = 0, system = 0;
  if (GetActiveProcessorGroupCount() > 1 || !GetProcessAffinityMask(GetCurrentProcess(), &process, &system) || process == 0) {
    return static_cast<int>(GetActiveProcessorCount(ALL_PROCESSOR_GROUPS));
  }
  return __builtin_popcountll(process);
}

// What a job (a container, most of the time) leaves this process of them; infinity where nothing limits it.
double processor_quota() {
  JOBOBJECT_CPU_RATE_CONTROL_INFORMATION rate = {};
  if (!QueryInformationJobObject(nullptr, JobObjectCpuRateControlInformation, &rate, sizeof rate, nullptr)) return HUGE_VAL;
  constexpr DWORD kHardCap = JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP;
  if ((rate.ControlFlags & kHardCap) != kHardCap || rate.CpuRate == 0) return HUGE_VAL;
  return rate.CpuRate / 10000.0 * GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);  // of all processors, in hundredths of a percent
}

#else

int allowed_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());  // more than CPU_SETSIZE processors
}

// The tightest cpu.max of this process's cgroup (v2) and its ancestors; infinity where there is none.
double processor_quota() {
  std::ifstream self("/proc/self/cgroup");
  std::string line, path;
  while (std::getline(self, line)) {
    if (line.rfind("0::", 0) == 0) path = line.substr(3);
  }
  double limit = HUGE_VAL;
  for (;;) {
    std::ifstream file("/sys/fs/cgroup" + path + "/cpu.max");
    std::string quota;
    double period = 0;
    if (file >> quota >> period && quota != "max" && period > 0) limit = std::min(limit, std::strtod(quota.c_str(), nullptr) / period);
    const size_t slash = path.find_last_of('/');
    if (slash == std::string::npos || path.empty()) break;
    path.resize(slash);
  }
  std::ifstream quota_v1("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), period_v1("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double quota = 0, period = 0;
  if (quota_v1 >> quota && period_v1 >> period && quota > 0 && period > 0) limit = std::min(limit, quota / period);
  return limit;
}

#endif

}  // namespace

int available_processors() {
  int count = allowed_processors();
  const double limit = processor_quota();
  if (limit < count) count = static_cast<int>(std::ceil(limit));
  return std::clamp(count, 1, kMaximumThreads);
}

ThreadPool& ThreadPool::instance() {
  static ThreadPool* pool = new ThreadPool(0);
  return *pool;
}

ThreadPool::ThreadPool(int threads) { start_workers(threads); }

ThreadPool::~ThreadPool() { stop_workers(); }

void ThreadPool::add_rest(void (*rest)()) {
  for (std::atomic<void (*)()>& place : rests) {
    void (*found)() = nullptr;
    if (place.compare_exchange_strong(found, rest) || found == rest) return;
  }
  throw Error(CLIPENGINE_INTERNAL, "there are more things to do before sleeping than there are places for");
}

void ThreadPool::rest() {
  for (const std::atomic<void (*)()>& place : rests) {
    if (void (*action)() = place.load(std::memory_order_relaxed)) action();
  }
}

void ThreadPool::start_workers(int threads) {
  const int count = threads < 1 ? available_processors() : std::min(threads, kMaximumThreads);
  workers_.reserve(static_cast<size_t>(count - 1));
  try {
    for (int worker = 1; worker < count; ++worker) workers_.emplace_back([this, worker] { work(worker); });
  } catch (const std::system_error&) {
    // The system refuses more threads: work with those that started.
  }
  size_.store(static_cast<int>(workers_.size()) + 1, std::memory_order_relaxed);
}

void ThreadPool::stop_workers() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
  stopping_ = false;
}

void ThreadPool::resize(int threads) {
  if (current_worker >= 0) throw Error(CLIPENGINE_INVALID_ARGUMENT, "the thread pool cannot be resized from inside one of its jobs");
  std::lock_guard turn(turn_);
  const int wanted = threads < 1 ? available_processors() : std::min(threads, kMaximumThreads);
  if (wanted == size()) return;
  stop_workers();
  start_workers(wanted);
}

void ThreadPool::take_chunks(int worker) {
  current_worker = worker;
  try {
    for (;;) {
      const int64_t chunk = next_.fetch_add(1, std::memory_order_relaxed);
      if (chunk >= chunks_) break;
      body_(context_, chunk, worker);
    }
  } catch (...) {
    std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
    next_.store(chunks_, std::memory_order_relaxed);
  }
  current_worker = -1;
}

void ThreadPool::work(int worker) {
  uint64_t seen = 0;
  for (;;) {
    for (int spin = 0; spin < kSpins && generation_.load(std::memory_order_acquire) == seen; ++spin) relax();
    if (generation_.load(std::memory_order_relaxed) == seen) rest();
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || (open_ && generation_.load(std::memory_order_relaxed) != seen); });
      if (stopping_) return;
      seen = generation_.load(std::memory_order_relaxed);
      joined_.fetch_add(1, std::memory_order_relaxed);
    }
    if (worker < limit_) take_chunks(worker);
    // Under the lock, so that the caller cannot miss the last one leaving between its check and its wait.
    std::lock_guard lock(mutex_);
    if (joined_.fetch_sub(1, std::memory_order_release) == 1 && !open_) finished_.notify_one();
  }
}

void ThreadPool::run(int64_t chunks, Body body, void* context, int workers) {
  if (chunks <= 0) return;
  if (current_worker >= 0) {
    const int worker = current_worker;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) body(context, chunk, worker);
    return;
  }
  std::lock_guard turn(turn_);
  const bool parallel = chunks > 1 && !workers_.empty();
  {
    std::lock_guard lock(mutex_);
    body_ = body;
    context_ = context;
    chunks_ = chunks;
    limit_ = workers;
    next_.store(0, std::memory_order_relaxed);
    if (parallel) {
      open_ = true;
      generation_.fetch_add(1, std::memory_order_release);
    }
  }
  if (parallel) wake_.notify_all();
  take_chunks(0);
  std::exception_ptr failure;
  {
    std::unique_lock lock(mutex_);
    open_ = false;  // a worker that wakes up only now has nothing to join
    lock.unlock();
    for (int spin = 0; spin < kSpins && joined_.load(std::memory_order_acquire) != 0; ++spin) relax();
    lock.lock();
    finished_.wait(lock, [&] { return joined_.load(std::memory_order_acquire) == 0; });
    failure = std::exchange(failure_, nullptr);
  }
  rest();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace clipengine

extern "C" clipengine_status clipengine_threads_set(int32_t threads) noexcept {
  return clipengine::guard([&] { clipengine::ThreadPool::instance().resize(threads); });
}

extern "C" int32_t clipengine_threads_get(void) noexcept { return clipengine::ThreadPool::instance().size(); }

extern "C" int32_t clipengine_threads_available(void) noexcept {
  try {
    return clipengine::available_processors();
  } catch (...) {
    return 1;
  }
}
