// What a kernel of the probe sweep takes and does; each is a build of chunk.h for one instruction set.
// Plain data only: a function here would be compiled with AVX-512 in one file and linked into another.
#pragma once

#include "cpu/sweep/plan.h"

namespace clipengine::sweep {

// What a chunk leaves behind beside its totals.
struct Tally {
  int64_t open_scores;
  float bound;
  float entropy_bound;
};

// One thread's memory. L is lanes, P panel_rows, R tile_rows.
struct Workspace {
  float* tile;          // packed rows: [R / P][width][P]
  float* values;        // scores, then exponentials: for each block [R / P][padded][P]
  float* largest;       // [R / P][kBlockColumns / product_columns][P] largest score of each product of a block
  float* slot_maximum;  // [slots][R], base-2 score
  float* slot_sum;      // [slots][R] sum of 2^(score - maximum)
  float* slot_moment;   // [slots][R] sum of 2^(score - maximum) * (score - maximum)
  float* slot_factor;   // [slots][R] what an exponential is multiplied with to be a probability
  float* best;          // [R] running over the pieces of a segment
  float* best_column;   // [R]
  float* second;        // [R]
  float* top_values;    // [R][top_count]
  int32_t* top_columns; // [R][top_count]
  float* top_threshold; // [R]
  double* sums;         // [groups][prompts] of this chunk
  uint32_t* counts;     // [groups][prompts] of this chunk
  double* weighted;     // [replicates][prompts] of this chunk
  double* weights;      // [replicates][R]
  double* products;     // [4][R]
  float* dots;          // [few_columns][L][L]
  float* zero_row;      // [width] doubles' worth of zeros, for rows beyond the last
  uint8_t* rows;        // [kChunkRows][width] as stored, where rows come from a file

  // Products in fewer bits.
  uint32_t* narrow_tile;  // [R / P][words][P]
  float* row_factor;      // [R]
  float* row_norm;        // [R] at least the row's norm; zero where its scores are those of fp32, multiplied once or again
  float* row_error;       // [R] at least the norm of what rounding took from the row
  float* row_chain;       // [R] at least the root of the sum of the squared norms of its first 1, 2, ... features
  uint32_t* beyond;       // [R / P] bit l: the row of lane l is too large or too small for fewer bits
  uint32_t* exact;        // [R / P] bit l: the scores of lane l are those of fp32
  uint32_t* open;         // [kBlockColumns] bit l: lane l's score decides something and is multiplied again
  float* again;           // [width][product_columns] prompts of one product in fp32
  float* again_scores;    // [product_columns + 1][P]
  float* row_bound;       // [R] on a probability of the row, in any segment
  float* entropy_bounds;  // [R] on an entropy
  double* group_bounds;   // [groups] of this chunk
  double* weighted_bounds;  // [replicates] of this chunk
  double* weight_sums;      // [replicates] of this chunk: of absolute values
  Tally* tally;
};

// A chunk's rows in the order in which they are worked on: sorted by group; with few columns as they come.
struct Chunk {
  const uint8_t* rows;  // row r begins at rows + r * width * element size
  int32_t type;
  int32_t count;
  const int32_t* order;   // [count] place -> row
  const int32_t* groups;  // [count] place -> group; sorted, -1 at the end
  const float* weights;   // weight of row r in replicate k: weights[k * weight_stride + r]
  int64_t weight_stride;
  float* probabilities;  // outputs of the chunk's row 0
  int32_t* top_indices;
  float* top_probabilities;
  float* entropy;
  float* margin;
  float* bounds;
};

enum class Refusal : int32_t { kNone, kNotFinite, kZero, kTooLarge };

struct Outcome {
  Refusal refusal;
  int32_t row;  // of the chunk; the lowest that was refused
};

// How the words of a product's prompts lie in Plan::narrow.
enum class PromptWords : int32_t {
  kColumns,  // [words][columns]
  kPairs,    // [words / 2][columns][2]
  kRows,     // [columns][words]
};

// Products in fewer bits.
struct Narrow {
  uint32_t precisions = 0;   // bit p: multiplies in precision p
  PromptWords prompt_words = PromptWords::kColumns;
  int32_t word_step = 1;     // a row's words are a multiple of this
  bool unsigned_rows = false;  // a row's byte is more by 128
  bool (*sums_as_fp32)() = nullptr;  // whether products of bf16 are added one after the other and rounded as in fp32; null: they are not
  int32_t tiles_isa = -1;    // CLIPENGINE_CPU_*: the set whose tile registers multiply; -1 for none
};

// totals[i] += values[i] with add_to_total's rounding; false where one is out of range.
using AddToTotals = bool (*)(clipengine_sweep_total* totals, const double* values, int64_t count);

struct Kernel {
  const char* name;
  int32_t lanes;
  int32_t panel_rows;       // rows that a product works on
  int32_t product_columns;  // columns of a full product
  int32_t column_step;      // narrower ones are a multiple of this
  int32_t dot_columns;      // columns that rows are multiplied with at a time where there are few
  int32_t few_columns;      // a multiple of dot_columns
  // Scores one chunk; adds to Workspace::{sums, counts, weighted}, writes the chunk's row outputs.
  Outcome (*run)(const Plan& plan, const Workspace& workspace, const Chunk& chunk);
  AddToTotals add_to_totals;  // null: add_to_total does it one by one
  Narrow narrow;
};

// Null where the build does not have the instruction set; whether the processor has it is the caller's question.
const Kernel* avx512_kernel();
const Kernel* avx2_kernel();
const Kernel* neon_kernel();
const Kernel* portable_kernel();
// The AVX-512 kernel with VNNI, and VDPBF16PS where the processor has it; the same with tile registers, and with those in software.
const Kernel* avx512_narrow_kernel();
const Kernel* amx_kernel();
const Kernel* amx_emulated_kernel();
// NEON with SDOT; with SMMLA and BFMMLA.
const Kernel* neon_dot_kernel();
const Kernel* neon_matrix_kernel();

}  // namespace clipengine::sweep
