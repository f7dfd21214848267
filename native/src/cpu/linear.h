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

// Gives it other rows, at most as many as it was allocated for.
void resize_rows(TiledRows& tiled, int64_t rows, const Weight& weight);

// Packs rows for products with weight.
TiledRows pack(Pass& pass, const float* input, int64_t input_stride, int64_t rows, const Weight& weight, const Norm& norm = {});

// rows times weight; where a range of columns is given, at least those (whole panels).
void multiply(Pass& pass, const TiledRows& rows, const Weight& weight, const Finish& finish, int64_t column_from = 0, int64_t column_to = INT64_MAX);

// The same on the calling thread alone, for drivers that deal rows to threads themselves: what one of them needs for a product.
struct OwnProduct {
  TiledRows rows;      // the left operand, of as many rows as there is room for
  float* row_buffer = nullptr;   // Int8
  uint32_t* scratch = nullptr;
};
OwnProduct allocate_product(Pass& pass, int64_t rows, const Weight& weight);
void pack_own(OwnProduct& product, const float* input, int64_t input_stride, int64_t rows, const Weight& weight, const Norm& norm = {});
void multiply_own(const OwnProduct& product, const Weight& weight, const Finish& finish);

// Rows of a block that are taken through it together: enough to keep the products at full speed, few enough for the results
// between them to stay in the last-level cache.
constexpr int64_t kBlockRows = 832;

// output = residual + scale * contract(activation(expand(norm(input)))), row by row; input, residual and output are as wide as contract.
struct Mlp {
  Norm norm;
  const Weight* expand;
  const Weight* expand_bias;
  Activation activation;
  const Weight* contract;
  const Weight* contract_bias;
  const Weight* scale;  // or null

  // What the second product reads is written where it reads it; only bytes, whose scale a whole row decides, go through rows.
  bool is_direct() const { return contract->precision != Precision::Int8 && tile_rows_of(*expand->kernels, expand->precision) == tile_rows_of(*contract->kernels, contract->precision); }
  Finish finish_hidden(const TiledRows& hidden) const;  // of the first product, where is_direct()
  Finish finish_hidden(float* hidden) const;            // and else: rows one after another, as wide as expand
  Finish finish_output(const float* residual, float* output) const;
};
void run_mlp(Pass& pass, const Mlp& mlp, const float* input, int64_t rows, const float* residual, float* output);

}  // namespace clipengine::cpu
