// The probe sweep: short segments of which nothing is wanted but argmax counts and the groups' sums, as an audit of many label sets has them by the
// thousand. One pass over a segment's scores makes all of it: a row's best column, exponentials, probabilities. Part of chunk.h.

// The rows of one panel that belong to one group, as bits.
struct GroupLanes {
  int32_t group;
  uint32_t lanes;
};

// The groups of a panel's rows, in order; the number of them.
inline int find_groups(const int32_t* groups, int rows, GroupLanes (&found)[kPanelRows]) {
  int count = 0;
  for (int row = 0; row < rows;) {
    const int end = end_of_group(groups, row, rows);
    if (groups[row] >= 0) found[count++] = {groups[row], static_cast<uint32_t>((uint64_t{1} << end) - (uint64_t{1} << row))};
    row = end;
  }
  return count;
}

// counts[group][column] += rows of the group whose best column it is; best has a bit for each of them.
inline void count_best(const Plan& plan, const Workspace& workspace, const GroupLanes* groups, int group_count, const uint32_t* best, int columns, int64_t column) {
  for (int g = 0; g < group_count; ++g) {
    uint32_t* counts = workspace.counts + groups[g].group * plan.prompts + column;
    for (int c = 0; c < columns; ++c) counts[c] += static_cast<uint32_t>(__builtin_popcount(best[c] & groups[g].lanes));
  }
}

// One segment of one panel whose scores are final as far as they decide anything: leaves probabilities in their place. kColumns is the segment's length, or
// the longest that there is where that is given by columns.
template <int kColumns>
inline void finish_segment(const Plan& plan, float* scores, int columns, uint32_t (&best)[kShortSegment]) {
  for (uint32_t& lanes : best) lanes = 0;
  for (int half = 0; half < 2; ++half) {
    float* values = scores + half * kLanes;
    Vector highest = load(values);
    for (int c = 1; c < columns; ++c) highest = maximum(highest, load(values + c * kPanelRows));
    unsigned left = (1u << kLanes) - 1;
    for (int c = 0; c < columns; ++c) {
      const unsigned here = left & ~mask_bits(greater(highest, load(values + c * kPanelRows)));
      left &= ~here;  // of equals the lowest
      best[c] |= here << (half * kLanes);
    }
    if (!plan.keeps) continue;
    Vector e[kColumns], sum = spread(0.0f);
    for (int c = 0; c < columns; ++c) {
      e[c] = power_of_two(load(values + c * kPanelRows) - highest);
      sum = sum + e[c];
    }
    const Vector inverse = spread(1.0f) / sum;
    for (int c = 0; c < columns; ++c) store(values + c * kPanelRows, e[c] * inverse);
  }
}

inline void finish_segment(const Plan& plan, const Workspace& workspace, const Block& block, int segment, const GroupLanes* groups, int group_count, float* scores) {
  const int64_t start = plan.segment_starts[block.segment + segment];
  const int columns = static_cast<int>(plan.segment_starts[block.segment + segment + 1] - start);
  scores += (start - block.column) * kPanelRows;
  uint32_t best[kShortSegment];
  switch (columns) {  // in registers
    case 2: finish_segment<2>(plan, scores, 2, best); break;
    case 4: finish_segment<4>(plan, scores, 4, best); break;
    case 8: finish_segment<8>(plan, scores, 8, best); break;
    default: finish_segment<kShortSegment>(plan, scores, columns, best);
  }
  count_best(plan, workspace, groups, group_count, best, columns, start);
}

// One panel of a block of short segments.
inline void finish_short_segments(const Plan& plan, const Workspace& workspace, const Chunk& chunk, const Block& block, int panel, int first, int rows) {
  const int row = panel * kPanelRows;
  GroupLanes groups[kPanelRows];
  const int group_count = plan.groups > 0 ? find_groups(chunk.groups + first + row, rows - row < kPanelRows ? rows - row : kPanelRows, groups) : 0;
  float* scores = value_panel(plan, workspace, block, panel);
  for (int s = 0; s < block.segments; ++s) finish_segment(plan, workspace, block, s, groups, group_count, scores);
  // What stands there are probabilities.
  for (int half = 0; half < 2; ++half) store(workspace.slot_factor + row + half * kLanes, spread(1.0f));
}
