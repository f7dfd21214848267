// Linear against its plain twin, on every instruction set that this machine has.
#include "core/half.h"
#include "core/thread_pool.h"
#include "cpu_reference.h"
#include "cpu_support.h"
#include "platform.h"

using namespace cpu_test;

namespace {

std::string label(int32_t isa, int64_t rows, int64_t columns, int64_t depth) {
  return std::string(clipengine_cpu_isa_name(isa)) + " [" + std::to_string(rows) + ", " + std::to_string(depth) + "] x [" + std::to_string(columns) + "]";
}

// The error of a chain of depth fused steps on values up to 1 and weights up to 1, with room for both roundings of the portable path.
double bound_of(int64_t depth) { return 1.2e-7 * static_cast<double>(depth) * 0.5 + 1e-6; }

void linear(int32_t isa, int64_t rows, int64_t columns, int64_t depth, bool everything, Activation activation) {
  const auto x = random_values(rows * depth, 1), w = random_values(columns * depth, 2), b = random_values(columns, 3), s = random_values(columns, 4), res = random_values(rows * columns, 5), gate = random_values(rows * columns, 6);
  const OwnedWeight weight = matrix(w, columns, depth, isa), bias = values(b), scale = values(s);
  const OwnedPass run = pass(isa);
  Guarded input(x), multiplier(gate), residual(res), output(rows * columns);
  CHECK_EQUAL(clipengine_cpu_linear(run.get(), input.data(), rows, weight.get(), everything ? bias.get() : nullptr, static_cast<int32_t>(activation), everything ? scale.get() : nullptr,
                                    everything ? multiplier.data() : nullptr, everything ? residual.data() : nullptr, output.data()),
              CLIPENGINE_OK);
  auto expected = reference::product(x.data(), w.data(), rows, columns, depth);
  for (int64_t i = 0; i < rows * columns; ++i) {
    double& y = expected[static_cast<size_t>(i)];
    if (everything) y += b[static_cast<size_t>(i % columns)];
    y = reference::activated(y, activation);
    if (everything) y = y * s[static_cast<size_t>(i % columns)] * gate[static_cast<size_t>(i)] + res[static_cast<size_t>(i)];
  }
  check_all(output, expected, 2 * bound_of(depth), label(isa, rows, columns, depth));
}

}  // namespace

CLIPENGINE_TEST(linear_equals_its_twin_over_odd_sizes) {
  for (int32_t isa : tested_isas()) {
    for (int64_t rows : kSizes) {
      for (int64_t columns : kSizes) {
        for (int64_t depth : kSizes) linear(isa, rows, columns, depth, (rows + columns + depth) % 2 == 0, Activation::None);
      }
    }
  }
}

CLIPENGINE_TEST(linear_fuses_every_activation) {
  for (int32_t isa : tested_isas()) {
    for (int activation = 0; activation <= 6; ++activation) linear(isa, 17, 50, 77, true, static_cast<Activation>(activation));
  }
}

CLIPENGINE_TEST(linear_goes_on_across_blocks_of_the_depth) {
  for (int32_t isa : tested_isas()) linear(isa, 31, 70, 2100, true, Activation::Gelu);
}

// More rows than a chunk holds, more panels than sums wait for, and threads that share them unevenly.
CLIPENGINE_TEST(linear_is_the_same_however_it_is_dealt_to_threads) {
  const int64_t rows = 210, columns = 450, depth = 1100;
  const auto x = random_values(rows * depth, 1), w = random_values(columns * depth, 2);
  const auto expected = reference::product(x.data(), w.data(), rows, columns, depth);
  for (int32_t isa : tested_isas()) {
    const OwnedWeight weight = matrix(w, columns, depth, isa);
    const OwnedPass run = pass(isa);
    Guarded input(x), alone(rows * columns);
    clipengine::ThreadPool::instance().resize(1);
    CHECK_EQUAL(clipengine_cpu_linear(run.get(), input.data(), rows, weight.get(), nullptr, 0, nullptr, nullptr, nullptr, alone.data()), CLIPENGINE_OK);
    check_all(alone, expected, 2 * bound_of(depth), label(isa, rows, columns, depth));
    for (int threads : {2, 3, 7}) {
      clipengine::ThreadPool::instance().resize(threads);
      Guarded shared(rows * columns);
      CHECK_EQUAL(clipengine_cpu_linear(run.get(), input.data(), rows, weight.get(), nullptr, 0, nullptr, nullptr, nullptr, shared.data()), CLIPENGINE_OK);
      CHECK(shared.same_bits(alone));
    }
  }
  clipengine::ThreadPool::instance().resize(0);
}

// A weight that its threads read out of a file is the weight that was handed over, whatever the types, and it says how large its elements are.
CLIPENGINE_TEST(a_weight_read_from_a_file_is_the_same_weight) {
  constexpr int64_t kStart = 13, kRows = 3;
  for (const auto& [columns, depth] : {std::pair<int64_t, int64_t>{1, 1}, {50, 77}, {130, 600}}) {
    const auto values = random_values(columns * depth, 5), x = random_values(kRows * depth, 6);
    for (int32_t type : {CLIPENGINE_FLOAT32, CLIPENGINE_FLOAT16, CLIPENGINE_BFLOAT16}) {
      std::vector<char> bytes(values.size() * (type == CLIPENGINE_FLOAT32 ? 4 : 2));
      uint32_t largest = 0;
      for (size_t i = 0; i < values.size(); ++i) {
        if (type == CLIPENGINE_FLOAT32) {
          uint32_t word;
          std::memcpy(&word, &values[i], 4);
          std::memcpy(bytes.data() + 4 * i, &word, 4);
          largest = std::max(largest, word & 0x7fffffff);
        } else {
          const uint16_t half = type == CLIPENGINE_FLOAT16 ? clipengine::float_to_half(values[i]) : clipengine::float_to_bf16(values[i]);
          std::memcpy(bytes.data() + 2 * i, &half, 2);
          largest = std::max<uint32_t>(largest, half & 0x7fff);
        }
      }
      clipengine_test::TemporaryFile file;
      file.write(bytes.data(), static_cast<int64_t>(bytes.size()), kStart);
      clipengine_cpu_read read{file.descriptor(), kStart, -1, type, 0};
      for (int32_t isa : tested_isas()) {
        for (int32_t compute : {CLIPENGINE_FLOAT32, CLIPENGINE_BFLOAT16, CLIPENGINE_FLOAT16, CLIPENGINE_INT8}) {
          clipengine_cpu_weight *from_file = nullptr, *from_memory = nullptr;
          CHECK_EQUAL(clipengine_cpu_matrix_read(&read, columns, depth, compute, isa, &from_file), CLIPENGINE_OK);
          CHECK_EQUAL(read.largest, largest);
          CHECK_EQUAL(clipengine_cpu_matrix_create(bytes.data(), type, columns, depth, 0, compute, isa, &from_memory), CLIPENGINE_OK);
          const OwnedWeight one(from_file), other(from_memory);
          CHECK_EQUAL(clipengine_cpu_weight_bytes(one.get()), clipengine_cpu_weight_bytes(other.get()));
          const OwnedPass run = pass(isa);
          Guarded input(x), found(kRows * columns), expected(kRows * columns);
          clipengine_cpu_linear(run.get(), input.data(), kRows, one.get(), nullptr, 0, nullptr, nullptr, nullptr, found.data());
          clipengine_cpu_linear(run.get(), input.data(), kRows, other.get(), nullptr, 0, nullptr, nullptr, nullptr, expected.data());
          CHECK(found.same_bits(expected));
        }
      }
      clipengine_cpu_weight* plain = nullptr;
      CHECK_EQUAL(clipengine_cpu_values_read(&read, columns * depth, &plain), CLIPENGINE_OK);
      const OwnedWeight owned(plain);
      CHECK_EQUAL(read.largest, largest);
      for (int64_t i = 0; i < columns * depth; ++i) {
        float expected = 0;
        clipengine::cpu::convert_to_float(bytes.data(), type, i, 1, &expected);
        CHECK_EQUAL(clipengine_cpu_weight_values(owned.get())[i], expected);
      }
      // A file that has shrunk meanwhile, and none at all.
      file.truncate(kStart + static_cast<int64_t>(bytes.size()) - 1);
      clipengine_cpu_weight* none = nullptr;
      CHECK_EQUAL(clipengine_cpu_matrix_read(&read, columns, depth, CLIPENGINE_FLOAT32, CLIPENGINE_CPU_PORTABLE, &none), CLIPENGINE_BAD_INPUT);
      CHECK_EQUAL(read.error, int64_t{0});
      CHECK_EQUAL(clipengine_cpu_values_read(&read, columns * depth, &none), CLIPENGINE_BAD_INPUT);
      CHECK(none == nullptr);
    }
  }
  clipengine_cpu_read closed{-1, 0, 0, CLIPENGINE_FLOAT32, 0};
  clipengine_cpu_weight* none = nullptr;
  CHECK_EQUAL(clipengine_cpu_matrix_read(&closed, 2, 2, CLIPENGINE_FLOAT32, CLIPENGINE_CPU_PORTABLE, &none), CLIPENGINE_BAD_INPUT);
  CHECK(closed.error != 0 && none == nullptr);
  closed.type = CLIPENGINE_INT32;
  CHECK_EQUAL(clipengine_cpu_matrix_read(&closed, 2, 2, CLIPENGINE_FLOAT32, CLIPENGINE_CPU_PORTABLE, &none), CLIPENGINE_UNSUPPORTED);
}

CLIPENGINE_TEST(a_transposed_matrix_is_the_same_matrix) {
  const int64_t columns = 50, depth = 77;
  const auto w = random_values(columns * depth, 2);
  std::vector<float> turned(w.size());
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t k = 0; k < depth; ++k) turned[static_cast<size_t>(k * columns + c)] = w[static_cast<size_t>(c * depth + k)];
  }
  for (int32_t isa : tested_isas()) {
    for (int32_t compute : {CLIPENGINE_FLOAT32, CLIPENGINE_BFLOAT16, CLIPENGINE_FLOAT16, CLIPENGINE_INT8}) {
      const OwnedWeight one = matrix(w, columns, depth, isa, compute), other = matrix(turned, columns, depth, isa, compute, true);
      CHECK_EQUAL(std::memcmp(one->data.data(), other->data.data(), static_cast<size_t>(one->data.size())), 0);
    }
  }
}

// A row's result must not depend on the rows beside it, nor on the threads.
CLIPENGINE_TEST(a_row_has_the_same_bits_in_any_batch_and_with_any_number_of_threads) {
  const int64_t columns = 200, depth = 1100, rows = 53;
  const auto x = random_values(rows * depth, 1), w = random_values(columns * depth, 2);
  for (int32_t isa : tested_isas()) {
    for (int32_t compute : {CLIPENGINE_FLOAT32, CLIPENGINE_BFLOAT16, CLIPENGINE_FLOAT16, CLIPENGINE_INT8}) {
      const OwnedWeight weight = matrix(w, columns, depth, isa, compute);
      const OwnedPass run = pass(isa);
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
    }
  }
  clipengine::ThreadPool::instance().resize(0);
}

CLIPENGINE_TEST(bf16_equals_the_product_of_rounded_operands) {
  const auto round = [](float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    std::memcpy(&value, &bits, 4);
    return value;
  };
  for (int32_t isa : tested_isas()) {
    for (int64_t depth : {7, 50, 257, 1300}) {
      const int64_t rows = 17, columns = 77;
      auto x = random_values(rows * depth, 1), w = random_values(columns * depth, 2);
      const OwnedWeight weight = matrix(w, columns, depth, isa, CLIPENGINE_BFLOAT16);
      const OwnedPass run = pass(isa);
      Guarded input(x), output(rows * columns);
      CHECK_EQUAL(clipengine_cpu_linear(run.get(), input.data(), rows, weight.get(), nullptr, 0, nullptr, nullptr, nullptr, output.data()), CLIPENGINE_OK);
      for (float& value : x) value = round(value);
      for (float& value : w) value = round(value);
      check_all(output, reference::product(x.data(), w.data(), rows, columns, depth), bound_of(depth), label(isa, rows, columns, depth) + " bf16");
    }
  }
}

CLIPENGINE_TEST(fp16_weights_lose_only_their_own_rounding) {
  for (int32_t isa : tested_isas()) {
    const int64_t rows = 17, columns = 50, depth = 77;
    const auto x = random_values(rows * depth, 1);
    auto w = random_values(columns * depth, 2);
    // Multiples of 2^-10 up to 1 are halves exactly, and so is the smallest denormal.
    for (float& value : w) value = std::nearbyint(value * 1024) / 1024;
    w[0] = 5.9604645e-08f;
    const OwnedWeight weight = matrix(w, columns, depth, isa, CLIPENGINE_FLOAT16);
    const OwnedPass run = pass(isa);
    Guarded input(x), output(rows * columns);
    CHECK_EQUAL(clipengine_cpu_linear(run.get(), input.data(), rows, weight.get(), nullptr, 0, nullptr, nullptr, nullptr, output.data()), CLIPENGINE_OK);
    check_all(output, reference::product(x.data(), w.data(), rows, columns, depth), bound_of(depth), "fp16 weights");
  }
}

// Integers are exact: all sets must agree with the twin on the quantised operands up to the last two roundings.
CLIPENGINE_TEST(int8_equals_the_product_of_quantised_operands) {
  for (int32_t isa : tested_isas()) {
    for (int64_t rows : {1, 17, 50}) {
      for (int64_t depth : {7, 50, 257, 4200}) {
        const int64_t columns = 77;
        auto x = random_values(rows * depth, 1), w = random_values(columns * depth, 2);
        const OwnedWeight weight = matrix(w, columns, depth, isa, CLIPENGINE_INT8);
        const OwnedPass run = pass(isa);
        Guarded input(x), output(rows * columns);
        CHECK_EQUAL(clipengine_cpu_linear(run.get(), input.data(), rows, weight.get(), nullptr, 0, nullptr, nullptr, nullptr, output.data()), CLIPENGINE_OK);
        const auto quantize = [&](std::vector<float>& matrix_values, int64_t count) {
          for (int64_t r = 0; r < count; ++r) {
            float peak = 0;
            for (int64_t k = 0; k < depth; ++k) peak = std::max(peak, std::abs(matrix_values[static_cast<size_t>(r * depth + k)]));
            for (int64_t k = 0; k < depth; ++k) {
              float& value = matrix_values[static_cast<size_t>(r * depth + k)];
              value = std::nearbyint(value * (127.0f / peak)) * (peak / 127.0f);
            }
          }
        };
        quantize(x, rows);
        quantize(w, columns);
        check_all(output, reference::product(x.data(), w.data(), rows, columns, depth), 1e-6 * static_cast<double>(depth) + 1e-5, label(isa, rows, columns, depth) + " int8");
      }
    }
  }
}

CLIPENGINE_TEST(stored_types_are_converted_at_any_alignment) {
  const std::vector<float> expected = {1.0f, -2.5f, 0.0f, 6.1035156e-05f, 5.9604645e-08f, 65504.0f, -0.333251953125f};
  const uint16_t halves[] = {0x3c00, 0xc100, 0x0000, 0x0400, 0x0001, 0x7bff, 0xb555};
  std::vector<char> bytes(1 + sizeof halves);
  std::memcpy(bytes.data() + 1, halves, sizeof halves);
  clipengine_cpu_weight* made = nullptr;
  CHECK_EQUAL(clipengine_cpu_values_create(bytes.data() + 1, CLIPENGINE_FLOAT16, 7, &made), CLIPENGINE_OK);
  OwnedWeight weight(made);
  for (size_t i = 0; i < 7; ++i) CHECK_EQUAL(clipengine_cpu_weight_values(weight.get())[i], expected[i]);
  const double doubles[] = {0.1, -1e-3};
  CHECK_EQUAL(clipengine_cpu_values_create(doubles, CLIPENGINE_FLOAT64, 2, &made), CLIPENGINE_OK);
  weight.reset(made);
  CHECK_EQUAL(clipengine_cpu_weight_values(weight.get())[0], 0.1f);
  const uint16_t brains[] = {0x3f80, 0xc020};
  CHECK_EQUAL(clipengine_cpu_values_create(brains, CLIPENGINE_BFLOAT16, 2, &made), CLIPENGINE_OK);
  weight.reset(made);
  CHECK_EQUAL(clipengine_cpu_weight_values(weight.get())[1], -2.5f);
  CHECK_EQUAL(clipengine_cpu_values_create(brains, CLIPENGINE_INT16, 2, &made), CLIPENGINE_UNSUPPORTED);
}

CLIPENGINE_TEST(memory_returns_to_where_it_was) {
  const int64_t before = clipengine_cpu_live_bytes();
  {
    const OwnedWeight weight = matrix(random_values(600 * 600, 1), 600, 600, best_isa());
    const OwnedPass run = pass(best_isa());
    std::vector<float> input(600 * 20), output(600 * 20);
    clipengine_cpu_linear(run.get(), input.data(), 20, weight.get(), nullptr, 0, nullptr, nullptr, nullptr, output.data());
    const int64_t warm = clipengine_cpu_live_bytes();
    CHECK(warm > before);
    for (int round = 0; round < 5; ++round) {
      void *one = nullptr, *two = nullptr;
      clipengine_cpu_release(run.get(), 0);
      clipengine_cpu_allocate(run.get(), 1000, &one);
      clipengine_cpu_linear(run.get(), input.data(), 20, weight.get(), nullptr, 0, nullptr, nullptr, nullptr, output.data());
      clipengine_cpu_release(run.get(), 0);
      clipengine_cpu_allocate(run.get(), 1000, &two);
      CHECK(one == two);
    }
    CHECK_EQUAL(clipengine_cpu_live_bytes(), warm);
  }
  CHECK_EQUAL(clipengine_cpu_live_bytes(), before);
}

CLIPENGINE_TEST_MAIN()
