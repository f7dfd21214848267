// The tile registers in software against the rules that were found by experiment, and the kernels on them: order of the sums, tails,
// epilogues, attention, invariance. They run on any machine.
#include <algorithm>
#include <map>

#include "amx/cases.h"
#include "amx/tiles.h"
#include "core/thread_pool.h"
#include "cpu/amx/support.h"
#include "cpu_reference.h"
#include "cpu_support.h"
#include "exact_fma.h"

using namespace cpu_test;
using amx_test::Kind;
using amx_test::Operands;
using amx_test::TileProduct;

namespace {

// Both ways of emulation that this machine can run.
std::vector<void (*)(const TileProduct&)> emulations() {
  std::vector<void (*)(const TileProduct&)> found{amx_test::multiply_portable};
  if (processor_has(CLIPENGINE_CPU_AVX512)) found.push_back(amx_test::multiply_avx512);
  return found;
}

float flushed(float value) { return std::abs(value) < 0x1p-126f ? std::copysign(0.0f, value) : value; }

// A fused multiply-add of flushed operands whose result is flushed where it is tiny once rounded. fma rounds denormal results to fewer digits,
// so what may be tiny is computed 2^120 higher up, where it rounds to 24 digits.
float fused(float a, float b, float c) {
  a = flushed(a), b = flushed(b), c = flushed(c);
  const float plain = clipengine_test::exact_fma(a, b, c);
  if (!(std::abs(plain) < 0x1p-100f)) return plain;
  const float up = std::abs(a) < std::abs(b) ? 0x1p120f : 1.0f, other = up == 1.0f ? 0x1p120f : 1.0f;
  const float high = clipengine_test::exact_fma(a * up, b * other, c * 0x1p120f);
  return std::abs(high) < 0x1p-6f ? std::copysign(0.0f, high) : plain;
}

float added(float a, float b) { return fused(a, 1.0f, b); }

// The rule of ../shared/design/AMX.md, element by element.
std::vector<uint32_t> expected_pairs(const Operands& given, int64_t rows) {
  std::vector<uint32_t> sums = given.sums;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < 16; ++c) {
      float even = 0, odd = 0;
      for (int64_t k = 0; k < 16; ++k) {
        const uint32_t x = given.left[static_cast<size_t>(r * 16 + k)], w = given.right[static_cast<size_t>(k * 16 + c)];
        even = fused(amx_test::value_of(x << 16), amx_test::value_of(w << 16), even);
        odd = fused(amx_test::value_of(x & 0xffff0000u), amx_test::value_of(w & 0xffff0000u), odd);
      }
      uint32_t& sum = sums[static_cast<size_t>(r * 16 + c)];
      sum = amx_test::bits_of(added(amx_test::value_of(sum), added(even, odd)));
    }
  }
  return sums;
}

float rounded(float value) {
  uint32_t bits = amx_test::bits_of(value);
  return amx_test::value_of((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u);
}

std::vector<float> rounded(std::vector<float> values) {
  for (float& value : values) value = rounded(value);
  return values;
}

// Sets whose products run on tile registers here.
std::vector<int32_t> tile_isas() {
  std::vector<int32_t> found;
  for (int32_t isa : available_isas()) {
    if (isa >= CLIPENGINE_CPU_AMX) found.push_back(isa);
  }
  return found;
}

// One element of a product in bf16 as the unit adds it up: 32 values of the depth a step.
float chain(const float* x, const float* w, int64_t depth) {
  float sum = 0;
  for (int64_t from = 0; from < depth; from += 32) {
    float parts[2] = {0, 0};
    for (int64_t k = from; k < std::min(depth, from + 32); ++k) parts[k % 2] = fused(x[k], w[k], parts[k % 2]);
    sum = added(sum, added(parts[0], parts[1]));
  }
  return sum;
}

}  // namespace

CLIPENGINE_TEST(pairs_of_tiles_add_up_two_chains_and_flush_denormals) {
  std::mt19937 generator(1);
  for (Kind kind : {Kind::Ordinary, Kind::Wide, Kind::Tiny, Kind::Special}) {
    for (int round = 0; round < 60; ++round) {
      const int64_t rows = round % 16 + 1;
      const Operands given = amx_test::pairs(generator, kind);
      const std::vector<uint32_t> expected = expected_pairs(given, rows);
      for (const auto& multiply : emulations()) {
        std::vector<uint32_t> found = given.sums;
        multiply({false, rows, given.left.data(), given.right.data(), found.data()});
        CHECK(amx_test::same_bits_or_both_nan(found, expected, 256));  // rows behind the last stay as they were
      }
    }
  }
}

CLIPENGINE_TEST(single_products_of_tiles_follow_the_rules_for_zeros_and_denormals) {
  struct Case {
    float left, right, sum, expected;
  };
  const float denormal = 0x1p-130f, tiny = 0x1p-126f, infinity = INFINITY;
  for (const Case& one : std::vector<Case>{
           {1.0f, 1.0f, denormal, 1.0f},               // a denormal sum counts as zero
           {0.0f, 1.0f, denormal, 0.0f},               // and comes out as zero
           {denormal, 0x1p100f, 3.0f, 3.0f},           // so does a denormal operand
           {0x1p-64f, 0x1p-64f, 0.0f, 0.0f},           // and a denormal result
           {0x1p-64f, 0x1p-62f, 0.0f, tiny},           // the smallest number that stays
           {-1.0f, 0.0f, -0.0f, 0.0f},                 // chains begin at positive zero
           {infinity, 1.0f, 1.0f, infinity},
           {0x1p100f, 0x1p100f, -1.0f, infinity},
       }) {
    Operands given{std::vector<uint32_t>(256), std::vector<uint32_t>(256), std::vector<uint32_t>(256)};
    given.left[0] = amx_test::bits_of(one.left) >> 16;
    given.right[0] = amx_test::bits_of(one.right) >> 16;
    given.sums[0] = amx_test::bits_of(one.sum);
    for (const auto& multiply : emulations()) {
      std::vector<uint32_t> found = given.sums;
      multiply({false, 1, given.left.data(), given.right.data(), found.data()});
      CHECK_EQUAL(found[0], amx_test::bits_of(one.expected));
    }
  }
}

CLIPENGINE_TEST(bytes_of_tiles_add_up_modulo_2_to_the_32) {
  std::mt19937 generator(2);
  for (int round = 0; round < 40; ++round) {
    const int64_t rows = round % 16 + 1;
    const Operands given = amx_test::bytes(generator, round % 4 == 0);
    std::vector<uint32_t> expected = given.sums;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < 16; ++c) {
        int64_t sum = 0;
        for (int64_t k = 0; k < 64; ++k) {
          const int64_t x = given.left[static_cast<size_t>(r * 16 + k / 4)] >> (k % 4 * 8) & 0xff;
          sum += x * static_cast<int8_t>(given.right[static_cast<size_t>(k / 4 * 16 + c)] >> (k % 4 * 8) & 0xff);
        }
        expected[static_cast<size_t>(r * 16 + c)] += static_cast<uint32_t>(sum);
      }
    }
    for (const auto& multiply : emulations()) {
      std::vector<uint32_t> found = given.sums;
      multiply({true, rows, given.left.data(), given.right.data(), found.data()});
      CHECK(found == expected);
    }
  }
}

CLIPENGINE_TEST(products_in_bf16_have_the_bits_of_the_units_own_order) {
  for (int32_t isa : tile_isas()) {
    for (int64_t rows : {1, 7, 15, 16, 17, 33, 50}) {
      for (int64_t columns : {1, 16, 31, 32, 33, 77}) {
        for (int64_t depth : {1, 2, 31, 32, 33, 50, 257, 2050, 4100}) {
          if (rows * columns * depth > 300000) continue;
          const auto x = rounded(random_values(rows * depth, 1)), w = rounded(random_values(columns * depth, 2));
          const OwnedWeight weight = matrix(w, columns, depth, isa, CLIPENGINE_BFLOAT16);
          const OwnedPass run = pass(isa);
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
}

CLIPENGINE_TEST(products_in_bf16_take_every_epilogue) {
  for (int32_t isa : tile_isas()) {
    for (int64_t rows : kSizes) {
      for (int64_t columns : kSizes) {
        for (int64_t depth : {7, 50, 2100}) {
          if (rows * columns * depth > 3000000) continue;
          const auto x = random_values(rows * depth, 1), w = random_values(columns * depth, 2), b = random_values(columns, 3), s = random_values(columns, 4), res = random_values(rows * columns, 5);
          const OwnedWeight weight = matrix(w, columns, depth, isa, CLIPENGINE_BFLOAT16), bias = values(b), scale = values(s);
          const OwnedPass run = pass(isa);
          Guarded input(x), residual(res), output(rows * columns);
          const int activation = static_cast<int>((rows + columns + depth) % 6);
          CHECK_EQUAL(clipengine_cpu_linear(run.get(), input.data(), rows, weight.get(), bias.get(), activation, scale.get(), nullptr, residual.data(), output.data()), CLIPENGINE_OK);
          auto expected = reference::product(rounded(x).data(), rounded(w).data(), rows, columns, depth);
          for (int64_t i = 0; i < rows * columns; ++i) {
            double& y = expected[static_cast<size_t>(i)];
            y = reference::activated(y + b[static_cast<size_t>(i % columns)], static_cast<Activation>(activation)) * s[static_cast<size_t>(i % columns)] + res[static_cast<size_t>(i)];
          }
          check_all(output, expected, 2.4e-7 * static_cast<double>(depth) * 0.5 + 2e-6, "tiles [" + std::to_string(rows) + ", " + std::to_string(depth) + "] x [" + std::to_string(columns) + "]");
        }
      }
    }
  }
}

// Integers are exact, and the epilogue is that of the same vectors: int8 does not depend on where it is multiplied.
CLIPENGINE_TEST(products_in_int8_have_the_bits_of_the_sets_without_tiles) {
  for (int32_t isa : tile_isas()) {
    const int32_t plain = vector_isa_of(isa);
    if (!processor_has(plain)) continue;
    for (int64_t rows : {1, 17, 50}) {
      for (int64_t columns : {1, 33, 77}) {
        for (int64_t depth : {1, 63, 64, 65, 300, 4200}) {
          const auto x = random_values(rows * depth, 1), w = random_values(columns * depth, 2), b = random_values(columns, 3);
          const OwnedWeight bias = values(b), on_tiles = matrix(w, columns, depth, isa, CLIPENGINE_INT8), without = matrix(w, columns, depth, plain, CLIPENGINE_INT8);
          const OwnedPass run = pass(isa), other = pass(plain);
          Guarded input(x), output(rows * columns), expected(rows * columns);
          clipengine_cpu_linear(run.get(), input.data(), rows, on_tiles.get(), bias.get(), 1, nullptr, nullptr, nullptr, output.data());
          clipengine_cpu_linear(other.get(), input.data(), rows, without.get(), bias.get(), 1, nullptr, nullptr, nullptr, expected.data());
          CHECK(output.same_bits(expected));
        }
      }
    }
  }
}

CLIPENGINE_TEST(attention_in_bf16_equals_its_twin_on_rounded_operands) {
  for (int32_t isa : tile_isas()) {
    const OwnedPass run = pass(isa, CLIPENGINE_BFLOAT16);
    for (int64_t tokens : {1, 7, 16, 17, 31, 33, 50, 77, 130}) {
      for (int64_t width : {8, 17, 64, 80}) {
        for (int variant = 0; variant < 4; ++variant) {
          const bool causal = variant == 1 || variant == 3, masked = variant >= 2;
          const int64_t heads = 2, all = heads * width, batch = 2;
          const auto x = random_values(batch * tokens * 3 * all, 1, 2.0f);
          auto mask = random_values(batch * tokens * tokens, 2);
          for (int64_t i = 0; i < batch * tokens * tokens; ++i) {
            if (i % tokens != 0 && mask[static_cast<size_t>(i)] > 0.3f) mask[static_cast<size_t>(i)] = -INFINITY;  // the first key stays visible
          }
          Guarded input(x), additive(mask), output(batch * tokens * all);
          clipengine_cpu_attention call{};
          call.query = input.data();
          call.key = input.data() + all;
          call.value = input.data() + 2 * all;
          call.mask = masked ? additive.data() : nullptr;
          call.output = output.data();
          call.query_stride = call.key_stride = call.value_stride = 3 * all;
          call.batch = batch;
          call.queries = call.keys = tokens;
          call.width = all;
          call.heads = heads;
          call.causal = causal ? 1 : 0;
          CHECK_EQUAL(clipengine_cpu_attend(run.get(), &call), CLIPENGINE_OK);
          // The twin takes keys and values as they were rounded; queries are rounded behind their scaling and the exponentials behind the
          // softmax's, each by at most 2^-9 of itself. Scores reach a few units: so much may an exponential be off, relatively.
          const auto r = rounded(x);
          std::vector<double> expected(static_cast<size_t>(batch * tokens * all));
          double largest = 0;
          for (int64_t n = 0; n < batch; ++n) {
            for (int64_t h = 0; h < heads; ++h) {
              const float* q = x.data() + n * tokens * 3 * all + h * width;
              const float* k = r.data() + n * tokens * 3 * all + all + h * width;
              const auto one = reference::attention(q, k, k + all, 3 * all, 3 * all, tokens, tokens, width, causal, masked ? mask.data() + n * tokens * tokens : nullptr);
              for (int64_t t = 0; t < tokens; ++t) {
                for (int64_t d = 0; d < width; ++d) {
                  expected[static_cast<size_t>((n * tokens + t) * all + h * width + d)] = one[static_cast<size_t>(t * width + d)];
                  largest = std::max(largest, std::abs(one[static_cast<size_t>(t * width + d)]));
                }
              }
            }
          }
          check_all(output, expected, 0.01 * largest, "attention in bf16, tokens " + std::to_string(tokens) + " width " + std::to_string(width) + " variant " + std::to_string(variant));
        }
      }
    }
  }
}

// A token's bits depend neither on the tokens that are computed beside it nor on the threads.
CLIPENGINE_TEST(attention_in_bf16_has_the_same_bits_for_one_query_and_for_all) {
  const int64_t tokens = 53, width = 64, heads = 3, all = heads * width, batch = 3;
  const auto x = random_values(batch * tokens * 3 * all, 1, 2.0f);
  for (int32_t isa : tile_isas()) {
    const OwnedPass run = pass(isa, CLIPENGINE_BFLOAT16);
    for (bool causal : {false, true}) {
      Guarded input(x), together(batch * tokens * all);
      clipengine_cpu_attention call{};
      call.query = input.data();
      call.key = input.data() + all;
      call.value = input.data() + 2 * all;
      call.output = together.data();
      call.query_stride = call.key_stride = call.value_stride = 3 * all;
      call.batch = batch;
      call.queries = call.keys = tokens;
      call.width = all;
      call.heads = heads;
      call.causal = causal ? 1 : 0;
      clipengine::ThreadPool::instance().resize(1);
      CHECK_EQUAL(clipengine_cpu_attend(run.get(), &call), CLIPENGINE_OK);
      clipengine::ThreadPool::instance().resize(3);
      Guarded alone(all);
      for (int64_t n = 0; n < batch; ++n) {
        for (int64_t t = 0; t < tokens; t += 4) {
          clipengine_cpu_attention one = call;
          one.query = call.query + (n * tokens + t) * 3 * all;
          one.key = call.key + n * tokens * 3 * all;
          one.value = call.value + n * tokens * 3 * all;
          one.output = alone.data();
          one.batch = one.queries = 1;
          one.offset = t;
          CHECK_EQUAL(clipengine_cpu_attend(run.get(), &one), CLIPENGINE_OK);
          CHECK_EQUAL(std::memcmp(alone.data(), together.data() + (n * tokens + t) * all, static_cast<size_t>(all) * sizeof(float)), 0);
        }
      }
    }
  }
  clipengine::ThreadPool::instance().resize(0);
}

CLIPENGINE_TEST(hidden_keys_are_not_attended_to_in_bf16) {
  const int64_t tokens = 40, width = 32, batch = 2;
  auto x = random_values(batch * tokens * 3 * width, 1);
  const std::vector<int32_t> lengths = {0, 21};
  for (int32_t isa : tile_isas()) {
    const OwnedPass run = pass(isa, CLIPENGINE_BFLOAT16);
    Guarded before(batch * tokens * width), after(batch * tokens * width);
    for (Guarded* output : {&before, &after}) {
      Guarded input(x);
      clipengine_cpu_attention call{};
      call.query = input.data();
      call.key = input.data() + width;
      call.value = input.data() + 2 * width;
      call.output = output->data();
      call.query_stride = call.key_stride = call.value_stride = 3 * width;
      call.batch = batch;
      call.queries = call.keys = tokens;
      call.width = width;
      call.heads = 1;
      call.key_lengths = lengths.data();
      CHECK_EQUAL(clipengine_cpu_attend(run.get(), &call), CLIPENGINE_OK);
      for (int64_t t = 21; t < tokens; ++t) {  // what is hidden may be anything
        for (int64_t i = width; i < 3 * width; ++i) x[static_cast<size_t>((tokens + t) * 3 * width + i)] = 1e30f;
      }
    }
    CHECK(before.same_bits(after));
    for (int64_t i = 0; i < tokens * width; ++i) CHECK_EQUAL(before[i], 0.0f);
  }
}

CLIPENGINE_TEST(what_is_not_there_is_refused_with_the_reason) {
  const AmxSupport& support = amx_support();
  CHECK_EQUAL(support.usable, support.reason.empty());
  CHECK_EQUAL(clipengine_cpu_isa_check(CLIPENGINE_CPU_AMX), support.usable ? CLIPENGINE_OK : CLIPENGINE_UNSUPPORTED);
  CHECK_EQUAL(clipengine_cpu_isa_check(CLIPENGINE_CPU_AMX_EMULATED), CLIPENGINE_OK);
  CHECK_EQUAL(clipengine_cpu_isa_check(CLIPENGINE_CPU_ISA_COUNT), CLIPENGINE_UNSUPPORTED);
  CHECK(best_isa() != CLIPENGINE_CPU_AMX_EMULATED);
  clipengine_cpu_pass* made = nullptr;
  if (!support.usable) CHECK_EQUAL(clipengine_cpu_pass_create(CLIPENGINE_CPU_AMX, CLIPENGINE_FLOAT32, &made), CLIPENGINE_UNSUPPORTED);
}

CLIPENGINE_TEST(the_fastest_set_is_the_one_that_the_rates_say) {
  clipengine_cpu_rates rates{};
  CHECK_EQUAL(clipengine_cpu_rates_get(&rates), CLIPENGINE_OK);
  const bool tiles = amx_support().usable, pairs = processor_has(CLIPENGINE_CPU_AVX512_BF16);
  CHECK_EQUAL(rates.tiles > 0, tiles);
  CHECK_EQUAL(rates.pairs > 0, pairs);
  if (pairs && !tiles) CHECK_EQUAL(best_isa(), rates.pairs >= 1 ? CLIPENGINE_CPU_AVX512_BF16 : CLIPENGINE_CPU_AVX512_VNNI);
}

CLIPENGINE_TEST_MAIN()
