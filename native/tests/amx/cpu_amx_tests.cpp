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
