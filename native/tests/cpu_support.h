// What the CPU tests share: seeded values, buffers with canaries, weights and passes that clean up behind themselves.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "clipengine_cpu.h"
#include "cpu/isa.h"
#include "cpu/weight.h"

namespace cpu_test {

using namespace clipengine::cpu;

inline std::vector<float> random_values(int64_t count, uint32_t seed, float scale = 1.0f) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-scale, scale);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = uniform(generator);
  return values;
}

// To bf16, nearest even.
inline float rounded(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
  std::memcpy(&value, &bits, 4);
  return value;
}

inline std::vector<float> rounded(std::vector<float> values) {
  for (float& value : values) value = rounded(value);
  return values;
}

// count floats with a pattern before and behind them that must still be there at the end.
class Guarded {
 public:
  explicit Guarded(int64_t count) : count_(count), memory_(static_cast<size_t>(count + 2 * kGuard), kCanary) {}
  Guarded(const std::vector<float>& values) : Guarded(static_cast<int64_t>(values.size())) { std::copy(values.begin(), values.end(), data()); }
  ~Guarded() {
    for (int64_t i = 0; i < kGuard; ++i) {
      CHECK_EQUAL(memory_[static_cast<size_t>(i)], kCanary);
      CHECK_EQUAL(memory_[static_cast<size_t>(kGuard + count_ + i)], kCanary);
    }
  }
  float* data() { return memory_.data() + kGuard; }
  float operator[](int64_t i) const { return memory_[static_cast<size_t>(kGuard + i)]; }
  int64_t size() const { return count_; }
  bool same_bits(const Guarded& other) const { return count_ == other.count_ && std::memcmp(memory_.data() + kGuard, other.memory_.data() + kGuard, static_cast<size_t>(count_) * sizeof(float)) == 0; }

 private:
  static constexpr int64_t kGuard = 64;
  static constexpr float kCanary = -12345.678f;
  int64_t count_;
  std::vector<float> memory_;
};

struct WeightRelease {
  void operator()(clipengine_cpu_weight* weight) const { clipengine_cpu_weight_destroy(weight); }
};
using OwnedWeight = std::unique_ptr<clipengine_cpu_weight, WeightRelease>;

inline OwnedWeight matrix(const std::vector<float>& values, int64_t columns, int64_t depth, int32_t isa, int32_t compute = CLIPENGINE_FLOAT32, bool transposed = false) {
  clipengine_cpu_weight* weight = nullptr;
  CHECK_EQUAL(clipengine_cpu_matrix_create(values.data(), CLIPENGINE_FLOAT32, columns, depth, transposed ? 1 : 0, compute, isa, &weight), CLIPENGINE_OK);
  return OwnedWeight(weight);
}

inline OwnedWeight values(const std::vector<float>& from) {
  clipengine_cpu_weight* weight = nullptr;
  CHECK_EQUAL(clipengine_cpu_values_create(from.data(), CLIPENGINE_FLOAT32, static_cast<int64_t>(from.size()), &weight), CLIPENGINE_OK);
  return OwnedWeight(weight);
}

struct PassRelease {
  void operator()(clipengine_cpu_pass* pass) const { clipengine_cpu_pass_destroy(pass); }
};
using OwnedPass = std::unique_ptr<clipengine_cpu_pass, PassRelease>;

inline OwnedPass pass(int32_t isa, int32_t compute = CLIPENGINE_FLOAT32) {
  clipengine_cpu_pass* made = nullptr;
  CHECK_EQUAL(clipengine_cpu_pass_create(isa, compute, &made), CLIPENGINE_OK);
  return OwnedPass(made);
}

// Every value within bound of the expected one, the first that is not reported with where it stands.
inline void check_all(const Guarded& found, const std::vector<double>& expected, double bound, const std::string& what) {
  CHECK_EQUAL(found.size(), static_cast<int64_t>(expected.size()));
  for (int64_t i = 0; i < found.size(); ++i) {
    const double difference = std::abs(found[i] - expected[static_cast<size_t>(i)]);
    if (!(difference <= bound)) {
      clipengine_test::check_near(found[i], expected[static_cast<size_t>(i)], bound, what + " at " + std::to_string(i), __FILE__, __LINE__);
      return;
    }
  }
}

// Every set that can run here. On Arm without the emulated tile registers, unless everything is asked for: their code is the same as on x86-64,
// where all tests run over it, and scalar there, which takes most of the time in an emulator of the processor.
inline std::vector<int32_t> tested_isas() {
  std::vector<int32_t> found = available_isas();
#if defined(__aarch64__)
  if (std::getenv("CLIPENGINE_LONG") == nullptr) std::erase(found, CLIPENGINE_CPU_AMX_EMULATED);
#endif
  return found;
}

// Sizes around every edge of lines, tiles and panels.
constexpr int64_t kSizes[] = {1, 7, 17, 50, 77, 257};

// Attention of tokens to each other; projected [batch, tokens, 3 width]: queries, keys and values side by side.
inline clipengine_cpu_attention self_attention(const float* projected, float* output, int64_t batch, int64_t tokens, int64_t width, int64_t heads, bool causal) {
  clipengine_cpu_attention call{};
  call.query = projected;
  call.key = projected + width;
  call.value = projected + 2 * width;
  call.output = output;
  call.query_stride = call.key_stride = call.value_stride = 3 * width;
  call.batch = batch;
  call.queries = call.keys = tokens;
  call.width = width;
  call.heads = heads;
  call.causal = causal ? 1 : 0;
  return call;
}

}  // namespace cpu_test
