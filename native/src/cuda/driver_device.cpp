#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <vector>

#include "core/status.h"
#include "cuda/device.h"
#include "cuda/driver.h"
#include "cuda/kernel_sources.h"
#include "cuda/nvrtc.h"

namespace clipengine::cuda {
namespace {

constexpr size_t kStagingBytes = 8 << 20;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return file ? content.str() : std::string();
}

// A private name, then a rename: two processes that compile at once never read each other's half.
void write_file(const std::string& path, const std::string& content) {
  const std::string temporary = path + "." + std::to_string(getpid()) + ".partial";
  std::ofstream file(temporary, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (!file || std::rename(temporary.c_str(), path.c_str()) != 0) std::remove(temporary.c_str());
}

class DriverDevice final : public Device {
 public:
  DriverDevice(int32_t ordinal, const char* kernel_folder) : driver_(Driver::get()) {
    driver_.check(driver_.cuDeviceGet(&ordinal_, ordinal), "opening device " + std::to_string(ordinal));
    if (attribute(kCapabilityMajor) < 8) {  // no asynchronous copies to shared memory, no bf16: the assembler would refuse the kernels one by one
      throw Error(CLIPENGINE_UNSUPPORTED,
                  "cuda:" + std::to_string(ordinal) + " is " + architecture() + "; the kernels need sm_80 (compute capability 8.0, Ampere) or later. Use --device cpu or torch:cuda:" + std::to_string(ordinal));
    }
    driver_.check(driver_.cuDevicePrimaryCtxRetain(&context_, ordinal_), "opening a context");
    try {
      enter();
      for (Stream& stream : streams_) driver_.check(driver_.cuStreamCreate(&stream, 1 /* does not wait for the default stream */), "creating a stream");
      for (Staging& staging : staging_) {
        driver_.check(driver_.cuMemHostAlloc(&staging.memory, kStagingBytes, 0), "pinning staging memory");
        driver_.check(driver_.cuEventCreate(&staging.copied, 2 /* no timing */), "creating an event");
      }
      load_kernels(kernel_folder == nullptr ? "" : kernel_folder);
    } catch (...) {
      release();
      throw;
    }
  }

  ~DriverDevice() override { release(); }

  std::string describe() const override {
    enter();
    char name[256] = "";
    size_t total = 0, free_bytes = 0, ignored = 0;
    int version = 0;
    driver_.cuDeviceGetName(name, sizeof name, ordinal_);
    driver_.cuDeviceTotalMem_v2(&total, ordinal_);
    driver_.cuMemGetInfo_v2(&free_bytes, &ignored);
    driver_.cuDriverGetVersion(&version);
    std::ostringstream text;
    text << "name: " << name << "\narchitecture: " << architecture() << "\nmultiprocessors: " << attribute(kMultiprocessorCount) << "\nmemory bytes: " << total
         << "\nfree memory bytes: " << free_bytes << "\ndriver supports CUDA: " << version / 1000 << '.' << version % 1000 / 10 << "\nkernels: " << origin_
         << "\nkernel hash: " << kernel_sources_hash();
    for (const std::string& step : steps_down_) text << "\nstep down: " << step;
    return text.str();
  }

  std::string architecture() const override { return "sm_" + std::to_string(attribute(kCapabilityMajor)) + std::to_string(attribute(kCapabilityMinor)); }
  const char* library_mark() const override { return nullptr; }
  int multiprocessors() const override { return attribute(kMultiprocessorCount); }

  int64_t free_bytes() const override {
    enter();
    size_t free_bytes = 0, total = 0;
    driver_.check(driver_.cuMemGetInfo_v2(&free_bytes, &total), "asking for free memory");
    return static_cast<int64_t>(free_bytes);
  }

  uint64_t allocate(int64_t bytes) override {
    const std::lock_guard lock(mutex_);
    enter();
    DeviceAddress address = 0;
    if (driver_.cuMemAlloc_v2(&address, static_cast<size_t>(bytes)) == kOutOfMemory) {
      size_t free_bytes = 0, total = 0;
      driver_.cuMemGetInfo_v2(&free_bytes, &total);
      throw Error(CLIPENGINE_OUT_OF_MEMORY, "device memory: asked for " + std::to_string(bytes) + " bytes, " + std::to_string(free_bytes) + " of " + std::to_string(total) + " are free");
    }
    if (address == 0) throw Error(CLIPENGINE_INTERNAL, "the driver gave no device memory");
    return address;
  }

  void free(uint64_t address) override {
    const std::lock_guard lock(mutex_);
    enter();
    // What is still running may use it.
    driver_.check(driver_.cuStreamSynchronize(stream()), "waiting for the device");
    driver_.check(driver_.cuMemFree_v2(address), "freeing device memory");
  }

  void upload(uint64_t destination, const void* source, int64_t bytes) override {
    const std::lock_guard lock(mutex_);
    enter();
    const char* from = static_cast<const char*>(source);
    for (int64_t done = 0; done < bytes;) {
      Staging& staging = staging_[next_staging_];
      next_staging_ = (next_staging_ + 1) % 2;
      driver_.check(driver_.cuEventSynchronize(staging.copied), "waiting for staging memory");
      const int64_t part = std::min<int64_t>(bytes - done, kStagingBytes);
      std::memcpy(staging.memory, from + done, static_cast<size_t>(part));
      driver_.check(driver_.cuMemcpyHtoDAsync_v2(destination + static_cast<uint64_t>(done), staging.memory, static_cast<size_t>(part), stream()), "copying to the device");
      driver_.check(driver_.cuEventRecord(staging.copied, stream()), "recording an event");
      done += part;
    }
  }

  void download(void* destination, uint64_t source, int64_t bytes) override {
    const std::lock_guard lock(mutex_);
    enter();
    driver_.check(driver_.cuMemcpyDtoHAsync_v2(destination, source, static_cast<size_t>(bytes), stream()), "copying from the device");
    driver_.check(driver_.cuStreamSynchronize(stream()), "waiting for the device");
  }

  int64_t find_kernel(const std::string& name, int32_t shared_bytes) override {
    const std::lock_guard lock(mutex_);
    enter();
    Function function = nullptr;
    driver_.check(driver_.cuModuleGetFunction(&function, module_, name.c_str()), "finding kernel " + name);
    if (shared_bytes > 48 << 10) driver_.check(driver_.cuFuncSetAttribute(function, kMaxDynamicShared, shared_bytes), "allowing kernel " + name + " its shared memory");
    return reinterpret_cast<int64_t>(function);
  }

  void launch(const KernelLaunch& launch) override {
    const std::lock_guard lock(mutex_);
    enter();
    enqueue(launch);
  }

  int64_t create_graph(const std::vector<KernelLaunch>& launches) override {
    const std::lock_guard lock(mutex_);  // until the end: nobody else's work may be captured
    enter();
    driver_.check(driver_.cuStreamBeginCapture_v2(stream(), 1 /* other threads' streams go on */), "beginning a graph");
    Graph graph = nullptr;
    try {
      for (const KernelLaunch& launch : launches) enqueue(launch);
    } catch (...) {
      driver_.cuStreamEndCapture(stream(), &graph);
      if (graph != nullptr) driver_.cuGraphDestroy(graph);
      throw;
    }
    driver_.check(driver_.cuStreamEndCapture(stream(), &graph), "ending a graph");
    GraphExec executable = nullptr;
    const DriverStatus status = driver_.cuGraphInstantiateWithFlags(&executable, graph, 0);
    driver_.cuGraphDestroy(graph);
    driver_.check(status, "making a graph of " + std::to_string(launches.size()) + " launches");
    return reinterpret_cast<int64_t>(executable);
  }

  void launch_graph(int64_t graph) override {
    const std::lock_guard lock(mutex_);
    enter();
    driver_.check(driver_.cuGraphLaunch(reinterpret_cast<GraphExec>(graph), stream()), "launching a graph");
  }

  void destroy_graph(int64_t graph) override {
    const std::lock_guard lock(mutex_);
    enter();
    driver_.check(driver_.cuGraphExecDestroy(reinterpret_cast<GraphExec>(graph)), "destroying a graph");
  }

  void synchronize() override {
    const std::lock_guard lock(mutex_);
    enter();
    for (Stream stream : streams_) driver_.check(driver_.cuStreamSynchronize(stream), "waiting for the device");
  }

  void launch_task(int64_t kernel, const Launch& launch, const void* task, int64_t) override {
    const std::lock_guard lock(mutex_);
    enter();
    void* parameters[] = {const_cast<void*>(task)};
    driver_.check(driver_.cuLaunchKernel(reinterpret_cast<Function>(kernel), launch.grid_x, launch.grid_y, launch.grid_z, launch.block, 1, 1, launch.shared_bytes, stream(), parameters, nullptr),
                  "launching a kernel");
  }

  void* pin(int64_t bytes) override {
    const std::lock_guard lock(mutex_);
    enter();
    void* memory = nullptr;
    driver_.check(driver_.cuMemHostAlloc(&memory, static_cast<size_t>(bytes), 0), "pinning " + std::to_string(bytes) + " bytes of host memory");
    return memory;
  }

  void unpin(void* memory) override {
    const std::lock_guard lock(mutex_);
    enter();
    driver_.check(driver_.cuMemFreeHost(memory), "freeing pinned memory");
  }

  void copy_to_device(Queue queue, uint64_t destination, const void* pinned, int64_t bytes) override {
    const std::lock_guard lock(mutex_);
    enter();
    driver_.check(driver_.cuMemcpyHtoDAsync_v2(destination, pinned, static_cast<size_t>(bytes), stream(queue)), "copying to the device");
  }

  void copy_to_host(Queue queue, void* pinned, uint64_t source, int64_t bytes) override {
    const std::lock_guard lock(mutex_);
    enter();
    driver_.check(driver_.cuMemcpyDtoHAsync_v2(pinned, source, static_cast<size_t>(bytes), stream(queue)), "copying from the device");
  }

  void fill(Queue queue, uint64_t destination, uint8_t value, int64_t bytes) override {
    const std::lock_guard lock(mutex_);
    enter();
    driver_.check(driver_.cuMemsetD8Async(destination, value, static_cast<size_t>(bytes), stream(queue)), "filling device memory");
  }

  int64_t create_event() override {
    const std::lock_guard lock(mutex_);
    enter();
    void* event = nullptr;
    driver_.check(driver_.cuEventCreate(&event, 0), "creating an event");
    return reinterpret_cast<int64_t>(event);
  }

  void destroy_event(int64_t event) override {
    const std::lock_guard lock(mutex_);
    enter();
    driver_.check(driver_.cuEventDestroy_v2(reinterpret_cast<void*>(event)), "destroying an event");
  }

  void record(int64_t event, Queue queue) override {
    const std::lock_guard lock(mutex_);
    enter();
    driver_.check(driver_.cuEventRecord(reinterpret_cast<void*>(event), stream(queue)), "recording an event");
  }

  void wait(Queue queue, int64_t event) override {
    const std::lock_guard lock(mutex_);
    enter();
    driver_.check(driver_.cuStreamWaitEvent(stream(queue), reinterpret_cast<void*>(event), 0), "waiting for an event");
  }

  void await(int64_t event) override {
    // Not under the lock: others may enqueue meanwhile.
    enter();
    driver_.check(driver_.cuEventSynchronize(reinterpret_cast<void*>(event)), "waiting for the device");
  }

  double elapsed(int64_t start, int64_t end) override {
    const std::lock_guard lock(mutex_);
    enter();
    float milliseconds = 0;
    driver_.check(driver_.cuEventElapsedTime(&milliseconds, reinterpret_cast<void*>(start), reinterpret_cast<void*>(end)), "reading the time between events");
    return milliseconds;
  }

 private:
  struct Staging {
    void* memory = nullptr;
    void* copied = nullptr;
  };

  Stream stream(Queue queue = Queue::kCompute) const { return streams_[static_cast<int>(queue)]; }

  void enqueue(const KernelLaunch& work) const {
    if (work.call) {
      work.call(stream());
      return;
    }
    void* parameters[32];
    if (work.count < 0 || work.count > 32) throw Error(CLIPENGINE_INVALID_ARGUMENT, "a kernel takes at most 32 arguments");
    for (int32_t i = 0; i < work.count; ++i) parameters[i] = const_cast<uint64_t*>(work.arguments + i);
    const Launch& launch = work.launch;
    driver_.check(driver_.cuLaunchKernel(reinterpret_cast<Function>(work.kernel), launch.grid_x, launch.grid_y, launch.grid_z, launch.block, 1, 1, launch.shared_bytes, stream(), parameters, nullptr),
                  "launching a kernel");
  }

  void enter() const { driver_.check(driver_.cuCtxSetCurrent(context_), "entering the context"); }

  int attribute(DeviceAttribute which) const {
    int value = 0;
    driver_.check(driver_.cuDeviceGetAttribute(&value, which, ordinal_), "asking for a device attribute");
    return value;
  }

  // Cubin, then PTX, then NVRTC; every step down is kept for describe().
  void load_kernels(const std::string& folder) {
    // Hopper's own instructions are in code for exactly 9.0 alone.
    const bool is_hopper = architecture() == "sm_90";
    const std::string stem = folder + "/clipengine-" + kernel_sources_hash() + ".", target = is_hopper ? "sm_90a" : architecture();
    if (!folder.empty()) {
      if (try_load(read_file(stem + target + ".cubin"), "cubin for " + target)) return;
      if (is_hopper && try_load(read_file(stem + "sm_90.cubin"), "cubin for sm_90, without wgmma")) return;
      if (try_load(read_file(stem + "compute_80.ptx"), "PTX, compiled by the driver")) return;
    } else {
      steps_down_.push_back("no folder with compiled kernels was given");
    }
    CompiledKernels compiled = compile_kernels(target);
    if (!try_load(compiled.cubin, "NVRTC " + compiled.version + " for " + target)) throw Error(CLIPENGINE_UNSUPPORTED, "the device takes no kernel: " + steps_down_.back());
    if (!folder.empty()) write_file(stem + target + ".cubin", compiled.cubin);
  }

  bool try_load(std::string image, const std::string& what) {
    if (image.empty()) {
      steps_down_.push_back("no " + what);
      return false;
    }
    image.push_back('\0');  // PTX is text and must end
    if (const DriverStatus status = driver_.cuModuleLoadDataEx(&module_, image.data(), 0, nullptr, nullptr); status != kSuccess) {
      const char* text = nullptr;
      driver_.cuGetErrorString(status, &text);
      steps_down_.push_back(what + ": " + (text ? text : "refused"));
      module_ = nullptr;
      return false;
    }
    origin_ = what;
    return true;
  }

  void release() noexcept {
    driver_.cuCtxSetCurrent(context_);
    for (Stream stream : streams_) {
      if (stream != nullptr) driver_.cuStreamSynchronize(stream);
    }
    for (Staging& staging : staging_) {
      if (staging.copied != nullptr) driver_.cuEventDestroy_v2(staging.copied);
      if (staging.memory != nullptr) driver_.cuMemFreeHost(staging.memory);
    }
    if (module_ != nullptr) driver_.cuModuleUnload(module_);
    for (Stream stream : streams_) {
      if (stream != nullptr) driver_.cuStreamDestroy_v2(stream);
    }
    driver_.cuDevicePrimaryCtxRelease_v2(ordinal_);
  }

  const Driver& driver_;
  DeviceOrdinal ordinal_ = 0;
  Context context_ = nullptr;
  Stream streams_[kQueues] = {};
  Module module_ = nullptr;
  Staging staging_[2];
  int next_staging_ = 0;
  std::string origin_;
  std::vector<std::string> steps_down_;
  std::mutex mutex_;
};

}  // namespace

int32_t count_devices() {
  const Driver& driver = Driver::get();
  int count = 0;
  driver.check(driver.cuDeviceGetCount(&count), "counting devices");
  return count;
}

std::unique_ptr<Device> open_device(int32_t ordinal, const char* kernel_folder) {
  const int32_t count = count_devices();
  if (ordinal < 0 || ordinal >= count)
    throw Error(CLIPENGINE_BAD_INPUT, "there is no CUDA device " + std::to_string(ordinal) + "; the driver sees " + std::to_string(count));
  return std::make_unique<DriverDevice>(ordinal, kernel_folder);
}

}  // namespace clipengine::cuda
