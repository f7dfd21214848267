// Products over the thread pool: rows packed in parallel, then tiles times panels.
#pragma once

#include "cpu/kernels.h"
#include "cpu/pass.h"
#include "cpu/weight.h"

namespace clipengine::cpu {

// A left operand, tiled, in the pass's arena.
struct TiledRows {
  void* data = nullptr;
  float* scales = nullptr;  // Int8
  int64_t rows = 0;
  int64_t tiles = 0;
  int64_t depth = 0;
  int64_t words = 0;
  Precision precision = Precision::Float32;
};

// A layer norm on the way in; weight null for none.
struct Norm {
  const float* weight = nullptr;
  const float* bias = nullptr;
  float epsilon = 0;
};

// An empty left operand for products with weight.
TiledRows allocate_rows(Pass& pass, int64_t rows, const Weight& weight);

// Packs rows for products with weight.
TiledRows pack(Pass& pass, const float* input, int64_t input_stride, int64_t rows, const Weight& weight, const Norm& norm = {});

// rows times weight; where a range of columns is given, at least those (whole panels).
void multiply(Pass& pass, const TiledRows& rows, const Weight& weight, const Finish& finish, int64_t column_from = 0, int64_t column_to = INT64_MAX);

}  // namespace clipengine::cpu
