// One device's share of a sweep.
#pragma once

#include <atomic>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "cuda/sweep.h"

namespace clipengine::cuda {

// Scores are kept in base 2.
constexpr double kScoreLog2E = 1.44269504088896340736;

// What the devices of one run share. Slices are dealt in the order of rows, so that the first refused row is always found.
struct SharedRun {
  SharedRun(const clipengine_sweep_batch& b, const ResidentFeatures* r, int64_t f) : batch(b), resident(r), first_row(f) {}
  const clipengine_sweep_batch& batch;
  const ResidentFeatures* resident;
  const int64_t first_row;
  RowFormat format{};
  int64_t devices = 1;
  std::atomic<int64_t> next_row{0};
  std::atomic<int64_t> failed_row{std::numeric_limits<int64_t>::max()};  // row of the batch * 4 + SweepRefusal
  std::atomic<bool> stopped{false};
};

struct SweepTotals {
  const int64_t* group_rows;
  const uint64_t* counts;
  const uint64_t* sums;           // pairs
  const uint64_t* weighted_sums;  // pairs
  bool fits;
};

class SweepWorker {
 public:
  SweepWorker(Device& device, const Sweep& sweep);

  // Takes slices until there are none; leaves totals.
  void run(SharedRun& run);
  SweepTotals totals() const;

 private:
  // Prompts as one type of rows wants them.
  struct Prompts {
    explicit Prompts(Device& device) : memory(device) {}
    DeviceMemory memory;
    bool is_ready = false;
    int pieces = 1;
    float unit = 1;  // what a product is multiplied with: prompts are stored scaled by a power of two
  };
  struct Slot {
    explicit Slot(Device& device);
    PinnedMemory input_staging, output_staging;
    DeviceMemory input, output;
    Event uploaded, computed, downloaded;
    GroupTable table;
    int64_t first = 0, rows = 0;  // of the slice that it holds; 0 rows: none
  };
  // Where the parts of a slice's inputs and outputs lie, in bytes from the start of their buffers.
  struct Places {
    int64_t rows, order, runs, tile_runs, run_list, items, weights, input_bytes;
    int64_t probabilities, top_columns, top_probabilities, entropy, margin, refusal, output_bytes;
    int64_t downloaded;  // what of the outputs goes to the host: all but probabilities that only weighted sums need
  };

  bool is_few(const RowFormat& format) const;
  Prompts& prompts_for(const RowFormat& format, bool is_few);
  void reserve(const SharedRun& run);
  int64_t slice_rows(const SharedRun& run) const;
  Places place(const SharedRun& run, int64_t rows) const;
  void fetch(const SharedRun& run, Slot& slot);
  void launch(const SharedRun& run, Slot& slot, const ResidentFeatures::Part* part);
  void finish(SharedRun& run, Slot& slot);

  Device& device_;
  const Sweep& sweep_;
  Prompts half_, bfloat_, single_, few16_, few32_;
  DeviceMemory tiles_, longs_, starts_;
  DeviceMemory run_sums_, run_counts_, statistics_, merged_, candidate_scores_, candidate_columns_, totals_;
  PinnedMemory totals_staging_;
  Slot slots_[2];
  std::vector<int64_t> group_rows_;
  int64_t slice_rows_ = 0;
  bool fits_ = true;
};

}  // namespace clipengine::cuda
