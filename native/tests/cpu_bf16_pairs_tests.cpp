// The path of VDPBF16PS: its packing, panels, tails and epilogues, with the instruction in software.
#include <cstdio>
#include <map>

#include "core/thread_pool.h"
#include "cpu/pass.h"
#include "cpu_reference.h"
#include "cpu_support.h"
#include "exact_fma.h"

namespace clipengine::cpu {
extern const Kernels kBf16PairsInSoftware;
}

using namespace cpu_test;

namespace {

bool can_run() {
  static const bool can = [] {
    for (int32_t isa : available_isas()) {
      if (isa == CLIPENGINE_CPU_AVX512_VNNI) return true;
    }
    std::puts("skipped: this processor lacks AVX-512 VNNI");
    return false;
  }();
  return can;
}

float flushed(float value) { return std::abs(value) < 1.17549435e-38f ? std::copysign(0.0f, value) : value; }

// One channel of one row as the instruction adds it up, a pair of the depth at a time; missing values are zeros.
float chain(const float* x, const float* w, int64_t depth) {
  float sum = 0;
  for (int64_t k = 0; k < depth; k += 2) {
    const float odd_x = k + 1 < depth ? x[k + 1] : 0.0f, odd_w = k + 1 < depth ? w[k + 1] : 0.0f;
    sum = flushed(clipengine_test::exact_fma(flushed(odd_x), flushed(odd_w), flushed(sum)));
    sum = flushed(clipengine_test::exact_fma(flushed(x[k]), flushed(w[k]), sum));
  }
  return sum;
}

OwnedWeight pairs_matrix(const std::vector<float>& from, int64_t columns, int64_t depth) {
  Elements elements(from.data(), CLIPENGINE_FLOAT32);
  return OwnedWeight(create_matrix(elements, columns, depth, false, Precision::BFloat16, kBf16PairsInSoftware));
}

OwnedPass pairs_pass() {
  auto made = std::make_unique<clipengine_cpu_pass>();
  made->kernels = &kBf16PairsInSoftware;
  return OwnedPass(made.release());
}

}  // namespace

CLIPENGINE_TEST(pairs_give_the_bits_of_the_instructions_own_order) {
  if (!can_run()) return;
  for (int64_t rows : {1, 7, 13, 14, 15, 50}) {
    for (int64_t columns : {1, 16, 31, 32, 33, 77}) {
      for (int64_t depth : {1, 2, 7, 31, 32, 33, 50, 77, 257, 2050, 4100}) {
        if (rows * columns * depth > 400000) continue;
        const auto x = rounded(random_values(rows * depth, 1)), w = rounded(random_values(columns * depth, 2));
        const OwnedWeight weight = pairs_matrix(w, columns, depth);
        const OwnedPass run = pairs_pass();
        Guarded input(x), output(rows * columns);
        CHECK_EQUAL(clipengine_cpu_linear(run.get(), input.data(), rows, weight.get(), nullptr, 0, nullptr, nullptr, nullptr, output.data()), CLIPENGINE_OK);
        int64_t different = 0;
        for (int64_t i = 0; i < rows * columns; ++i) {
          // The epilogue adds a bias of nothing, which makes a zero positive.
          different += output[i] != chain(x.data() + i / columns * depth, w.data() + i % columns * depth, depth);
        }
        CHECK_EQUAL(different, 0);
      }
    }
  }
}

CLIPENGINE_TEST(pairs_equal_the_product_of_rounded_operands_with_every_epilogue) {
  if (!can_run()) return;
  for (int64_t rows : kSizes) {
    for (int64_t columns : kSizes) {
      for (int64_t depth : {7, 50, 257, 2100}) {
        if (rows * columns * depth > 4000000) continue;
        const auto x = random_values(rows * depth, 1), w = random_values(columns * depth, 2), b = random_values(columns, 3), s = random_values(columns, 4), res = random_values(rows * columns, 5);
        const OwnedWeight weight = pairs_matrix(w, columns, depth), bias = values(b), scale = values(s);
        const OwnedPass run = pairs_pass();
        Guarded input(x), residual(res), output(rows * columns);
        const int activation = static_cast<int>((rows + columns + depth) % 7);
        CHECK_EQUAL(clipengine_cpu_linear(run.get(), input.data(), rows, weight.get(), bias.get(), activation, scale.get(), nullptr, residual.data(), output.data()), CLIPENGINE_OK);
        auto expected = reference::product(rounded(x).data(), rounded(w).data(), rows, columns, depth);
        for (int64_t i = 0; i < rows * columns; ++i) {
          double& y = expected[static_cast<size_t>(i)];
          y = reference::activated(y + b[static_cast<size_t>(i % columns)], static_cast<Activation>(activation)) * s[static_cast<size_t>(i % columns)] + res[static_cast<size_t>(i)];
        }
        check_all(output, expected, 2.4e-7 * static_cast<double>(depth) * 0.5 + 2e-6, "pairs [" + std::to_string(rows) + ", " + std::to_string(depth) + "] x [" + std::to_string(columns) + "]");
      }
    }
  }
}

CLIPENGINE_TEST(pairs_drop_denormals_as_the_instruction_does) {
  if (!can_run()) return;
  const auto product = [](const std::vector<float>& x, const std::vector<float>& w) {
    const OwnedWeight weight = pairs_matrix(w, 1, static_cast<int64_t>(w.size()));
    const OwnedPass run = pairs_pass();
    Guarded input(x), output(1);
    CHECK_EQUAL(clipengine_cpu_linear(run.get(), input.data(), 1, weight.get(), nullptr, 0, nullptr, nullptr, nullptr, output.data()), CLIPENGINE_OK);
    return output[0];
  };
  CHECK_EQUAL(product({1e-39f, 0.0f, 0.0f}, {0x1p100f, 0.0f, 0.0f}), 0.0f);         // a denormal operand
  CHECK_EQUAL(product({0.0f, 0x1p-100f, 0.0f}, {0.0f, 0x1p-30f, 0.0f}), 0.0f);      // a denormal result
  CHECK_EQUAL(product({0x1p-100f, 0x1p-100f}, {0x1p-20f, 0x1p-20f}), 0x1p-119f);    // the smallest numbers that stay
  CHECK_EQUAL(product({0x1p-126f, 0x1p-127f, 2.0f}, {2.0f, 1.0f, 0.0f}), 0x1p-125f);  // one of each
}

CLIPENGINE_TEST(pairs_have_the_same_bits_in_any_batch_and_with_any_number_of_threads) {
  if (!can_run()) return;
  const int64_t columns = 200, depth = 2300, rows = 53;
  const auto x = random_values(rows * depth, 1), w = random_values(columns * depth, 2);
  const OwnedWeight weight = pairs_matrix(w, columns, depth);
  const OwnedPass run = pairs_pass();
  Guarded input(x), together(rows * columns);
  clipengine::ThreadPool::instance().resize(1);
  clipengine_cpu_linear(run.get(), input.data(), rows, weight.get(), nullptr, 1, nullptr, nullptr, nullptr, together.data());
  for (int threads : {1, 2, 5}) {
    clipengine::ThreadPool::instance().resize(threads);
    Guarded split(rows * columns);
    for (int64_t first = 0, count = 1; first < rows; first += count, count = std::min<int64_t>(count + 4, rows - first)) {
      clipengine_cpu_linear(run.get(), input.data() + first * depth, count, weight.get(), nullptr, 1, nullptr, nullptr, nullptr, split.data() + first * columns);
    }
    CHECK(split.same_bits(together));
  }
  clipengine::ThreadPool::instance().resize(0);
}

// A whole block against the same one of fp32 weights that are rounded already: what is left is the rounding of the activations.
CLIPENGINE_TEST(a_block_of_pairs_stays_near_the_block_in_fp32) {
  if (!can_run()) return;
  const int64_t batch = 3, tokens = 19, width = 96, heads = 3, hidden = 200;
  std::map<std::string, std::vector<float>> w;
  uint32_t seed = 1;
  for (const auto& [name, count] : std::vector<std::pair<std::string, int64_t>>{{"in", 3 * width * width}, {"out", width * width}, {"expand", hidden * width}, {"contract", width * hidden}}) {
    w[name] = rounded(random_values(count, seed++, 0.2f));
  }
  for (const auto& [name, count] : std::vector<std::pair<std::string, int64_t>>{{"in_bias", 3 * width}, {"out_bias", width}, {"expand_bias", hidden}, {"contract_bias", width}, {"norm", width}}) {
    w[name] = random_values(count, seed++);
  }
  const auto x = random_values(batch * tokens * width, seed);
  const OwnedWeight norm = values(w["norm"]), in_bias = values(w["in_bias"]), out_bias = values(w["out_bias"]), expand_bias = values(w["expand_bias"]), contract_bias = values(w["contract_bias"]);
  const auto run_block = [&](bool pairs, Guarded& output) {
    const auto make = [&](const char* name, int64_t columns, int64_t depth) {
      return pairs ? pairs_matrix(w[name], columns, depth) : matrix(w[name], columns, depth, CLIPENGINE_CPU_AVX512_VNNI);
    };
    const OwnedWeight in = make("in", 3 * width, width), out = make("out", width, width), expand = make("expand", hidden, width), contract = make("contract", width, hidden);
    const OwnedPass run = pairs ? pairs_pass() : pass(CLIPENGINE_CPU_AVX512_VNNI);
    Guarded input(x);
    clipengine_cpu_block block{};
    block.input = input.data();
    block.output = output.data();
    block.norm1_weight = block.norm1_bias = block.norm2_weight = block.norm2_bias = norm.get();
    block.in_weight = in.get();
    block.in_bias = in_bias.get();
    block.out_weight = out.get();
    block.out_bias = out_bias.get();
    block.expand_weight = expand.get();
    block.expand_bias = expand_bias.get();
    block.contract_weight = contract.get();
    block.contract_bias = contract_bias.get();
    block.batch = batch;
    block.tokens = tokens;
    block.width = width;
    block.heads = heads;
    block.activation = static_cast<int32_t>(Activation::Gelu);
    block.epsilon = 1e-5f;
    CHECK_EQUAL(clipengine_cpu_transformer_block(run.get(), &block), CLIPENGINE_OK);
  };
  Guarded narrow(batch * tokens * width), wide(batch * tokens * width);
  run_block(true, narrow);
  run_block(false, wide);
  double squares = 0, differences = 0;
  for (int64_t i = 0; i < wide.size(); ++i) {
    squares += std::pow(static_cast<double>(wide[i]), 2);
    differences += std::pow(static_cast<double>(wide[i]) - narrow[i], 2);
  }
  // bf16 keeps eight bits: each of the four products adds about 2^-9 of noise.
  CHECK(differences > 0 && std::sqrt(differences / squares) < 0.01);
}

CLIPENGINE_TEST_MAIN()
