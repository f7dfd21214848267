// The probe sweep in fewer bits: its best columns, argmax counts and ties are those of fp32, and what is not lies within the bound
// that it reports. Random and adversarial rows and prompts.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "core/thread_pool.h"
#include "cpu/sweep/kernels.h"
#include "platform.h"
#include "sweep_cases.h"

#if defined(__x86_64__)
namespace clipengine::sweep {
extern const Kernel kSoftwarePairs;
}
#endif

using namespace clipengine::sweep;
using namespace sweep_cases;

namespace {

struct Deleter {
  void operator()(clipengine_sweep* sweep) const { clipengine_sweep_destroy(sweep); }
};

using OwnedSweep = std::unique_ptr<clipengine_sweep, Deleter>;

OwnedSweep make(const clipengine_sweep_plan& plan, const Kernel& kernel) {
  int64_t failed = -1;
  return OwnedSweep(create(plan, kernel, failed));
}

struct Way {
  const Kernel* kernel;
  int32_t precision;
};

// Every way that this processor has of multiplying in fewer bits, tile registers in software included.
std::vector<Way> ways() {
  std::vector<Way> found;
  const auto add = [&](const Kernel* kernel, std::initializer_list<int32_t> precisions) {
    if (usable(kernel) == nullptr) return;
    for (int32_t precision : precisions) found.push_back({kernel, precision});
  };
#if defined(__x86_64__)
  add(avx512_narrow_kernel(), {CLIPENGINE_SWEEP_IN_INT16, CLIPENGINE_SWEEP_IN_INT8});
  if (!found.empty()) add(&kSoftwarePairs, {CLIPENGINE_SWEEP_IN_BFLOAT16});
  if (__builtin_cpu_supports("avx512bf16")) add(avx512_narrow_kernel(), {CLIPENGINE_SWEEP_IN_BFLOAT16});
  add(amx_emulated_kernel(), {CLIPENGINE_SWEEP_IN_BFLOAT16, CLIPENGINE_SWEEP_IN_INT8});
  add(amx_kernel(), {CLIPENGINE_SWEEP_IN_BFLOAT16, CLIPENGINE_SWEEP_IN_INT8});
#else
  add(neon_dot_kernel(), {CLIPENGINE_SWEEP_IN_INT8});
  add(neon_matrix_kernel(), {CLIPENGINE_SWEEP_IN_BFLOAT16, CLIPENGINE_SWEEP_IN_INT8});
#endif
  if (found.empty()) std::puts("skipped: this processor has no products in fewer bits");
  return found;
}

// The kernel of fp32 whose best columns are wanted.
const Kernel& in_fp32() { return *(usable(neon_kernel()) != nullptr ? neon_kernel() : avx512_kernel()); }

struct Problem {
  std::vector<float> rows, prompts;
  int64_t width = 64;
  std::vector<int32_t> segments;
  int32_t top = 0;
  double scale = 100, bias = 0;
  int32_t activation = CLIPENGINE_SWEEP_SOFTMAX;
  bool margin = false;
  bool row_outputs = true;
  bool totals_only = false;  // neither weighted sums nor entropy are planned
  int64_t groups = 3;
  std::vector<float> weights;  // of each row, in every replicate; empty: small whole numbers
};

// What one run gave.
struct Result {
  std::vector<float> probabilities, top_probabilities, entropy, margin, bounds;
  std::vector<int32_t> top_indices;
  std::vector<int64_t> counts;
  std::vector<clipengine_sweep_total> sums, weighted, sum_bounds, weighted_bounds;
  clipengine_sweep_batch batch{};
  int32_t precision = 0;
};

constexpr int64_t kReplicates = 2;

Result run(const Problem& problem, const Kernel& kernel, int32_t precision, int64_t batch_rows = 0) {
  const int64_t rows = static_cast<int64_t>(problem.rows.size()) / problem.width, prompts = static_cast<int64_t>(problem.prompts.size()) / problem.width;
  const int64_t segments = static_cast<int64_t>(problem.segments.size()), cells = rows * segments;
  const int64_t replicates = problem.totals_only ? 0 : kReplicates;
  clipengine_sweep_plan plan{};
  plan.prompts = problem.prompts.data();
  plan.prompt_count = prompts;
  plan.width = problem.width;
  plan.segment_lengths = problem.segments.data();
  plan.segment_count = segments;
  plan.group_count = problem.groups;
  plan.replicate_count = replicates;
  plan.scale = problem.scale;
  plan.bias = problem.bias;
  plan.prompt_type = CLIPENGINE_SWEEP_FLOAT32;
  plan.activation = problem.activation;
  plan.top_count = problem.top;
  plan.entropy = problem.activation == CLIPENGINE_SWEEP_SOFTMAX && !problem.totals_only;
  plan.precision = precision;
  const OwnedSweep sweep = make(plan, kernel);
  Result result;
  result.precision = clipengine_sweep_precision(sweep.get());
  if (problem.row_outputs) {
    result.probabilities.resize(static_cast<size_t>(rows * prompts));
    if (plan.entropy != 0) result.entropy.resize(static_cast<size_t>(cells));
  }
  result.top_indices.resize(static_cast<size_t>(cells * problem.top));
  result.top_probabilities.resize(static_cast<size_t>(cells * problem.top));
  if (problem.margin) result.margin.resize(static_cast<size_t>(cells));
  result.bounds.resize(static_cast<size_t>(rows));
  result.counts.resize(static_cast<size_t>(problem.groups * prompts));
  result.sums.resize(result.counts.size());
  result.weighted.resize(static_cast<size_t>(replicates * prompts));
  result.sum_bounds.resize(static_cast<size_t>(problem.groups));
  result.weighted_bounds.resize(static_cast<size_t>(replicates));
  std::vector<int32_t> groups;
  std::vector<float> weights;
  for (int64_t row = 0; row < rows; ++row) groups.push_back(static_cast<int32_t>(row * 7 % (problem.groups + 1)) - 1);
  for (int64_t i = 0; i < rows * replicates; ++i) weights.push_back(problem.weights.empty() ? static_cast<float>(i % 5) - 1 : problem.weights[static_cast<size_t>(i % rows)]);
  const auto at = [](auto& values, int64_t place) { return values.empty() ? nullptr : values.data() + place; };
  if (batch_rows == 0) batch_rows = rows;
  for (int64_t first = 0; first < rows; first += batch_rows) {
    clipengine_sweep_batch batch{};
    batch.rows = problem.rows.data() + first * problem.width;
    batch.row_count = std::min(batch_rows, rows - first);
    batch.row_type = CLIPENGINE_SWEEP_FLOAT32;
    batch.groups = groups.data() + first;
    batch.weights = at(weights, first);
    batch.weight_stride = rows;
    batch.probabilities = at(result.probabilities, first * prompts);
    batch.top_indices = at(result.top_indices, first * segments * problem.top);
    batch.top_probabilities = at(result.top_probabilities, first * segments * problem.top);
    batch.entropy = at(result.entropy, first * segments);
    batch.margin = at(result.margin, first * segments);
    batch.bounds = at(result.bounds, first);
    batch.argmax_counts = result.counts.data();
    batch.sums = result.sums.data();
    batch.weighted_sums = at(result.weighted, 0);
    batch.sum_bounds = result.sum_bounds.data();
    batch.weighted_bounds = at(result.weighted_bounds, 0);
    CHECK_EQUAL(clipengine_sweep_run(sweep.get(), &batch), CLIPENGINE_OK);
    result.batch.open_scores += batch.open_scores;
    result.batch.bound = std::max(result.batch.bound, batch.bound);
    result.batch.entropy_bound = std::max(result.batch.entropy_bound, batch.entropy_bound);
  }
  return result;
}

// Every output against fp32's.
void check_against_fp32(const char* name, const Problem& problem, const Result& expected, const Result& found) {
  const int64_t rows = static_cast<int64_t>(found.bounds.size()), prompts = static_cast<int64_t>(problem.prompts.size()) / problem.width, segments = static_cast<int64_t>(problem.segments.size());
  if (found.top_indices != expected.top_indices || found.counts != expected.counts) std::printf("%s: width %lld, %lld rows, %lld prompts\n", name, static_cast<long long>(problem.width), static_cast<long long>(rows), static_cast<long long>(prompts));
  CHECK(found.top_indices == expected.top_indices);
  CHECK(found.counts == expected.counts);
  int64_t beyond = 0;
  const auto compare = [&](const std::vector<float>& a, const std::vector<float>& b, int64_t stride) {
    for (size_t i = 0; i < a.size(); ++i) beyond += !(std::abs(static_cast<double>(a[i]) - b[i]) <= found.bounds[i / static_cast<size_t>(stride)]);
  };
  compare(found.probabilities, expected.probabilities, prompts);
  compare(found.top_probabilities, expected.top_probabilities, segments * problem.top);
  compare(found.margin, expected.margin, segments);
  for (size_t i = 0; i < found.entropy.size(); ++i) beyond += !(std::abs(found.entropy[i] - expected.entropy[i]) <= found.batch.entropy_bound);
  for (size_t i = 0; i < found.sums.size(); ++i) beyond += !(std::abs(to_double(found.sums[i]) - to_double(expected.sums[i])) <= to_double(found.sum_bounds[i / static_cast<size_t>(prompts)]));
  for (size_t i = 0; i < found.weighted.size(); ++i) beyond += !(std::abs(to_double(found.weighted[i]) - to_double(expected.weighted[i])) <= to_double(found.weighted_bounds[i / static_cast<size_t>(prompts)]));
  for (float bound : found.bounds) beyond += !(bound <= found.batch.bound);
  if (beyond != 0) std::printf("%s: %lld values beyond their bound\n", name, static_cast<long long>(beyond));
  CHECK_EQUAL(beyond, 0);
}

// Whether all sizes and combinations of outputs are tried. On Arm, whose products alone are another source than on x86-64, only where that is asked
// for: it would take minutes in an emulator of the processor.
bool everything() {
#if defined(__aarch64__)
  static const bool asked = std::getenv("CLIPENGINE_LONG") != nullptr;
  return asked;
#else
  return true;
#endif
}

void compare(const char* name, const Problem& given) {
  const std::vector<Way> all = ways();
  if (all.empty()) return;
  const auto check_all = [&](const Problem& problem) {
    const Result expected = run(problem, in_fp32(), CLIPENGINE_SWEEP_IN_FLOAT32);
    CHECK_EQUAL(expected.batch.open_scores, 0);
    for (const Way& way : all) check_against_fp32(name, problem, expected, run(problem, *way.kernel, way.precision));
  };
  int turn = 0;
  for (int32_t top : {0, 1, 5, 12}) {
    for (bool margin : {false, true}) {
      for (bool row_outputs : {false, true}) {
        if (!everything() && turn++ % 5 != 0) continue;  // 4 of 16, among them every value of each
        Problem problem = given;
        problem.top = std::min(top, *std::min_element(problem.segments.begin(), problem.segments.end()));
        problem.margin = margin;
        problem.row_outputs = row_outputs;
        check_all(problem);
      }
    }
  }
  Problem totals = given;
  totals.row_outputs = false;
  totals.totals_only = true;
  check_all(totals);
  CHECK(run(totals, in_fp32(), CLIPENGINE_SWEEP_IN_FLOAT32).counts == run(given, in_fp32(), CLIPENGINE_SWEEP_IN_FLOAT32).counts);
}

// What is left of values that are stored as bf16.
void store_as_bf16(std::vector<float>& values) {
  for (float& value : values) {
    const uint32_t word = static_cast<uint32_t>(to_bfloat(value)) << 16;
    std::memcpy(&value, &word, sizeof value);
  }
}

}  // namespace

CLIPENGINE_TEST(random_rows_of_awkward_sizes) {
  for (int64_t width : {1, 2, 3, 17, 64, 514}) {
    if (width > 100 && !everything()) continue;
    for (const std::vector<int32_t>& segments : {std::vector<int32_t>{700}, std::vector<int32_t>(13, 8), std::vector<int32_t>{1, 300, 1, 19, 241, 2}}) {
      Problem problem;
      problem.width = width;
      problem.segments = segments;
      problem.rows = unit_rows(width == 17 ? 577 : 83, width, 1);
      problem.prompts = unit_rows(std::accumulate(segments.begin(), segments.end(), int64_t{0}), width, 2);
      compare("random", problem);
      problem.activation = CLIPENGINE_SWEEP_SIGMOID;
      problem.scale = 117.3;
      problem.bias = -12.9;
      compare("random, sigmoid", problem);
    }
  }
}

CLIPENGINE_TEST(near_ties_by_the_thousand) {
  std::mt19937 random(1);
  for (float distance : {0.0f, 1e-8f, 1e-7f, 1e-6f, 1e-5f, 1e-4f, 1e-3f}) {
    Problem problem;
    problem.width = 96;
    const std::vector<float> base = unit_rows(1, problem.width, 3);
    std::normal_distribution<float> normal(0, distance == 0 ? 1 : distance);
    problem.segments = {1500, 500};
    for (int prompt = 0; prompt < 2000; ++prompt) {
      for (float value : base) problem.prompts.push_back(value + (distance == 0 ? 0 : normal(random)));
    }
    problem.rows = unit_rows(40, problem.width, 4);
    problem.rows.insert(problem.rows.end(), base.begin(), base.end());
    compare("near ties", problem);
  }
}

CLIPENGINE_TEST(equal_prompts_go_to_the_lowest_column) {
  Problem problem;
  problem.width = 40;
  const std::vector<float> few = unit_rows(7, problem.width, 5);
  for (int prompt = 0; prompt < 900; ++prompt) problem.prompts.insert(problem.prompts.end(), few.begin() + prompt % 7 * problem.width, few.begin() + (prompt % 7 + 1) * problem.width);
  problem.rows = unit_rows(50, problem.width, 6);
  problem.segments = {900};
  compare("duplicates", problem);
  problem.segments = std::vector<int32_t>(75, 12);
  compare("duplicates in segments", problem);
}

CLIPENGINE_TEST(rows_of_one_large_element) {
  std::mt19937 random(7);
  for (float large : {10.0f, 1e4f, 1e8f}) {
    Problem problem;
    problem.width = 130;
    problem.scale = 3;
    problem.rows = unit_rows(60, problem.width, 8);
    problem.prompts = unit_rows(600, problem.width, 9);
    problem.segments = {600};
    for (int64_t row = 0; row < 60; row += 2) problem.rows[row * problem.width + random() % problem.width] = large;
    for (int64_t row = 0; row < 600; row += 3) problem.prompts[row * problem.width + random() % problem.width] = large;
    compare("one large element", problem);
  }
}

// The sum of both halves is far below each: the rounding of the two chains is all that is left.
CLIPENGINE_TEST(products_that_cancel) {
  Problem problem;
  problem.width = 256;
  problem.scale = 1e4;
  problem.rows = unit_rows(40, problem.width, 10);
  problem.prompts = unit_rows(500, problem.width, 11);
  problem.segments = {500};
  for (std::vector<float>* values : {&problem.rows, &problem.prompts}) {
    const bool negative = values == &problem.prompts;
    for (size_t row = 0; row < values->size(); row += 256) {
      for (size_t k = 0; k < 128; ++k) (*values)[row + 128 + k] = (*values)[row + k] * (negative ? -1 + 1e-6f * static_cast<float>(row / 256 % 9) : 1);
    }
  }
  compare("cancelling", problem);
}

CLIPENGINE_TEST(subnormals_and_zeros) {
  std::mt19937 random(12);
  Problem problem;
  problem.width = 48;
  problem.rows = unit_rows(70, problem.width, 13);
  problem.prompts = unit_rows(400, problem.width, 14);
  problem.segments = {300, 100};
  for (float& value : problem.rows) {
    const unsigned kind = random() % 4;
    if (kind == 0) value = 0;
    if (kind == 1) value *= 1e-39f;
    if (kind == 2) value *= 1e-20f;
  }
  for (int64_t k = 0; k < problem.width; ++k) {
    problem.rows[5 * problem.width + k] = 2e-38f;  // its products are subnormal, or nothing
    problem.rows[6 * problem.width + k] = k == 3 ? 1.0f : 0.0f;
    problem.rows[7 * problem.width + k] *= 1e-25f;
    problem.rows[69 * problem.width + k] = k == 47 ? -2e-38f : 0.0f;
  }
  for (size_t i = 0; i < problem.prompts.size(); i += 3) problem.prompts[i] *= random() % 2 == 0 ? 0.0f : 1e-40f;
  compare("subnormals", problem);
}

CLIPENGINE_TEST(rows_and_scales_of_every_size) {
  std::mt19937 random(15);
  for (double scale : {1e-3, 1.0, -20.0, 1000.0, 1e6}) {
    for (double bias : {0.0, -1000.0, 1e5}) {
      Problem problem;
      problem.width = 33;
      problem.scale = scale;
      problem.bias = bias;
      problem.rows = unit_rows(66, problem.width, 16);
      problem.prompts = unit_rows(260, problem.width, 17);
      problem.segments = {250, 10};
      for (int64_t row = 0; row < 66; ++row) {
        const float size = std::ldexp(1.0f, static_cast<int>(random() % 120) - 60);
        if (row % 3 == 0) {
          for (int64_t k = 0; k < problem.width; ++k) problem.rows[row * problem.width + k] *= size;
        }
      }
      for (int64_t row = 0; row < 260; ++row) {
        const float size = std::ldexp(1.0f, static_cast<int>(random() % 20) - 10);
        for (int64_t k = 0; k < problem.width; ++k) problem.prompts[row * problem.width + k] *= size;
      }
      compare("sizes", problem);
    }
  }
}

// Where no bound is known, or nothing would be faster, fp32 is used and said.
CLIPENGINE_TEST(what_stays_in_fp32) {
  for (const Way& way : ways()) {
    const auto precision = [&](const std::function<void(Problem&)>& change) {
      Problem problem;
      problem.width = 20;
      problem.rows = unit_rows(3, problem.width, 18);
      problem.prompts = unit_rows(40, problem.width, 19);
      problem.segments = {40};
      change(problem);
      const Result expected = run(problem, in_fp32(), CLIPENGINE_SWEEP_IN_FLOAT32), found = run(problem, *way.kernel, way.precision);
      check_against_fp32("in fp32", problem, expected, found);
      return found.precision;
    };
    CHECK_EQUAL(precision([](Problem&) {}), way.precision);
    CHECK_EQUAL(precision([](Problem& problem) {
                  problem.prompts.resize(16 * 20);
                  problem.segments = {16};
                }),
                CLIPENGINE_SWEEP_IN_FLOAT32);
    CHECK_EQUAL(precision([](Problem& problem) { problem.scale = 1e15; problem.rows.resize(20); for (float& x : problem.rows) x *= 1e-8f; }), CLIPENGINE_SWEEP_IN_FLOAT32);
    CHECK_EQUAL(precision([](Problem& problem) { problem.scale = 0; }), CLIPENGINE_SWEEP_IN_FLOAT32);
    CHECK_EQUAL(precision([](Problem& problem) { for (int k = 0; k < 20; ++k) problem.prompts[k] *= 1e-15f; }), CLIPENGINE_SWEEP_IN_FLOAT32);
    CHECK_EQUAL(precision([](Problem& problem) { for (int k = 0; k < 20; ++k) problem.prompts[k] *= 1e15f; }), CLIPENGINE_SWEEP_IN_FLOAT32);
  }
}

CLIPENGINE_TEST(threads_batches_and_neighbours_do_not_change_a_bit) {
  Problem problem;
  problem.width = 50;
  problem.rows = unit_rows(2100, problem.width, 20);
  problem.prompts = unit_rows(620, problem.width, 21);
  problem.segments = {500, 60, 60};
  problem.top = 3;
  for (const Way& way : ways()) {
    clipengine::ThreadPool::instance().resize(1);
    const Result first = run(problem, *way.kernel, way.precision);
    for (int threads : {1, 3}) {
      clipengine::ThreadPool::instance().resize(threads);
      for (int64_t batch : {int64_t{0}, int64_t{512}, int64_t{1536}}) {
        const Result other = run(problem, *way.kernel, way.precision, batch);
        CHECK(other.probabilities == first.probabilities);
        CHECK(other.top_probabilities == first.top_probabilities);
        CHECK(other.bounds == first.bounds);
        CHECK(other.counts == first.counts);
        CHECK_EQUAL(other.batch.open_scores, first.batch.open_scores);
        for (const auto& [a, b] : {std::pair{&other.sums, &first.sums}, {&other.weighted, &first.weighted}, {&other.sum_bounds, &first.sum_bounds}, {&other.weighted_bounds, &first.weighted_bounds}})
          CHECK(std::memcmp(a->data(), b->data(), a->size() * sizeof(clipengine_sweep_total)) == 0);
      }
    }
    // A row by itself, and among rows that are multiplied again as a whole.
    Problem alone = problem;
    alone.rows.assign(problem.rows.begin() + 700 * problem.width, problem.rows.begin() + 701 * problem.width);
    const Result single = run(alone, *way.kernel, way.precision);
    CHECK(std::equal(single.probabilities.begin(), single.probabilities.end(), first.probabilities.begin() + 700 * 620));
    alone.rows.insert(alone.rows.end(), problem.prompts.begin(), problem.prompts.begin() + 31 * problem.width);
    for (int64_t row = 1; row < 32; ++row) {
      for (int64_t k = 0; k < problem.width; ++k) alone.rows[row * problem.width + k] = k == 0 ? 1.0f : 1e-6f;
    }
    const Result among = run(alone, *way.kernel, way.precision);
    CHECK(std::equal(single.probabilities.begin(), single.probabilities.end(), among.probabilities.begin()));
  }
  clipengine::ThreadPool::instance().resize(0);
}

// Exactly representable in bf16: at most the order of adding differs, and next to nothing is open.
CLIPENGINE_TEST(bf16_features_lose_nothing) {
  Problem problem;
  problem.width = 512;
  problem.rows = unit_rows(64, problem.width, 22);
  problem.prompts = unit_rows(3000, problem.width, 23);
  problem.segments = {3000};
  problem.margin = true;
  store_as_bf16(problem.rows);
  store_as_bf16(problem.prompts);
  for (const Way& way : ways()) {
    if (way.precision != CLIPENGINE_SWEEP_IN_BFLOAT16) continue;
    const Result found = run(problem, *way.kernel, way.precision);
    check_against_fp32("bf16 features", problem, run(problem, in_fp32(), CLIPENGINE_SWEEP_IN_FLOAT32), found);
    CHECK(found.batch.bound < 0.01f);
    CHECK(found.batch.open_scores < 64 * 3000 / 100);
  }
}

// VDPBF16PS adds products one after the other as fp32 does: of such features every score is fp32's, bit for bit, also where a sum cancels. Rows that are
// not such stand among them, and so do rows whose smallest products some way of adding might flush.
CLIPENGINE_TEST(bf16_features_have_the_scores_of_fp32_on_vector_registers) {
  std::mt19937 random(24);
  for (int64_t width : {3, 64, 511}) {
    for (const std::vector<int32_t>& segments : {std::vector<int32_t>{700}, std::vector<int32_t>(60, 8), std::vector<int32_t>{16, 1, 3, 12, 240, 2}}) {
      Problem problem;
      problem.width = width;
      problem.segments = segments;
      problem.margin = true;
      problem.rows = unit_rows(90, width, 25);
      problem.prompts = unit_rows(std::accumulate(segments.begin(), segments.end(), int64_t{0}), width, 26);
      for (std::vector<float>* values : {&problem.rows, &problem.prompts}) {
        for (float& value : *values) {
          const unsigned kind = random() % 8;
          if (kind == 0) value = 0;
          if (kind == 1) value *= 1e-9f;
        }
        for (size_t k = 1; k < values->size(); k += 2) {  // products of neighbours cancel
          if (random() % 4 == 0) (*values)[k] = values == &problem.rows ? (*values)[k - 1] : -(*values)[k - 1];
        }
        for (size_t row = 0; row < values->size(); row += static_cast<size_t>(width)) (*values)[row] += 0.5f;
        store_as_bf16(*values);
      }
      for (bool totals_only : {false, true}) {
        problem.totals_only = totals_only;
        problem.row_outputs = problem.margin = !totals_only;
        Problem mixed = problem;
        for (int64_t row = 0; row < 90; row += 4) mixed.rows[row * width] = 0.3f;
        for (int64_t row = 1; row < 90; row += 8) mixed.rows[row * width + 1] = 0x1p-70f;
        for (int64_t row = 2; row < 90; row += 8) mixed.rows[row * width + 1] = 1e-39f;
        const Result expected = run(problem, in_fp32(), CLIPENGINE_SWEEP_IN_FLOAT32), expected_mixed = run(mixed, in_fp32(), CLIPENGINE_SWEEP_IN_FLOAT32);
        for (const Way& way : ways()) {
          if (way.precision != CLIPENGINE_SWEEP_IN_BFLOAT16) continue;
          const Result found_mixed = run(mixed, *way.kernel, way.precision);
          check_against_fp32("bf16 features among others", mixed, expected_mixed, found_mixed);
          if (way.kernel->narrow.sums_as_fp32 == nullptr) continue;
          CHECK(way.kernel->narrow.sums_as_fp32());
          const Result found = run(problem, *way.kernel, way.precision);
          check_against_fp32("bf16 features", problem, expected, found);
          CHECK_EQUAL(found.batch.open_scores, 0);
          CHECK_EQUAL(found.batch.bound, 0);
          for (int64_t row = 0; row < 90; ++row) CHECK_EQUAL(found_mixed.bounds[row] == 0, row % 4 != 0 && row % 8 != 1 && row % 8 != 2);
        }
      }
    }
  }
}

// One row of a group differs from fp32's, by next to nothing. The roundings of the sums that it is added to, which the others have made large, may then
// differ by more than it does.
CLIPENGINE_TEST(one_row_among_those_that_have_the_scores_of_fp32) {
  constexpr int64_t kRows = 512, kOther = 301;  // every second row is in the group
  for (uint32_t seed = 0; seed < 12; ++seed) {
    Problem problem;
    problem.width = 8;
    problem.scale = 0.25;
    problem.groups = 1;
    problem.segments = std::vector<int32_t>(2000, 2);
    problem.rows = unit_rows(kRows, problem.width, 100 + seed);
    problem.prompts = unit_rows(4000, problem.width, 200 + seed);
    store_as_bf16(problem.rows);
    store_as_bf16(problem.prompts);
    for (int64_t k = 0; k < problem.width; ++k) problem.rows[kOther * problem.width + k] *= 1 + 0x1p-19f;
    problem.row_outputs = seed % 2 == 0;
    problem.totals_only = seed % 4 == 1;
    const Result expected = run(problem, in_fp32(), CLIPENGINE_SWEEP_IN_FLOAT32);
    for (const Way& way : ways()) {
      if (way.precision != CLIPENGINE_SWEEP_IN_BFLOAT16 || way.kernel->narrow.sums_as_fp32 == nullptr) continue;
      const Result found = run(problem, *way.kernel, way.precision);
      check_against_fp32("one row in a group", problem, expected, found);
      for (int64_t row = 0; row < kRows; ++row) CHECK_EQUAL(found.bounds[row] > 0, row == kOther);
      if (problem.totals_only) continue;
      // So light that its share of a weighted sum is about what the other rows' adding is rounded by, at 2^7 or 2^8.
      Problem weighted = problem;
      weighted.weights.assign(kRows, 1.0f);
      for (float share : {0x1p-47f, 0x1p-46f, 0x1p-45f}) {
        weighted.weights[kOther] = share / found.bounds[kOther];
        check_against_fp32("one row of small weight", weighted, run(weighted, in_fp32(), CLIPENGINE_SWEEP_IN_FLOAT32), run(weighted, *way.kernel, way.precision));
      }
    }
  }
}

// Where no row of a group, and none that has a weight, differs from fp32's, neither do sums.
CLIPENGINE_TEST(sums_of_rows_that_have_the_scores_of_fp32_have_no_bound) {
  Problem problem;
  problem.width = 64;
  problem.segments = {300, 2, 2};
  problem.rows = unit_rows(600, problem.width, 27);
  problem.prompts = unit_rows(304, problem.width, 28);
  store_as_bf16(problem.rows);
  store_as_bf16(problem.prompts);
  problem.weights.assign(600, 1.0f);
  for (int64_t row = 0; row < 600; ++row) {
    if (row * 7 % (problem.groups + 1) - 1 != 1) continue;  // the rows of group 1
    problem.rows[row * problem.width] = 0.3f;
    problem.weights[row] = 0;
  }
  const Result expected = run(problem, in_fp32(), CLIPENGINE_SWEEP_IN_FLOAT32);
  for (const Way& way : ways()) {
    if (way.precision != CLIPENGINE_SWEEP_IN_BFLOAT16 || way.kernel->narrow.sums_as_fp32 == nullptr) continue;
    const Result found = run(problem, *way.kernel, way.precision);
    check_against_fp32("one group differs", problem, expected, found);
    for (int64_t group = 0; group < problem.groups; ++group) CHECK_EQUAL(to_double(found.sum_bounds[group]) > 0, group == 1);
    for (const clipengine_sweep_total& bound : found.weighted_bounds) CHECK_EQUAL(to_double(bound), 0);
  }
}

// Scores of which next to nothing is known: an entropy lies between 0 and ln n all the same.
CLIPENGINE_TEST(entropies_have_a_bound_whatever_their_scores) {
  Problem problem;
  problem.width = 20;
  problem.scale = 1e6;
  problem.segments = {40000};
  problem.rows = unit_rows(3, problem.width, 29);
  const std::vector<float> prompt = unit_rows(1, problem.width, 30);
  for (int32_t i = 0; i < problem.segments[0]; ++i) problem.prompts.insert(problem.prompts.end(), prompt.begin(), prompt.end());
  const Result expected = run(problem, in_fp32(), CLIPENGINE_SWEEP_IN_FLOAT32);
  Problem without = problem;
  without.row_outputs = false;
  for (const Way& way : ways()) {
    const Result found = run(problem, *way.kernel, way.precision);
    check_against_fp32("equal columns", problem, expected, found);
    CHECK(found.batch.entropy_bound > 0 && found.batch.entropy_bound < 1.01 * std::log(40000.0));
    CHECK_EQUAL(run(without, *way.kernel, way.precision).batch.entropy_bound, 0);
  }
}

CLIPENGINE_TEST(the_variable_decides_about_fewer_bits_too) {
  const char* before = std::getenv("CLIPENGINE_CPU");
  const std::string kept = before == nullptr ? "" : before;
  clipengine_test::set_variable("CLIPENGINE_CPU", "portable");
  CHECK(&best_kernel(CLIPENGINE_SWEEP_IN_INT8) == portable_kernel());
  if (usable(avx512_narrow_kernel()) != nullptr) {
    clipengine_test::set_variable("CLIPENGINE_CPU", "avx512");
    CHECK(&best_kernel(CLIPENGINE_SWEEP_IN_INT8) == avx512_kernel());
    clipengine_test::set_variable("CLIPENGINE_CPU", "avx512_vnni");
    CHECK(&best_kernel(CLIPENGINE_SWEEP_IN_INT8) == avx512_narrow_kernel());
    CHECK(&best_kernel(CLIPENGINE_SWEEP_IN_BFLOAT16) == avx512_kernel());
    CHECK(&best_kernel() == avx512_kernel());
    clipengine_test::set_variable("CLIPENGINE_CPU", "amx_emulated");
    CHECK(&best_kernel(CLIPENGINE_SWEEP_IN_INT8) == amx_emulated_kernel());
    CHECK(&best_kernel(CLIPENGINE_SWEEP_IN_BFLOAT16) == amx_emulated_kernel());
    CHECK(&best_kernel(CLIPENGINE_SWEEP_IN_INT16) == avx512_kernel());
    CHECK(&best_kernel() == avx512_kernel());
  }
  if (usable(neon_kernel()) != nullptr) {
    clipengine_test::set_variable("CLIPENGINE_CPU", "neon");
    CHECK(&best_kernel(CLIPENGINE_SWEEP_IN_INT8) == neon_kernel());
    if (usable(neon_dot_kernel()) != nullptr) {
      clipengine_test::set_variable("CLIPENGINE_CPU", "neon_dot");
      CHECK(&best_kernel(CLIPENGINE_SWEEP_IN_INT8) == neon_dot_kernel());
      CHECK(&best_kernel(CLIPENGINE_SWEEP_IN_BFLOAT16) == neon_kernel());
    }
    if (usable(neon_matrix_kernel()) != nullptr) {
      clipengine_test::set_variable("CLIPENGINE_CPU", "neon_matrix");
      CHECK(&best_kernel(CLIPENGINE_SWEEP_IN_INT8) == neon_matrix_kernel());
      CHECK(&best_kernel(CLIPENGINE_SWEEP_IN_BFLOAT16) == neon_matrix_kernel());
      CHECK(&best_kernel(CLIPENGINE_SWEEP_IN_INT16) == neon_kernel());
    }
  }
  clipengine_test::set_variable("CLIPENGINE_CPU", before == nullptr ? nullptr : kept.c_str());
}

CLIPENGINE_TEST_MAIN()
