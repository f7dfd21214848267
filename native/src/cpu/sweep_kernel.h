// The probe sweep over one chunk of rows, written once for every instruction set. Included inside a namespace of its own by
// sweep_avx512.cpp, sweep_avx2.cpp and sweep_portable.cpp, after each has defined
//
//   Vec            kLanes floats: load, store, set, + - *, fma, max, min, greater, select, bits, fraction (x - floor(x) where
//                  x >= -126, else anything), times_power (y * 2^floor(x) for x <= 126; 0 where x < -126)
//   DoubleVec      kLanes doubles: zero, of floats in memory, load, store (any alignment), +, fma, sum
//   load_features  kLanes features of any stored type as a Vec
//   transpose      kLanes x kLanes in registers
//   kSteps         a full product is kSteps * kColumnStep columns by 2 vectors of rows
//   kDotColumns    columns that two rows are multiplied with at a time where there are few
//
// Rows are lanes. A softmax over any run of columns is then vertical, whatever the segments' lengths, and no row's result
// depends on the rows beside it.

constexpr int kPanelRows = 2 * kLanes;
constexpr int kProductColumns = kSteps * kColumnStep;
constexpr int kFetchFeatures = 8;  // features between two fetches of prompts that are wanted next

// 2^x for x <= 126; 0 below -126. Relative error at most 1.5e-7 (about 1 unit in the last place): the polynomial is a minimax fit
// of 2^r on [0, 1) with relative error 9e-8, its constant term held at 1 so that 2^0 is exactly 1.
inline Vec power_of_two(Vec x) {
  const Vec r = fraction(x);
  Vec y = set(1.867126324e-03f);
  y = fma(y, r, set(9.017038159e-03f));
  y = fma(y, r, set(5.579990894e-02f));
  y = fma(y, r, set(2.401644588e-01f));
  y = fma(y, r, set(6.931512952e-01f));
  y = fma(y, r, set(1.0f));
  return times_power(y, x);
}

inline float* value_panel(const Plan& plan, const Workspace& workspace, const Block& block, int panel) {
  return workspace.values + block.value_column * plan.tile_rows + static_cast<int64_t>(panel) * block.padded * kPanelRows;
}

// Where the rows of one vector lie; rows beyond the last are zeros.
inline void find_rows(const Plan& plan, const Workspace& workspace, const Chunk& chunk, int64_t size, int first, int rows, int vector, const uint8_t* (&source)[kLanes]) {
  for (int lane = 0; lane < kLanes; ++lane) {
    const int place = vector * kLanes + lane;
    source[lane] = place < rows ? chunk.rows + chunk.order[first + place] * (plan.width * size) : reinterpret_cast<const uint8_t*>(workspace.zero_row);
  }
}

// Features [k, width) of a row, fewer than a vector, followed by zeros.
template <int kType>
inline Vec load_rest(const uint8_t* row, int64_t k, int64_t width) {
  constexpr int64_t size = kType == CLIPENGINE_SWEEP_FLOAT64 ? 8 : kType == CLIPENGINE_SWEEP_FLOAT32 ? 4 : 2;
  alignas(64) uint8_t padded[kLanes * 8];
  for (int byte = 0; byte < kLanes * 8; ++byte) padded[byte] = 0;
  for (int64_t byte = 0; byte < (width - k) * size; ++byte) padded[byte] = row[k * size + byte];
  return load_features<kType>(padded);
}

// The largest magnitude as a float; as bits, so that a NaN, whose bits are larger than any number's, wins.
inline float largest_of(Magnitude magnitude) {
  alignas(64) uint32_t words[kLanes];
  __builtin_memcpy(words, &magnitude, sizeof words);
  uint32_t most = 0;
  for (int i = 0; i < kLanes; ++i) most = words[i] > most ? words[i] : most;
  float result;
  __builtin_memcpy(&result, &most, sizeof result);
  return result;
}

// Judges the rows of one vector by their largest absolute values.
inline void judge(const Plan& plan, const Chunk& chunk, const float* largest, int first, int rows, int vector, Outcome& outcome) {
  for (int lane = 0; lane < kLanes && vector * kLanes + lane < rows; ++lane) {
    Refusal refusal = Refusal::kNone;
    if (!(largest[lane] <= 3.402823466e38f)) {
      refusal = Refusal::kNotFinite;
    } else if (largest[lane] == 0.0f) {
      refusal = Refusal::kZero;
    } else if (largest[lane] > plan.largest_value) {
      refusal = Refusal::kTooLarge;
    }
    const int row = chunk.order[first + vector * kLanes + lane];
    if (refusal != Refusal::kNone && (outcome.refusal == Refusal::kNone || row < outcome.row)) outcome = {refusal, row};
  }
}

// Rows [first, first + rows) of the chunk's order, transposed into panels. Refuses what has no score.
template <int kType>
inline Outcome pack(const Plan& plan, const Workspace& workspace, const Chunk& chunk, int first, int rows) {
  const int64_t width = plan.width;
  constexpr int64_t size = kType == CLIPENGINE_SWEEP_FLOAT64 ? 8 : kType == CLIPENGINE_SWEEP_FLOAT32 ? 4 : 2;
  Outcome outcome{Refusal::kNone, 0};
  // An odd number of vectors leaves half a panel: it is filled with zeros.
  const int filled = ((rows + kLanes - 1) / kLanes + 1) / 2 * 2;
  for (int vector = 0; vector < filled; ++vector) {
    const uint8_t *source[kLanes], *next[kLanes];
    find_rows(plan, workspace, chunk, size, first, rows, vector, source);
    // The next rows are asked for while these are turned: rows in group order are no stream that the processor would foresee.
    find_rows(plan, workspace, chunk, size, first, rows, vector + 1, next);
    float* destination = workspace.tile + (vector / 2) * width * kPanelRows + (vector % 2) * kLanes;
    Magnitude magnitude = no_magnitude();
    Vec block[kLanes];
    int64_t k = 0;
    for (; k + kLanes <= width; k += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) {
        __builtin_prefetch(next[lane] + k * size);
        block[lane] = load_features<kType>(source[lane] + k * size);
      }
      transpose(block);
      for (int i = 0; i < kLanes; ++i) {
        magnitude = larger(magnitude, block[i]);
        store(destination + (k + i) * kPanelRows, block[i]);
      }
    }
    if (k < width) {
      for (int lane = 0; lane < kLanes; ++lane) block[lane] = load_rest<kType>(source[lane], k, width);
      transpose(block);
      for (int i = 0; k + i < width; ++i) {
        magnitude = larger(magnitude, block[i]);
        store(destination + (k + i) * kPanelRows, block[i]);
      }
    }
    alignas(64) float largest[kLanes];
    store(largest, as_vec(magnitude));
    judge(plan, chunk, largest, first, rows, vector, outcome);
  }
  return outcome;
}

// The scores of a few columns straight from the rows, which are read once, in their own order, and never packed: with so little
// to compute on each of them, packing would cost more than the products.
template <int kType>
inline Outcome score_few(const Plan& plan, const Workspace& workspace, const Chunk& chunk, int first, int rows) {
  const int64_t width = plan.width;
  constexpr int64_t size = kType == CLIPENGINE_SWEEP_FLOAT64 ? 8 : kType == CLIPENGINE_SWEEP_FLOAT32 ? 4 : 2;
  const Block& columns = plan.blocks[0];
  const int64_t stride = (width + kLanes - 1) / kLanes * kLanes;  // of a prompt
  const Vec scale = set(plan.scale), bias = set(plan.bias);
  Outcome outcome{Refusal::kNone, 0};
  const int filled = ((rows + kLanes - 1) / kLanes + 1) / 2 * 2;
  for (int vector = 0; vector < filled; ++vector) {
    const uint8_t *source[2 * kLanes], *current[kLanes], *next[kLanes];
    find_rows(plan, workspace, chunk, size, first, rows, vector, current);
    find_rows(plan, workspace, chunk, size, first, rows, vector + 1, next);
    for (int lane = 0; lane < kLanes; ++lane) {
      source[lane] = current[lane];
      source[kLanes + lane] = next[lane];
    }
    alignas(64) float largest[kLanes];
    for (int lane = 0; lane < kLanes; lane += 2) {
      const uint8_t *a = source[lane], *b = source[lane + 1];
      // Asking for the next two rows is worth three quarters more speed: two streams at once are more than the processor foresees.
      const uint8_t *ahead_a = source[lane + 2], *ahead_b = source[lane + 3];
      Magnitude magnitude_a = no_magnitude(), magnitude_b = no_magnitude();
      for (int64_t column = 0; column < columns.columns; column += kDotColumns) {
        const float* prompts = plan.packed + column * stride;
        Vec left[kDotColumns], right[kDotColumns];
#pragma GCC unroll 8
        for (int j = 0; j < kDotColumns; ++j) left[j] = right[j] = set(0.0f);
        const auto step = [&](Vec x, Vec y, int64_t k) {
          magnitude_a = larger(magnitude_a, x);
          magnitude_b = larger(magnitude_b, y);
#pragma GCC unroll 8
          for (int j = 0; j < kDotColumns; ++j) {
            const Vec prompt = load(prompts + j * stride + k);
            left[j] = fma(x, prompt, left[j]);
            right[j] = fma(y, prompt, right[j]);
          }
        };
        int64_t k = 0;
        for (; k + kLanes <= width; k += kLanes) {
          __builtin_prefetch(ahead_a + k * size);
          __builtin_prefetch(ahead_b + k * size);
          step(load_features<kType>(a + k * size), load_features<kType>(b + k * size), k);
        }
        if (k < width) step(load_rest<kType>(a, k, width), load_rest<kType>(b, k, width), k);
#pragma GCC unroll 8
        for (int j = 0; j < kDotColumns; ++j) {
          store(workspace.dots + ((column + j) * kLanes + lane) * kLanes, left[j]);
          store(workspace.dots + ((column + j) * kLanes + lane + 1) * kLanes, right[j]);
        }
      }
      largest[lane] = largest_of(magnitude_a);
      largest[lane + 1] = largest_of(magnitude_b);
    }
    judge(plan, chunk, largest, first, rows, vector, outcome);

    float* scores = value_panel(plan, workspace, columns, vector / 2) + (vector % 2) * kLanes;
    for (int column = 0; column < columns.columns; ++column) {
      Vec sums[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) sums[lane] = load(workspace.dots + (column * kLanes + lane) * kLanes);
      transpose(sums);
      for (int half = kLanes / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) sums[i] = sums[i] + sums[i + half];
      }
      store(scores + column * kPanelRows, fma(sums[0], scale, bias));
    }
  }
  return outcome;
}

// Rows into panels, or with few columns right into scores.
template <int kType>
inline Outcome take_rows(const Plan& plan, const Workspace& workspace, const Chunk& chunk, int first, int rows) {
  return plan.few ? score_few<kType>(plan, workspace, chunk, first, rows) : pack<kType>(plan, workspace, chunk, first, rows);
}

inline Outcome take_rows(const Plan& plan, const Workspace& workspace, const Chunk& chunk, int first, int rows) {
  switch (chunk.type) {
    case CLIPENGINE_SWEEP_FLOAT16: return take_rows<CLIPENGINE_SWEEP_FLOAT16>(plan, workspace, chunk, first, rows);
    case CLIPENGINE_SWEEP_BFLOAT16: return take_rows<CLIPENGINE_SWEEP_BFLOAT16>(plan, workspace, chunk, first, rows);
    case CLIPENGINE_SWEEP_FLOAT64: return take_rows<CLIPENGINE_SWEEP_FLOAT64>(plan, workspace, chunk, first, rows);
    default: return take_rows<CLIPENGINE_SWEEP_FLOAT32>(plan, workspace, chunk, first, rows);
  }
}

// scores[column][kPanelRows] of one panel and kColumns packed prompts, and each row's largest one: every product keeps its sums in
// registers over the whole width. ahead walks over prompts that are wanted next.
template <int kColumns>
inline void product(const float* panel, const float* prompts, int64_t width, Vec scale, Vec bias, float* scores, float* largest, const char* ahead, int64_t ahead_step) {
  Vec left[kColumns], right[kColumns];
#pragma GCC unroll 16
  for (int j = 0; j < kColumns; ++j) left[j] = right[j] = set(0.0f);
  for (int64_t from = 0; from < width; from += kFetchFeatures) {
    __builtin_prefetch(ahead, 0, 2);
    ahead += ahead_step;
    const int64_t to = from + kFetchFeatures < width ? from + kFetchFeatures : width;
#pragma GCC unroll 1
    for (int64_t k = from; k < to; ++k) {
      // The panel streams from the second-level cache; the processor's own prefetching leaves a fifth of the speed on the table.
      __builtin_prefetch(panel + 8 * kPanelRows);
      __builtin_prefetch(panel + 8 * kPanelRows + kPanelRows / 2);
      const Vec a = load(panel), b = load(panel + kLanes);
#pragma GCC unroll 16
      for (int j = 0; j < kColumns; ++j) {
        const Vec prompt = set(prompts[j]);
        left[j] = fma(a, prompt, left[j]);
        right[j] = fma(b, prompt, right[j]);
      }
      panel += kPanelRows;
      prompts += kColumns;
    }
  }
  Vec most[2] = {set(-__builtin_inff()), set(-__builtin_inff())};
#pragma GCC unroll 16
  for (int j = 0; j < kColumns; ++j) {
    const Vec a = fma(left[j], scale, bias), b = fma(right[j], scale, bias);
    store(scores + j * kPanelRows, a);
    store(scores + j * kPanelRows + kLanes, b);
    most[0] = max(most[0], a);
    most[1] = max(most[1], b);
  }
  store(largest, most[0]);
  store(largest + kLanes, most[1]);
}

// Where product left the largest scores of one panel, product after product of a block.
inline float* largest_scores(const Workspace& workspace, int panel) {
  return workspace.largest + static_cast<int64_t>(panel) * (kBlockColumns / kProductColumns) * kPanelRows;
}

inline void score_block(const Plan& plan, const Workspace& workspace, const Block& block, int panels) {
  static_assert(kSteps == 3);
  const Vec scale = set(plan.scale), bias = set(plan.bias);
  const float* prompts = plan.packed + block.packed;
  // The panels share the work of fetching the next product's prompts, which come from far away where there are many.
  const int64_t lines = (kProductColumns * plan.width * static_cast<int64_t>(sizeof(float)) / 64 + panels - 1) / panels;
  const int64_t fetches = (plan.width + kFetchFeatures - 1) / kFetchFeatures, ahead_step = (lines + fetches - 1) / fetches * 64;
  for (int column = 0; column < block.padded; column += kProductColumns) {
    const int columns = block.padded - column < kProductColumns ? block.padded - column : kProductColumns;
    const char* next = reinterpret_cast<const char*>(prompts + columns * plan.width);
    for (int panel = 0; panel < panels; ++panel, next += lines * 64) {
      const float* tile = workspace.tile + panel * plan.width * kPanelRows;
      float* scores = value_panel(plan, workspace, block, panel) + column * kPanelRows;
      float* largest = largest_scores(workspace, panel) + column / kProductColumns * kPanelRows;
      const auto multiply = columns == kProductColumns ? product<kProductColumns> : columns == 2 * kColumnStep ? product<2 * kColumnStep> : product<kColumnStep>;
      multiply(tile, prompts, plan.width, scale, bias, scores, largest, next, ahead_step);
    }
    prompts += columns * plan.width;
  }
}

// Keeps the best top_count columns of each row, best first; of equal scores the lower column, which comes first, stays ahead.
inline void collect_top(const Plan& plan, const Workspace& workspace, const float* scores, int columns, int64_t column, int row) {
  const int top = plan.top_count;
  for (int c = 0; c < columns; ++c, scores += kPanelRows) {
    for (int half = 0; half < 2; ++half) {
      unsigned better = bits(greater(load(scores + half * kLanes), load(workspace.top_threshold + row + half * kLanes)));
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
  const Vec lowest = set(-__builtin_inff()), one = set(1.0f);
  Vec best[2], where[2], second[2], maximum[2];
  for (int half = 0; half < 2; ++half) {
    best[half] = first ? lowest : load(workspace.best + row + half * kLanes);
    where[half] = first ? set(static_cast<float>(column)) : load(workspace.best_column + row + half * kLanes);
    second[half] = first ? lowest : load(workspace.second + row + half * kLanes);
    maximum[half] = lowest;
  }
  const float* largest = largest_scores(workspace, panel);
  for (int c = 0; c < columns;) {
    const int place = offset + c, border = c + kProductColumns - place % kProductColumns, end = border < columns ? border : columns;
    Vec most[2];
    if (!plan.few && end - c == kProductColumns) {
      const float* known = largest + place / kProductColumns * kPanelRows;
      most[0] = load(known);
      most[1] = load(known + kLanes);
    } else {
      most[0] = most[1] = lowest;
      for (int i = c; i < end; ++i) {
        most[0] = max(most[0], load(scores + i * kPanelRows));
        most[1] = max(most[1], load(scores + i * kPanelRows + kLanes));
      }
    }
    for (int half = 0; half < 2; ++half) {
      maximum[half] = max(maximum[half], most[half]);
      if (bits(greater(most[half], second[half])) == 0) continue;
      for (int i = c; i < end; ++i) {
        const Vec z = load(scores + i * kPanelRows + half * kLanes);
        where[half] = select(greater(z, best[half]), set(static_cast<float>(column + i)), where[half]);
        second[half] = max(second[half], min(best[half], z));
        best[half] = max(best[half], z);
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

  float* value = scores;
  const int64_t statistics = static_cast<int64_t>(slot) * plan.tile_rows + row;
  if (plan.sigmoid) {
    for (int c = 0; c < 2 * columns; ++c, value += kLanes) {
      const Vec negated = min(set(0.0f) - load(value), set(126.0f));
      store(value, one / (one + power_of_two(negated)));
    }
    return;
  }

  Vec sum[2] = {set(0.0f), set(0.0f)};
  if (plan.entropy) {
    Vec moment[2] = {set(0.0f), set(0.0f)};
    for (int c = 0; c < columns; ++c, value += kPanelRows) {
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const Vec x = load(value + half * kLanes) - maximum[half];
        const Vec e = power_of_two(x);
        store(value + half * kLanes, e);
        sum[half] = sum[half] + e;
        moment[half] = fma(e, x, moment[half]);
      }
    }
    store(workspace.slot_moment + statistics, moment[0]);
    store(workspace.slot_moment + statistics + kLanes, moment[1]);
  } else {
    for (int c = 0; c < columns; ++c, value += kPanelRows) {
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const Vec e = power_of_two(load(value + half * kLanes) - maximum[half]);
        store(value + half * kLanes, e);
        sum[half] = sum[half] + e;
      }
    }
  }
  for (int half = 0; half < 2; ++half) {
    store(workspace.slot_maximum + statistics + half * kLanes, maximum[half]);
    store(workspace.slot_sum + statistics + half * kLanes, sum[half]);
  }
}

// A segment is complete in one panel: brings its slots (pieces) to one maximum, and writes what is known of each row.
inline void conclude(const Plan& plan, const Workspace& workspace, const Chunk& chunk, int segment, int slot, int slots, int panel, int first, int rows) {
  const int row = panel * kPanelRows;
  alignas(64) float total[kPanelRows], moments[kPanelRows];
  for (int half = 0; half < 2; ++half) {
    const int lanes = row + half * kLanes;
    if (plan.sigmoid) {
      for (int s = slot; s < slot + slots; ++s) store(workspace.slot_factor + static_cast<int64_t>(s) * plan.tile_rows + lanes, set(1.0f));
      continue;
    }
    const Vec maximum = load(workspace.best + lanes);
    Vec sum = set(0.0f), moment = set(0.0f);
    for (int s = slot; s < slot + slots; ++s) {
      const int64_t statistics = static_cast<int64_t>(s) * plan.tile_rows + lanes;
      const Vec shift = load(workspace.slot_maximum + statistics) - maximum;
      const Vec weight = power_of_two(shift);
      const Vec slot_sum = load(workspace.slot_sum + statistics);
      sum = fma(weight, slot_sum, sum);
      if (plan.entropy) moment = fma(weight, fma(shift, slot_sum, load(workspace.slot_moment + statistics)), moment);
      store(workspace.slot_factor + statistics, weight);
    }
    const Vec inverse = set(1.0f) / sum;
    for (int s = slot; s < slot + slots; ++s) {
      float* factor = workspace.slot_factor + static_cast<int64_t>(s) * plan.tile_rows + lanes;
      store(factor, load(factor) * inverse);
    }
    store(total + half * kLanes, sum);
    store(moments + half * kLanes, moment);
  }

  alignas(64) float gap[kPanelRows];
  if (chunk.margin != nullptr) {
    for (int half = 0; half < 2; ++half) {
      const Vec best = load(workspace.best + row + half * kLanes), second = load(workspace.second + row + half * kLanes), one = set(1.0f), zero = set(0.0f);
      if (plan.sigmoid) {
        const Vec most = one / (one + power_of_two(min(zero - best, set(126.0f))));
        const Vec next = one / (one + power_of_two(min(zero - second, set(126.0f))));
        store(gap + half * kLanes, most - select(greater(second, set(-__builtin_inff())), next, zero));
      } else {
        store(gap + half * kLanes, (one - power_of_two(second - best)) / load(total + half * kLanes));
      }
    }
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

// Turns exponentials into probabilities in place; lanes beyond the last row hold whatever zeros gave and are never read.
inline void normalise(const Plan& plan, const Workspace& workspace, float* values, int panels, int64_t panel_stride, int columns, int slot) {
  for (int panel = 0; panel < panels; ++panel) {
    const float* factor = workspace.slot_factor + static_cast<int64_t>(slot) * plan.tile_rows + panel * kPanelRows;
    const Vec left = load(factor), right = load(factor + kLanes);
    float* value = values + panel * panel_stride;
    for (int c = 0; c < columns; ++c, value += kPanelRows) {
      store(value, load(value) * left);
      store(value + kLanes, load(value + kLanes) * right);
    }
  }
}

inline void add_to_group(const Plan& plan, const Workspace& workspace, int group, int64_t column, int columns, DoubleVec sum) {
  double* cells = workspace.sums + group * plan.prompts + column;
  if (columns == kLanes) {
    store_doubles(cells, load_doubles(cells) + sum);
  } else {
    double part[kLanes];
    store_doubles(part, sum);
    for (int j = 0; j < columns; ++j) cells[j] += part[j];
  }
}

// sums[group][column] += probabilities of the group's rows, in double precision, for a run of columns that share a slot. Turned
// round, so that columns are lanes: rows are in the order of their groups, and nothing is ever summed across a vector.
inline void add_to_groups(const Plan& plan, const Workspace& workspace, const Chunk& chunk, const float* values, int64_t panel_stride, int columns, int64_t column, int slot, bool normalised, int first, int rows) {
  const float* factors = workspace.slot_factor + static_cast<int64_t>(slot) * plan.tile_rows;
  const int32_t* groups = chunk.groups + first;
  while (rows > 0 && groups[rows - 1] < 0) --rows;  // rows outside every group stand at the end
  if (rows == 0) return;
  alignas(64) float turned[kLanes * kLanes];
  for (int c = 0; c < columns; c += kLanes) {
    const int here = columns - c < kLanes ? columns - c : kLanes;
    int group = groups[0];
    DoubleVec sum = zero_doubles();
    for (int row = 0; row < rows; row += kLanes) {
      const float* value = values + row / kPanelRows * panel_stride + row % kPanelRows + c * kPanelRows;
      const Vec factor = normalised ? set(1.0f) : load(factors + row);
      Vec block[kLanes];
#pragma GCC unroll 16
      for (int j = 0; j < kLanes; ++j) {
        __builtin_prefetch(value + (kLanes + j) * kPanelRows);  // for the next columns: too short a run for the processor to foresee
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
inline void add_rows_to_groups(const Plan& plan, const Workspace& workspace, const Chunk& chunk, const float* values, int64_t panel_stride, int columns, int64_t column, int slot, bool normalised, int first, int rows) {
  const float* factors = workspace.slot_factor + static_cast<int64_t>(slot) * plan.tile_rows;
  for (int row = 0; row < rows; ++row) {
    const int group = chunk.groups[first + row];
    if (group < 0) continue;
    const float* value = values + row / kPanelRows * panel_stride + row % kPanelRows;
    const float factor = normalised ? 1.0f : factors[row];
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
      DoubleVec sum[4] = {zero_doubles(), zero_doubles(), zero_doubles(), zero_doubles()};
      for (int64_t row = 0; row < rows; row += kLanes) {
        const DoubleVec weight = load_doubles(weights + row);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) sum[j] = fma(weight, load_doubles(workspace.products + j * plan.tile_rows + row), sum[j]);
      }
      for (int j = 0; j < 4 && c + j < columns; ++j) workspace.weighted[replicate * plan.prompts + column + c + j] += sum_of(sum[j]);
    }
  }
}

inline void write_probabilities(const Plan& plan, const Chunk& chunk, const float* values, int64_t panel_stride, int columns, int64_t column, int first, int rows) {
  Vec block[kLanes];
  for (int place = 0; place < rows; place += kLanes) {
    const float* source = values + place / kPanelRows * panel_stride + place % kPanelRows;
    for (int c = 0; c < columns; c += kLanes) {
      for (int j = 0; j < kLanes; ++j) block[j] = c + j < columns ? load(source + (c + j) * kPanelRows) : set(0.0f);
      transpose(block);
      for (int lane = 0; lane < kLanes && place + lane < rows; ++lane) {
        float* destination = chunk.probabilities + chunk.order[first + place + lane] * plan.prompts + column + c;
        if (c + kLanes <= columns) {
          store_unaligned(destination, block[lane]);
        } else {
          alignas(64) float part[kLanes];
          store(part, block[lane]);
          for (int j = 0; c + j < columns; ++j) destination[j] = part[j];
        }
      }
    }
  }
}

// Everything that needs the probabilities themselves, for one block whose segments are complete.
inline void emit(const Plan& plan, const Workspace& workspace, const Chunk& chunk, const Block& block, int panels, int first, int rows) {
  const bool in_place = chunk.probabilities != nullptr || plan.replicates > 0;
  const int64_t panel_stride = static_cast<int64_t>(block.padded) * kPanelRows;
  float* values = value_panel(plan, workspace, block, 0);
  for (int s = 0; s < block.segments; ++s) {
    const int64_t start = block.whole ? plan.segment_starts[block.segment + s] - block.column : 0;
    const int columns = static_cast<int>(block.whole ? plan.segment_starts[block.segment + s + 1] - plan.segment_starts[block.segment + s] : block.columns);
    const int slot = block.whole ? s : block.piece;
    if (in_place) normalise(plan, workspace, values + start * kPanelRows, panels, panel_stride, columns, slot);
    if (plan.groups == 0) continue;
    const auto add = plan.few ? add_rows_to_groups : add_to_groups;
    add(plan, workspace, chunk, values + start * kPanelRows, panel_stride, columns, block.column + start, slot, in_place, first, rows);
  }
  if (plan.replicates > 0) add_weighted(plan, workspace, values, panel_stride, panels, block.columns, block.column);
  if (chunk.probabilities != nullptr) write_probabilities(plan, chunk, values, panel_stride, block.columns, block.column, first, rows);
}

inline Outcome run_chunk(const Plan& plan, const Workspace& workspace, const Chunk& chunk) {
  const FlushDenormals flush;
  Outcome worst{Refusal::kNone, 0};
  for (int first = 0; first < chunk.count; first += plan.tile_rows) {
    const int rows = chunk.count - first < plan.tile_rows ? chunk.count - first : plan.tile_rows;
    const int panels = (rows + kPanelRows - 1) / kPanelRows;
    const Outcome outcome = take_rows(plan, workspace, chunk, first, rows);
    if (outcome.refusal != Refusal::kNone && (worst.refusal == Refusal::kNone || outcome.row < worst.row)) worst = outcome;
    if (worst.refusal != Refusal::kNone) continue;  // only looks on for a lower row
    for (int64_t replicate = 0; replicate < plan.replicates; ++replicate) {
      double* weights = workspace.weights + replicate * plan.tile_rows;
      for (int place = 0; place < panels * kPanelRows; ++place)
        weights[place] = place < rows ? chunk.weights[replicate * chunk.weight_stride + chunk.order[first + place]] : 0.0;
    }
    for (int64_t b = 0; b < plan.block_count; ++b) {
      const Block& block = plan.blocks[b];
      if (!plan.few) score_block(plan, workspace, block, panels);
      for (int panel = 0; panel < panels; ++panel) {
        float* scores = value_panel(plan, workspace, block, panel);
        if (!block.whole) {
          scan(plan, workspace, scores, 0, block.columns, block.column, block.piece, panel, block.piece == 0);
          if (block.last) conclude(plan, workspace, chunk, block.segment, 0, block.piece + 1, panel, first, rows);
          continue;
        }
        for (int s = 0; s < block.segments; ++s) {
          const int64_t start = plan.segment_starts[block.segment + s], end = plan.segment_starts[block.segment + s + 1];
          const int offset = static_cast<int>(start - block.column);
          scan(plan, workspace, scores + offset * kPanelRows, offset, static_cast<int>(end - start), start, s, panel, true);
          conclude(plan, workspace, chunk, block.segment + s, s, 1, panel, first, rows);
        }
      }
      if (!block.last) continue;
      const int pieces = block.whole ? 1 : block.piece + 1;
      if (plan.groups == 0 && plan.replicates == 0 && chunk.probabilities == nullptr) continue;
      for (int64_t piece = b - pieces + 1; piece <= b; ++piece) emit(plan, workspace, chunk, plan.blocks[piece], panels, first, rows);
    }
  }
  return worst;
}
