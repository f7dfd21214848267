// What the sweep does with a tile of scores in shared memory: softmax within whole segments, statistics of pieces of longer
// ones, what is known of each row, sums over the runs of each group.
#pragma once
#include "cuda/kernels/primitives.h"
#include "cuda/kernels/sweep_task.h"

CLIPENGINE_DEVICE float sweep_lowest() { return bits_to_float(0xff800000u); }

// A row within its slice.
CLIPENGINE_DEVICE int sweep_row(const SweepTask& task, int place) {
  return task.order ? place / kSweepChunkRows * kSweepChunkRows + task.order[place] : place;
}

CLIPENGINE_DEVICE float sweep_sigmoid(float score) { return 1.0f / (1.0f + exp2_fast(score < -126.0f ? 126.0f : -score)); }

// The sign bit of a probability says that its column is the best of its segment.
CLIPENGINE_DEVICE float sweep_marked(float probability) { return bits_to_float(float_to_bits(probability) | 0x80000000u); }
CLIPENGINE_DEVICE float sweep_unmarked(float probability) { return bits_to_float(float_to_bits(probability) & 0x7fffffffu); }

struct alignas(16) SweepVector {
  float v[4];
};

struct SweepStatistics {
  float best, second, total, moment;
  int column;
};

CLIPENGINE_DEVICE void sweep_store(unsigned* field, int stride, const SweepStatistics& s) {
  field[kSweepBest * stride] = float_to_bits(s.best);
  field[kSweepColumn * stride] = (unsigned)s.column;
  field[kSweepSecond * stride] = float_to_bits(s.second);
  field[kSweepTotal * stride] = float_to_bits(s.total);
  field[kSweepMoment * stride] = float_to_bits(s.moment);
}
CLIPENGINE_DEVICE SweepStatistics sweep_load(const unsigned* field, int stride) {
  SweepStatistics s;
  s.best = bits_to_float(field[kSweepBest * stride]);
  s.column = (int)field[kSweepColumn * stride];
  s.second = bits_to_float(field[kSweepSecond * stride]);
  s.total = bits_to_float(field[kSweepTotal * stride]);
  s.moment = bits_to_float(field[kSweepMoment * stride]);
  return s;
}

// Best and second-best of some columns; of equals the lowest is the best.
CLIPENGINE_DEVICE SweepStatistics sweep_scan(const float* scores, int columns, int first_column) {
  SweepStatistics s = {sweep_lowest(), sweep_lowest(), 0.0f, 0.0f, first_column};
  for (int c = 0; c < columns; ++c) {
    const float score = scores[c];
    if (score > s.best) {
      s.second = s.best;
      s.best = score;
      s.column = first_column + c;
    } else {
      s.second = maximum(s.second, score);
    }
  }
  return s;
}

// The best column after a given one in the order (score falling, column rising); -1 where there is none.
CLIPENGINE_DEVICE int sweep_next(const float* scores, int columns, float after_score, int after) {
  int found = -1;
  for (int c = 0; c < columns; ++c) {
    const bool is_after = after < 0 || scores[c] < after_score || (scores[c] == after_score && c > after);
    if (is_after && (found < 0 || scores[c] > scores[found])) found = c;
  }
  return found;
}

// What is known of a row once a segment's statistics are complete.
CLIPENGINE_DEVICE void sweep_conclude(const SweepTask& task, int row, int segment, const SweepStatistics& s) {
  const int64_t cell = (int64_t)row * task.segment_count + segment;
  if (task.margin) {
    if (task.is_sigmoid)
      task.margin[cell] = sweep_sigmoid(s.best) - (s.second > sweep_lowest() ? sweep_sigmoid(s.second) : 0.0f);
    else
      task.margin[cell] = (1.0f - exp2_fast(s.second - s.best)) / s.total;
  }
  if (task.entropy) {
    const float entropy = (log2_fast(s.total) - s.moment / s.total) * 0.69314718055994531f;
    task.entropy[cell] = entropy > 0.0f ? entropy : 0.0f;  // rounding may leave a hair below zero
  }
}

// Whole segments: scores become probabilities, that of the best column marked.
// rows of the tile stand for the slice's places place0 ..
CLIPENGINE_DEVICE void sweep_whole_segments(const SweepTask& task, const SweepTile& tile, float* scores, int pitch, int rows, int place0) {
  for (int item = thread_index(); item < rows * tile.segments; item += kSweepThreads) {
    const int r = item % rows, segment = tile.segment + item / rows;
    const int start = task.segment_starts[segment], columns = task.segment_starts[segment + 1] - start;
    float* values = scores + r * pitch + start - tile.column;
    const int row = sweep_row(task, place0 + r);
    int* top = task.top_columns + ((int64_t)row * task.segment_count + segment) * task.top_count;
    if (task.top_count > 0) {
      int last = -1;
      for (int t = 0; t < task.top_count; ++t) {
        last = sweep_next(values, columns, last < 0 ? 0.0f : values[last], last);
        top[t] = start + (last < 0 ? 0 : last);  // NaN, in a row that is refused, comes after nothing
      }
    }
    SweepStatistics s = sweep_scan(values, columns, start);
    if (task.is_sigmoid) {
      for (int c = 0; c < columns; ++c) values[c] = sweep_sigmoid(values[c]);
    } else {
      for (int c = 0; c < columns; ++c) {
        const float shifted = values[c] - s.best, weight = exp2_fast(shifted);
        values[c] = weight;
        s.total += weight;
        s.moment = multiply_add(weight, shifted, s.moment);
      }
      const float inverse = 1.0f / s.total;
      for (int c = 0; c < columns; ++c) values[c] *= inverse;
    }
    for (int t = 0; t < task.top_count; ++t) task.top_probabilities[top - task.top_columns + t] = values[top[t] - start];
    values[s.column - start] = sweep_marked(values[s.column - start]);
    sweep_conclude(task, row, segment, s);
  }
}

// A piece of a long segment: its statistics and its best columns, for sweep_merge.
CLIPENGINE_DEVICE void sweep_pieces(const SweepTask& task, const SweepTile& tile, const float* scores, int rows, int place0) {
  const int pieces = (tile.columns + kSweepPieceColumns - 1) / kSweepPieceColumns;
  for (int item = thread_index(); item < rows * pieces; item += kSweepThreads) {
    const int r = item % rows, piece = item / rows, first = piece * kSweepPieceColumns;
    const int columns = smaller(kSweepPieceColumns, tile.columns - first);
    const float* values = scores + r * kSweepPitch + first;
    SweepStatistics s = sweep_scan(values, columns, tile.column + first);
    if (!task.is_sigmoid) {
      for (int c = 0; c < columns; ++c) {
        const float shifted = values[c] - s.best, weight = exp2_fast(shifted);
        s.total += weight;
        s.moment = multiply_add(weight, shifted, s.moment);
      }
    }
    const int64_t number = tile.piece + piece;
    sweep_store(task.statistics + number * kSweepFields * task.row_count + place0 + r, task.row_count, s);
    int last = -1;
    for (int t = 0; t < task.top_count; ++t) {
      const int next = t < columns ? sweep_next(values, columns, last < 0 ? 0.0f : values[last], last) : -1;
      const int64_t cell = (number * task.top_count + t) * task.row_count + place0 + r;
      task.candidate_scores[cell] = next < 0 ? sweep_lowest() : values[next];
      task.candidate_columns[cell] = next < 0 ? -1 : tile.column + first + next;
      if (next >= 0) last = next;
    }
  }
}

// A piece of a long segment whose statistics are complete: scores become probabilities as in sweep_whole_segments.
CLIPENGINE_DEVICE void sweep_emit_piece(const SweepTask& task, const SweepTile& tile, float* scores, int rows, int place0) {
  CLIPENGINE_SHARED float best[kSweepTileRows];
  CLIPENGINE_SHARED float inverse[kSweepTileRows];
  CLIPENGINE_SHARED int column[kSweepTileRows];
  for (int r = thread_index(); r < rows; r += kSweepThreads) {
    const SweepStatistics s = sweep_load(task.merged + (int64_t)tile.long_segment * kSweepFields * task.row_count + place0 + r, task.row_count);
    best[r] = s.best;
    inverse[r] = 1.0f / s.total;
    column[r] = s.column - tile.column;
  }
  block_barrier();
  for (int element = thread_index(); element < rows * tile.columns; element += kSweepThreads) {
    const int r = element % rows, c = element / rows;
    float& value = scores[r * kSweepPitch + c];
    value = task.is_sigmoid ? sweep_sigmoid(value) : exp2_fast(value - best[r]) * inverse[r];
    if (c == column[r]) value = sweep_marked(value);
  }
}

// Probabilities in shared memory to where they are wanted, and into the sums and counts of the runs in these places.
CLIPENGINE_DEVICE void sweep_write(const SweepTask& task, const SweepTile& tile, const float* values, int pitch, int rows, int place0) {
  if (task.probabilities) {
    for (int element = thread_index(); element < rows * tile.columns; element += kSweepThreads) {
      const int r = element / tile.columns, c = element % tile.columns;
      task.probabilities[(int64_t)sweep_row(task, place0 + r) * task.prompt_count + tile.column + c] = sweep_unmarked(values[r * pitch + c]);
    }
  }
  if (!task.run_sums) return;
  const int first = task.tile_runs[place0 / kSweepTileRows], last = task.tile_runs[(place0 + rows + kSweepTileRows - 1) / kSweepTileRows];
  for (int item = thread_index(); item < (last - first) * tile.columns; item += kSweepThreads) {
    const int c = item % tile.columns, number = first + item / tile.columns;
    const SweepRun run = task.runs[number];
    const int begin = run.begin - task.place_base - place0, end = run.end - task.place_base - place0;
    double sum = 0.0;
    unsigned count = 0;
    for (int place = begin; place < end;) {
      const int stop = smaller(end, place + kSweepRunPlaces);
      float part = 0.0f;
      for (; place < stop; ++place) {
        const float value = values[place * pitch + c];
        part += sweep_unmarked(value);
        count += float_to_bits(value) >> 31;
      }
      sum += (double)part;
    }
    const int64_t cell = (int64_t)(number - task.run_base) * task.prompt_count + tile.column + c;
    task.run_sums[cell] = sum;
    task.run_counts[cell] = count;
  }
}

// Judges a row by its largest absolute value, given as bits so that a NaN, whose bits are larger than any number's, wins.
CLIPENGINE_DEVICE void sweep_judge(const SweepTask& task, int row, unsigned largest) {
  const unsigned reason = largest >= 0x7f800000u ? kSweepNotFinite : largest == 0u ? kSweepZero : bits_to_float(largest) > task.largest ? kSweepTooLarge : 0;
  if (reason != 0) atomic_minimum(task.refusal, (unsigned)row * 4u + reason);
}
