// What every product does with its sums: y = scale * activation(row_scale * column_scale * sum + bias) + residual.
// The sums of a tile come through shared memory, so that rows are read and written whole, and so that the activations stand in
// the kernel once: unrolled over a thread's fragments they took the assembler minutes.
#pragma once
#include "cuda/kernels/maths.h"

struct Epilogue {
  const float* bias;      // [columns] or null
  const float* scale;     // [columns] or null
  const float* residual;  // [rows, columns] or null
  int activation;
  const float* row_scale = nullptr;     // [rows] or null: of quantised operands
  const float* column_scale = nullptr;  // [columns] or null
};

// Rows of the sums that lie in shared memory, `pitch` apart, as rows [row0, row0 + tile_rows) of y; a thread has one column.
// Several rows at once, so that their residuals are on the way together. Barriers are the caller's.
template <int tile_rows, int tile_columns, int pitch, int threads, typename Out>
CLIPENGINE_DEVICE void finish_rows(const float* sums, Out* y, int row0, int column0, int rows, int columns, const Epilogue& epilogue) {
  constexpr int step = threads / tile_columns, at_once = 4;
  static_assert(threads % tile_columns == 0 && tile_rows % (step * at_once) == 0, "threads share a tile's rows equally");
  const int in_tile = thread_index() % tile_columns, column = column0 + in_tile;
  if (column >= columns) return;
  const float bias = epilogue.bias ? epilogue.bias[column] : 0.0f, scale = epilogue.scale ? epilogue.scale[column] : 1.0f;
  const float column_scale = epilogue.column_scale ? epilogue.column_scale[column] : 1.0f;
  CLIPENGINE_NO_UNROLL
  for (int first = thread_index() / tile_columns; first < tile_rows; first += step * at_once) {
    float values[at_once], residuals[at_once];
    CLIPENGINE_UNROLL
    for (int i = 0; i < at_once; ++i) {
      const int r = first + i * step;
      const bool valid = row0 + r < rows;
      const float row_scale = valid && epilogue.row_scale ? epilogue.row_scale[row0 + r] : 1.0f;
      values[i] = sums[r * pitch + in_tile] * row_scale * column_scale + bias;
      residuals[i] = valid && epilogue.residual ? epilogue.residual[(int64_t)(row0 + r) * columns + column] : 0.0f;
    }
    CLIPENGINE_UNROLL
    for (int i = 0; i < at_once; ++i) {
      const int row = row0 + first + i * step;
      const float value = activate(values[i], epilogue.activation) * scale + residuals[i];
      if (row < rows) y[(int64_t)row * columns + column] = convert<Out>(value);
    }
  }
}
