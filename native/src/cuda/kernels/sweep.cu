// The probe sweep but for its tiled products (sweep_tiles.cu): few columns straight from the rows, checks of rows, merging of
// long segments, weighted sums, and the reduction to exact totals. sweep_task.h says what everything points to.
#include "cuda/kernels/sweep_tail.h"

// Four elements of 16 bytes of a row as floats: all of them, or the first or second half of eight.
CLIPENGINE_DEVICE void sweep_unpack(float values[4], const uint32_t words[4], int, float) {
  CLIPENGINE_UNROLL
  for (int i = 0; i < 4; ++i) values[i] = bits_to_float(words[i]);
}
template <typename T>
CLIPENGINE_DEVICE void sweep_unpack(float values[4], const uint32_t words[4], int half, T) {
  CLIPENGINE_UNROLL
  for (int i = 0; i < 2; ++i) {
    T low, high;
    low.bits = (uint16_t)(words[2 * half + i] & 0xffffu);
    high.bits = (uint16_t)(words[2 * half + i] >> 16);
    values[2 * i] = to_float(low);
    values[2 * i + 1] = to_float(high);
  }
}

CLIPENGINE_DEVICE void sweep_enlarge(unsigned& largest, const float values[4]) {
  CLIPENGINE_UNROLL
  for (int e = 0; e < 4; ++e) {
    const unsigned bits = float_to_bits(values[e]) & 0x7fffffffu;
    largest = bits > largest ? bits : largest;
  }
}

// Halves the values that a lane holds: those of one half of the lanes' numbers, added to its partner's.
template <int mask>
CLIPENGINE_DEVICE void sweep_scatter(float values[32]) {
  const bool is_upper = (thread_index() & mask) != 0;
  CLIPENGINE_UNROLL
  for (int j = 0; j < mask; ++j) {
    const float sent = is_upper ? values[j] : values[j + mask], kept = is_upper ? values[j + mask] : values[j];
    values[j] = kept + shuffle_xor(sent, mask);
  }
}

// Sums 32 values over the lanes of a warp; lane l gets the sum of values[l]. Every sum is the same tree over the lanes, so
// that it does not depend on which of the 32 it is.
CLIPENGINE_DEVICE float sweep_scatter_sum(float values[32]) {
  sweep_scatter<16>(values);
  sweep_scatter<8>(values);
  sweep_scatter<4>(values);
  sweep_scatter<2>(values);
  sweep_scatter<1>(values);
  return values[0];
}

CLIPENGINE_DEVICE unsigned sweep_warp_largest(unsigned bits) {
  int largest = (int)bits;  // a magnitude's bits are a positive int
  CLIPENGINE_UNROLL
  for (int mask = 16; mask > 0; mask /= 2) {
    const int other = shuffle_xor(largest, mask);
    largest = other > largest ? other : largest;
  }
  return (unsigned)largest;
}

// Few columns: one block a chunk, four rows at a time to a warp, prompts in shared memory as fp32. Bound by reading the rows.
template <typename T, int kColumns>
CLIPENGINE_DEVICE void sweep_few(const SweepTask& task) {
  constexpr int load = 16 / sizeof(T), step = 32 * load, pitch = kColumns + 1;
  CLIPENGINE_DYNAMIC_SHARED(shared);
  float* prompts = reinterpret_cast<float*>(shared);
  const int padded = (task.width + step - 1) / step * step;
  float* scores = prompts + kColumns * padded;
  const int thread = thread_index(), lane = thread % 32;
  const int place0 = block_index_x() * kSweepChunkRows, rows = smaller(kSweepChunkRows, task.row_count - place0);
  const T* chunk = static_cast<const T*>(task.rows) + (int64_t)place0 * task.width;

  // A lane takes `load` elements of each step; its first four and its last four lie apart, so that no bank is met twice.
  const float* source = static_cast<const float*>(task.prompts);
  for (int element = thread; element < kColumns * padded; element += kSweepThreads) {
    const int column = element / padded, k = element % padded, in_step = k % step;
    const int position = k - in_step + in_step % load / 4 * 128 + in_step / load * 4 + in_step % 4;
    prompts[column * padded + position] = column < task.prompt_count && k < task.width ? source[(int64_t)column * task.width + k] : 0.0f;
  }
  block_barrier();

  for (int first = thread / 32 * 4; first < rows; first += kSweepThreads / 32 * 4) {
    int row[4];  // within the chunk: four registers instead of eight
    CLIPENGINE_UNROLL
    for (int i = 0; i < 4; ++i) row[i] = sweep_row(task, place0 + smaller(first + i, rows - 1)) - place0;
    float sums[kColumns / 8][32];
    unsigned largest[4] = {0u, 0u, 0u, 0u};
    CLIPENGINE_UNROLL
    for (int g = 0; g < kColumns / 8; ++g)
      CLIPENGINE_UNROLL
      for (int j = 0; j < 32; ++j) sums[g][j] = 0.0f;
    uint32_t next[4][4];
    const auto fetch = [&](int k) {
      CLIPENGINE_UNROLL
      for (int i = 0; i < 4; ++i) {
        if (k < task.width) {
          load_16(next[i], chunk + (int64_t)row[i] * task.width + k);
        } else {
          CLIPENGINE_UNROLL
          for (int w = 0; w < 4; ++w) next[i][w] = 0u;
        }
      }
    };
    fetch(lane * load);
    for (int k0 = 0; k0 < padded; k0 += step) {
      uint32_t words[4][4];
      CLIPENGINE_UNROLL
      for (int i = 0; i < 4; ++i)
        CLIPENGINE_UNROLL
        for (int w = 0; w < 4; ++w) words[i][w] = next[i][w];
      fetch(k0 + step + lane * load);
      CLIPENGINE_UNROLL
      for (int half = 0; half < load / 4; ++half) {
        float x[4][4];
        warp_barrier();  // keeps the compiler from holding both halves at once, which spills registers
        CLIPENGINE_UNROLL
        for (int i = 0; i < 4; ++i) {
          sweep_unpack(x[i], words[i], half, T());
          sweep_enlarge(largest[i], x[i]);
        }
        CLIPENGINE_UNROLL
        for (int c = 0; c < kColumns; ++c) {
          const SweepVector prompt = *reinterpret_cast<const SweepVector*>(prompts + c * padded + k0 + half * 128 + lane * 4);
          CLIPENGINE_UNROLL
          for (int i = 0; i < 4; ++i)
            CLIPENGINE_UNROLL
            for (int e = 0; e < 4; ++e) sums[c / 8][i * 8 + c % 8] = multiply_add(x[i][e], prompt.v[e], sums[c / 8][i * 8 + c % 8]);
        }
      }
    }
    CLIPENGINE_UNROLL
    for (int g = 0; g < kColumns / 8; ++g) {
      const float sum = sweep_scatter_sum(sums[g]);
      if (first + lane / 8 < rows) scores[(first + lane / 8) * pitch + g * 8 + lane % 8] = multiply_add(sum, task.scale, task.bias);
    }
    CLIPENGINE_UNROLL
    for (int i = 0; i < 4; ++i) {
      const unsigned bits = sweep_warp_largest(largest[i]);
      if (lane == 0 && first + i < rows) sweep_judge(task, place0 + row[i], bits);
    }
  }
  block_barrier();
  const SweepTile tile = task.tiles[0];
  sweep_whole_segments(task, tile, scores, pitch, rows, place0);
  block_barrier();
  sweep_write(task, tile, scores, pitch, rows, place0);
}

// One warp a row: refuses what has no score.
template <typename T>
CLIPENGINE_DEVICE void sweep_check(const SweepTask& task) {
  constexpr int load = 16 / sizeof(T);
  const int row = block_index_x() * (kSweepThreads / 32) + thread_index() / 32;
  if (row >= task.row_count) return;  // a whole warp
  const T* values = static_cast<const T*>(task.rows) + (int64_t)row * task.width;
  unsigned largest = 0u;
  for (int k = thread_index() % 32 * load; k < task.width; k += 32 * load) {
    uint32_t words[4];
    load_16(words, values + k);
    CLIPENGINE_UNROLL
    for (int half = 0; half < load / 4; ++half) {
      float x[4];
      sweep_unpack(x, words, half, T());
      sweep_enlarge(largest, x);
    }
  }
  largest = sweep_warp_largest(largest);
  if (thread_index() % 32 == 0) sweep_judge(task, row, largest);
}

// One thread a place and long segment: the pieces' statistics to one maximum, the best columns out of the pieces' best.
CLIPENGINE_KERNEL __launch_bounds__(kSweepThreads) sweep_merge(SweepTask task) {
  const int place = block_index_x() * kSweepThreads + thread_index();
  if (place >= task.row_count) return;
  const SweepLong segment = task.longs[block_index_y()];
  const int stride = task.row_count, row = sweep_row(task, place);
  SweepStatistics all = {sweep_lowest(), sweep_lowest(), 0.0f, 0.0f, task.segment_starts[segment.segment]};
  for (int piece = segment.piece; piece < segment.piece + segment.pieces; ++piece) {
    const SweepStatistics s = sweep_load(task.statistics + (int64_t)piece * kSweepFields * stride + place, stride);
    // Pieces stand in the order of their columns: of equals the earlier one stays the best.
    const bool is_better = s.best > all.best;
    all.second = maximum(is_better ? all.best : all.second, is_better ? s.second : s.best);
    const float best = is_better ? s.best : all.best;
    const float old_shift = all.best > sweep_lowest() ? all.best - best : 0.0f, new_shift = s.best - best;
    const float old_weight = exp2_fast(old_shift), new_weight = exp2_fast(new_shift);
    all.moment = old_weight * multiply_add(old_shift, all.total, all.moment) + new_weight * multiply_add(new_shift, s.total, s.moment);
    all.total = old_weight * all.total + new_weight * s.total;
    all.best = best;
    if (is_better) all.column = s.column;
  }
  sweep_store(task.merged + (int64_t)block_index_y() * kSweepFields * stride + place, stride, all);
  sweep_conclude(task, row, segment.segment, all);

  float after_score = 0.0f;
  int after = -1;
  for (int t = 0; t < task.top_count; ++t) {
    float score = 0.0f;
    int column = -1;
    for (int64_t candidate = (int64_t)segment.piece * task.top_count; candidate < (int64_t)(segment.piece + segment.pieces) * task.top_count; ++candidate) {
      const int c = task.candidate_columns[candidate * stride + place];
      const float s = task.candidate_scores[candidate * stride + place];
      const bool is_after = after < 0 || s < after_score || (s == after_score && c > after);
      if (c >= 0 && is_after && (column < 0 || s > score || (s == score && c < column))) {
        score = s;
        column = c;
      }
    }
    const int64_t cell = ((int64_t)row * task.segment_count + segment.segment) * task.top_count + t;
    task.top_columns[cell] = column;
    task.top_probabilities[cell] = task.is_sigmoid ? sweep_sigmoid(score) : exp2_fast(score - all.best) / all.total;
    after_score = score;
    after = column;
  }
}

// A sum in units of 2^-80 and 128 bits; additions wrap and never round.
struct SweepUnits {
  uint64_t low, high;
};

CLIPENGINE_DEVICE void sweep_add(SweepUnits& sum, uint64_t low, uint64_t high) {
  sum.low += low;
  sum.high += high + (sum.low < low ? 1u : 0u);
}

// value to the nearest multiple of 2^-80, halves away from zero. False where it is not finite or not below 2^46.
CLIPENGINE_DEVICE bool sweep_add(SweepUnits& sum, double value) {
  const uint64_t word = double_to_bits(value);
  const int exponent = (int)(word >> 52 & 0x7ffu);
  if (exponent >= 1023 + 46) return false;
  const uint64_t mantissa = (word & 0xfffffffffffffull) | (exponent == 0 ? 0ull : 1ull << 52);
  const int shift = (exponent == 0 ? 1 : exponent) - 1075 + 80;
  uint64_t low = 0, high = 0;
  if (shift >= 64) {
    high = mantissa << (shift - 64);
  } else if (shift > 0) {
    low = mantissa << shift;
    high = mantissa >> (64 - shift);
  } else if (shift == 0) {
    low = mantissa;
  } else if (shift >= -54) {
    low = (mantissa + (1ull << (-shift - 1))) >> -shift;
  }
  if (word >> 63) {
    high = ~high + (low == 0 ? 1u : 0u);
    low = ~low + 1u;
  }
  sweep_add(sum, low, high);
  return true;
}

// The carry is counted whichever order additions come in: the total is the same for all of them.
CLIPENGINE_DEVICE void sweep_add_to_total(unsigned long long* total, const SweepUnits& sum) {
  const uint64_t before = atomic_add(total, sum.low);
  const uint64_t high = sum.high + (before + sum.low < before ? 1u : 0u);
  if (high != 0) atomic_add(total + 1, high);
}

// One thread a column and item: the sums of the item's runs into the totals of its group.
CLIPENGINE_KERNEL __launch_bounds__(kSweepThreads) sweep_reduce(SweepTask task) {
  const int64_t index = (int64_t)block_index_x() * kSweepThreads + thread_index();
  if (index >= (int64_t)task.item_count * task.prompt_count) return;
  const SweepItem item = task.items[index / task.prompt_count];
  const int column = (int)(index % task.prompt_count);
  SweepUnits sum = {0, 0};
  uint64_t count = 0;
  bool fits = true;
  for (int i = item.first; i < item.last; ++i) {
    const int64_t cell = (int64_t)(task.run_list[i] - task.run_base) * task.prompt_count + column;
    fits = sweep_add(sum, task.run_sums[cell]) && fits;
    count += task.run_counts[cell];
  }
  if (!fits) atomic_minimum(task.refusal + 1, 0u);
  const int64_t total = (int64_t)item.group * task.prompt_count + column;
  sweep_add_to_total(task.sums + 2 * total, sum);
  if (count != 0) atomic_add(task.counts + total, count);
}

// One thread a replicate and column, for the chunks of kSweepBatchRows rows: weight times probability, in double precision
// within a chunk, then exactly.
CLIPENGINE_KERNEL __launch_bounds__(kSweepThreads) sweep_weighted(SweepTask task) {
  const int64_t index = (int64_t)block_index_x() * kSweepThreads + thread_index();
  if (index >= (int64_t)task.replicate_count * task.prompt_count) return;
  const int column = (int)(index % task.prompt_count);
  const float* weights = task.weights + index / task.prompt_count * task.row_count;
  const int end = smaller(task.row_count, (block_index_y() + 1) * kSweepBatchRows);
  SweepUnits sum = {0, 0};
  bool fits = true;
  for (int chunk = block_index_y() * kSweepBatchRows; chunk < end; chunk += kSweepChunkRows) {
    double part = 0.0;
    for (int row = chunk; row < smaller(end, chunk + kSweepChunkRows); ++row)
      part += (double)weights[row] * (double)task.probabilities[(int64_t)row * task.prompt_count + column];
    fits = sweep_add(sum, part) && fits;
  }
  if (!fits) atomic_minimum(task.refusal + 1, 0u);
  sweep_add_to_total(task.weighted_sums + 2 * index, sum);
}

#define CLIPENGINE_SWEEP(type, T)                                                                                      \
  CLIPENGINE_KERNEL __launch_bounds__(kSweepThreads) sweep_check_##type(SweepTask task) { sweep_check<T>(task); }         \
  CLIPENGINE_KERNEL __launch_bounds__(kSweepThreads, 2) sweep_few_##type##_8(SweepTask task) { sweep_few<T, 8>(task); } \
  CLIPENGINE_KERNEL __launch_bounds__(kSweepThreads, 1) sweep_few_##type##_16(SweepTask task) { sweep_few<T, 16>(task); }
CLIPENGINE_SWEEP(bf16, bf16)
CLIPENGINE_SWEEP(fp16, fp16)
CLIPENGINE_SWEEP(fp32, float)
#undef CLIPENGINE_SWEEP
