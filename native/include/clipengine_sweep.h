/* The probe sweep: features of many images against features of many prompts, in one fused pass.
 *
 *   score[i, j] = scale * <image i, prompt j> + bias                      natural units, fp32 products and sums
 *   softmax:  p[i, j] = exp(score[i, j]) / sum over j' in segment(j) of exp(score[i, j'])
 *   sigmoid:  p[i, j] = 1 / (1 + exp(-score[i, j]))
 *
 * Columns (prompts) are cut into consecutive segments: one label set under one template each. Nothing is normalised here: rows
 * are taken as they come, and a score is a scaled cosine only where the caller made them unit vectors.
 * Only what a batch asks for is ever held: p [images, prompts] exists as a whole only where probabilities are asked for.
 *
 * Totals are exact: within chunks of CLIPENGINE_SWEEP_CHUNK_ROWS rows are reduced in double precision (on a CPU runs of
 * at most 256 rows in single precision before that, lane by lane and then in pairs), and a chunk's sum is added to a 128-bit integer that counts units of 2^-80 (a rounding of at most 2^-81 a chunk). Integer addition does not care
 * for order: any number of threads, batches or shards gives the same bits as long as their borders lie on multiples of
 * CLIPENGINE_SWEEP_CHUNK_ROWS rows. */
#ifndef CLIPENGINE_SWEEP_H
#define CLIPENGINE_SWEEP_H

#include "clipengine.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CLIPENGINE_SWEEP_CHUNK_ROWS 512
/* A total counts units of 2^-80. */
#define CLIPENGINE_SWEEP_FRACTION_BITS 80
/* Column numbers are exact in fp32 up to here. */
#define CLIPENGINE_SWEEP_MAXIMUM_PROMPTS 16777216

enum { CLIPENGINE_SWEEP_SOFTMAX = 0, CLIPENGINE_SWEEP_SIGMOID = 1 };

/* How features are stored; they are computed with in fp32. */
enum {
  CLIPENGINE_SWEEP_FLOAT16 = 0,
  CLIPENGINE_SWEEP_BFLOAT16 = 1,
  CLIPENGINE_SWEEP_FLOAT32 = 2,
  CLIPENGINE_SWEEP_FLOAT64 = 3 /* rounded to fp32 when read */
};

/* What products are multiplied in. Fewer bits give the same best columns: every score has a bound, from what rounding took from its
 * two rows, and a score that the bound leaves open is multiplied again in fp32, in the order of CLIPENGINE_SWEEP_IN_FLOAT32. Best
 * columns, their scores, argmax counts and ties are therefore those of fp32, bit for bit; whatever is divided by a segment's sum
 * (probabilities, margins, their sums) lies within a bound of fp32's, which is reported.
 *   BFLOAT16  pairs, VDPBF16PS, TDPBF16PS or BFMMLA: rounding of at most 2^-8 of each feature; none at all of features that are stored so,
 *             which with VDPBF16PS have fp32's scores, bit for bit: bounds are zero and nothing is multiplied again. Except where a feature is
 *             below 2^-50 and not zero (in a row: for that row; in a prompt: for every row), where a row's largest feature is outside 2^-30 to
 *             2^30 (all of its scores are multiplied again; its bounds are zero), and where the processor's VDPBF16PS was tried and found to
 *             add otherwise than fp32 does
 *   INT16     pairs, VPDPWSSD, one factor a row: rounding of at most sqrt(width) * 1.1e-5 of a row's norm
 *   INT8      quads, VPDPBUSD, TDPBSUD, SDOT or SMMLA, one factor a row: rounding of at most sqrt(width) * 0.004 of a row's largest feature */
enum {
  CLIPENGINE_SWEEP_IN_FLOAT32 = 0,
  CLIPENGINE_SWEEP_IN_BFLOAT16 = 1,
  CLIPENGINE_SWEEP_IN_INT16 = 2,
  CLIPENGINE_SWEEP_IN_INT8 = 3
};

/* A signed 128-bit integer, little-endian halves; alignment 8. */
typedef struct {
  uint64_t low;
  int64_t high;
} clipengine_sweep_total;

/* What is scored against. Everything it points to is copied by clipengine_sweep_create. */
typedef struct {
  const void* prompts; /* [prompt_count, width] of prompt_type, row-major */
  int64_t prompt_count;
  int64_t width;
  const int32_t* segment_lengths; /* [segment_count], each >= 1, together prompt_count */
  int64_t segment_count;
  int64_t group_count;     /* groups that totals are kept for; 0 for no group totals */
  int64_t replicate_count; /* weighted sums; 0 for none */
  double scale;
  double bias;
  int32_t prompt_type;
  int32_t activation;
  int32_t top_count; /* best columns of each row and segment; 0 for none, at most the shortest segment */
  int32_t entropy;   /* non-zero: entropy will be asked for (softmax only) */
  int32_t precision; /* CLIPENGINE_SWEEP_IN_*: at least as good as this; clipengine_sweep_precision says what is used */
} clipengine_sweep_plan;

/* A run of image rows and where their results go. A null output is not computed. */
typedef struct {
  const void* rows; /* [row_count, width] of row_type, row-major; or null: read from file */
  int64_t row_count;
  int64_t file_offset; /* of the first row, in bytes */
  int32_t file;        /* an open descriptor (on Windows: handle) that can be read at any position; used where rows is null */
  int32_t row_type;
  const int32_t* groups;  /* [row_count], -1 for a row outside every group; null: all rows in group 0 */
  const float* weights;   /* [replicate_count, weight_stride], finite; needed where replicate_count > 0 */
  int64_t weight_stride;
  float* probabilities;     /* [row_count, prompt_count] */
  int32_t* top_indices;     /* [row_count, segment_count, top_count] columns, best first; of equals the lowest */
  float* top_probabilities; /* the same shape */
  float* entropy;           /* [row_count, segment_count] in nats */
  float* margin;            /* [row_count, segment_count] best minus second-best probability; the best's where there is one column */
  int64_t* group_rows;      /* [group_count], added to */
  int64_t* argmax_counts;   /* [group_count, prompt_count], added to: rows whose best column in its segment this is; of equals the lowest */
  clipengine_sweep_total* sums;          /* [group_count, prompt_count], added to: sum of p over the group's rows */
  clipengine_sweep_total* weighted_sums; /* [replicate_count, prompt_count], added to: sum of weight * p over all rows */
  /* Of fewer bits than fp32, all against the same in fp32 and all zero there. */
  float* bounds;                           /* [row_count] on each probability and margin of the row */
  clipengine_sweep_total* sum_bounds;      /* [group_count], added to: on each sum of the group; more than its rows' bounds, since sums are rounded */
  clipengine_sweep_total* weighted_bounds; /* [replicate_count], added to: on each weighted sum; the same */
  int64_t failed_row; /* out: the row that was refused with CLIPENGINE_BAD_INPUT, or -1 */
  int64_t open_scores; /* out: scores that were multiplied again in fp32 */
  float bound;         /* out: the largest of bounds */
  float entropy_bound; /* out: on each entropy; 0 where none was asked for */
} clipengine_sweep_batch;

typedef struct clipengine_sweep clipengine_sweep;

/* Packs the prompts. CLIPENGINE_BAD_INPUT where a prompt is not finite or all zeros: *failed_prompt is its row, else -1. */
CLIPENGINE_API clipengine_status clipengine_sweep_create(const clipengine_sweep_plan* plan, clipengine_sweep** sweep, int64_t* failed_prompt) CLIPENGINE_NOEXCEPT;

/* Null is allowed. No batch may be running. */
CLIPENGINE_API void clipengine_sweep_destroy(clipengine_sweep* sweep) CLIPENGINE_NOEXCEPT;

/* Scores a batch on the thread pool. Calls on one sweep must not overlap. CLIPENGINE_BAD_INPUT where a row is not finite, all
 * zeros or so large that its score would overflow fp32 (batch->failed_row is the first one), or where the file ends early
 * (failed_row is -1); outputs are then unspecified. Memory is kept from batch to batch: a steady state allocates nothing. */
CLIPENGINE_API clipengine_status clipengine_sweep_run(clipengine_sweep* sweep, clipengine_sweep_batch* batch) CLIPENGINE_NOEXCEPT;

/* The instruction set that this sweep runs on: "avx512", "avx2", "portable", "neon", and in fewer bits also "amx", "amx_emulated", "neon_dot"
 * and "neon_matrix". A static string. */
CLIPENGINE_API const char* clipengine_sweep_isa(const clipengine_sweep* sweep) CLIPENGINE_NOEXCEPT;

/* The precision that this sweep multiplies in: the plan's, or CLIPENGINE_SWEEP_IN_FLOAT32 where fewer bits would not be faster (few
 * prompts, a processor without the instruction or with a slow one) or where no bound is known (rows wider than 65,536, prompts or a
 * scale of extreme size). */
CLIPENGINE_API int32_t clipengine_sweep_precision(const clipengine_sweep* sweep) CLIPENGINE_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
