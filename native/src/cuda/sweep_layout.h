// How a sweep's columns are cut into tiles, and how rows are put in the order of their groups: on the host, once for each
// slice of rows. kernels/sweep_task.h says what the pieces mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuda/kernels/sweep_task.h"

namespace clipengine::cuda {

struct ColumnLayout {
  std::vector<int> starts;  // [segments + 1]
  std::vector<SweepTile> tiles;
  std::vector<SweepLong> longs;
  int pieces = 0;  // of all long segments
};

// Whole segments side by side as long as they fit into a tile; a longer one in tiles of its own.
ColumnLayout lay_out_columns(const int32_t* segment_lengths, int64_t segments);

struct GroupTable {
  std::vector<unsigned short> order;  // [rows]; empty where rows keep their own order
  std::vector<SweepRun> runs;
  std::vector<int> tile_runs;  // [row tiles + 1]
  std::vector<int> run_list;   // the runs, those of one item side by side
  std::vector<SweepItem> items;
  std::vector<int> batch_items;  // [batches of kSweepBatchRows + 1] each batch's first item

  // At most this many runs, for any groups.
  static int64_t most_runs(int64_t rows, int64_t groups);

  // groups [rows], -1 outside every group; null: all rows in group 0. group_count 0: no runs at all.
  // Throws Error(CLIPENGINE_INVALID_ARGUMENT) where a group is out of range.
  void build(const int32_t* groups, int64_t rows, int64_t group_count);

  // group_rows [group_count] += rows of each group in batches [first, last).
  void add_group_rows(int64_t* group_rows, size_t first_batch, size_t last_batch) const;

 private:
  std::vector<int32_t> places_, sorted_;
};

}  // namespace clipengine::cuda
