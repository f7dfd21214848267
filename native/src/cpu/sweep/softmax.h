// The probe sweep: scores into exponentials, and what is known of each row once a segment is complete. Part of chunk.h.

// Keeps the best top_count columns of each row, best first; of equal scores the lower column, which comes first, stays ahead.
inline void collect_top(const Plan& plan, const Workspace& workspace, const float* scores, int columns, int64_t column, int row) {
  const int top = plan.top_count;
  for (int c = 0; c < columns; ++c, scores += kPanelRows) {
    for (int half = 0; half < 2; ++half) {
      unsigned better = mask_bits(greater(load(scores + half * kLanes), load(workspace.top_threshold + row + half * kLanes)));
      while (better != 0) {
        const int lane = half * kLanes + __builtin_ctz(better);
        better &= better - 1;
        float* values = workspace.top_values + static_cast<int64_t>(row + lane) * top;
        int32_t* places = workspace.top_columns + static_cast<int64_t>(row + lane) * top;
        int place = top - 1;
        for (; place > 0 && scores[lane] > values[place - 1]; --place) {
          values[place] = values[place - 1];
          places[place] = places[place - 1];
        }
        values[place] = scores[lane];
        places[place] = static_cast<int32_t>(column + c);
        workspace.top_threshold[row + lane] = values[top - 1];
      }
    }
  }
}

// One panel, one run of columns: best and second-best, the maximum, exponentials in place of scores, their sum and moment.
// offset is where the run begins in its block. Few columns change the best or the second-best, and where product has left a
// largest score for each kProductColumns of them, most are not even looked at.
inline void scan(const Plan& plan, const Workspace& workspace, float* scores, int offset, int columns, int64_t column, int slot, int panel, bool first) {
  const int row = panel * kPanelRows;
  const Vector lowest = spread(-__builtin_inff()), one = spread(1.0f);
  Vector best[2], where[2], second[2], highest[2];
  for (int half = 0; half < 2; ++half) {
    best[half] = first ? lowest : load(workspace.best + row + half * kLanes);
    where[half] = first ? spread(static_cast<float>(column)) : load(workspace.best_column + row + half * kLanes);
    second[half] = first ? lowest : load(workspace.second + row + half * kLanes);
    highest[half] = lowest;
  }
  const float* largest = largest_scores(workspace, panel);
  for (int c = 0; c < columns;) {
    const int place = offset + c, border = c + kProductColumns - place % kProductColumns, end = border < columns ? border : columns;
    Vector most[2];
    if (!plan.few && end - c == kProductColumns) {
      const float* known = largest + place / kProductColumns * kPanelRows;
      most[0] = load(known);
      most[1] = load(known + kLanes);
    } else {
      most[0] = most[1] = lowest;
      for (int i = c; i < end; ++i) {
        most[0] = maximum(most[0], load(scores + i * kPanelRows));
        most[1] = maximum(most[1], load(scores + i * kPanelRows + kLanes));
      }
    }
    for (int half = 0; half < 2; ++half) {
      highest[half] = maximum(highest[half], most[half]);
      if (mask_bits(greater(most[half], second[half])) == 0) continue;
      for (int i = c; i < end; ++i) {
        const Vector z = load(scores + i * kPanelRows + half * kLanes);
        where[half] = select(greater(z, best[half]), spread(static_cast<float>(column + i)), where[half]);
        second[half] = maximum(second[half], minimum(best[half], z));
        best[half] = maximum(best[half], z);
      }
    }
    c = end;
  }
  for (int half = 0; half < 2; ++half) {
    store(workspace.best + row + half * kLanes, best[half]);
    store(workspace.best_column + row + half * kLanes, where[half]);
    store(workspace.second + row + half * kLanes, second[half]);
  }

  if (plan.top_count > 0) {
    if (first) {
      for (int lane = 0; lane < kPanelRows; ++lane) {
        workspace.top_threshold[row + lane] = -__builtin_inff();
        for (int place = 0; place < plan.top_count; ++place) workspace.top_values[static_cast<int64_t>(row + lane) * plan.top_count + place] = -__builtin_inff();
      }
    }
    collect_top(plan, workspace, scores, columns, column, row);
  }

  if (!plan.exponentials) return;
  float* value = scores;
  const int64_t statistics = static_cast<int64_t>(slot) * plan.tile_rows + row;
  if (plan.sigmoid) {
    for (int c = 0; c < 2 * columns; ++c, value += kLanes) {
      const Vector negated = minimum(spread(0.0f) - load(value), spread(126.0f));
      store(value, one / (one + power_of_two(negated)));
    }
    return;
  }

  Vector sum[2] = {spread(0.0f), spread(0.0f)};
  if (plan.entropy) {
    Vector moment[2] = {spread(0.0f), spread(0.0f)};
    for (int c = 0; c < columns; ++c, value += kPanelRows) {
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const Vector x = load(value + half * kLanes) - highest[half];
        const Vector e = power_of_two(x);
        store(value + half * kLanes, e);
        sum[half] = sum[half] + e;
        moment[half] = multiply_add(e, x, moment[half]);
      }
    }
    store(workspace.slot_moment + statistics, moment[0]);
    store(workspace.slot_moment + statistics + kLanes, moment[1]);
  } else {
    for (int c = 0; c < columns; ++c, value += kPanelRows) {
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const Vector e = power_of_two(load(value + half * kLanes) - highest[half]);
        store(value + half * kLanes, e);
        sum[half] = sum[half] + e;
      }
    }
  }
  for (int half = 0; half < 2; ++half) {
    store(workspace.slot_maximum + statistics + half * kLanes, highest[half]);
    store(workspace.slot_sum + statistics + half * kLanes, sum[half]);
  }
}

// A segment is complete in one panel: brings its slots (pieces) to one maximum, and writes what is known of each row.
inline void conclude(const Plan& plan, const Workspace& workspace, const Chunk& chunk, int segment, int slot, int slots, int panel, int first, int rows) {
  const int row = panel * kPanelRows;
  alignas(64) float total[kPanelRows], moments[kPanelRows];
  for (int half = 0; half < 2; ++half) {
    const int lanes = row + half * kLanes;
    if (!plan.exponentials) break;
    if (plan.sigmoid) {
      for (int s = slot; s < slot + slots; ++s) store(workspace.slot_factor + static_cast<int64_t>(s) * plan.tile_rows + lanes, spread(1.0f));
      continue;
    }
    const Vector highest = load(workspace.best + lanes);
    Vector sum = spread(0.0f), moment = spread(0.0f);
    for (int s = slot; s < slot + slots; ++s) {
      const int64_t statistics = static_cast<int64_t>(s) * plan.tile_rows + lanes;
      const Vector shift = load(workspace.slot_maximum + statistics) - highest;
      const Vector weight = power_of_two(shift);
      const Vector slot_sum = load(workspace.slot_sum + statistics);
      sum = multiply_add(weight, slot_sum, sum);
      if (plan.entropy) moment = multiply_add(weight, multiply_add(shift, slot_sum, load(workspace.slot_moment + statistics)), moment);
      store(workspace.slot_factor + statistics, weight);
    }
    const Vector inverse = spread(1.0f) / sum;
    for (int s = slot; s < slot + slots; ++s) {
      float* factor = workspace.slot_factor + static_cast<int64_t>(s) * plan.tile_rows + lanes;
      store(factor, load(factor) * inverse);
    }
    store(total + half * kLanes, sum);
    store(moments + half * kLanes, moment);
  }

  if (kNarrow && plan.precision != CLIPENGINE_SWEEP_IN_FLOAT32 && plan.exponentials) bound_probabilities(plan, workspace, segment, panel, total, moments);

  alignas(64) float gap[kPanelRows];
  if (chunk.margin != nullptr) {
    for (int half = 0; half < 2; ++half) {
      const Vector best = load(workspace.best + row + half * kLanes), second = load(workspace.second + row + half * kLanes), one = spread(1.0f), zero = spread(0.0f);
      if (plan.sigmoid) {
        const Vector most = one / (one + power_of_two(minimum(zero - best, spread(126.0f))));
        const Vector next = one / (one + power_of_two(minimum(zero - second, spread(126.0f))));
        store(gap + half * kLanes, most - select(greater(second, spread(-__builtin_inff())), next, zero));
      } else {
        store(gap + half * kLanes, (one - power_of_two(second - best)) / load(total + half * kLanes));
      }
    }
  }

  if (chunk.margin == nullptr && chunk.entropy == nullptr && plan.top_count == 0) {
    // Short segments end here for every few columns.
    if (plan.groups == 0) return;
    const int32_t* groups = chunk.groups + first + row;
    for (int lane = 0; lane < kPanelRows && row + lane < rows; ++lane) {
      if (groups[lane] >= 0) ++workspace.counts[groups[lane] * plan.prompts + static_cast<int32_t>(workspace.best_column[row + lane])];
    }
    return;
  }

  for (int lane = 0; lane < kPanelRows && row + lane < rows; ++lane) {
    const int place = first + row + lane;
    const int group = plan.groups > 0 ? chunk.groups[place] : -1;
    if (group >= 0) ++workspace.counts[group * plan.prompts + static_cast<int64_t>(workspace.best_column[row + lane])];
    const int64_t cell = chunk.order[place] * plan.segments + segment;
    if (chunk.margin != nullptr) chunk.margin[cell] = gap[lane];
    if (chunk.entropy != nullptr) {
      const double sum = total[lane];
      const double entropy = (__builtin_log2(sum) - moments[lane] / sum) * 0.69314718055994530942;
      chunk.entropy[cell] = entropy > 0 ? static_cast<float>(entropy) : 0.0f;  // rounding may leave a hair below zero
    }
    if (plan.top_count > 0) {
      const float* values = workspace.top_values + static_cast<int64_t>(row + lane) * plan.top_count;
      const int32_t* columns = workspace.top_columns + static_cast<int64_t>(row + lane) * plan.top_count;
      for (int t = 0; t < plan.top_count; ++t) {
        if (chunk.top_indices != nullptr) chunk.top_indices[cell * plan.top_count + t] = columns[t];
        if (chunk.top_probabilities != nullptr) {
          const double value = plan.sigmoid ? 1 / (1 + __builtin_exp2(-static_cast<double>(values[t])))
                                            : __builtin_exp2(static_cast<double>(values[t]) - workspace.best[row + lane]) / total[lane];
          chunk.top_probabilities[cell * plan.top_count + t] = static_cast<float>(value);
        }
      }
    }
  }
}
