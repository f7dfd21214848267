// The matrix products of ViT blocks in oneDNN and in ClipEngine, alternating in one process, weights packed beforehand on both sides:
//   g++ -O2 -std=c++17 -fopenmp -I native/include onednn_products.cpp -o onednn_products -ldnnl -ldl
//   OMP_NUM_THREADS=2 ./onednn_products artifacts/native/Release/libclipengine.so THREADS [ROUNDS]
// y [M, N] = x [M, K] W [N, K]^T in fp32; the two results are compared. One line a shape: medians, GFLOP/s, shares of the ceiling of
// fused multiply-adds that the library measures in the same run, and the ratio. Headers and library: Debian's libdnnl-dev and libdnnl2.
#include <clipengine.h>
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <dnnl.hpp>
#include <random>
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

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) {
    std::fprintf(stderr, "usage: onednn_products LIBRARY THREADS [ROUNDS]\n");
    return 2;
  }
  void* library = dlopen(arguments[1], RTLD_NOW);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  const int threads = std::atoi(arguments[2]), rounds = count > 3 ? std::atoi(arguments[3]) : 15;
  auto* set_threads = find<decltype(clipengine_threads_set)>(library, "clipengine_threads_set");
  auto* default_isa = find<decltype(clipengine_cpu_isa_default)>(library, "clipengine_cpu_isa_default");
  auto* matrix_create = find<decltype(clipengine_cpu_matrix_create)>(library, "clipengine_cpu_matrix_create");
  auto* weight_destroy = find<decltype(clipengine_cpu_weight_destroy)>(library, "clipengine_cpu_weight_destroy");
  auto* pass_create = find<decltype(clipengine_cpu_pass_create)>(library, "clipengine_cpu_pass_create");
  auto* linear = find<decltype(clipengine_cpu_linear)>(library, "clipengine_cpu_linear");
  auto* ceiling = find<decltype(clipengine_ceiling_measure)>(library, "clipengine_ceiling_measure");
  int32_t isa = 0;
  clipengine_cpu_pass* pass = nullptr;
  double best = 0;
  require(set_threads(threads) == CLIPENGINE_OK && default_isa(&isa) == CLIPENGINE_OK && pass_create(isa, &pass) == CLIPENGINE_OK, "the library's start");
  require(ceiling(CLIPENGINE_CEILING_FLOAT32, isa, 0.6, &best) == CLIPENGINE_OK, "the ceiling");
  std::printf("# oneDNN %d.%d.%d, %d threads, ceiling %.0f GFLOP/s\n", dnnl_version()->major, dnnl_version()->minor, dnnl_version()->patch, threads, best / 1e9);

  using dnnl::memory;
  dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const struct { const char* name; int64_t m, k, n; } shapes[] = {
      {"ViT-B-32 qkv, 1 image", 50, 768, 2304}, {"ViT-B-32 fc1, 1 image", 50, 768, 3072},    {"ViT-B-32 fc2, 1 image", 50, 3072, 768},
      {"ViT-B-32 qkv, 8 images", 400, 768, 2304}, {"ViT-B-32 fc1, 8 images", 400, 768, 3072}, {"ViT-B-32 fc2, 8 images", 400, 3072, 768},
      {"ViT-L-14 fc1, 1 image", 257, 1024, 4096}, {"ViT-L-14 fc2, 1 image", 257, 4096, 1024},
  };
  for (const auto& shape : shapes) {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> x(shape.m * shape.k), w(shape.n * shape.k), theirs(shape.m * shape.n), ours(theirs.size());
    for (float& value : x) value = uniform(random);
    for (float& value : w) value = uniform(random) / std::sqrt(static_cast<float>(shape.k));

    const memory::desc xd({shape.m, shape.k}, memory::data_type::f32, memory::format_tag::ab), yd({shape.m, shape.n}, memory::data_type::f32, memory::format_tag::ab);
    const memory::desc any({shape.k, shape.n}, memory::data_type::f32, memory::format_tag::any), stored({shape.k, shape.n}, memory::data_type::f32, memory::format_tag::ba);
    const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(xd, any, yd), engine);
    memory input(xd, engine, x.data()), raw(stored, engine, w.data()), output(yd, engine, theirs.data()), packed(description.weights_desc(), engine);
    dnnl::reorder(raw, packed).execute(stream, raw, packed);
    stream.wait();
    const dnnl::matmul product(description);
    const std::unordered_map<int, memory> operands{{DNNL_ARG_SRC, input}, {DNNL_ARG_WEIGHTS, packed}, {DNNL_ARG_DST, output}};

    clipengine_cpu_weight* weight = nullptr;
    require(matrix_create(w.data(), CLIPENGINE_FLOAT32, shape.n, shape.k, 0, CLIPENGINE_FLOAT32, isa, &weight) == CLIPENGINE_OK, "packing");

    const double operations = 2.0 * shape.m * shape.n * shape.k;
    const int repeats = std::max(1, static_cast<int>(2e9 / operations));
    std::vector<double> times[2];
    for (int round = -2; round < rounds; ++round) {
      for (int side = 0; side < 2; ++side) {
        const auto start = Clock::now();
        for (int i = 0; i < repeats; ++i) {
          if (side == 0) {
            product.execute(stream, operands);
            stream.wait();
          } else {
            require(linear(pass, x.data(), shape.m, weight, nullptr, 0, nullptr, nullptr, ours.data()) == CLIPENGINE_OK, "the product");
          }
        }
        if (round >= 0) times[side].push_back(std::chrono::duration<double>(Clock::now() - start).count() / repeats);
      }
    }
    double difference = 0;
    for (size_t i = 0; i < ours.size(); ++i) difference = std::max(difference, static_cast<double>(std::abs(ours[i] - theirs[i])));
    require(difference < 1e-3, "the comparison of results");
    const double left = median(times[0]), right = median(times[1]);
    std::printf("%-24s [%lld, %lld] x [%lld, %lld]: oneDNN %6.1f GFLOP/s (%2.0f %%), ClipEngine %6.1f (%2.0f %%), ratio %.2f\n", shape.name, static_cast<long long>(shape.m),
                static_cast<long long>(shape.k), static_cast<long long>(shape.k), static_cast<long long>(shape.n), operations / left / 1e9, 100 * operations / left / best,
                operations / right / 1e9, 100 * operations / right / best, left / right);
    std::fflush(stdout);
    weight_destroy(weight);
  }
  return 0;
}
