// The emulator as a device: memory is the host's, kernels run on the CPU. It stands for a GPU in tests only.
#define CLIPENGINE_CUDA_EMULATOR 1
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>
#include <vector>

#include "core/status.h"
#include "cuda/device.h"
#include "cuda/kernels/attention.cu"
#include "cuda/kernels/layer_norm.cu"
#include "cuda/kernels/matrix_product.cu"
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
  CLIPENGINE_ENTRY(product_##type), CLIPENGINE_ENTRY(product_##type##_fp32), CLIPENGINE_ENTRY(layer_norm_fp32_##type),                            \
      CLIPENGINE_ENTRY(layer_norm_##type), CLIPENGINE_ENTRY(l2_normalize_##type), CLIPENGINE_ENTRY(unfold_##type),                                \
      CLIPENGINE_ENTRY(assemble_tokens_##type), CLIPENGINE_ENTRY(take_tokens_##type), CLIPENGINE_ENTRY(mean_tokens_##type),                       \
      CLIPENGINE_ENTRY(convert_rows_fp32_##type), CLIPENGINE_ENTRY(convert_rows_##type##_fp32)
  static const std::map<std::string, Kernel> all = {
      CLIPENGINE_ATTENTION_ENTRIES(bf16), CLIPENGINE_ATTENTION_ENTRIES(fp16), CLIPENGINE_TYPE_ENTRIES(bf16), CLIPENGINE_TYPE_ENTRIES(fp16),
      CLIPENGINE_ENTRY(attention_fp32), CLIPENGINE_ENTRY(product_fp32_fp32), CLIPENGINE_ENTRY(layer_norm_fp32), CLIPENGINE_ENTRY(l2_normalize_fp32),
      CLIPENGINE_ENTRY(unfold_fp32), CLIPENGINE_ENTRY(assemble_tokens_fp32), CLIPENGINE_ENTRY(take_tokens_fp32), CLIPENGINE_ENTRY(mean_tokens_fp32),
      CLIPENGINE_ENTRY(convert_rows_fp32), CLIPENGINE_ENTRY(concatenate_tokens_fp32), CLIPENGINE_ENTRY(activate_fp32), CLIPENGINE_ENTRY(add_fp32),
      CLIPENGINE_ENTRY(broadcast), CLIPENGINE_ENTRY(token_embedding), CLIPENGINE_ENTRY(average_pool), CLIPENGINE_ENTRY(map_to_tokens),
      CLIPENGINE_ENTRY(fold_channels)};
  return all;
}

class EmulatedDevice final : public Device {
 public:
  std::string describe() const override { return "name: emulator (tests only)\narchitecture: none\nkernels: compiled for the CPU"; }

  uint64_t allocate(int64_t bytes) override {
    // Fresh device memory is garbage: NaN in every floating-point type shows who reads before writing.
    const size_t rounded = (static_cast<size_t>(bytes) + 255) / 256 * 256;
    void* memory = std::aligned_alloc(256, rounded);
    if (memory == nullptr) throw std::bad_alloc();
    std::memset(memory, 0xff, rounded);
    return reinterpret_cast<uint64_t>(memory);
  }

  void free(uint64_t address) override { std::free(reinterpret_cast<void*>(address)); }
  void upload(uint64_t destination, const void* source, int64_t bytes) override { std::memcpy(reinterpret_cast<void*>(destination), source, static_cast<size_t>(bytes)); }
  void download(void* destination, uint64_t source, int64_t bytes) override { std::memcpy(destination, reinterpret_cast<const void*>(source), static_cast<size_t>(bytes)); }

  int64_t find_kernel(const std::string& name, int32_t) override {
    const auto found = kernels().find(name);
    if (found == kernels().end()) throw Error(CLIPENGINE_INTERNAL, "there is no kernel " + name);
    return reinterpret_cast<int64_t>(&found->second);
  }

  void launch(int64_t kernel, const Launch& launch, const uint64_t* arguments, int32_t count) override {
    const std::lock_guard lock(mutex_);  // static shared memory exists once
    emulator::launch({launch.grid_x, launch.grid_y, launch.grid_z}, launch.block, launch.shared_bytes, ++seed_,
                     [&] { (*reinterpret_cast<const Kernel*>(kernel))(arguments, count); });
  }

  void synchronize() override {}

 private:
  static inline std::mutex mutex_;
  uint64_t seed_ = 0;
};

}  // namespace

int32_t count_devices() { return 1; }

std::unique_ptr<Device> open_device(int32_t, const char*) { return std::make_unique<EmulatedDevice>(); }

}  // namespace clipengine::cuda
