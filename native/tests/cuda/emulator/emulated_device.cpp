// The emulator as a device: memory is the host's, kernels run on the CPU. It stands for a GPU in tests only.
// Nothing runs when it is enqueued: queues are worked off where the host waits, the next one drawn by chance, so that a missing
// event or a buffer that is touched too early shows.
#define CLIPENGINE_CUDA_EMULATOR 1
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>
#include <vector>

#include "core/status.h"
#include "cuda/device.h"
#include "cuda/emulator/guarded_memory.h"
#include "cuda/kernels/attention.cu"
#include "cuda/kernels/ceilings.cu"
#include "cuda/kernels/layer_norm.cu"
#include "cuda/kernels/matrix_product.cu"
#include "cuda/kernels/matrix_product_hopper.cu"
#include "cuda/kernels/quantize.cu"
#include "cuda/kernels/sweep.cu"
#include "cuda/kernels/sweep_tiles.cu"
#include "cuda/kernels/tokens.cu"

namespace clipengine::cuda {
namespace {

using Kernel = std::function<void(const uint64_t*, int32_t)>;

// Unpacks the eight-byte slots of a launch into a kernel's own parameters.
template <typename... Parameters, size_t... index>
Kernel wrap(void (*kernel)(Parameters...), std::index_sequence<index...>) {
  return [kernel](const uint64_t* slots, int32_t count) {
    if (count != static_cast<int32_t>(sizeof...(Parameters))) throw emulator::Fault("a kernel was launched with another number of arguments than it takes");
    std::tuple<Parameters...> arguments;
    (std::memcpy(&std::get<index>(arguments), slots + index, sizeof(Parameters)), ...);
    std::apply(kernel, arguments);
  };
}
template <typename... Parameters>
Kernel wrap(void (*kernel)(Parameters...)) {
  return wrap(kernel, std::index_sequence_for<Parameters...>());
}

const std::map<std::string, Kernel>& kernels() {
#define CLIPENGINE_ENTRY(name) {#name, wrap(name)}
#define CLIPENGINE_ATTENTION_ENTRIES(type)                                                                                                       \
  CLIPENGINE_ENTRY(attention_##type##_32), CLIPENGINE_ENTRY(attention_##type##_64), CLIPENGINE_ENTRY(attention_##type##_80), CLIPENGINE_ENTRY(attention_##type##_96),                 \
      CLIPENGINE_ENTRY(attention_##type##_112), CLIPENGINE_ENTRY(attention_##type##_128)
#define CLIPENGINE_TYPE_ENTRIES(type)                                                                                                            \
  CLIPENGINE_ENTRY(product_##type), CLIPENGINE_ENTRY(product_##type##_fp32), CLIPENGINE_ENTRY(product_wide_##type), CLIPENGINE_ENTRY(product_wide_##type##_fp32), CLIPENGINE_ENTRY(layer_norm_fp32_##type), CLIPENGINE_ENTRY(rms_norm_fp32_##type), CLIPENGINE_ENTRY(rms_norm_##type),                            \
      CLIPENGINE_ENTRY(layer_norm_##type), CLIPENGINE_ENTRY(l2_normalize_##type), CLIPENGINE_ENTRY(unfold_##type),                                \
      CLIPENGINE_ENTRY(assemble_tokens_##type), CLIPENGINE_ENTRY(take_tokens_##type), CLIPENGINE_ENTRY(mean_tokens_##type), CLIPENGINE_ENTRY(store_tokens_##type), CLIPENGINE_ENTRY(rotate_##type), \
      CLIPENGINE_ENTRY(convert_rows_fp32_##type), CLIPENGINE_ENTRY(convert_rows_##type##_fp32)
  static const std::map<std::string, Kernel> all = {
      CLIPENGINE_ATTENTION_ENTRIES(bf16), CLIPENGINE_ATTENTION_ENTRIES(fp16), CLIPENGINE_TYPE_ENTRIES(bf16), CLIPENGINE_TYPE_ENTRIES(fp16),
      CLIPENGINE_ENTRY(attention_fp32), CLIPENGINE_ENTRY(product_fp32_fp32), CLIPENGINE_ENTRY(product_tf32_fp32), CLIPENGINE_ENTRY(product_fp8_bf16), CLIPENGINE_ENTRY(product_fp8_fp32), CLIPENGINE_ENTRY(quantize_rows_fp32), CLIPENGINE_ENTRY(quantize_rows_bf16), CLIPENGINE_ENTRY(layer_norm_fp32), CLIPENGINE_ENTRY(rms_norm_fp32), CLIPENGINE_ENTRY(l2_normalize_fp32),
      CLIPENGINE_ENTRY(unfold_fp32), CLIPENGINE_ENTRY(assemble_tokens_fp32), CLIPENGINE_ENTRY(take_tokens_fp32), CLIPENGINE_ENTRY(mean_tokens_fp32),
      CLIPENGINE_ENTRY(convert_rows_fp32), CLIPENGINE_ENTRY(concatenate_tokens_fp32), CLIPENGINE_ENTRY(activate_fp32), CLIPENGINE_ENTRY(add_fp32),
      CLIPENGINE_ENTRY(broadcast), CLIPENGINE_ENTRY(token_embedding), CLIPENGINE_ENTRY(average_pool), CLIPENGINE_ENTRY(gate_tokens), CLIPENGINE_ENTRY(map_to_tokens),
      CLIPENGINE_ENTRY(fold_channels), CLIPENGINE_ENTRY(depthwise_convolution), CLIPENGINE_ENTRY(multiply_fp32), CLIPENGINE_ENTRY(store_tokens_fp32), CLIPENGINE_ENTRY(rotate_fp32), CLIPENGINE_ENTRY(ceiling_bf16), CLIPENGINE_ENTRY(ceiling_fp16), CLIPENGINE_ENTRY(ceiling_tf32), CLIPENGINE_ENTRY(ceiling_fp32),
      CLIPENGINE_ENTRY(ceiling_copy)};
  return all;
}

using TaskKernel = void (*)(SweepTask);

const std::map<std::string, TaskKernel>& task_kernels() {
#define CLIPENGINE_TASK_ENTRY(name) {#name, name}
#define CLIPENGINE_TASK_ENTRIES(type)                                                                                          \
  CLIPENGINE_TASK_ENTRY(sweep_check_##type), CLIPENGINE_TASK_ENTRY(sweep_few_##type##_8), CLIPENGINE_TASK_ENTRY(sweep_few_##type##_16), \
      CLIPENGINE_TASK_ENTRY(sweep_scan_##type), CLIPENGINE_TASK_ENTRY(sweep_emit_##type)
  static const std::map<std::string, TaskKernel> all = {CLIPENGINE_TASK_ENTRIES(bf16), CLIPENGINE_TASK_ENTRIES(fp16), CLIPENGINE_TASK_ENTRIES(fp32),
                                                        CLIPENGINE_TASK_ENTRY(sweep_merge), CLIPENGINE_TASK_ENTRY(sweep_reduce), CLIPENGINE_TASK_ENTRY(sweep_weighted)};
  return all;
}

std::string name_of(int64_t kernel) {
  for (const auto& [name, entry] : kernels()) {
    if (reinterpret_cast<int64_t>(&entry) == kernel) return name;
  }
  for (const auto& [name, entry] : task_kernels()) {
    if (reinterpret_cast<int64_t>(&entry) == kernel) return name;
  }
  return "a kernel";
}

void* host(uint64_t address) { return reinterpret_cast<void*>(address); }

class EmulatedDevice final : public Device {
 public:
  std::string describe() const override { return "name: emulator (tests only)\narchitecture: none\nkernels: compiled for the CPU"; }

  // Tests say as which architecture it stands there.
  std::string architecture() const override {
    const char* chosen = std::getenv("CLIPENGINE_EMULATED_ARCHITECTURE");
    return chosen == nullptr ? "sm_89" : chosen;
  }
  const char* library_mark() const override { return "clipengine_fake_cublaslt"; }

  int multiprocessors() const override { return 1; }
  int64_t free_bytes() const override { return 1 << 20; }  // little, so that what is scaled to it stays small

  uint64_t allocate(int64_t bytes) override { return reinterpret_cast<uint64_t>(guarded_.allocate(static_cast<size_t>(bytes))); }

  void free(uint64_t address) override {
    synchronize();
    guarded_.free(host(address));
  }

  void upload(uint64_t destination, const void* source, int64_t bytes) override {
    const unsigned char* from = static_cast<const unsigned char*>(source);
    enqueue(Queue::kCompute, [destination, staged = std::vector<unsigned char>(from, from + bytes)] { std::memcpy(host(destination), staged.data(), staged.size()); });
  }

  void download(void* destination, uint64_t source, int64_t bytes) override {
    const std::lock_guard lock(mutex_);
    while (!queues_[0].empty()) step();
    std::memcpy(destination, host(source), static_cast<size_t>(bytes));
  }

  int64_t find_kernel(const std::string& name, int32_t) override {
    if (const auto task = task_kernels().find(name); task != task_kernels().end()) return reinterpret_cast<int64_t>(&task->second);
    // Tests let Hopper's kernels be missing, or compute something else.
    const char* wide = std::getenv("CLIPENGINE_EMULATED_WGMMA");
    const bool is_other = wide != nullptr && std::string(wide) == "other" && name == "product_wide_fp16";
    if (wide != nullptr && std::string(wide) == "missing" && name.starts_with("product_wide_")) throw Error(CLIPENGINE_INTERNAL, "there is no kernel " + name);
    const auto found = kernels().find(is_other ? "product_wide_bf16" : name);
    if (found == kernels().end()) throw Error(CLIPENGINE_INTERNAL, "there is no kernel " + name);
    return reinterpret_cast<int64_t>(&found->second);
  }

  void launch(const KernelLaunch& work) override {
    if (work.call) {
      enqueue(Queue::kCompute, [call = work.call] { call(nullptr); });
      return;
    }
    run_later(work.kernel, work.launch, [kernel = reinterpret_cast<const Kernel*>(work.kernel), slots = std::vector<uint64_t>(work.arguments, work.arguments + work.count)] {
      (*kernel)(slots.data(), static_cast<int32_t>(slots.size()));
    });
  }

  int64_t create_graph(const std::vector<KernelLaunch>& launches) override {
    const std::lock_guard lock(mutex_);
    graphs_.emplace_back();
    for (const KernelLaunch& launch : launches) graphs_.back().push_back({launch, std::vector<uint64_t>(launch.arguments, launch.arguments + launch.count)});
    return static_cast<int64_t>(graphs_.size());
  }

  void launch_graph(int64_t graph) override {
    const std::lock_guard lock(mutex_);
    const std::vector<Captured>& captured = graphs_.at(static_cast<size_t>(graph - 1));
    if (captured.empty()) throw emulator::Fault("a graph was launched that has been destroyed");
    for (const Captured& work : captured) {
      KernelLaunch again = work.work;
      again.arguments = work.arguments.data();
      launch(again);
    }
  }

  void destroy_graph(int64_t graph) override {
    const std::lock_guard lock(mutex_);
    graphs_.at(static_cast<size_t>(graph - 1)).clear();
  }

  void launch_task(int64_t kernel, const Launch& launch, const void* task, int64_t bytes) override {
    if (bytes != sizeof(SweepTask)) throw emulator::Fault("a kernel was launched with a parameter of another size than it takes");
    SweepTask copy;
    std::memcpy(&copy, task, sizeof copy);
    run_later(kernel, launch, [kernel = *reinterpret_cast<const TaskKernel*>(kernel), copy] { kernel(copy); });
  }

  void synchronize() override {
    const std::lock_guard lock(mutex_);
    while (!is_idle()) step();
  }

  void* pin(int64_t bytes) override { return guarded_.allocate(static_cast<size_t>(bytes)); }

  void unpin(void* memory) override {
    synchronize();
    guarded_.free(memory);
  }

  void copy_to_device(Queue queue, uint64_t destination, const void* pinned, int64_t bytes) override {
    enqueue(queue, [=] { std::memcpy(host(destination), pinned, static_cast<size_t>(bytes)); });
  }

  void copy_to_host(Queue queue, void* pinned, uint64_t source, int64_t bytes) override {
    enqueue(queue, [=] { std::memcpy(pinned, host(source), static_cast<size_t>(bytes)); });
  }

  void fill(Queue queue, uint64_t destination, uint8_t value, int64_t bytes) override {
    enqueue(queue, [=] { std::memset(host(destination), value, static_cast<size_t>(bytes)); });
  }

  int64_t create_event() override {
    const std::lock_guard lock(mutex_);
    events_.push_back({});
    return static_cast<int64_t>(events_.size());
  }

  void destroy_event(int64_t) override {}

  void record(int64_t event, Queue queue) override {
    const std::lock_guard lock(mutex_);
    const int64_t number = ++of(event).issued;
    queues_[static_cast<int>(queue)].push_back({[this, event, number] {
      of(event).done = number;
      of(event).time = std::chrono::steady_clock::now();
    }, 0, 0});
  }

  void wait(Queue queue, int64_t event) override {
    const std::lock_guard lock(mutex_);
    queues_[static_cast<int>(queue)].push_back({[] {}, event, of(event).issued});
  }

  void await(int64_t event) override {
    const std::lock_guard lock(mutex_);
    for (const int64_t number = of(event).issued; of(event).done < number;) step();
  }

  // Of the host: it says nothing about a GPU.
  double elapsed(int64_t start, int64_t end) override {
    const std::lock_guard lock(mutex_);
    return std::chrono::duration<double, std::milli>(of(end).time - of(start).time).count();
  }

 private:
  struct Event {
    int64_t issued = 0, done = 0;
    std::chrono::steady_clock::time_point time{};
  };
  // Runs once `event`, where there is one, has been recorded for the `number`th time.
  struct Work {
    std::function<void()> body;
    int64_t event, number;
  };

  struct Captured {
    KernelLaunch work;
    std::vector<uint64_t> arguments;
  };

  Event& of(int64_t event) { return events_[static_cast<size_t>(event - 1)]; }
  bool is_idle() const { return queues_[0].empty() && queues_[1].empty() && queues_[2].empty(); }

  void enqueue(Queue queue, std::function<void()> body) {
    const std::lock_guard lock(mutex_);
    queues_[static_cast<int>(queue)].push_back({std::move(body), 0, 0});
  }

  void run_later(int64_t kernel, const Launch& launch, std::function<void()> body) {
    enqueue(Queue::kCompute, [this, kernel, launch, body = std::move(body)] {
      try {
        emulator::run_guarded([&] { emulator::launch({launch.grid_x, launch.grid_y, launch.grid_z}, launch.block, launch.shared_bytes, ++seed_, body); });
      } catch (const emulator::Fault& fault) {
        throw emulator::Fault(name_of(kernel) + ": " + fault.what());
      }
    });
  }

  // Runs the first work of one queue that is free to go on.
  void step() {
    for (int tried = 0, first = static_cast<int>((seed_ = seed_ * 6364136223846793005ull + 1442695040888963407ull) >> 33) % kQueues; tried < kQueues; ++tried) {
      std::deque<Work>& queue = queues_[(first + tried) % kQueues];
      if (queue.empty() || (queue.front().event != 0 && of(queue.front().event).done < queue.front().number)) continue;
      const Work work = std::move(queue.front());
      queue.pop_front();
      work.body();
      return;
    }
    throw emulator::Fault("deadlock: every queue waits for an event that nothing records");
  }

  emulator::GuardedMemory guarded_;
  static inline std::recursive_mutex mutex_;  // static shared memory exists once, for all devices
  std::deque<Work> queues_[kQueues];
  std::vector<Event> events_;
  std::vector<std::vector<Captured>> graphs_;
  uint64_t seed_ = 1;
};

}  // namespace

constexpr int32_t kDevices = 3;

int32_t count_devices() { return kDevices; }

std::unique_ptr<Device> open_device(int32_t ordinal, const char*) {
  if (ordinal < 0 || ordinal >= kDevices) throw Error(CLIPENGINE_BAD_INPUT, "there is no CUDA device " + std::to_string(ordinal) + "; the driver sees " + std::to_string(kDevices));
  return std::make_unique<EmulatedDevice>();
}

}  // namespace clipengine::cuda
