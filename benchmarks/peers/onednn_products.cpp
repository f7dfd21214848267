// The matrix products of ViT blocks, of oneDNN or of ClipEngine, weights packed beforehand; compare.py holds one process of each and stops it
// while it is not its turn, since OpenMP's threads spin after their work:
//   g++ -O2 -std=c++17 -fopenmp -I native/include onednn_products.cpp -o onednn_products -ldnnl -ldl
//   OMP_NUM_THREADS=2 ./onednn_products onednn|clipengine artifacts/native/Release/libclipengine.so THREADS
// y [M, N] = x [M, K] W [N, K]^T in fp32. Answers each line of standard input with one line: "M K N SECONDS" with the milliseconds of
// products, one after the other; "M K N 0" with some elements of y; "ceiling SECONDS 0 0" with the GFLOP/s of multiply-adds in registers.
// Headers and library: Debian's libdnnl-dev and libdnnl2.
#include <clipengine.h>
#include <dlfcn.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <dnnl.hpp>
#include <iostream>
#include <random>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

template <typename Function>
Function* find(void* library, const char* name) {
  void* symbol = dlsym(library, name);
  if (symbol == nullptr) {
    std::fprintf(stderr, "%s: not in the library\n", name);
    std::exit(2);
  }
  return reinterpret_cast<Function*>(symbol);
}

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s failed\n", what);
  std::exit(1);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    std::fprintf(stderr, "usage: onednn_products onednn|clipengine LIBRARY THREADS\n");
    return 2;
  }
  const bool is_ours = std::string(arguments[1]) == "clipengine";
  void* library = dlopen(arguments[2], RTLD_NOW);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  auto* set_threads = find<decltype(clipengine_threads_set)>(library, "clipengine_threads_set");
  auto* default_isa = find<decltype(clipengine_cpu_isa_default)>(library, "clipengine_cpu_isa_default");
  auto* matrix_create = find<decltype(clipengine_cpu_matrix_create)>(library, "clipengine_cpu_matrix_create");
  auto* weight_destroy = find<decltype(clipengine_cpu_weight_destroy)>(library, "clipengine_cpu_weight_destroy");
  auto* pass_create = find<decltype(clipengine_cpu_pass_create)>(library, "clipengine_cpu_pass_create");
  auto* linear = find<decltype(clipengine_cpu_linear)>(library, "clipengine_cpu_linear");
  auto* ceiling = find<decltype(clipengine_ceiling_measure)>(library, "clipengine_ceiling_measure");
  int32_t isa = 0;
  clipengine_cpu_pass* pass = nullptr;
  require(set_threads(std::atoi(arguments[3])) == CLIPENGINE_OK && default_isa(&isa) == CLIPENGINE_OK && pass_create(isa, CLIPENGINE_FLOAT32, &pass) == CLIPENGINE_OK, "the library's start");

  using dnnl::memory;
  dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  if (is_ours) {
    std::printf("ClipEngine, %s threads\n", arguments[3]);
  } else {
    std::printf("oneDNN %d.%d.%d\n", dnnl_version()->major, dnnl_version()->minor, dnnl_version()->patch);
  }
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string first;
    int64_t k = 0, n = 0;
    double seconds = 0;
    words >> first;
    if (first == "ceiling") {
      double best = 0;
      words >> seconds;
      require(ceiling(CLIPENGINE_CEILING_FLOAT32, isa, seconds, &best) == CLIPENGINE_OK, "the ceiling");
      std::printf("%.3f\n", best / 1e9);
      std::fflush(stdout);
      continue;
    }
    words >> k >> n >> seconds;
    const int64_t m = std::atoll(first.c_str());
    require(!words.fail() && m > 0 && k > 0 && n > 0, "reading M K N SECONDS");
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> x(m * k), w(n * k), y(m * n);
    for (float& value : x) value = uniform(random);
    for (float& value : w) value = uniform(random) / std::sqrt(static_cast<float>(k));

    clipengine_cpu_weight* weight = nullptr;
    dnnl::matmul product;
    std::unordered_map<int, memory> operands;
    memory packed;
    if (is_ours) {
      require(matrix_create(w.data(), CLIPENGINE_FLOAT32, n, k, 0, CLIPENGINE_FLOAT32, isa, &weight) == CLIPENGINE_OK, "packing");
    } else {
      const memory::desc xd({m, k}, memory::data_type::f32, memory::format_tag::ab), yd({m, n}, memory::data_type::f32, memory::format_tag::ab);
      const memory::desc any({k, n}, memory::data_type::f32, memory::format_tag::any), stored({k, n}, memory::data_type::f32, memory::format_tag::ba);
      const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(xd, any, yd), engine);
      memory raw(stored, engine, w.data());
      packed = memory(description.weights_desc(), engine);
      dnnl::reorder(raw, packed).execute(stream, raw, packed);
      stream.wait();
      product = dnnl::matmul(description);
      operands = {{DNNL_ARG_SRC, memory(xd, engine, x.data())}, {DNNL_ARG_WEIGHTS, packed}, {DNNL_ARG_DST, memory(yd, engine, y.data())}};
    }
    const auto multiply = [&] {
      if (is_ours) {
        require(linear(pass, x.data(), m, weight, nullptr, 0, nullptr, nullptr, nullptr, y.data()) == CLIPENGINE_OK, "the product");
      } else {
        product.execute(stream, operands);
        stream.wait();
      }
    };
    multiply();
    if (seconds <= 0) {
      for (int64_t i = 0; i < 64; ++i) std::printf("%.7g ", y[i * 7919 % (m * n)]);
    } else {
      multiply();
      const auto begin = Clock::now();
      for (auto last = begin; std::chrono::duration<double>(last - begin).count() < seconds;) {
        multiply();
        const auto now = Clock::now();
        std::printf("%.6f ", 1e3 * std::chrono::duration<double>(now - last).count());
        last = now;
      }
    }
    std::printf("\n");
    std::fflush(stdout);
    if (weight != nullptr) weight_destroy(weight);
  }
  return 0;
}
