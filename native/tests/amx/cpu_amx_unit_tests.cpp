// The processor's tile registers against the emulation, bit by bit. Exit code 77 (CTest's skip) where the processor has none or the system
// denies them. With CLIPENGINE_LONG=1 millions of elements.
#include <cstdio>
#include <cstdlib>

#include "amx/cases.h"
#include "amx/tiles.h"
#include "core/thread_pool.h"
#include "cpu/amx/support.h"
#include "cpu_support.h"

using namespace cpu_test;
using amx_test::Kind;
using amx_test::Operands;

namespace {

int scale() { return std::getenv("CLIPENGINE_LONG") != nullptr ? 50 : 1; }

}  // namespace

CLIPENGINE_TEST(tiles_have_the_bits_of_the_emulation) {
  std::mt19937 generator(1);
  for (Kind kind : {Kind::Ordinary, Kind::Wide, Kind::Tiny, Kind::Special}) {
    int64_t different = 0;
    for (int round = 0; round < 400 * scale(); ++round) {
      const Operands given = amx_test::pairs(generator, kind);
      std::vector<uint32_t> found = given.sums, expected = given.sums;
      const int64_t rows = round % 16 + 1;
      amx_test::multiply_hardware({false, rows, given.left.data(), given.right.data(), found.data()});
      amx_test::multiply_avx512({false, rows, given.left.data(), given.right.data(), expected.data()});
      different += !amx_test::same_bits_or_both_nan(found, expected, 256);
    }
    CHECK_EQUAL(different, 0);
  }
  for (int round = 0; round < 200 * scale(); ++round) {
    const Operands given = amx_test::bytes(generator, round % 4 == 0);
    std::vector<uint32_t> found = given.sums, expected = given.sums;
    amx_test::multiply_hardware({true, round % 16 + 1, given.left.data(), given.right.data(), found.data()});
    amx_test::multiply_avx512({true, round % 16 + 1, given.left.data(), given.right.data(), expected.data()});
    CHECK(found == expected);
  }
}

CLIPENGINE_TEST(products_and_attention_have_the_bits_of_the_emulation_over_odd_sizes) {
  for (int64_t rows : kSizes) {
    for (int64_t columns : kSizes) {
      for (int64_t depth : {1, 31, 64, 257, 2100}) {
        if (rows * columns * depth > 2000000 * scale()) continue;
        const auto x = random_values(rows * depth, 1), w = random_values(columns * depth, 2), b = random_values(columns, 3);
        const OwnedWeight bias = values(b);
        for (int32_t compute : {CLIPENGINE_BFLOAT16, CLIPENGINE_INT8}) {
          Guarded input(x), found(rows * columns), expected(rows * columns);
          for (int32_t isa : {CLIPENGINE_CPU_AMX, CLIPENGINE_CPU_AMX_EMULATED}) {
            const OwnedWeight weight = matrix(w, columns, depth, isa, compute);
            const OwnedPass run = pass(isa, compute);
            Guarded& output = isa == CLIPENGINE_CPU_AMX ? found : expected;
            CHECK_EQUAL(clipengine_cpu_linear(run.get(), input.data(), rows, weight.get(), bias.get(), 1, nullptr, nullptr, nullptr, output.data()), CLIPENGINE_OK);
          }
          CHECK(found.same_bits(expected));
        }
      }
    }
  }
  for (int64_t tokens : kSizes) {
    for (int64_t width : {17, 64, 80}) {
      const auto x = random_values(2 * tokens * 3 * width, 1, 2.0f);
      Guarded input(x), found(2 * tokens * width), expected(2 * tokens * width);
      for (int32_t isa : {CLIPENGINE_CPU_AMX, CLIPENGINE_CPU_AMX_EMULATED}) {
        const OwnedPass run = pass(isa, CLIPENGINE_BFLOAT16);
        clipengine_cpu_attention call{};
        call.query = input.data();
        call.key = input.data() + width;
        call.value = input.data() + 2 * width;
        call.output = isa == CLIPENGINE_CPU_AMX ? found.data() : expected.data();
        call.query_stride = call.key_stride = call.value_stride = 3 * width;
        call.batch = 2;
        call.queries = call.keys = tokens;
        call.width = width;
        call.heads = 1;
        call.causal = tokens % 2;
        CHECK_EQUAL(clipengine_cpu_attend(run.get(), &call), CLIPENGINE_OK);
      }
      CHECK(found.same_bits(expected));
    }
  }
}

// Configured on every thread, released when the pool sleeps, and configured again.
CLIPENGINE_TEST(threads_that_slept_multiply_again) {
  const int64_t rows = 100, columns = 640, depth = 700;
  const auto x = random_values(rows * depth, 1), w = random_values(columns * depth, 2);
  const OwnedWeight weight = matrix(w, columns, depth, CLIPENGINE_CPU_AMX, CLIPENGINE_BFLOAT16);
  const OwnedPass run = pass(CLIPENGINE_CPU_AMX, CLIPENGINE_BFLOAT16);
  Guarded input(x), first(rows * columns);
  clipengine_cpu_linear(run.get(), input.data(), rows, weight.get(), nullptr, 0, nullptr, nullptr, nullptr, first.data());
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    Guarded again(rows * columns);
    clipengine_cpu_linear(run.get(), input.data(), rows - round, weight.get(), nullptr, 0, nullptr, nullptr, nullptr, again.data());
    CHECK_EQUAL(std::memcmp(first.data(), again.data(), static_cast<size_t>((rows - round) * columns) * sizeof(float)), 0);
  }
}

int main(int count, char** arguments) {
  if (!amx_support().usable) {
    std::printf("SKIPPED: AMX is not there: %s; the same kernels ran over the emulated tile registers\n", amx_support().reason.c_str());
    return 77;
  }
  return clipengine_test::run_all(count, arguments);
}
