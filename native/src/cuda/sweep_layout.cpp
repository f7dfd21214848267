#include "cuda/sweep_layout.h"

#include <algorithm>

#include "core/status.h"

namespace clipengine::cuda {

ColumnLayout lay_out_columns(const int32_t* segment_lengths, int64_t segments) {
  ColumnLayout layout;
  layout.starts.reserve(static_cast<size_t>(segments) + 1);
  layout.starts.push_back(0);
  for (int64_t s = 0; s < segments; ++s) layout.starts.push_back(layout.starts.back() + segment_lengths[s]);
  for (int segment = 0; segment < segments;) {
    const int start = layout.starts[segment], end = layout.starts[segment + 1];
    if (end - start > kSweepTileColumns) {
      const int number = static_cast<int>(layout.longs.size()), first_piece = layout.pieces;
      for (int column = start; column < end; column += kSweepTileColumns) {
        const int columns = std::min(kSweepTileColumns, end - column);
        layout.tiles.push_back({column, columns, segment, 1, layout.pieces, number});
        layout.pieces += (columns + kSweepPieceColumns - 1) / kSweepPieceColumns;
      }
      layout.longs.push_back({segment, first_piece, layout.pieces - first_piece});
      ++segment;
      continue;
    }
    SweepTile tile = {start, 0, segment, 0, -1, -1};
    while (segment < segments && layout.starts[segment + 1] - start <= kSweepTileColumns) {
      ++segment;
      ++tile.segments;
    }
    tile.columns = layout.starts[segment] - start;
    layout.tiles.push_back(tile);
  }
  return layout;
}

int64_t GroupTable::most_runs(int64_t rows, int64_t groups) {
  // Within a chunk every group begins once, and every further tile of rows may cut one more run.
  constexpr int64_t cuts = kSweepChunkRows / kSweepTileRows - 1;
  const int64_t chunks = (rows + kSweepChunkRows - 1) / kSweepChunkRows;
  return std::min(rows, chunks * (groups + cuts));
}

void GroupTable::build(const int32_t* groups, int64_t rows, int64_t group_count) {
  order.clear();
  runs.clear();
  tile_runs.clear();
  run_list.clear();
  items.clear();
  batch_items.clear();
  if (group_count == 0) return;
  const bool is_sorted = groups != nullptr;
  if (is_sorted) order.resize(static_cast<size_t>(rows));
  sorted_.resize(kSweepChunkRows);
  std::vector<std::pair<int, int>> of_batch;  // group, run
  for (int64_t first = 0; first < rows; first += kSweepChunkRows) {
    const int count = static_cast<int>(std::min<int64_t>(kSweepChunkRows, rows - first));
    if (is_sorted) {
      // Counting: places_[g + 1] becomes the first place of group g, then the next one. Rows outside every group come last.
      places_.assign(static_cast<size_t>(group_count) + 2, 0);
      const auto bucket = [&](int32_t group) { return group < 0 ? group_count : group; };
      for (int i = 0; i < count; ++i) {
        const int32_t group = groups[first + i];
        if (group < -1 || group >= group_count) throw Error(CLIPENGINE_INVALID_ARGUMENT, "a row's group is outside the plan's groups");
        ++places_[bucket(group) + 1];
      }
      for (int64_t g = 0; g <= group_count; ++g) places_[g + 1] += places_[g];
      for (int i = 0; i < count; ++i) {
        const int32_t group = groups[first + i], place = places_[bucket(group)]++;
        order[static_cast<size_t>(first + place)] = static_cast<unsigned short>(i);
        sorted_[place] = group;
      }
    } else {
      std::fill_n(sorted_.begin(), count, 0);
    }
    for (int place = 0; place < count;) {
      if (place % kSweepTileRows == 0) tile_runs.push_back(static_cast<int>(runs.size()));
      const int32_t group = sorted_[place];
      const int begin = place, border = std::min(count, (place / kSweepTileRows + 1) * kSweepTileRows);
      while (place < border && sorted_[place] == group) ++place;
      if (group < 0) continue;
      of_batch.emplace_back(group, static_cast<int>(runs.size()));
      runs.push_back({static_cast<int>(first) + begin, static_cast<int>(first) + place});
    }
    const int64_t next = first + kSweepChunkRows;
    if (next % kSweepBatchRows != 0 && next < rows) continue;
    batch_items.push_back(static_cast<int>(items.size()));
    std::sort(of_batch.begin(), of_batch.end());
    for (const auto& [group, run] : of_batch) {
      const int at = static_cast<int>(run_list.size());
      if (static_cast<int>(items.size()) == batch_items.back() || items.back().group != group) items.push_back({group, at, at});
      ++items.back().last;
      run_list.push_back(run);
    }
    of_batch.clear();
  }
  tile_runs.push_back(static_cast<int>(runs.size()));
  batch_items.push_back(static_cast<int>(items.size()));
}

void GroupTable::add_group_rows(int64_t* group_rows, size_t first_batch, size_t last_batch) const {
  for (int i = batch_items[first_batch]; i < batch_items[last_batch]; ++i) {
    for (int r = items[i].first; r < items[i].last; ++r) group_rows[items[i].group] += runs[run_list[r]].end - runs[run_list[r]].begin;
  }
}

}  // namespace clipengine::cuda
