// The probe sweep: rows into panels, or with few columns right into scores; and which rows are refused. Part of chunk.h.

// The first place behind those of one group.
inline int end_of_group(const int32_t* groups, int row, int rows) {
  const int group = groups[row];
  while (row < rows && groups[row] == group) ++row;
  return row;
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
inline Vector load_rest(const uint8_t* row, int64_t k, int64_t width) {
  constexpr int64_t size = kType == CLIPENGINE_SWEEP_FLOAT64 ? 8 : kType == CLIPENGINE_SWEEP_FLOAT32 ? 4 : 2;
  alignas(64) uint8_t padded[kLanes * 8];
  for (int byte = 0; byte < kLanes * 8; ++byte) padded[byte] = 0;
  for (int64_t byte = 0; byte < (width - k) * size; ++byte) padded[byte] = row[k * size + byte];
  return load_features<kType>(padded);
}

// The largest magnitude as a float; as bits, so that a NaN, whose bits are larger than any number's, wins.
inline float largest_of(Words magnitude) {
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
    Words magnitude = Words{};
    Vector block[kLanes];
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
    store(largest, floats_of(magnitude));
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
  const Vector scale = spread(plan.scale), bias = spread(plan.bias);
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
      Words magnitude_a = Words{}, magnitude_b = Words{};
      for (int64_t column = 0; column < columns.columns; column += kDotColumns) {
        const float* prompts = plan.packed + column * stride;
        Vector left[kDotColumns], right[kDotColumns];
#pragma GCC unroll 8
        for (int j = 0; j < kDotColumns; ++j) left[j] = right[j] = spread(0.0f);
        const auto step = [&](Vector x, Vector y, int64_t k) {
          magnitude_a = larger(magnitude_a, x);
          magnitude_b = larger(magnitude_b, y);
#pragma GCC unroll 8
          for (int j = 0; j < kDotColumns; ++j) {
            const Vector prompt = load(prompts + j * stride + k);
            left[j] = multiply_add(x, prompt, left[j]);
            right[j] = multiply_add(y, prompt, right[j]);
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
      Vector sums[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) sums[lane] = load(workspace.dots + (column * kLanes + lane) * kLanes);
      store(scores + column * kPanelRows, multiply_add(sum_of_each(sums), scale, bias));
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
