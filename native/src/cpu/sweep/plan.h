// How a probe sweep is cut up: what plan.cpp makes and kernels read.
// Data and declarations only: a function's body here would be compiled with AVX-512 in one file and linked into another.
#pragma once

#include <cstdint>

#include "clipengine_sweep.h"

namespace clipengine::sweep {

constexpr int kChunkRows = CLIPENGINE_SWEEP_CHUNK_ROWS;

// Columns are worked through in blocks of at most this many: a block's scores for one tile of rows stay in the second-level cache.
// A multiple of every kernel's product_columns.
constexpr int kBlockColumns = 240;

// No sum of 16-bit products can leave 32 bits where the norms of both rows stay below this: its square is below 2^31.
constexpr float kInt16Norm = 46330.0f;

// In fewer bits. Between these, a row's or prompt's largest feature leaves nothing that a bound is made of outside fp32's range; what does not lie there is
// multiplied in fp32.
constexpr float kNarrowSmallest = 0x1p-30f, kNarrowLargest = 0x1p30f;
// Added to norms: the root of 65,536 squares below 2^-126, which are flushed.
constexpr float kNormFloor = 0x1p-55f;
// Times chain of rows, and times that of prompts: narrow.h says what for.
constexpr float kChainSlack = 1.01f;

// Smaller features than this, other than zero, can leave sums that one way of adding flushes and another does not.
constexpr float kSmallestExact = 0x1p-50f;

// A run of columns that is scored in one go: either whole segments, or one piece of a segment that is longer than a block.
struct Block {
  int64_t column;        // the first one
  int64_t packed;        // offset of its packed prompts, in floats
  int64_t group;         // its first product of kernel.product_columns, counted over all blocks
  int64_t value_column;  // where its scores stand in Workspace::values, in columns; pieces of one segment stand side by side
  int32_t columns;
  int32_t padded;        // columns rounded up to the kernel's column_step
  int32_t segment;       // the first segment
  int32_t segments;      // how many begin here; 1 for a piece
  int32_t longest;       // columns of its longest segment, or of this piece
  int32_t piece;         // 0-based; 0 where whole
  bool whole;
  bool last;             // the last piece of its segment
};

struct Plan {
  int64_t prompts;
  int64_t width;
  int64_t segments;
  int64_t groups;
  int64_t replicates;
  const int64_t* segment_starts;  // [segments + 1]
  const Block* blocks;
  int64_t block_count;
  const float* packed;  // null in fewer bits; for each block: [columns / product_columns][width][product_columns], the last one narrower
  int64_t value_columns;
  int32_t slots;      // statistics kept a row: segments of a block, or pieces of a segment
  int32_t tile_rows;  // rows that are packed and scored together; a multiple of panel_rows
  int32_t top_count;
  bool sigmoid;
  bool entropy;         // is planned; in what a kernel is given: a batch asks for it
  bool far_values;      // a tile's scores of a long segment leave the caches before its softmax is complete
  bool few;             // at most Kernel::few_columns: rows are not packed, and packed holds [columns][width], both padded with zeros
  float scale;          // times log2(e): scores are kept in base 2
  float bias;           // the same
  float largest_value;  // a row with a greater absolute value could overflow
  bool exponentials;    // a batch asks for something that is made of probabilities
  bool keeps;           // and for something that needs them after their segment's sum is known
  bool totals_only;     // and for nothing but argmax counts and sums of a softmax

  // Products in fewer bits. See narrow.h.
  int32_t precision;              // CLIPENGINE_SWEEP_IN_*
  int64_t padded_columns;         // of all blocks
  int64_t products;               // of all blocks
  int64_t words;                  // 32-bit words of a row in that precision: two or four features each
  const uint32_t* narrow;         // for each block: [columns / product_columns][words][product_columns], the last one narrower; see PromptWords
  const float* exact;             // [prompts][exact_stride], padded with zeros
  int64_t exact_stride;
  const float* column_factor;     // [padded columns of all blocks] what a sum is multiplied with beside its row's factor
  const int32_t* column_offset;   // the same: what a sum of bytes begins with
  const float* group_row_error;   // [products of all blocks] times the norm of a row's rounding: its share of the bound on a score
  const float* group_row_norm;    // the same, times the row's norm
  const float* group_row_chain;   // the same, times what rounding of its sums grows with
  const float* segment_row_error; // [segments] the largest of its products
  const float* segment_row_norm;
  const float* segment_row_chain;
  float error_floor;              // added to every bound
  bool sums_as_fp32;              // of rows that lose nothing: no prompt does, and the kernel adds as fp32 does
  int32_t kept;                   // columns of a segment that must come out as in fp32: the best, those of top_count, two for a margin
  bool single;                    // a segment's best column is wanted and not its score
  // cpu/kernels.h, Kernels::multiply_tiles; null where products are not on tile registers.
  void (*multiply_tiles)(bool bytes, const uint32_t* left, const uint32_t* right, int64_t words, int64_t left_rows, uint32_t* sums);
};

struct Kernel;

// As clipengine_sweep_create, with the kernel given: tests run every kernel that the processor has.
clipengine_sweep* create(const clipengine_sweep_plan& plan, const Kernel& kernel, int64_t& failed_prompt);

}  // namespace clipengine::sweep
