// Which implementation computes a product, and that it computes the right one: through the C ABI of the emulated twin, with
// a cuBLASLt of our own (fake_cublaslt.cpp) whose failures are chosen.
#include <dlfcn.h>

#include <array>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "clipengine_cuda.h"

namespace {

constexpr int kNone = 0, kGelu = 1, kGeluTanh = 2;

std::string library_path(const char* name) { return std::string(CLIPENGINE_FAKE_FOLDER) + "/" + name; }

void check_status(clipengine_status status) {
  char text[1024] = "";
  if (status != CLIPENGINE_OK) clipengine_cuda_error_message(text, sizeof text);
  CHECK_EQUAL(std::string(text), "");
}

class Device {
 public:
  explicit Device(const std::string& library, const char* mode = "") {
    setenv("CLIPENGINE_CUBLASLT", library.c_str(), 1);
    setenv("CLIPENGINE_FAKE_CUBLASLT", mode, 1);
    check_status(clipengine_cuda_device_open(0, nullptr, &device_));
  }
  ~Device() {
    for (const uint64_t address : memory_) clipengine_cuda_memory_free(device_, address);
    clipengine_cuda_device_close(device_);
  }
  std::string describe() const {
    char text[16384];
    int64_t length = 0;
    check_status(clipengine_cuda_device_describe(device_, text, sizeof text, &length));
    return text;
  }
  template <typename T>
  uint64_t upload(const std::vector<T>& values) {
    uint64_t address = 0;
    check_status(clipengine_cuda_memory_allocate(device_, (int64_t)(values.size() * sizeof(T)), &address));
    check_status(clipengine_cuda_memory_upload(device_, address, values.data(), (int64_t)(values.size() * sizeof(T))));
    memory_.push_back(address);
    return address;
  }
  template <typename T>
  std::vector<T> download(uint64_t address, size_t count) {
    std::vector<T> values(count);
    check_status(clipengine_cuda_memory_download(device_, values.data(), address, (int64_t)(count * sizeof(T))));
    return values;
  }
  operator clipengine_cuda_device*() const { return device_; }

 private:
  clipengine_cuda_device* device_ = nullptr;
  std::vector<uint64_t> memory_;
};

// The fake's counters, of the library that a device has open.
int fake(int which) {
  void* library = dlopen(library_path("libfake_cublaslt.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  return ((int (*)(int))dlsym(library, "clipengine_fake_cublaslt"))(which);
}

uint16_t to_16bit(float value, int type) {
  if (type == CLIPENGINE_CUDA_FP16) {
    const _Float16 half = (_Float16)value;
    uint16_t bits;
    std::memcpy(&bits, &half, 2);
    return bits;
  }
  uint32_t word;
  std::memcpy(&word, &value, 4);
  return (uint16_t)((word + 0x7fffu + (word >> 16 & 1)) >> 16);
}
double from_16bit(uint16_t bits, int type) {
  if (type == CLIPENGINE_CUDA_FP16) {
    _Float16 half;
    std::memcpy(&half, &bits, 2);
    return (double)half;
  }
  const uint32_t word = (uint32_t)bits << 16;
  float value;
  std::memcpy(&value, &word, 4);
  return value;
}

struct Case {
  int type;
  bool is_result_fp32;
  int rows, columns, depth, activation;
  bool has_bias, has_scale, has_residual, is_graph;
};

// Launches one product and compares it with double precision. Returns whether the library computed it.
bool check_product(Device& device, const Case& c) {
  static std::mt19937 generator(7);
  std::normal_distribution<float> normal;
  const bool is_16bit = c.type == CLIPENGINE_CUDA_BF16 || c.type == CLIPENGINE_CUDA_FP16, is_16bit_result = is_16bit && !c.is_result_fp32;
  const auto random = [&](size_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = normal(generator);
    return values;
  };
  std::vector<double> xs, ws;
  const auto operand = [&](size_t count, float scale, std::vector<double>& seen) {
    std::vector<float> values = random(count);
    std::vector<uint16_t> halves;
    for (float& value : values) {
      value *= scale;
      halves.push_back(to_16bit(value, c.type));
      seen.push_back(is_16bit ? from_16bit(halves.back(), c.type) : value);
    }
    return is_16bit ? device.upload(halves) : device.upload(values);
  };
  const uint64_t x = operand((size_t)c.rows * c.depth, 1, xs), w = operand((size_t)c.columns * c.depth, 1 / std::sqrt((float)c.depth), ws);
  const std::vector<float> bias = random(c.columns), scale = random(c.columns), residual = random((size_t)c.rows * c.columns);
  const uint64_t y = device.upload(std::vector<float>((size_t)c.rows * c.columns, NAN));
  const std::vector<uint64_t> arguments = {x, w, y, (uint64_t)c.rows, (uint64_t)c.columns, (uint64_t)c.depth, c.has_bias ? device.upload(bias) : 0, c.has_scale ? device.upload(scale) : 0, c.has_residual ? device.upload(residual) : 0, (uint64_t)c.activation};
  clipengine_cuda_launch launch = {};
  check_status(clipengine_cuda_product_find(device, c.type, c.is_result_fp32, c.columns, c.depth, &launch.kernel));
  launch.argument_count = (int32_t)arguments.size();
  const int before = fake(0);
  if (c.is_graph) {
    int64_t graph = 0;
    check_status(clipengine_cuda_graph_create(device, &launch, 1, arguments.data(), launch.argument_count, &graph));
    check_status(clipengine_cuda_graph_enqueue(device, graph));
    check_status(clipengine_cuda_graph_destroy(device, graph));
  } else {
    check_status(clipengine_cuda_launches_enqueue(device, &launch, 1, arguments.data(), launch.argument_count));
  }
  std::vector<double> found;
  if (is_16bit_result)
    for (const uint16_t value : device.download<uint16_t>(y, (size_t)c.rows * c.columns)) found.push_back(from_16bit(value, c.type));
  else
    for (const float value : device.download<float>(y, (size_t)c.rows * c.columns)) found.push_back(value);
  for (int r = 0; r < c.rows; ++r) {
    for (int column = 0; column < c.columns; ++column) {
      double sum = c.has_bias ? bias[column] : 0;
      for (int k = 0; k < c.depth; ++k) sum += xs[(size_t)r * c.depth + k] * ws[(size_t)column * c.depth + k];
      if (c.activation == kGelu) sum = 0.5 * sum * (1 + std::erf(sum / std::sqrt(2)));
      if (c.activation == kGeluTanh) sum = 0.5 * sum * (1 + std::tanh(std::sqrt(2 / M_PI) * (sum + 0.044715 * sum * sum * sum)));
      sum = sum * (c.has_scale ? scale[column] : 1) + (c.has_residual ? residual[(size_t)r * c.columns + column] : 0);
      // One rounding of the result, one of a bias in its type; tf32 rounds its operands.
      const double step = !is_16bit_result ? 0 : c.type == CLIPENGINE_CUDA_BF16 ? 1.0 / 256 : 1.0 / 2048;
      CHECK_NEAR(found[(size_t)r * c.columns + column], sum, step * std::abs(sum) + step * (c.has_bias ? std::abs(bias[column]) : 0) + (c.type == CLIPENGINE_CUDA_TF32 ? 2e-2 : 2e-5));
    }
  }
  return fake(0) > before;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

const Case kBiasAndResidual = {CLIPENGINE_CUDA_BF16, true, 7, 24, 16, kNone, true, false, true, false};

}  // namespace

CLIPENGINE_TEST(products_that_fit_go_to_the_library) {
  {
    Device device(library_path("libfake_cublaslt.so"));
    for (const int type : {CLIPENGINE_CUDA_FP32, CLIPENGINE_CUDA_TF32, CLIPENGINE_CUDA_BF16, CLIPENGINE_CUDA_FP16}) {
      for (const auto& [rows, columns, depth] : {std::array{1, 1, 8}, {7, 17, 24}, {131, 40, 72}}) {
        const bool is_16bit = type == CLIPENGINE_CUDA_BF16 || type == CLIPENGINE_CUDA_FP16;
        for (const bool is_graph : {false, true}) {
          CHECK(check_product(device, {type, true, rows, columns, depth, kNone, false, false, false, is_graph}));
          CHECK(check_product(device, {type, true, rows, columns, depth, kNone, true, false, true, is_graph}));
          CHECK(check_product(device, {type, !is_16bit, rows, columns, depth, kNone, true, false, false, is_graph}));
          CHECK(check_product(device, {type, !is_16bit, rows, columns, depth, kGeluTanh, true, false, false, is_graph}));
        }
      }
    }
    CHECK(has(device.describe(), "matrix products: cuBLASLt 12.4.5 where it fits"));
    CHECK(!has(device.describe(), "step down"));
  }
  CHECK_EQUAL(fake(1), 0);  // everything was given back
}

CLIPENGINE_TEST(products_that_do_not_fit_go_to_our_kernels) {
  Device device(library_path("libfake_cublaslt.so"));
  CHECK(!check_product(device, {CLIPENGINE_CUDA_BF16, false, 9, 24, 16, kGelu, true, false, false, false}));
  CHECK(!check_product(device, {CLIPENGINE_CUDA_FP16, true, 9, 24, 16, kNone, true, true, true, false}));
  CHECK(!check_product(device, {CLIPENGINE_CUDA_FP32, true, 9, 24, 16, kNone, false, false, true, true}));
}

CLIPENGINE_TEST(a_refusal_steps_down_and_is_reported) {
  const auto expect = [](const char* mode, const char* reported) {
    Device device(library_path("libfake_cublaslt.so"), mode);
    CHECK(!check_product(device, kBiasAndResidual));
    const std::string text = device.describe();
    CHECK(has(text, "matrix products: our kernels"));
    CHECK(has(text, "step down: cuBLASLt"));
    if (!has(text, reported)) CHECK_EQUAL(text, std::string(reported));
  };
  expect("no-create", "cublasLtCreate: not initialised (1)");
  expect("no-heuristic", "cublasLtMatmulAlgoGetHeuristic: not supported (15)");
  expect("greedy", "none of its 1 algorithms");
  expect("only-part-sums", "none of its 3 algorithms");
  expect("wrong", "where our portable kernel says");
  expect("by-batch", "bf16 to fp32 [24, 16] with a bias and a residual: a row's bits are others among 1 rows than among 130");
}

CLIPENGINE_TEST(an_algorithm_without_part_sums_is_looked_for) {
  Device device(library_path("libfake_cublaslt.so"), "part-sums");
  CHECK(check_product(device, kBiasAndResidual));
}

CLIPENGINE_TEST(without_a_library_our_kernels_are_used_and_the_reason_is_said) {
  const auto expect = [](const std::string& library, const std::string& reported) {
    Device device(library);
    check_product(device, kBiasAndResidual);
    CHECK(has(device.describe(), "step down: cuBLASLt: " + reported));
  };
  expect("none", "CLIPENGINE_CUBLASLT says none");
  expect("", "not for this device");
  expect("/nowhere/libcublasLt.so.12", "not found; looked for /nowhere/libcublasLt.so.12");
  const std::string incomplete = library_path("libfake_cublaslt_incomplete.so");
  expect(incomplete, incomplete + " has no cublasLtMatmul");
  expect("libm.so.6", "libm.so.6 computes on GPUs, and this device is none");
}

// Another kernel in the middle of a run would change bits.
CLIPENGINE_TEST(a_refusal_after_the_checks_is_an_error) {
  Device device(library_path("libfake_cublaslt.so"), "fails-later");
  CHECK(check_product(device, kBiasAndResidual));
  const std::vector<uint64_t> arguments = {device.upload(std::vector<uint16_t>(300 * 16)), device.upload(std::vector<uint16_t>(24 * 16)), device.upload(std::vector<float>(300 * 24)), 300, 24, 16, 0, 0, 0, kNone};
  clipengine_cuda_launch launch = {};
  check_status(clipengine_cuda_product_find(device, CLIPENGINE_CUDA_BF16, 1, 24, 16, &launch.kernel));
  launch.argument_count = (int32_t)arguments.size();
  check_status(clipengine_cuda_launches_enqueue(device, &launch, 1, arguments.data(), launch.argument_count));
  CHECK(clipengine_cuda_device_synchronize(device) != CLIPENGINE_OK);
  char text[1024] = "";
  clipengine_cuda_error_message(text, sizeof text);
  CHECK(has(text, "cublasLtMatmul: execution failed (13), on 300 rows"));
  CHECK(has(text, "CLIPENGINE_CUBLASLT=none"));
}

CLIPENGINE_TEST(on_hopper_the_kernels_on_wgmma_are_used_once_they_have_proved_themselves) {
  setenv("CLIPENGINE_EMULATED_ARCHITECTURE", "sm_90", 1);
  {
    Device device("none");
    CHECK(has(device.describe(), "matrix products: our kernels (wgmma)"));
    CHECK(!has(device.describe(), "step down: kernels on wgmma"));
    check_product(device, {CLIPENGINE_CUDA_BF16, false, 130, 270, 72, kGelu, true, false, false, false});
    check_product(device, {CLIPENGINE_CUDA_FP16, true, 7, 24, 328, kGeluTanh, true, true, true, true});
    check_product(device, {CLIPENGINE_CUDA_FP32, true, 7, 24, 16, kNone, true, true, true, false});
  }
  for (const auto& [mode, reported] : {std::pair{"missing", "there is no kernel product_wide_bf16"}, {"other", "where our portable kernel says"}}) {
    setenv("CLIPENGINE_EMULATED_WGMMA", mode, 1);
    Device device("none");
    CHECK(has(device.describe(), "matrix products: our kernels (mma.sync)"));
    CHECK(has(device.describe(), "step down: kernels on wgmma: "));
    CHECK(has(device.describe(), reported));
    check_product(device, {CLIPENGINE_CUDA_FP16, true, 7, 24, 32, kGeluTanh, true, true, true, false});
  }
  unsetenv("CLIPENGINE_EMULATED_WGMMA");
  unsetenv("CLIPENGINE_EMULATED_ARCHITECTURE");
}

CLIPENGINE_TEST(fp8_is_refused_where_the_device_does_not_multiply_it) {
  int64_t product = 0;
  {
    Device device("none");
    check_status(clipengine_cuda_product_find(device, CLIPENGINE_CUDA_FP8, 0, 8, 32, &product));
    CHECK(clipengine_cuda_product_find(device, CLIPENGINE_CUDA_FP8, 0, 8, 24, &product) == CLIPENGINE_INVALID_ARGUMENT);
  }
  setenv("CLIPENGINE_EMULATED_ARCHITECTURE", "sm_86", 1);
  Device device("none");
  CHECK(clipengine_cuda_product_find(device, CLIPENGINE_CUDA_FP8, 0, 8, 32, &product) == CLIPENGINE_UNSUPPORTED);
  char text[1024] = "";
  clipengine_cuda_error_message(text, sizeof text);
  CHECK(has(text, "8.9 and later (Ada, Hopper); this one is sm_86"));
  unsetenv("CLIPENGINE_EMULATED_ARCHITECTURE");
}

CLIPENGINE_TEST(what_is_no_product_is_refused) {
  Device device("none");
  int64_t product = 0;
  CHECK(clipengine_cuda_product_find(device, 9, 0, 8, 8, &product) == CLIPENGINE_INVALID_ARGUMENT);
  CHECK(clipengine_cuda_product_find(device, CLIPENGINE_CUDA_BF16, 0, 8, 12, &product) == CLIPENGINE_INVALID_ARGUMENT);
  CHECK(clipengine_cuda_product_find(device, CLIPENGINE_CUDA_BF16, 0, 0, 8, &product) == CLIPENGINE_INVALID_ARGUMENT);
  check_status(clipengine_cuda_product_find(device, CLIPENGINE_CUDA_BF16, 0, 8, 8, &product));
  const uint64_t arguments[10] = {16, 16, 16, 1, 8, 16, 0, 0, 0, 0};
  for (const auto& [number, count] : {std::pair<int64_t, int>{product, 10}, {product, 9}, {-99, 10}}) {
    clipengine_cuda_launch launch = {};
    launch.kernel = number;
    launch.argument_count = count;
    CHECK(clipengine_cuda_launches_enqueue(device, &launch, 1, arguments, 10) == CLIPENGINE_INVALID_ARGUMENT);
  }
}

CLIPENGINE_TEST_MAIN()
