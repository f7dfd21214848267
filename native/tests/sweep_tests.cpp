// Every kernel of the probe sweep that this processor has, against the double-precision twin.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "core/status.h"
#include "core/thread_pool.h"
#include "cpu/sweep/kernels.h"
#include "cpu/sweep/totals.h"
#include "platform.h"
#include "sweep_cases.h"

using namespace clipengine::sweep;
using namespace sweep_cases;

namespace {

std::vector<const Kernel*> kernels() {
  std::vector<const Kernel*> found;
  for (const Kernel* kernel : {portable_kernel(), neon_kernel(), avx2_kernel(), avx512_kernel()}) {
    if (usable(kernel) != nullptr) found.push_back(kernel);
  }
  return found;
}

struct Deleter {
  void operator()(clipengine_sweep* sweep) const { clipengine_sweep_destroy(sweep); }
};

std::unique_ptr<clipengine_sweep, Deleter> make(const clipengine_sweep_plan& plan, const Kernel& kernel) {
  int64_t failed = -1;
  return std::unique_ptr<clipengine_sweep, Deleter>(create(plan, kernel, failed));
}

void compare(const Case& c) {
  for (const Kernel* kernel : kernels()) {
    compare(c, [&](const clipengine_sweep_plan& plan, clipengine_sweep_batch& batch) { return clipengine_sweep_run(make(plan, *kernel).get(), &batch); });
  }
}

}  // namespace

CLIPENGINE_TEST(awkward_sizes) {
  for (int64_t rows : {1, 7, 17, 50, 77, 257, 513}) {
    for (int64_t width : {1, 7, 17, 50, 64}) {
      Case c;
      c.rows = rows;
      c.width = width;
      compare(c);
    }
  }
}

CLIPENGINE_TEST(segments_of_every_kind) {
  for (const std::vector<int32_t>& segments : {std::vector<int32_t>(1, 1), std::vector<int32_t>(9, 1), std::vector<int32_t>(70, 8), std::vector<int32_t>{1000},
                                               std::vector<int32_t>{1000, 1000}, std::vector<int32_t>{3, 1, 241, 7, 500, 240, 2, 2, 239, 5}, std::vector<int32_t>{240, 240},
                                               std::vector<int32_t>{241}, std::vector<int32_t>{13}}) {
    Case c;
    c.segments = segments;
    c.rows = 83;
    compare(c);
  }
}

// Nothing but totals: probabilities are never made in place, and those of a segment that no cache holds are added up late. Groups of
// every length: lanes that are shared by two groups, groups over several tiles, many groups in one vector.
CLIPENGINE_TEST(totals_alone) {
  for (const std::vector<int32_t>& segments : {std::vector<int32_t>{2500, 300, 2300, 4}, std::vector<int32_t>{8, 300}, std::vector<int32_t>{2, 2600},
                                               std::vector<int32_t>(70, 8), std::vector<int32_t>{1, 2, 3, 4, 16, 5, 8, 2, 13, 17, 8, 1}}) {
    for (int64_t groups : {1, 5, 200}) {
      Case c;
      c.segments = segments;
      c.rows = 620;
      c.groups = groups;
      c.replicates = 0;
      c.top = 0;
      const Inputs inputs(c);
      Outputs expected(c, inputs.prompt_count);
      inputs.give(c, expected.batch);
      std::vector<double> sums(expected.sums.size());
      reference(inputs.plan, expected.batch, sums.data(), nullptr);
      const double bound = relative_bound(c.scale, c.width);
      clipengine_sweep_plan plan = inputs.plan;
      plan.entropy = 0;
      for (const Kernel* kernel : kernels()) {
        // compare() has the counts of all outputs against the best columns.
        Outputs all(c, inputs.prompt_count), found(c, inputs.prompt_count);
        inputs.give(c, all.batch);
        inputs.give(c, found.batch);
        found.batch.probabilities = found.batch.entropy = found.batch.margin = nullptr;
        CHECK_EQUAL(clipengine_sweep_run(make(inputs.plan, *kernel).get(), &all.batch), CLIPENGINE_OK);
        CHECK_EQUAL(clipengine_sweep_run(make(plan, *kernel).get(), &found.batch), CLIPENGINE_OK);
        CHECK(found.counts == all.counts);
        for (size_t i = 0; i < sums.size(); ++i) CHECK_NEAR(to_double(found.sums[i]), sums[i], bound * sums[i] + 1e-24);
        CHECK(found.group_rows == expected.group_rows);
      }
    }
  }
}

CLIPENGINE_TEST(top_columns_over_pieces) {
  for (int32_t top : {0, 2, 5, 100}) {
    Case c;
    c.segments = {700, 100, 300};
    c.rows = 41;
    c.top = top;
    compare(c);
  }
}

CLIPENGINE_TEST(every_stored_type) {
  for (int32_t rows : {CLIPENGINE_SWEEP_FLOAT16, CLIPENGINE_SWEEP_BFLOAT16, CLIPENGINE_SWEEP_FLOAT32, CLIPENGINE_SWEEP_FLOAT64}) {
    for (int32_t prompts : {CLIPENGINE_SWEEP_FLOAT16, CLIPENGINE_SWEEP_BFLOAT16, CLIPENGINE_SWEEP_FLOAT32, CLIPENGINE_SWEEP_FLOAT64}) {
      Case c;
      c.row_type = rows;
      c.prompt_type = prompts;
      c.width = 37;
      compare(c);
    }
  }
}

CLIPENGINE_TEST(sigmoid_with_bias) {
  Case c;
  c.activation = CLIPENGINE_SWEEP_SIGMOID;
  c.scale = 117.3;
  c.bias = -12.9;
  c.segments = {8, 1, 300};
  c.top = 1;
  compare(c);
}

CLIPENGINE_TEST(small_and_negative_scales) {
  for (double scale : {0.0, 1.0, -20.0, 1000.0}) {
    Case c;
    c.scale = scale;
    // With all scores equal every column ties; places are compared by probability.
    compare(c);
  }
}

CLIPENGINE_TEST(many_groups_and_replicates) {
  Case c;
  c.groups = 400;
  c.replicates = 13;
  c.rows = 700;
  c.segments = {5, 9};
  compare(c);
}

CLIPENGINE_TEST(equal_scores_go_to_the_lowest_column) {
  const std::vector<float> image = {1, 0}, prompts = {0, 1, 1, 0, 1, 0, -1, 0};
  const std::vector<int32_t> segments = {4};
  clipengine_sweep_plan plan{};
  plan.prompts = prompts.data();
  plan.prompt_count = 4;
  plan.width = 2;
  plan.segment_lengths = segments.data();
  plan.segment_count = 1;
  plan.scale = 10;
  plan.prompt_type = CLIPENGINE_SWEEP_FLOAT32;
  plan.top_count = 3;
  for (const Kernel* kernel : kernels()) {
    const auto sweep = make(plan, *kernel);
    std::vector<int32_t> top(3);
    std::vector<float> margin(1);
    clipengine_sweep_batch batch{};
    batch.rows = image.data();
    batch.row_count = 1;
    batch.row_type = CLIPENGINE_SWEEP_FLOAT32;
    batch.top_indices = top.data();
    batch.margin = margin.data();
    CHECK_EQUAL(clipengine_sweep_run(sweep.get(), &batch), CLIPENGINE_OK);
    CHECK(top == (std::vector<int32_t>{1, 2, 0}));
    CHECK_EQUAL(margin[0], 0.0f);
  }
}

CLIPENGINE_TEST(threads_and_batches_do_not_change_a_bit) {
  Case c;
  c.rows = 3000;
  c.segments = {8, 300, 5};
  c.replicates = 3;
  const Inputs inputs(c);
  for (const Kernel* kernel : kernels()) {
    std::vector<Outputs> results;
    for (int threads : {1, 3}) {
      clipengine::ThreadPool::instance().resize(threads);
      for (int64_t batch_rows : {int64_t{3000}, int64_t{CLIPENGINE_SWEEP_CHUNK_ROWS}, int64_t{3 * CLIPENGINE_SWEEP_CHUNK_ROWS}}) {
        const auto sweep = make(inputs.plan, *kernel);
        Outputs found(c, inputs.prompt_count);
        // Batches in reverse: the order of addition must not matter either.
        for (int64_t first = (c.rows - 1) / batch_rows * batch_rows; first >= 0; first -= batch_rows) {
          clipengine_sweep_batch batch = found.batch;
          inputs.give(c, batch);
          batch.rows = inputs.rows.data() + first * c.width * 4;
          batch.row_count = std::min(batch_rows, c.rows - first);
          batch.groups += first;
          batch.weights += first;
          batch.probabilities += first * inputs.prompt_count;
          batch.entropy += first * 3;
          batch.margin += first * 3;
          batch.top_indices += first * 3;
          batch.top_probabilities += first * 3;
          CHECK_EQUAL(clipengine_sweep_run(sweep.get(), &batch), CLIPENGINE_OK);
        }
        results.push_back(std::move(found));
      }
    }
    for (const Outputs& other : results) {
      CHECK(std::memcmp(other.sums.data(), results[0].sums.data(), other.sums.size() * sizeof other.sums[0]) == 0);
      CHECK(std::memcmp(other.weighted.data(), results[0].weighted.data(), other.weighted.size() * sizeof other.weighted[0]) == 0);
      CHECK(other.counts == results[0].counts);
      CHECK(other.probabilities == results[0].probabilities);
      CHECK(other.entropy == results[0].entropy);
      CHECK(other.top_probabilities == results[0].top_probabilities);
    }
  }
  clipengine::ThreadPool::instance().resize(0);
}

CLIPENGINE_TEST(a_row_does_not_depend_on_its_place) {
  Case c;
  c.rows = 600;
  c.segments = {8, 300};
  const Inputs inputs(c);
  std::vector<int64_t> shuffled(static_cast<size_t>(c.rows));
  std::iota(shuffled.begin(), shuffled.end(), 0);
  std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(5));
  std::vector<uint8_t> rows(inputs.rows.size());
  std::vector<int32_t> groups;
  const size_t bytes = static_cast<size_t>(c.width) * 4;
  for (size_t i = 0; i < shuffled.size(); ++i) {
    std::memcpy(rows.data() + i * bytes, inputs.rows.data() + shuffled[i] * bytes, bytes);
    groups.push_back(inputs.groups[shuffled[i]]);
  }
  for (const Kernel* kernel : kernels()) {
    const auto sweep = make(inputs.plan, *kernel);
    Outputs straight(c, inputs.prompt_count), mixed(c, inputs.prompt_count);
    inputs.give(c, straight.batch);
    CHECK_EQUAL(clipengine_sweep_run(sweep.get(), &straight.batch), CLIPENGINE_OK);
    inputs.give(c, mixed.batch);
    mixed.batch.rows = rows.data();
    mixed.batch.groups = groups.data();
    CHECK_EQUAL(clipengine_sweep_run(sweep.get(), &mixed.batch), CLIPENGINE_OK);
    for (size_t i = 0; i < shuffled.size(); ++i) {
      CHECK(std::memcmp(mixed.probabilities.data() + i * inputs.prompt_count, straight.probabilities.data() + shuffled[i] * inputs.prompt_count,
                        static_cast<size_t>(inputs.prompt_count) * 4) == 0);
    }
    CHECK(mixed.counts == straight.counts);
  }
}

CLIPENGINE_TEST(the_variable_of_all_kernels_chooses_this_one_too) {
  const char* variable = "CLIPENGINE_CPU";
  const char* before = std::getenv(variable);
  const std::string kept = before == nullptr ? "" : before;
  clipengine_test::set_variable(variable, "portable");
  CHECK(&best_kernel() == portable_kernel());
  if (usable(avx2_kernel()) != nullptr) {
    clipengine_test::set_variable(variable, "avx2");
    CHECK(&best_kernel() == avx2_kernel());
  }
  clipengine_test::set_variable(variable, "sse9");
  bool refused = false;
  try {
    best_kernel();
  } catch (const clipengine::Error&) {
    refused = true;
  }
  CHECK(refused);
  clipengine_test::set_variable(variable, before == nullptr ? nullptr : kept.c_str());
}

CLIPENGINE_TEST(rows_from_a_file) {
  Case c;
  c.rows = 1100;
  const Inputs inputs(c);
  clipengine_test::TemporaryFile file;
  const char header[13] = "twelve bytes";
  file.write(header, 12, 0);
  file.write(inputs.rows.data(), static_cast<int64_t>(inputs.rows.size()), 12);
  const auto sweep = make(inputs.plan, best_kernel());
  Outputs memory(c, inputs.prompt_count), disk(c, inputs.prompt_count);
  inputs.give(c, memory.batch);
  CHECK_EQUAL(clipengine_sweep_run(sweep.get(), &memory.batch), CLIPENGINE_OK);
  inputs.give(c, disk.batch);
  disk.batch.rows = nullptr;
  disk.batch.file = file.descriptor();
  disk.batch.file_offset = 12;
  CHECK_EQUAL(clipengine_sweep_run(sweep.get(), &disk.batch), CLIPENGINE_OK);
  CHECK(disk.probabilities == memory.probabilities);
  file.truncate(12 + static_cast<int64_t>(inputs.rows.size()) - 1);
  CHECK_EQUAL(clipengine_sweep_run(sweep.get(), &disk.batch), CLIPENGINE_BAD_INPUT);
  CHECK_EQUAL(disk.batch.failed_row, -1);
}

CLIPENGINE_TEST(the_first_bad_row_is_named) {
  Case c;
  c.rows = 2000;
  for (const Kernel* kernel : kernels()) {
    for (float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF, 1e37f, 0.0f}) {
      Inputs inputs(c);
      for (int64_t row : {1999, 700, 1203, 699}) {
        for (int64_t k = 0; k < c.width; ++k) {
          if (bad == 0 || k == c.width - 1) std::memcpy(inputs.rows.data() + (row * c.width + k) * 4, &bad, 4);
        }
      }
      const auto sweep = make(inputs.plan, *kernel);
      Outputs found(c, inputs.prompt_count);
      inputs.give(c, found.batch);
      CHECK_EQUAL(clipengine_sweep_run(sweep.get(), &found.batch), CLIPENGINE_BAD_INPUT);
      CHECK_EQUAL(found.batch.failed_row, 699);
    }
  }
}

CLIPENGINE_TEST(bad_prompts_and_plans_are_refused) {
  Case c;
  for (float bad : {std::nanf(""), HUGE_VALF, 0.0f}) {
    Inputs inputs(c);
    for (int64_t k = 0; k < c.width; ++k) std::memcpy(inputs.prompts.data() + (5 * c.width + k) * 4, &bad, 4);
    clipengine_sweep* sweep = nullptr;
    int64_t failed = -1;
    CHECK_EQUAL(clipengine_sweep_create(&inputs.plan, &sweep, &failed), CLIPENGINE_BAD_INPUT);
    CHECK_EQUAL(failed, 5);
  }
  const auto refused = [&](auto change) {
    Inputs inputs(c);
    change(inputs.plan);
    clipengine_sweep* sweep = nullptr;
    int64_t failed = -1;
    CHECK_EQUAL(clipengine_sweep_create(&inputs.plan, &sweep, &failed), CLIPENGINE_INVALID_ARGUMENT);
  };
  refused([](clipengine_sweep_plan& plan) { plan.prompt_count = 7; });
  refused([](clipengine_sweep_plan& plan) { plan.width = 0; });
  refused([](clipengine_sweep_plan& plan) { plan.scale = HUGE_VAL; });
  refused([](clipengine_sweep_plan& plan) { plan.top_count = 9; });
  refused([](clipengine_sweep_plan& plan) { plan.prompt_type = 9; });
  refused([](clipengine_sweep_plan& plan) { plan.activation = CLIPENGINE_SWEEP_SIGMOID; });
  refused([](clipengine_sweep_plan& plan) { plan.prompt_count = int64_t{1} << 40; });
}

CLIPENGINE_TEST(totals_are_exact) {
  clipengine_sweep_total total{0, 0};
  CHECK(add_to_total(total, 0.1));
  CHECK(add_to_total(total, -0.1));
  CHECK_EQUAL(total.low, 0u);
  CHECK_EQUAL(total.high, 0);
  CHECK(add_to_total(total, 0x1p-80));
  CHECK_EQUAL(total.low, 1u);
  CHECK(add_to_total(total, 0x1p-81));  // rounds up
  CHECK_EQUAL(total.low, 2u);
  CHECK(add_to_total(total, 0x1.8p-82));  // rounds down to nothing
  CHECK(add_to_total(total, 0x1p-300));
  CHECK(add_to_total(total, 0.0));
  CHECK_EQUAL(total.low, 2u);
  CHECK(!add_to_total(total, 0x1p46));
  CHECK(!add_to_total(total, std::nan("")));
  std::mt19937_64 random(1);
  std::vector<double> values;
  for (int i = 0; i < 1000; ++i) values.push_back(std::ldexp(static_cast<double>(random() >> 11), static_cast<int>(random() % 60) - 70));
  clipengine_sweep_total forward{0, 0}, backward{0, 0};
  for (size_t i = 0; i < values.size(); ++i) CHECK(add_to_total(forward, values[i]) && add_to_total(backward, values[values.size() - 1 - i]));
  CHECK_EQUAL(forward.low, backward.low);
  CHECK_EQUAL(forward.high, backward.high);

  // Many at once: the same bits, signs, ties and carries included.
  for (double value : {0x1p-81, -0x1p-81, 0x1.8p-80, -0x1p-80, 0x1p-16, -0x1p-16, 0x1p-28, 0x1.fffffffffffffp42, -0x1.fffffffffffffp42, 0x1.fffffffffffffp-17, 0x1p-1074}) values.push_back(value);
  for (size_t i = 0; i < values.size(); i += 3) values[i] = -values[i];
  for (const Kernel* kernel : kernels()) {
    if (kernel->add_to_totals == nullptr) continue;
    std::vector<clipengine_sweep_total> expected, found;
    for (size_t i = 0; i < values.size(); ++i) expected.push_back({random(), static_cast<int64_t>(random()) >> 4});
    found = expected;
    for (int round = 0; round < 3; ++round) {
      for (size_t i = 0; i < values.size(); ++i) CHECK(add_to_total(expected[i], values[i]));
      CHECK(kernel->add_to_totals(found.data(), values.data(), static_cast<int64_t>(values.size())));
    }
    CHECK(std::memcmp(found.data(), expected.data(), found.size() * sizeof found[0]) == 0);
    for (double bad : {0x1p46, -0x1p46, HUGE_VAL, std::nan("")}) {
      std::vector<double> row(11);
      row[9] = bad;
      CHECK(!kernel->add_to_totals(found.data(), row.data(), 11));
    }
    const double large = 0x1p45;
    clipengine_sweep_total full{0, INT64_MAX};
    CHECK(!kernel->add_to_totals(&full, &large, 1));
  }
}

CLIPENGINE_TEST_MAIN()
