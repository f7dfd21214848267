// The probe sweep: everything that is made of the probabilities themselves. Part of chunk.h.

// Turns exponentials into probabilities in place: their factor is 1 from then on. Lanes beyond the last row hold whatever zeros
// gave and are never read.
inline void normalise(const Plan& plan, const Workspace& workspace, float* values, int panels, int64_t panel_stride, int columns, int slot) {
  for (int panel = 0; panel < panels; ++panel) {
    float* factor = workspace.slot_factor + static_cast<int64_t>(slot) * plan.tile_rows + panel * kPanelRows;
    const Vector left = load(factor), right = load(factor + kLanes);
    float* value = values + panel * panel_stride;
    for (int c = 0; c < columns; ++c, value += kPanelRows) {
      store(value, load(value) * left);
      store(value + kLanes, load(value + kLanes) * right);
    }
    store(factor, spread(1.0f));
    store(factor + kLanes, spread(1.0f));
  }
}

inline void add_to_group(const Plan& plan, const Workspace& workspace, int group, int64_t column, int columns, DoubleVector sum) {
  double* cells = workspace.sums + group * plan.prompts + column;
  if (columns == kLanes) {
    store_doubles(cells, load_doubles(cells) + sum);
  } else {
    double part[kLanes];
    store_doubles(part, sum);
    for (int j = 0; j < columns; ++j) cells[j] += part[j];
  }
}

// Zeros in place of lanes outside [from, to).
inline Vector only_lanes(Vector x, int from, int to) {
  alignas(64) static constexpr float kLane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const Vector lane = load(kLane), zero = spread(0.0f);
  x = select(greater(lane, spread(static_cast<float>(from) - 0.5f)), x, zero);
  return select(greater(spread(static_cast<float>(to) - 0.5f), lane), x, zero);
}

// sums[group][column] += probabilities of the group's rows, for a run of columns that share a slot. Each lane adds up the group's
// rows that it holds, in single precision and at most tile_rows / kLanes of them; the lanes are added in pairs, and from there on
// sums are in double precision. For groups that fill a good part of a vector: every group costs a sum across the lanes.
inline void add_long_groups(const Plan& plan, const Workspace& workspace, const int32_t* groups, const float* values, int64_t panel_stride, int columns, int64_t column, const float* factors, int rows) {
  alignas(64) float parts[kLanes];
  for (int c = 0; c < columns; c += kLanes) {
    const int here = columns - c < kLanes ? columns - c : kLanes;
    for (int row = 0; row < rows;) {
      const int end = end_of_group(groups, row, rows);
      Vector sums[kLanes];
#pragma GCC unroll 16
      for (int j = 0; j < kLanes; ++j) sums[j] = spread(0.0f);
      for (int at = row / kLanes * kLanes; at < end; at += kLanes) {
        const float* value = values + at / kPanelRows * panel_stride + at % kPanelRows + c * kPanelRows;
        Vector factor = load(factors + at);
        if (at < row || at + kLanes > end) factor = only_lanes(factor, row - at, end - at);
#pragma GCC unroll 16
        for (int j = 0; j < kLanes; ++j) {
          __builtin_prefetch(value + (kLanes + j) * kPanelRows);  // for the next columns: too short a run for the processor to foresee
          sums[j] = multiply_add(load(value + (j < here ? j : here - 1) * kPanelRows), factor, sums[j]);
        }
      }
      store(parts, sum_of_each(sums));
      add_to_group(plan, workspace, groups[row], column + c, here, to_doubles(parts));
      row = end;
    }
  }
}

// The same for groups of a few rows: turned round, so that columns are lanes and nothing is summed across a vector.
inline void add_short_groups(const Plan& plan, const Workspace& workspace, const int32_t* groups, const float* values, int64_t panel_stride, int columns, int64_t column, const float* factors, int rows) {
  alignas(64) float turned[kLanes * kLanes];
  for (int c = 0; c < columns; c += kLanes) {
    const int here = columns - c < kLanes ? columns - c : kLanes;
    int group = groups[0];
    DoubleVector sum = zero_doubles();
    for (int row = 0; row < rows; row += kLanes) {
      const float* value = values + row / kPanelRows * panel_stride + row % kPanelRows + c * kPanelRows;
      const Vector factor = load(factors + row);
      Vector block[kLanes];
#pragma GCC unroll 16
      for (int j = 0; j < kLanes; ++j) {
        __builtin_prefetch(value + (kLanes + j) * kPanelRows);
        block[j] = load(value + (j < here ? j : here - 1) * kPanelRows) * factor;
      }
      transpose(block);
#pragma GCC unroll 16
      for (int j = 0; j < kLanes; ++j) store(turned + j * kLanes, block[j]);
      const int end = rows - row < kLanes ? rows - row : kLanes;
      for (int lane = 0; lane < end; ++lane) {
        if (groups[row + lane] != group) {
          add_to_group(plan, workspace, group, column + c, here, sum);
          group = groups[row + lane];
          sum = zero_doubles();
        }
        sum = sum + to_doubles(turned + lane * kLanes);
      }
    }
    add_to_group(plan, workspace, group, column + c, here, sum);
  }
}

// The same for few columns, row by row: there the rows stay in their own order.
inline void add_rows_to_groups(const Plan& plan, const Workspace& workspace, const int32_t* groups, const float* values, int64_t panel_stride, int columns, int64_t column, const float* factors, int rows) {
  for (int row = 0; row < rows; ++row) {
    const int group = groups[row];
    if (group < 0) continue;
    const float* value = values + row / kPanelRows * panel_stride + row % kPanelRows;
    const float factor = factors[row];
    double* sums = workspace.sums + group * plan.prompts + column;
    for (int c = 0; c < columns; ++c) sums[c] += static_cast<double>(value[c * kPanelRows] * factor);
  }
}

// weighted[replicate][column] += weight * probability over the tile's rows, in double precision, four columns at a time.
inline void add_weighted(const Plan& plan, const Workspace& workspace, const float* values, int64_t panel_stride, int panels, int columns, int64_t column) {
  const int64_t rows = static_cast<int64_t>(panels) * kPanelRows;
  for (int c = 0; c < columns; c += 4) {
    for (int j = 0; j < 4; ++j) {
      for (int64_t row = 0; row < rows; row += kLanes) {
        const int64_t at = row / kPanelRows * panel_stride + (c + j) * kPanelRows + row % kPanelRows;
        store_doubles(workspace.products + j * plan.tile_rows + row, c + j < columns ? to_doubles(values + at) : zero_doubles());
      }
    }
    for (int64_t replicate = 0; replicate < plan.replicates; ++replicate) {
      const double* weights = workspace.weights + replicate * plan.tile_rows;
      DoubleVector sum[4] = {zero_doubles(), zero_doubles(), zero_doubles(), zero_doubles()};
      for (int64_t row = 0; row < rows; row += kLanes) {
        const DoubleVector weight = load_doubles(weights + row);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) sum[j] = multiply_add(weight, load_doubles(workspace.products + j * plan.tile_rows + row), sum[j]);
      }
      for (int j = 0; j < 4 && c + j < columns; ++j) workspace.weighted[replicate * plan.prompts + column + c + j] += sum_of(sum[j]);
    }
  }
}

inline void write_probabilities(const Plan& plan, const Chunk& chunk, const float* values, int64_t panel_stride, int columns, int64_t column, int first, int rows) {
  Vector block[kLanes];
  for (int place = 0; place < rows; place += kLanes) {
    const float* source = values + place / kPanelRows * panel_stride + place % kPanelRows;
    for (int c = 0; c < columns; c += kLanes) {
      for (int j = 0; j < kLanes; ++j) block[j] = c + j < columns ? load(source + (c + j) * kPanelRows) : spread(0.0f);
      transpose(block);
      for (int lane = 0; lane < kLanes && place + lane < rows; ++lane) {
        float* destination = chunk.probabilities + chunk.order[first + place + lane] * plan.prompts + column + c;
        if (c + kLanes <= columns) {
          store(destination, block[lane]);
        } else {
          alignas(64) float part[kLanes];
          store(part, block[lane]);
          for (int j = 0; c + j < columns; ++j) destination[j] = part[j];
        }
      }
    }
  }
}

using AddToGroups = void (*)(const Plan& plan, const Workspace& workspace, const int32_t* groups, const float* values, int64_t panel_stride, int columns, int64_t column, const float* factors, int rows);

// How a tile's probabilities are added to their groups' sums; rows is left with those that belong to a group.
inline AddToGroups way_to_add(const Plan& plan, const int32_t* groups, int& rows) {
  if (plan.few) return add_rows_to_groups;
  while (rows > 0 && groups[rows - 1] < 0) --rows;  // rows outside every group stand at the end
  int count = 0;
  for (int row = 0; row < rows; row = end_of_group(groups, row, rows)) ++count;
  return count * kLanes <= rows ? add_long_groups : add_short_groups;
}

// Everything that needs the probabilities themselves, for one block whose segments are complete.
inline void emit(const Plan& plan, const Workspace& workspace, const Chunk& chunk, const Block& block, int panels, int first, int rows) {
  const int64_t panel_stride = static_cast<int64_t>(block.padded) * kPanelRows;
  const int32_t* groups = chunk.groups + first;
  float* values = value_panel(plan, workspace, block, 0);
  int grouped = plan.groups > 0 ? rows : 0;
  const AddToGroups add = way_to_add(plan, groups, grouped);
  if (has_short_segments(plan, block)) {
    if (grouped > 0) add(plan, workspace, groups, values, panel_stride, block.columns, block.column, workspace.slot_factor, grouped);
    return;
  }
  for (int s = 0; s < block.segments; ++s) {
    const int64_t start = block.whole ? plan.segment_starts[block.segment + s] - block.column : 0;
    const int columns = static_cast<int>(block.whole ? plan.segment_starts[block.segment + s + 1] - plan.segment_starts[block.segment + s] : block.columns);
    const int slot = block.whole ? s : block.piece;
    if (chunk.probabilities != nullptr || plan.replicates > 0) normalise(plan, workspace, values + start * kPanelRows, panels, panel_stride, columns, slot);
    if (grouped > 0) add(plan, workspace, groups, values + start * kPanelRows, panel_stride, columns, block.column + start, workspace.slot_factor + static_cast<int64_t>(slot) * plan.tile_rows, grouped);
  }
  if (plan.replicates > 0) add_weighted(plan, workspace, values, panel_stride, panels, block.columns, block.column);
  if (chunk.probabilities != nullptr) write_probabilities(plan, chunk, values, panel_stride, block.columns, block.column, first, rows);
}
