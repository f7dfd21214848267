// The probe sweep on the emulated device, through the C ABI: every output against the double-precision twin, and the same bits
// however rows are shared out.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include <memory>

#include "check.h"
#include "clipengine_cuda.h"
#include "sweep_cases.h"

using namespace sweep_cases;

namespace {

std::string last_message() {
  char text[512] = "";
  clipengine_cuda_error_message(text, sizeof text);
  return text;
}

class Devices {
 public:
  // Where there are fewer GPUs (tools/gpu-check runs this on real ones), one is opened several times.
  explicit Devices(int count) : all_(static_cast<size_t>(count)) {
    int32_t available = 0;
    if (clipengine_cuda_device_count(&available) != CLIPENGINE_OK) throw std::runtime_error(last_message());
    for (int i = 0; i < count; ++i) {
      if (clipengine_cuda_device_open(i % available, std::getenv("CLIPENGINE_CUDA_KERNELS"), &all_[static_cast<size_t>(i)]) != CLIPENGINE_OK) throw std::runtime_error(last_message());
    }
  }
  ~Devices() {
    for (clipengine_cuda_device* device : all_) clipengine_cuda_device_close(device);
  }
  clipengine_cuda_device* const* data() const { return all_.data(); }
  int32_t count() const { return static_cast<int32_t>(all_.size()); }

 private:
  std::vector<clipengine_cuda_device*> all_;
};

struct SweepDeleter {
  void operator()(clipengine_cuda_sweep* sweep) const { clipengine_cuda_sweep_destroy(sweep); }
};
using SweepPointer = std::unique_ptr<clipengine_cuda_sweep, SweepDeleter>;

SweepPointer make(const Devices& devices, const clipengine_sweep_plan& plan) {
  clipengine_cuda_sweep* sweep = nullptr;
  int64_t failed = -1;
  if (clipengine_cuda_sweep_create(devices.data(), devices.count(), &plan, &sweep, &failed) != CLIPENGINE_OK) throw std::runtime_error(last_message());
  return SweepPointer(sweep);
}

void compare(const Case& c, int device_count = 1) {
  const Devices devices(device_count);
  sweep_cases::compare(c, [&](const clipengine_sweep_plan& plan, clipengine_sweep_batch& batch) {
    const SweepPointer sweep = make(devices, plan);
    const clipengine_status status = clipengine_cuda_sweep_run(sweep.get(), &batch, nullptr, 0);
    if (status != CLIPENGINE_OK) throw std::runtime_error(last_message());
    return status;
  });
}

void check_equal(const Outputs& left, const Outputs& right) {
  CHECK(std::memcmp(left.sums.data(), right.sums.data(), left.sums.size() * sizeof left.sums[0]) == 0);
  CHECK(std::memcmp(left.weighted.data(), right.weighted.data(), left.weighted.size() * sizeof left.weighted[0]) == 0);
  CHECK(left.counts == right.counts);
  CHECK(left.group_rows == right.group_rows);
  CHECK(left.probabilities == right.probabilities);
  CHECK(left.entropy == right.entropy);
  CHECK(left.margin == right.margin);
  CHECK(left.top_indices == right.top_indices);
  CHECK(left.top_probabilities == right.top_probabilities);
}

// The part of a batch from `first` on.
clipengine_sweep_batch part_of(const Case& c, const Inputs& inputs, const clipengine_sweep_batch& whole, int64_t first, int64_t rows) {
  clipengine_sweep_batch batch = whole;
  const int64_t segments = static_cast<int64_t>(c.segments.size()), size = c.row_type == CLIPENGINE_SWEEP_FLOAT32 ? 4 : 2;
  inputs.give(c, batch);
  batch.rows = inputs.rows.data() + first * c.width * size;
  batch.row_count = rows;
  batch.groups += first;
  batch.weights += first;
  batch.probabilities += first * inputs.prompt_count;
  batch.entropy += first * segments;
  batch.margin += first * segments;
  batch.top_indices += first * segments * c.top;
  batch.top_probabilities += first * segments * c.top;
  return batch;
}

}  // namespace

CLIPENGINE_TEST(few_columns_over_awkward_sizes) {
  for (int64_t rows : {1, 7, 129, 513}) {
    for (int64_t width : {1, 17, 50, 64}) {
      Case c;
      c.rows = rows;
      c.width = width;
      compare(c);
    }
  }
}

CLIPENGINE_TEST(few_columns_in_segments) {
  for (const std::vector<int32_t>& segments : {std::vector<int32_t>{1}, {9}, {8, 8}, {3, 1, 5, 2}, std::vector<int32_t>(16, 1)}) {
    Case c;
    c.segments = segments;
    c.rows = 150;
    c.width = 40;
    c.row_type = CLIPENGINE_SWEEP_BFLOAT16;
    compare(c);
  }
}

CLIPENGINE_TEST(wide_columns_in_segments_of_every_kind) {
  for (const std::vector<int32_t>& segments : {std::vector<int32_t>(3, 8), std::vector<int32_t>(9, 8), {17}, {128}, {129}, {300}, {3, 130, 7, 128, 1, 257, 2}, std::vector<int32_t>(40, 1)}) {
    Case c;
    c.segments = segments;
    c.rows = 131;
    c.width = 40;
    compare(c);
    c.row_type = CLIPENGINE_SWEEP_BFLOAT16;
    c.rows = 37;
    compare(c);
  }
}

CLIPENGINE_TEST(every_stored_type_of_rows_and_prompts) {
  for (int32_t rows : {CLIPENGINE_SWEEP_FLOAT16, CLIPENGINE_SWEEP_BFLOAT16, CLIPENGINE_SWEEP_FLOAT32, CLIPENGINE_SWEEP_FLOAT64}) {
    for (int32_t prompts : {CLIPENGINE_SWEEP_FLOAT16, CLIPENGINE_SWEEP_BFLOAT16, CLIPENGINE_SWEEP_FLOAT32, CLIPENGINE_SWEEP_FLOAT64}) {
      Case c;
      c.row_type = rows;
      c.prompt_type = prompts;
      c.width = 37;
      compare(c);
      c.segments = {20, 5};
      c.width = 41;
      compare(c);
    }
  }
}

CLIPENGINE_TEST(depths_beyond_the_stages) {
  for (int32_t type : {CLIPENGINE_SWEEP_FLOAT16, CLIPENGINE_SWEEP_FLOAT32}) {
    Case c;
    c.row_type = type;
    c.segments = {18};
    c.rows = 20;
    c.width = 264;
    compare(c);
    c.segments = {8};
    compare(c);
  }
}

CLIPENGINE_TEST(top_columns_over_pieces) {
  for (int32_t top : {0, 2, 100}) {
    Case c;
    c.segments = {200, 100, 131};
    c.rows = 41;
    c.top = top;
    compare(c);
  }
}

CLIPENGINE_TEST(sigmoid_with_bias) {
  for (const std::vector<int32_t>& segments : {std::vector<int32_t>{8, 1}, {8, 1, 200}}) {
    Case c;
    c.activation = CLIPENGINE_SWEEP_SIGMOID;
    c.scale = 117.3;
    c.bias = -12.9;
    c.segments = segments;
    compare(c);
    c.row_type = CLIPENGINE_SWEEP_BFLOAT16;
    compare(c);
  }
}

CLIPENGINE_TEST(small_and_negative_scales) {
  for (double scale : {0.0, 1.0, -20.0, 1000.0}) {
    Case c;
    c.scale = scale;
    c.top = 2;
    compare(c);
    c.segments = {150};
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
  c.segments = {5, 9, 8};
  c.width = 8;
  compare(c);
}

CLIPENGINE_TEST(equal_scores_go_to_the_lowest_column) {
  const Devices devices(1);
  for (int64_t copies : {1, 40}) {  // few columns; a segment of several pieces
    std::vector<float> prompts;
    for (int64_t i = 0; i < copies; ++i) prompts.insert(prompts.end(), {0, 1, 1, 0, 1, 0, -1, 0});
    const std::vector<float> image = {1, 0};
    const std::vector<int32_t> segments = {static_cast<int32_t>(4 * copies)};
    clipengine_sweep_plan plan{};
    plan.prompts = prompts.data();
    plan.prompt_count = 4 * copies;
    plan.width = 2;
    plan.segment_lengths = segments.data();
    plan.segment_count = 1;
    plan.scale = 10;
    plan.prompt_type = CLIPENGINE_SWEEP_FLOAT32;
    plan.top_count = 3;
    plan.group_count = 1;
    const SweepPointer sweep = make(devices, plan);
    std::vector<int32_t> top(3);
    std::vector<float> top_probabilities(3), margin(1);
    std::vector<int64_t> counts(prompts.size() / 2);
    clipengine_sweep_batch batch{};
    batch.rows = image.data();
    batch.row_count = 1;
    batch.row_type = CLIPENGINE_SWEEP_FLOAT32;
    batch.top_indices = top.data();
    batch.top_probabilities = top_probabilities.data();
    batch.margin = margin.data();
    batch.argmax_counts = counts.data();
    CHECK_EQUAL(clipengine_cuda_sweep_run(sweep.get(), &batch, nullptr, 0), CLIPENGINE_OK);
    CHECK(top == (copies == 1 ? std::vector<int32_t>{1, 2, 0} : std::vector<int32_t>{1, 2, 5}));
    CHECK_EQUAL(margin[0], 0.0f);
    CHECK_EQUAL(counts[1], 1);
    CHECK_EQUAL(std::accumulate(counts.begin(), counts.end(), int64_t{0}), 1);
  }
}

CLIPENGINE_TEST(the_same_bits_however_rows_are_shared_out) {
  for (const std::vector<int32_t>& segments : {std::vector<int32_t>{8, 5}, {8, 200}}) {
    Case c;
    c.rows = segments[1] == 5 ? 1900 : 600;
    c.width = 8;
    c.segments = segments;
    c.row_type = CLIPENGINE_SWEEP_BFLOAT16;
    const Inputs inputs(c);
    std::vector<Outputs> results;
    for (int devices_used : {1, 2, 3}) {
      const Devices devices(devices_used);
      for (int64_t batch_rows : {c.rows, int64_t{CLIPENGINE_SWEEP_CHUNK_ROWS}}) {
        if (devices_used > 1 && batch_rows != c.rows) continue;
        const SweepPointer sweep = make(devices, inputs.plan);
        Outputs found(c, inputs.prompt_count);
        // Batches in reverse: the order of addition must not matter either.
        for (int64_t first = (c.rows - 1) / batch_rows * batch_rows; first >= 0; first -= batch_rows) {
          clipengine_sweep_batch batch = part_of(c, inputs, found.batch, first, std::min(batch_rows, c.rows - first));
          CHECK_EQUAL(clipengine_cuda_sweep_run(sweep.get(), &batch, nullptr, 0), CLIPENGINE_OK);
        }
        results.push_back(std::move(found));
      }
    }
    for (const Outputs& other : results) check_equal(other, results[0]);
  }
}

CLIPENGINE_TEST(resident_rows_give_the_same_bits) {
  Case c;
  c.rows = 4700;
  c.width = 8;
  c.segments = {7};
  c.replicates = 1;
  c.row_type = CLIPENGINE_SWEEP_FLOAT16;
  const Inputs inputs(c);
  Outputs streamed(c, inputs.prompt_count);
  inputs.give(c, streamed.batch);
  {
    const Devices devices(1);
    CHECK_EQUAL(clipengine_cuda_sweep_run(make(devices, inputs.plan).get(), &streamed.batch, nullptr, 0), CLIPENGINE_OK);
  }
  for (int devices_used : {1, 2}) {
    const Devices devices(devices_used);
    const SweepPointer sweep = make(devices, inputs.plan);
    clipengine_sweep_batch rows{};
    inputs.give(c, rows);
    clipengine_cuda_features* features = nullptr;
    CHECK_EQUAL(clipengine_cuda_features_create(devices.data(), devices.count(), &rows, c.width, c.groups, &features), CLIPENGINE_OK);
    for (int64_t batch_rows : {c.rows, int64_t{4096}}) {
      if (devices_used == 2 && batch_rows != c.rows) continue;
      Outputs found(c, inputs.prompt_count);
      for (int64_t first = 0; first < c.rows; first += batch_rows) {
        clipengine_sweep_batch batch = part_of(c, inputs, found.batch, first, std::min(batch_rows, c.rows - first));
        batch.rows = nullptr;
        batch.groups = nullptr;
        CHECK_EQUAL(clipengine_cuda_sweep_run(sweep.get(), &batch, features, first), CLIPENGINE_OK);
      }
      check_equal(found, streamed);
    }
    Outputs refused(c, inputs.prompt_count);
    clipengine_sweep_batch batch = part_of(c, inputs, refused.batch, 512, 512);
    CHECK_EQUAL(clipengine_cuda_sweep_run(sweep.get(), &batch, features, 512), CLIPENGINE_INVALID_ARGUMENT);
    clipengine_cuda_features_destroy(features);
  }
}

CLIPENGINE_TEST(totals_alone_are_those_of_a_run_with_everything) {
  for (const std::vector<int32_t>& segments : {std::vector<int32_t>{6}, {6, 140}}) {
    Case c;
    c.rows = 300;
    c.width = 16;
    c.segments = segments;
    const Inputs inputs(c);
    const Devices devices(1);
    const SweepPointer sweep = make(devices, inputs.plan);
    Outputs all(c, inputs.prompt_count), totals(c, inputs.prompt_count);
    inputs.give(c, all.batch);
    inputs.give(c, totals.batch);
    totals.batch.probabilities = totals.batch.top_probabilities = totals.batch.entropy = totals.batch.margin = nullptr;
    totals.batch.top_indices = nullptr;
    CHECK_EQUAL(clipengine_cuda_sweep_run(sweep.get(), &all.batch, nullptr, 0), CLIPENGINE_OK);
    CHECK_EQUAL(clipengine_cuda_sweep_run(sweep.get(), &totals.batch, nullptr, 0), CLIPENGINE_OK);
    CHECK(std::memcmp(all.sums.data(), totals.sums.data(), all.sums.size() * sizeof all.sums[0]) == 0);
    CHECK(std::memcmp(all.weighted.data(), totals.weighted.data(), all.weighted.size() * sizeof all.weighted[0]) == 0);
    CHECK(all.counts == totals.counts);
  }
}

// One row of a group and one weight in each chunk: then nothing is rounded before it is added up.
CLIPENGINE_TEST(totals_are_exact) {
  Case c;
  c.rows = 9 * CLIPENGINE_SWEEP_CHUNK_ROWS;  // totals meet on the device after 4096 rows
  c.width = 8;
  c.segments = {5};
  c.scale = 3;
  c.groups = 1;
  c.replicates = 2;
  Inputs inputs(c);
  for (int64_t row = 0; row < c.rows; ++row) {
    inputs.groups[row] = row % 512 == 77 ? 0 : -1;
    inputs.weights[row] = row % 512 == 300 ? 3.0f : 0.0f;
    inputs.weights[c.rows + row] = row % 512 == 9 ? -1.0f / 3 : 0.0f;
  }
  const Devices devices(1);
  Outputs found(c, inputs.prompt_count);
  inputs.give(c, found.batch);
  CHECK_EQUAL(clipengine_cuda_sweep_run(make(devices, inputs.plan).get(), &found.batch, nullptr, 0), CLIPENGINE_OK);
  const auto exact = [](const clipengine_sweep_total& total) { return std::ldexp((long double)total.high, 64 - 80) + std::ldexp((long double)total.low, -80); };
  for (int64_t column = 0; column < inputs.prompt_count; ++column) {
    long double sum = 0, weighted[2] = {0, 0};
    for (int64_t row = 0; row < c.rows; ++row) {
      const long double probability = found.probabilities[row * inputs.prompt_count + column];
      if (inputs.groups[row] == 0) sum += probability;
      for (int64_t r = 0; r < 2; ++r) weighted[r] += inputs.weights[r * c.rows + row] * probability;
    }
    CHECK(exact(found.sums[column]) == sum);
    for (int64_t r = 0; r < 2; ++r) CHECK(exact(found.weighted[r * inputs.prompt_count + column]) == weighted[r]);
  }
}

CLIPENGINE_TEST(rows_from_a_file) {
  for (int64_t width : {16, 17}) {  // as they are, and filled up on the way
    Case c;
    c.rows = 1100;
    c.width = width;
    const Inputs inputs(c);
    const int file = memfd_create("sweep", 0);
    CHECK(file >= 0);
    CHECK_EQUAL(pwrite(file, "twelve bytes", 12, 0), 12);
    CHECK_EQUAL(pwrite(file, inputs.rows.data(), inputs.rows.size(), 12), static_cast<ssize_t>(inputs.rows.size()));
    const Devices devices(2);
    const SweepPointer sweep = make(devices, inputs.plan);
    Outputs memory(c, inputs.prompt_count), disk(c, inputs.prompt_count);
    inputs.give(c, memory.batch);
    CHECK_EQUAL(clipengine_cuda_sweep_run(sweep.get(), &memory.batch, nullptr, 0), CLIPENGINE_OK);
    inputs.give(c, disk.batch);
    disk.batch.rows = nullptr;
    disk.batch.file = file;
    disk.batch.file_offset = 12;
    CHECK_EQUAL(clipengine_cuda_sweep_run(sweep.get(), &disk.batch, nullptr, 0), CLIPENGINE_OK);
    check_equal(disk, memory);
    CHECK_EQUAL(ftruncate(file, 12 + static_cast<off_t>(inputs.rows.size()) - 1), 0);
    CHECK_EQUAL(clipengine_cuda_sweep_run(sweep.get(), &disk.batch, nullptr, 0), CLIPENGINE_BAD_INPUT);
    CHECK_EQUAL(disk.batch.failed_row, -1);
    close(file);
  }
}

CLIPENGINE_TEST(the_first_bad_row_is_named) {
  for (const std::vector<int32_t>& segments : {std::vector<int32_t>{8}, {20}}) {
    Case c;
    c.rows = 1300;
    c.width = 8;
    c.segments = segments;
    const Devices devices(2);
    for (float bad : {std::nanf(""), -HUGE_VALF, 1e37f, 0.0f}) {
      Inputs inputs(c);
      for (int64_t row : {1299, 700, 1203, 699}) {
        for (int64_t k = 0; k < c.width; ++k) {
          if (bad == 0 || k == c.width - 1) std::memcpy(inputs.rows.data() + (row * c.width + k) * 4, &bad, 4);
        }
      }
      const SweepPointer sweep = make(devices, inputs.plan);
      Outputs found(c, inputs.prompt_count);
      inputs.give(c, found.batch);
      CHECK_EQUAL(clipengine_cuda_sweep_run(sweep.get(), &found.batch, nullptr, 0), CLIPENGINE_BAD_INPUT);
      CHECK_EQUAL(found.batch.failed_row, 699);
      CHECK(std::all_of(found.counts.begin(), found.counts.end(), [](int64_t count) { return count == 0; }));
    }
  }
}

CLIPENGINE_TEST(weights_out_of_range_are_refused) {
  Case c;
  Inputs inputs(c);
  inputs.weights[5] = HUGE_VALF;
  const Devices devices(1);
  Outputs found(c, inputs.prompt_count);
  inputs.give(c, found.batch);
  CHECK_EQUAL(clipengine_cuda_sweep_run(make(devices, inputs.plan).get(), &found.batch, nullptr, 0), CLIPENGINE_INVALID_ARGUMENT);
}

CLIPENGINE_TEST(bad_prompts_and_plans_are_refused) {
  Case c;
  const Devices devices(1);
  for (float bad : {std::nanf(""), HUGE_VALF, 0.0f}) {
    Inputs inputs(c);
    for (int64_t k = 0; k < c.width; ++k) std::memcpy(inputs.prompts.data() + (5 * c.width + k) * 4, &bad, 4);
    clipengine_cuda_sweep* sweep = nullptr;
    int64_t failed = -1;
    CHECK_EQUAL(clipengine_cuda_sweep_create(devices.data(), 1, &inputs.plan, &sweep, &failed), CLIPENGINE_BAD_INPUT);
    CHECK_EQUAL(failed, 5);
  }
  const auto refused = [&](auto change) {
    Inputs inputs(c);
    change(inputs.plan);
    clipengine_cuda_sweep* sweep = nullptr;
    int64_t failed = -1;
    CHECK_EQUAL(clipengine_cuda_sweep_create(devices.data(), 1, &inputs.plan, &sweep, &failed), CLIPENGINE_INVALID_ARGUMENT);
  };
  refused([](clipengine_sweep_plan& plan) { plan.prompt_count = 7; });
  refused([](clipengine_sweep_plan& plan) { plan.width = 0; });
  refused([](clipengine_sweep_plan& plan) { plan.scale = HUGE_VAL; });
  refused([](clipengine_sweep_plan& plan) { plan.top_count = 9; });
  refused([](clipengine_sweep_plan& plan) { plan.prompt_type = 9; });
  refused([](clipengine_sweep_plan& plan) { plan.activation = CLIPENGINE_SWEEP_SIGMOID; });
  refused([](clipengine_sweep_plan& plan) { plan.prompt_count = int64_t{1} << 40; });
}

CLIPENGINE_TEST_MAIN()
