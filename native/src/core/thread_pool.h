// The one thread pool of the process. Everything native that runs in parallel runs here, so that a host with threads of its own
// is never oversubscribed: at any time at most size() threads work, the caller among them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace clipengine {

// Processors this process may really use: its affinity mask, cut by the cgroup's CPU quota (rounded up); at least 1.
int available_processors();

class ThreadPool {
 public:
  // Never destroyed: worker threads must not be joined while a host process tears its statics down.
  static ThreadPool& instance();

  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Threads that work on a job, the caller included.
  int size() const { return size_.load(std::memory_order_relaxed); }

  // Takes effect between jobs. threads < 1 means available_processors().
  void resize(int threads);

  // Calls body(context, chunk, worker) once for every chunk in [0, chunks) and returns when all are done. The chunks are the
  // caller's: their borders do not depend on the number of threads, only who takes which does, so results cannot depend on it
  // either. worker is in [0, workers) and no two threads share one at a time; workers is what the caller has scratch for, read from
  // size() before, since another thread may resize the pool in between. Called from inside a job, the chunks run on the
  // calling worker alone. Several callers take turns. The first exception that a body throws is rethrown here.
  using Body = void (*)(void* context, int64_t chunk, int worker);
  void run(int64_t chunks, Body body, void* context, int workers = kAllWorkers);
  static constexpr int kAllWorkers = 1 << 30;

  // Something that every thread of the pool does before it sleeps, and a caller when its job is done: giving registers back that the
  // system would have to save. At most kMaximumRests; the same one again changes nothing.
  static void add_rest(void (*rest)());

 private:
  static void rest();

  void start_workers(int threads);
  void stop_workers();
  void work(int worker);
  void take_chunks(int worker);

  std::mutex turn_;  // held by the caller whose job is running
  std::atomic<int> size_{1};
  std::vector<std::thread> workers_;

  std::mutex mutex_;  // guards open_, joined_, stopping_ and failure_
  std::condition_variable wake_;
  std::condition_variable finished_;
  bool open_ = false;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::atomic<int> joined_{0};
  std::atomic<uint64_t> generation_{0};

  Body body_ = nullptr;
  void* context_ = nullptr;
  int64_t chunks_ = 0;
  int limit_ = 0;  // workers of this index and above stay out of the job
  std::atomic<int64_t> next_{0};
};

// The same for a callable: function(chunk, worker).
template <typename Function>
void parallel_for(int64_t chunks, Function&& function, int workers = ThreadPool::kAllWorkers) {
  struct Call {
    static void body(void* context, int64_t chunk, int worker) { (*static_cast<std::remove_reference_t<Function>*>(context))(chunk, worker); }
  };
  ThreadPool::instance().run(chunks, &Call::body, const_cast<void*>(static_cast<const void*>(&function)), workers);
}

}  // namespace clipengine
