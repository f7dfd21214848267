// What the probe sweep's kernels and the host that launches them share. Plain data: NVRTC, the emulator and the host read it.
//
// A slice is a run of rows whose totals are reduced together. Its rows are worked on in the order of places: within each chunk
// sorted by group, so that a group's rows stand side by side. Columns are cut into tiles: whole segments side by side, or pieces
// of a segment that is longer than a tile.
#pragma once

constexpr int kSweepChunkRows = 512;    // as CLIPENGINE_SWEEP_CHUNK_ROWS
constexpr int kSweepTileRows = 128;     // places of one block of the wide kernels; runs never cross its border
constexpr int kSweepTileColumns = 128;
constexpr int kSweepPieceColumns = 64;  // columns of a long segment whose statistics are kept together
constexpr int kSweepThreads = 256;
constexpr int kSweepFewColumns = 16;    // up to here rows are read once and never tiled
constexpr int kSweepBatchRows = 4096;   // totals are reduced over this many rows before they meet those of others
constexpr int kSweepRunPlaces = 16;     // places that are added up in fp32 before they are added in double precision

// Rows of a score tile lie an odd number of floats apart: both a row of threads and a column of them meet no bank twice.
constexpr int kSweepPitch = kSweepTileColumns + 1;

struct SweepTile {
  int column, columns;    // the first one; at most kSweepTileColumns
  int segment, segments;  // whole segments that begin here; 1 for a piece
  int piece;              // number of its first piece over all long segments, or -1 where segments are whole
  int long_segment;       // number among the long segments
};

struct SweepLong {
  int segment;
  int piece, pieces;
};

// Places [begin, end) of the slice's table that belong to one group, all in one tile of rows.
struct SweepRun {
  int begin, end;
};

// Runs of one group within kSweepBatchRows rows: run_list[first .. last).
struct SweepItem {
  int group;
  int first, last;
};

enum SweepField { kSweepBest = 0, kSweepColumn = 1, kSweepSecond = 2, kSweepTotal = 3, kSweepMoment = 4, kSweepFields = 5 };

enum SweepRefusal { kSweepNotFinite = 1, kSweepZero = 2, kSweepTooLarge = 3 };

struct SweepTask {
  const void* rows;             // [row_count, width] of the kernel's element type, every row a multiple of 16 bytes
  const unsigned short* order;  // [row_count] place -> row, both within their chunk; null: rows in their own order
  const void* prompts;          // [pieces, prompt_count, width]: their sum is the prompt; fp32 (and one piece) for fp32 rows and few columns
  const SweepTile* tiles;
  const SweepLong* longs;
  const int* segment_starts;    // [segment_count + 1]
  const SweepRun* runs;         // of the whole table
  const int* tile_runs;         // [row tiles + 1] number of each tile's first run in the table, from this slice's first tile on
  const int* run_list;          // of the whole table
  const SweepItem* items;       // of this slice
  const float* weights;         // [replicate_count, row_count]
  double* run_sums;             // [runs of this slice, prompt_count]
  unsigned* run_counts;         // the same shape
  unsigned* statistics;         // [pieces of long segments, kSweepFields, row_count] by place; bits of floats
  unsigned* merged;             // [long segments, kSweepFields, row_count] by place
  float* candidate_scores;      // [pieces of long segments, top_count, row_count] by place
  int* candidate_columns;       // the same shape
  float* probabilities;         // [row_count, prompt_count]
  int* top_columns;             // [row_count, segment_count, top_count]
  float* top_probabilities;     // the same shape
  float* entropy;               // [row_count, segment_count]
  float* margin;                // the same shape
  unsigned long long* sums;             // [group_count, prompt_count, 2] units of 2^-80, low half first
  unsigned long long* counts;           // [group_count, prompt_count]
  unsigned long long* weighted_sums;    // [replicate_count, prompt_count, 2]
  unsigned* refusal;            // [0] the smallest of row * 4 + SweepRefusal; [1] not all ones where a sum left its range
  int row_count, width;
  int prompt_count, pieces;
  int segment_count, long_count;
  int run_base, place_base;     // the table's number of this slice's first run and place
  int item_count, replicate_count;
  int top_count, is_sigmoid;
  int emits;                    // probabilities of long segments are needed: for sums or as they are
  float scale, bias;            // of a product, giving scores in base 2
  float largest;                // a row with a greater absolute value is refused
};
