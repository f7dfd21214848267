// What every instruction set provides: a table of single-threaded kernels over plain pointers. The drivers beside this file
// choose a table once, cut the work into chunks and call through it; nothing else of an instruction set is visible.
//
// Tiled rows: the left operand of every product. Rows stand in tiles of at most Kernels::tile_rows, as equal as they can be
// (tile_begin), and inside a tile 16 "words" (32 bits: one float, two bf16, four bytes) of each row lie side by side:
// word w of row r of a tile with R rows is at [(w / 16) * R * 16 + r * 16 + w % 16]. So a kernel walks a tile with one pointer
// and constant offsets, and whatever writes a row writes whole cache lines.
//
// Panels: the right operand. Kernels::panel_columns output channels stand side by side, word by word:
// word w of channel c of panel p is at [(p * words + w) * panel_columns + c]. Missing channels are zero.
// Where Kernels::word_pairs says so, panels of bytes and of bf16 pairs hold two words of a channel side by side, and words are even:
// word w of channel c is at [(p * words + w / 2 * 2) * panel_columns + 2 * c + w % 2].
#pragma once

#include <cstddef>
#include <cstdint>

namespace clipengine::cpu {

enum class Activation : int32_t { None = 0, Gelu = 1, GeluTanh = 2, QuickGelu = 3, Relu = 4, Silu = 5, Tanh = 6 };

// How a product's operands are kept. Sums are fp32 in all (int32 inside Int8).
enum class Precision : int32_t {
  Float32 = 0,
  BFloat16 = 1,  // both operands rounded to bf16
  Int8 = 2,      // channels of the weight and rows of the input scaled to 8 bits each
  Float16 = 3,   // the weight kept as fp16, the input as fp32
};

constexpr int64_t kLine = 16;  // words in a cache line
constexpr int64_t kMatrixRows = 16;  // rows of a tile register

// A number as a type: for code that is compiled once for each of several.
template <int kValue>
struct Constant {
  static constexpr int value = kValue;
};

constexpr int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }
constexpr int64_t divide_up(int64_t value, int64_t step) { return (value + step - 1) / step; }

// The first row of a tile when rows are dealt to tiles as equally as possible.
constexpr int64_t tile_begin(int64_t tile, int64_t tiles, int64_t rows) {
  const int64_t height = rows / tiles, taller = rows % tiles;
  return tile * height + (tile < taller ? tile : taller);
}

// Words of one row in tiled form, a multiple of kLine.
constexpr int64_t words_of(int64_t depth, Precision precision, bool pairs) {
  const int64_t per_word = precision == Precision::Int8 ? 4 : (precision == Precision::BFloat16 && pairs ? 2 : 1);
  return round_up(divide_up(depth, per_word), kLine);
}

// Rows in, tiled rows out, through a layer norm where norm_weight is given. One call handles whole tiles.
struct PackRows {
  const float* input;      // row-major
  int64_t input_stride;    // floats from row to row
  int64_t rows;            // of the whole operand
  int64_t tiles;           // of the whole operand
  int64_t depth;           // floats of a row
  int64_t tile_from, tile_to;
  const float* norm_weight;  // [depth] or null: plain copy
  const float* norm_bias;
  float epsilon;
  Precision precision;
  void* output;            // the whole operand, rows * words words
  int64_t words;           // words of a row: words_of(depth)
  float* row_scales;       // [rows], Int8 only: value = (byte - 128) * scale
  float* row_buffer;       // scratch of Int8, words * 4 floats
};

// output = scale * activation(product + bias) * multiplier + residual.
struct Finish {
  const float* bias;      // [columns] or null
  const float* scale;     // [columns] or null
  const float* multiplier;  // row-major or null: the other half of a gated layer
  int64_t multiplier_stride;
  const float* residual;  // row-major or null
  int64_t residual_stride;
  Activation activation;
  float* output;          // row-major with output_stride, or tiled (same tiles) when output_stride is 0
  int64_t output_stride;
  int64_t output_words;   // words of a row when tiled
  bool output_bf16;       // tiled: as the left operand of a product in bf16, else as one in fp32
};

// A range of tiles times a range of panels.
struct Product {
  const void* rows_data;   // tiled
  int64_t rows, tiles;     // of the whole operand
  int64_t words;           // stored words of a row (the tiled stride)
  int64_t depth_words;     // words that count: divide_up(depth, per word)
  const void* panels;      // first panel of the weight
  int64_t columns;         // output channels in all
  int64_t tile_from, tile_to;
  int64_t panel_from, panel_to;
  Precision precision;
  const float* row_scales;      // Int8
  const float* column_scales;   // Int8
  const int32_t* column_sums;   // Int8: 128 * sum of the channel's bytes
  Finish finish;
  void* scratch;           // product_scratch_words words
};

// softmax(q k^T * scale + masks) v for one head of one sequence. pack_attention comes first and writes panels; where shared, attention only
// reads them, so that many calls on several threads may look at the same ones. Otherwise attention goes on packing: it may write panels too.
// Either way key and value must stay valid until attention is done: the last keys may be read from there and not from panels.
struct AttentionHead {
  const float* query;
  const float* key;
  const float* value;
  int64_t query_stride, key_stride, value_stride;  // floats from token to token
  int64_t queries, keys, width;                    // width of one head. keys decides the size and the strides of panels: the same number for both calls
  int64_t visible;            // keys that any query may see: of shared ones at most keys, else as many
  bool shared;                // whether other calls with other visible keys look at the same packed ones
  bool causal;                // query i sees keys 0 .. offset + i
  int64_t offset;
  const float* mask;          // a row for each query, added to the scores; or null
  int64_t mask_stride;        // floats from row to row
  float scale;
  float* output;              // row-major
  int64_t output_stride;
  const float* next_query;    // those of the head that is computed next, to be fetched meanwhile; or null
  const float* next_key;
  const float* next_value;
  float* panels;              // attention_panel_floats: the packed keys and values
  float* scratch;             // attention_scratch_floats
};

// A convolution of one plane: output[y, x] = bias + sum of kernel[ky, kx] * plane[y * stride + ky, x * stride + kx].
// The plane is padded already, and its columns are dealt to `stride` phases: column c of a row is at phase c % stride, c / stride, so
// that what neighbouring outputs read lies side by side.
struct DepthwisePlane {
  const float* plane;      // [rows, stride, phase_width]
  int64_t phase_width;     // room for whole vectors behind the last column
  const float* kernel;     // [kernel_height, kernel_width]
  int64_t kernel_height, kernel_width, stride;
  int64_t out_height, out_width;
  float bias;
  float* output;           // [out_height, out_width]
};

// One row of the outputs of a map whose channels lie side by side, each past its own kernel. What lies outside the map is left out.
struct DepthwiseLines {
  const float* input;      // the first pixel of the first row that the kernel sees
  int64_t columns;         // pixels of a row
  int64_t pixel_step, row_step;  // floats from pixel to pixel, from row to row
  int64_t channels;        // of the output, a multiple of kLine
  bool twice;              // whether outputs 2 c and 2 c + 1 look at channel c of the input, else output c
  const float* kernel;     // of kLine channels at a time, kernel_step apart, the rows that are seen: [kernel_height, kernel_width, kLine]
  const float* bias;       // [kLine] at a time, kernel_step apart
  int64_t kernel_step;
  int64_t kernel_height, kernel_width, stride, padding;  // padding: columns left of the map
  int64_t out_width;
  float* output;           // [out_width, output_stride]; channels of each are written
  int64_t output_stride;
};

struct Kernels {
  const char* name;
  int64_t tile_rows;       // largest tile
  int64_t panel_columns;   // a multiple of kLine
  bool bf16_pairs;         // whether BFloat16 panels and rows hold pairs (VDPBF16PS); else panels hold 16-bit values, rows floats
  int64_t depth_block;     // words of one pass over the depth
  // Whether products in bf16 and int8 run on tile registers (amx/). Their rows stand in tiles of at most kMatrixRows and have room for one
  // line more behind them; their panels' words are padded to whole lines.
  bool matrix_tiles;

  void (*pack_rows)(const PackRows&);
  void (*product)(const Product&);
  void (*pack_attention)(const AttentionHead&);  // fills panels
  void (*attention)(const AttentionHead&);
  void (*pack_attention_bf16)(const AttentionHead&);  // the same with queries, keys, values and softmax rounded to bf16; null where fp32 is no slower
  void (*attention_bf16)(const AttentionHead&);
  void (*layer_norm)(const float* input, float* output, int64_t rows, int64_t width, const float* weight, const float* bias, float epsilon);
  void (*rms_norm)(const float* input, float* output, int64_t rows, int64_t width, const float* weight, float epsilon);
  void (*l2_normalize)(const float* input, float* output, int64_t rows, int64_t width);
  void (*activate)(const float* input, float* output, int64_t count, Activation activation);
  void (*add)(const float* left, const float* right, float* output, int64_t count);
  void (*multiply)(const float* left, const float* right, float* output, int64_t count);
  void (*depthwise)(const DepthwisePlane&);
  void (*depthwise_lines)(const DepthwiseLines&);
  void (*rest)();          // what a thread does before it sleeps; null for nothing
  // sums[i][j] = sum over w of the products of left[i][w] and right[w][j], two bf16 or four bytes (unsigned on the right, signed on the left)
  // each: left [left_rows, words], right [words, 32], sums [left_rows, 32] of fp32 or int32. left_rows is 16 or 32, words a multiple of 16.
  // Null without tile registers.
  void (*multiply_tiles)(bool bytes, const uint32_t* left, const uint32_t* right, int64_t words, int64_t left_rows, uint32_t* sums);
  bool word_pairs = false;
};

inline bool on_matrix_tiles(const Kernels& kernels, Precision precision) {
  return kernels.matrix_tiles && (precision == Precision::BFloat16 || precision == Precision::Int8);
}

// The largest tile of rows in a product of this precision.
inline int64_t tile_rows_of(const Kernels& kernels, Precision precision) { return on_matrix_tiles(kernels, precision) ? kMatrixRows : kernels.tile_rows; }

inline int64_t product_scratch_words(const Kernels& kernels, Precision precision, int64_t tiles, int64_t panels, int64_t depth_words) {
  const int64_t tile = tile_rows_of(kernels, precision) * kernels.panel_columns;
  const int64_t partial = depth_words > kernels.depth_block ? tiles * panels * tile : 2 * tile;  // two where tile registers multiply two panels, or two tiles, at once
  return partial + kernels.depth_block * kernels.panel_columns;  // behind: one 16-bit panel block widened
}

inline int64_t attention_panel_floats(const Kernels& kernels, int64_t keys, int64_t width) {
  return round_up(keys, kernels.panel_columns) * round_up(width, kLine)  // keys as panels
       + round_up(width, kernels.panel_columns) * round_up(keys, 2 * kLine);  // values as panels
}

// The last keys, if so few are left of whole lines, are multiplied one by one: cheaper than a vector of mostly empty lanes.
constexpr int64_t kMostLoneKeys = 6;

inline int64_t attention_scratch_floats(const Kernels& kernels, int64_t keys, int64_t width) {
  const int64_t rows = kernels.matrix_tiles ? kMatrixRows : kernels.tile_rows;
  return rows * round_up(width, 2 * kLine)  // one tile of queries
       + rows * round_up(keys, 2 * kernels.panel_columns)  // its scores
       + 2 * rows * kernels.panel_columns  // tiles of the output
       + rows * kLine                      // row sums
       + kMostLoneKeys * (round_up(width, 2 * kLine) + kLine)  // keys that are in no panel, and their scores
       + (kernels.matrix_tiles ? round_up(width, kernels.panel_columns) * kLine : 0);  // the last values, without hidden ones
}

}  // namespace clipengine::cpu
