/* The CPU backend: weights packed once, passes over arenas, and the operations that models are written in.
 *
 * All tensors are fp32 (token ids and indices int32), row-major, contiguous and 64-byte aligned where they come from
 * clipengine_cpu_allocate. n is the batch, t tokens, w width. Sizes are trusted: the managed side has compared shapes.
 * A pass belongs to one thread at a time; weights are immutable and shared. Outputs never overlap inputs.
 * Results do not depend on the number of threads, nor a sequence's on the others in its batch: bit for bit. */
#ifndef CLIPENGINE_CPU_H
#define CLIPENGINE_CPU_H

#include "clipengine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Instruction sets, of each processor family from least to most. */
enum {
  CLIPENGINE_CPU_PORTABLE = 0,
  CLIPENGINE_CPU_AVX2 = 1,        /* AVX2, FMA, F16C */
  CLIPENGINE_CPU_AVX512 = 2,      /* F, BW, DQ, VL, CD */
  CLIPENGINE_CPU_AVX512_VNNI = 3, /* and VPDPBUSD */
  CLIPENGINE_CPU_AVX512_BF16 = 4, /* and VDPBF16PS */
  CLIPENGINE_CPU_NEON = 5,        /* Arm64: what every processor has */
  CLIPENGINE_CPU_NEON_DOT = 6,    /* and SDOT */
  CLIPENGINE_CPU_NEON_MATRIX = 7, /* and SMMLA, BFMMLA */
  CLIPENGINE_CPU_AMX = 8,         /* x86-64: avx512_vnni and the tile registers: TDPBF16PS, TDPBUSD */
  CLIPENGINE_CPU_AMX_EMULATED = 9, /* the kernels of amx with the tile registers in software: runs anywhere, never chosen by itself */
  CLIPENGINE_CPU_ISA_COUNT = 10
};

/* The set that computes fastest of those that this processor and system have. See clipengine_cpu_rates. */
CLIPENGINE_API int32_t clipengine_cpu_isa_best(void) CLIPENGINE_NOEXCEPT;

/* UNSUPPORTED, saying why, where a set cannot run here. */
CLIPENGINE_API clipengine_status clipengine_cpu_isa_check(int32_t isa) CLIPENGINE_NOEXCEPT;

/* The set that is used unless one is asked for: what the environment variable CLIPENGINE_CPU names (portable, avx2, avx512, avx512_vnni,
 * avx512_bf16, amx; neon, neon_dot, neon_matrix; amx_emulated), else the best. BAD_INPUT where the name is unknown or the set cannot run here. */
CLIPENGINE_API clipengine_status clipengine_cpu_isa_default(int32_t* isa) CLIPENGINE_NOEXCEPT;

/* What decides about the best set: how many multiply-adds of bf16 the processor does for one of fp32 FMA; 0 where it has no such
 * instruction. */
enum {
  CLIPENGINE_CPU_RATES_KNOWN = 0,    /* of this processor's family and model */
  CLIPENGINE_CPU_RATES_MEASURED = 1, /* here, when they were first asked for */
  CLIPENGINE_CPU_RATES_KEPT = 2      /* measured by an earlier process: clipengine_cpu_rates_file */
};
typedef struct clipengine_cpu_rates {
  double pairs;   /* VDPBF16PS */
  double tiles;   /* TDPBF16PS */
  int64_t source; /* CLIPENGINE_CPU_RATES_* */
} clipengine_cpu_rates;
CLIPENGINE_API clipengine_status clipengine_cpu_rates_get(clipengine_cpu_rates* rates) CLIPENGINE_NOEXCEPT;

/* Where a measurement is kept for this processor's model: a file in the user's cache folder, which may be deleted. Where it cannot be written
 * each process measures. A constant; empty where there is no such folder. */
CLIPENGINE_API const char* clipengine_cpu_rates_file(void) CLIPENGINE_NOEXCEPT;

/* The set's name, a constant; null where isa is out of range. */
CLIPENGINE_API const char* clipengine_cpu_isa_name(int32_t isa) CLIPENGINE_NOEXCEPT;

/* Element types, as the managed ElementType counts them. */
enum {
  CLIPENGINE_BOOLEAN = 0, CLIPENGINE_UINT8, CLIPENGINE_INT8, CLIPENGINE_UINT16, CLIPENGINE_INT16, CLIPENGINE_UINT32,
  CLIPENGINE_INT32, CLIPENGINE_UINT64, CLIPENGINE_INT64, CLIPENGINE_FLOAT16, CLIPENGINE_BFLOAT16, CLIPENGINE_FLOAT32,
  CLIPENGINE_FLOAT64
};

typedef struct clipengine_cpu_weight clipengine_cpu_weight;
typedef struct clipengine_cpu_pass clipengine_cpu_pass;

/* A matrix for products: y = x W^T, W [columns, depth].
 * data: columns * depth elements of a floating-point type, [columns, depth], or [depth, columns] where transposed is not 0;
 *   any alignment; not read after the call.
 * compute_type: CLIPENGINE_FLOAT32, _BFLOAT16, _FLOAT16 (kept as fp16, computed as fp32) or _INT8.
 * isa: a set that the processor has. The caller releases the weight. */
CLIPENGINE_API clipengine_status clipengine_cpu_matrix_create(const void* data, int32_t type, int64_t columns, int64_t depth,
                                                              int32_t transposed, int32_t compute_type, int32_t isa,
                                                              clipengine_cpu_weight** weight) CLIPENGINE_NOEXCEPT;

/* Values kept as fp32 as they lie: biases, norms, tables, positions. data: count elements of a floating-point type. */
CLIPENGINE_API clipengine_status clipengine_cpu_values_create(const void* data, int32_t type, int64_t count,
                                                              clipengine_cpu_weight** weight) CLIPENGINE_NOEXCEPT;

/* A tensor that is still in a file. */
typedef struct clipengine_cpu_read {
  int64_t file;     /* a descriptor that is open for reading, or a HANDLE; its position is not used */
  int64_t start;    /* the tensor's first byte */
  int64_t error;    /* written: the system's error; 0 where the file has ended before the tensor */
  int32_t type;     /* of its elements: fp16, bf16 or fp32 */
  uint32_t largest; /* written: the largest magnitude, as the integer that its bits are without the sign */
} clipengine_cpu_read;

/* The same as clipengine_cpu_matrix_create and clipengine_cpu_values_create, of a tensor as the file has it: every thread reads what it packs,
 * so that no byte lies in memory twice. BAD_INPUT where the file cannot be read. */
CLIPENGINE_API clipengine_status clipengine_cpu_matrix_read(clipengine_cpu_read* read, int64_t columns, int64_t depth, int32_t compute_type,
                                                            int32_t isa, clipengine_cpu_weight** weight) CLIPENGINE_NOEXCEPT;
CLIPENGINE_API clipengine_status clipengine_cpu_values_read(clipengine_cpu_read* read, int64_t count, clipengine_cpu_weight** weight) CLIPENGINE_NOEXCEPT;

/* Null is allowed. No pass may use the weight any more. */
CLIPENGINE_API void clipengine_cpu_weight_destroy(clipengine_cpu_weight* weight) CLIPENGINE_NOEXCEPT;

/* Bytes that the weight occupies. */
CLIPENGINE_API int64_t clipengine_cpu_weight_bytes(const clipengine_cpu_weight* weight) CLIPENGINE_NOEXCEPT;

/* Bytes of all live weights and arenas of the process; tests compare it before and after. */
CLIPENGINE_API int64_t clipengine_cpu_live_bytes(void) CLIPENGINE_NOEXCEPT;

/* A pass: an arena in chunks that grow and never move, and the instruction set of its operations. compute_type: as its weights';
 * with CLIPENGINE_BFLOAT16, attention is computed in bf16 too where the set has VDPBF16PS or tile registers. The caller destroys it. */
CLIPENGINE_API clipengine_status clipengine_cpu_pass_create(int32_t isa, int32_t compute_type, clipengine_cpu_pass** pass) CLIPENGINE_NOEXCEPT;
CLIPENGINE_API void clipengine_cpu_pass_destroy(clipengine_cpu_pass* pass) CLIPENGINE_NOEXCEPT;

/* bytes > 0, uninitialised. Valid until the pass is released to an earlier mark. */
CLIPENGINE_API clipengine_status clipengine_cpu_allocate(clipengine_cpu_pass* pass, int64_t bytes, void** memory) CLIPENGINE_NOEXCEPT;

/* Where the next allocation will be, and back to there. 0 is the beginning. Memory behind a mark stays readable until it is
 * allocated again. */
CLIPENGINE_API int64_t clipengine_cpu_mark(const clipengine_cpu_pass* pass) CLIPENGINE_NOEXCEPT;
CLIPENGINE_API void clipengine_cpu_release(clipengine_cpu_pass* pass, int64_t mark) CLIPENGINE_NOEXCEPT;

/* As the managed Activation counts them: 0 none, 1 GELU, 2 GELU (tanh), 3 QuickGELU, 4 ReLU, 5 SiLU, 6 tanh.
 * output = scale * activation(input W^T + bias) * multiplier + residual. input [rows, depth]; multiplier, residual and output
 * [rows, columns]; bias and scale [columns]; bias, scale, multiplier, residual may be null. */
CLIPENGINE_API clipengine_status clipengine_cpu_linear(clipengine_cpu_pass* pass, const float* input, int64_t rows,
                                                       const clipengine_cpu_weight* weight, const clipengine_cpu_weight* bias,
                                                       int32_t activation, const clipengine_cpu_weight* scale, const float* multiplier,
                                                       const float* residual, float* output) CLIPENGINE_NOEXCEPT;

/* input, output [rows, width]; weight, bias [width]. */
CLIPENGINE_API clipengine_status clipengine_cpu_layer_norm(clipengine_cpu_pass* pass, const float* input, int64_t rows, int64_t width,
                                                           const clipengine_cpu_weight* weight, const clipengine_cpu_weight* bias,
                                                           float epsilon, float* output) CLIPENGINE_NOEXCEPT;

/* y = x / sqrt(mean of x^2 + epsilon) * weight. input, output [rows, width]; weight [width]. */
CLIPENGINE_API clipengine_status clipengine_cpu_rms_norm(clipengine_cpu_pass* pass, const float* input, int64_t rows, int64_t width,
                                                         const clipengine_cpu_weight* weight, float epsilon, float* output) CLIPENGINE_NOEXCEPT;

/* y = x / max(||x||, 1e-12). input, output [rows, width]. */
CLIPENGINE_API clipengine_status clipengine_cpu_l2_normalize(clipengine_cpu_pass* pass, const float* input, int64_t rows, int64_t width,
                                                             float* output) CLIPENGINE_NOEXCEPT;

/* input, output [count]. */
CLIPENGINE_API clipengine_status clipengine_cpu_activate(clipengine_cpu_pass* pass, const float* input, int64_t count, int32_t activation,
                                                         float* output) CLIPENGINE_NOEXCEPT;
CLIPENGINE_API clipengine_status clipengine_cpu_add(clipengine_cpu_pass* pass, const float* left, const float* right, int64_t count,
                                                    float* output) CLIPENGINE_NOEXCEPT;
CLIPENGINE_API clipengine_status clipengine_cpu_multiply(clipengine_cpu_pass* pass, const float* left, const float* right, int64_t count,
                                                         float* output) CLIPENGINE_NOEXCEPT;

/* output = activation(tokens * sigmoid(gates)): tokens [batch, tokens, width], gates [batch, width]. */
CLIPENGINE_API clipengine_status clipengine_cpu_gate_tokens(clipengine_cpu_pass* pass, const float* input, int64_t batch, int64_t tokens, int64_t width,
                                                            const float* gates, int32_t activation, float* output) CLIPENGINE_NOEXCEPT;

/* Turns pairs (a, b) of each head's channels by their token's angles: (a cos - b sin, b cos + a sin). input: rows of tokens, stride
 * floats from token to token; cosines and sines at least [tokens, width / heads / 2]; pair i of a head is (2 i, 2 i + 1), or
 * (i, i + half the head) where half_split is not 0. output [batch, tokens, width], contiguous. */
CLIPENGINE_API clipengine_status clipengine_cpu_rotate(clipengine_cpu_pass* pass, const float* input, int64_t stride, int64_t batch,
                                                       int64_t tokens, int64_t width, int64_t heads, const float* cosines,
                                                       const float* sines, int32_t half_split, float* output) CLIPENGINE_NOEXCEPT;

/* softmax(q k^T / sqrt(width / heads) + mask) v. The strides are floats from token to token; a sequence's tokens follow those of
 * the one before. mask [n, queries, keys] or null; causal: query i sees keys 0 .. offset + i; key_lengths [n] or null: keys from
 * there on are hidden. shared_keys, shared_mask: not 0 where one sequence of keys and values, or one mask, serves all n. mask_heads:
 * not 0 where the mask is [n, heads, queries, keys]. A query that sees no key gives zeros. output [n, queries, width], contiguous. */
typedef struct clipengine_cpu_attention {
  const float* query;
  const float* key;
  const float* value;
  const float* mask;
  float* output;
  int64_t query_stride;
  int64_t key_stride;
  int64_t value_stride;
  int64_t batch;
  int64_t queries;
  int64_t keys;
  int64_t width;
  int64_t heads;
  int64_t causal;
  int64_t offset;
  const int32_t* key_lengths;
  int64_t shared_keys;
  int64_t shared_mask;
  int64_t mask_heads;
} clipengine_cpu_attention;
CLIPENGINE_API clipengine_status clipengine_cpu_attend(clipengine_cpu_pass* pass, const clipengine_cpu_attention* call) CLIPENGINE_NOEXCEPT;

/* A pre-norm transformer block in one call. input, output [batch, tokens, width]; layer scales may be null. */
typedef struct clipengine_cpu_block {
  const float* input;
  float* output;
  const float* mask; /* [batch, tokens, tokens] or null; [tokens, tokens] where shared_mask is not 0 */
  const clipengine_cpu_weight* norm1_weight;
  const clipengine_cpu_weight* norm1_bias;
  const clipengine_cpu_weight* in_weight;
  const clipengine_cpu_weight* in_bias;
  const clipengine_cpu_weight* out_weight;
  const clipengine_cpu_weight* out_bias;
  const clipengine_cpu_weight* scale1;
  const clipengine_cpu_weight* norm2_weight;
  const clipengine_cpu_weight* norm2_bias;
  const clipengine_cpu_weight* expand_weight;
  const clipengine_cpu_weight* expand_bias;
  const clipengine_cpu_weight* contract_weight;
  const clipengine_cpu_weight* contract_bias;
  const clipengine_cpu_weight* scale2;
  int64_t batch;
  int64_t tokens;
  int64_t width;
  int64_t heads;
  int64_t causal;
  int32_t activation;
  float epsilon;
  const int32_t* key_lengths; /* [batch] or null: keys from there on are hidden */
  int64_t shared_mask;
} clipengine_cpu_block;
CLIPENGINE_API clipengine_status clipengine_cpu_transformer_block(clipengine_cpu_pass* pass, const clipengine_cpu_block* call) CLIPENGINE_NOEXCEPT;

/* pixels [n, channels, height, width]; kernel [out, channels * patch * patch]; output [n, (height / patch) * (width / patch), out]. */
CLIPENGINE_API clipengine_status clipengine_cpu_patch_embedding(clipengine_cpu_pass* pass, const float* pixels, int64_t batch, int64_t channels,
                                                                int64_t height, int64_t width, int64_t patch,
                                                                const clipengine_cpu_weight* kernel, const clipengine_cpu_weight* bias,
                                                                float* output) CLIPENGINE_NOEXCEPT;

/* output = activation(convolution + bias + residual), [batch, columns of the kernel, ...]. */
typedef struct clipengine_cpu_convolution {
  const float* input; /* [batch, channels, height, width] */
  const clipengine_cpu_weight* kernel; /* [out, channels / groups * kernel_height * kernel_width] */
  const clipengine_cpu_weight* bias;
  const float* residual; /* shape of the output, or null */
  float* output;
  int64_t batch;
  int64_t channels;
  int64_t groups; /* divides channels and out */
  int64_t height;
  int64_t width;
  int64_t kernel_height;
  int64_t kernel_width;
  int64_t stride;
  int64_t padding;
  int64_t activation;
} clipengine_cpu_convolution;
CLIPENGINE_API clipengine_status clipengine_cpu_convolve(clipengine_cpu_pass* pass, const clipengine_cpu_convolution* call) CLIPENGINE_NOEXCEPT;

/* The same where every group is one channel: the kernel is [out, kernel_height * kernel_width], made by
 * clipengine_cpu_values_create, and out a multiple of channels = groups. */
CLIPENGINE_API clipengine_status clipengine_cpu_convolve_depthwise(clipengine_cpu_pass* pass, const clipengine_cpu_convolution* call, int64_t outputs) CLIPENGINE_NOEXCEPT;

/* The same over a map that is kept as tokens: input [batch, height * width, channels], residual and output alike. depthwise_outputs: 0 for one
 * group; where every group is one channel, the outputs, with a kernel as clipengine_cpu_convolve_depthwise takes it. */
CLIPENGINE_API clipengine_status clipengine_cpu_convolve_tokens(clipengine_cpu_pass* pass, const clipengine_cpu_convolution* call, int64_t depthwise_outputs) CLIPENGINE_NOEXCEPT;

/* A block of x = mixer(x), where there is one, and x + scale * contract(activation(expand(norm(convolution(x))))). Mixer and convolution are of
 * single channels, with kernels of an odd side as clipengine_cpu_convolve_depthwise takes them, and keep the map's size. */
typedef struct clipengine_cpu_convolution_block {
  const clipengine_cpu_weight* mixer_kernel; /* [channels, mixer_side^2] or null: no mixer */
  const clipengine_cpu_weight* mixer_bias;
  const clipengine_cpu_weight* kernel; /* [channels, side^2] */
  const clipengine_cpu_weight* bias;
  const clipengine_cpu_weight* norm_weight; /* [channels] or null: no norm */
  const clipengine_cpu_weight* norm_bias;
  const clipengine_cpu_weight* expand_weight; /* [hidden, channels] */
  const clipengine_cpu_weight* expand_bias;
  const clipengine_cpu_weight* contract_weight; /* [channels, hidden] */
  const clipengine_cpu_weight* contract_bias;
  const clipengine_cpu_weight* scale; /* [channels] or null */
  int64_t mixer_side;
  int64_t side;
  int32_t activation;
  float epsilon;
} clipengine_cpu_convolution_block;

/* count blocks one behind the other over a map that is kept as tokens: input and output [batch, height * width, channels]. */
CLIPENGINE_API clipengine_status clipengine_cpu_convolution_stack(clipengine_cpu_pass* pass, const float* input, int64_t batch, int64_t height, int64_t width,
                                                                  int64_t channels, const clipengine_cpu_convolution_block* blocks, int64_t count,
                                                                  float* output) CLIPENGINE_NOEXCEPT;

/* Mean over squares of size x size, stride apart, the first padding outside the map; what lies outside is not counted. maps is n * channels.
 * output [maps, (height + 2 padding - size) / stride + 1, ...]. */
CLIPENGINE_API clipengine_status clipengine_cpu_average_pool(clipengine_cpu_pass* pass, const float* input, int64_t maps, int64_t height,
                                                             int64_t width, int64_t size, int64_t stride, int64_t padding, float* output) CLIPENGINE_NOEXCEPT;

/* [batch, rows, columns] to [batch, columns, rows]. */
CLIPENGINE_API clipengine_status clipengine_cpu_transpose(clipengine_cpu_pass* pass, const float* input, int64_t batch, int64_t rows,
                                                          int64_t columns, float* output) CLIPENGINE_NOEXCEPT;

/* tokens [batch, count, width]; first [width] or null goes before them; positions [count (+ 1), width] or null is added. */
CLIPENGINE_API clipengine_status clipengine_cpu_assemble_tokens(clipengine_cpu_pass* pass, const float* tokens, int64_t batch, int64_t count,
                                                                int64_t width, const clipengine_cpu_weight* first,
                                                                const clipengine_cpu_weight* positions, float* output) CLIPENGINE_NOEXCEPT;

/* ids [batch, count] int32; table [rows, width]; appended [width] or null goes behind; positions at least [count (+ 1), width], or null.
 * INVALID_ARGUMENT, naming the id, where one lies outside the table. */
CLIPENGINE_API clipengine_status clipengine_cpu_token_embedding(clipengine_cpu_pass* pass, const int32_t* ids, int64_t batch, int64_t count,
                                                                int64_t rows, int64_t width, const clipengine_cpu_weight* table,
                                                                const clipengine_cpu_weight* appended, const float* positions,
                                                                float* output) CLIPENGINE_NOEXCEPT;

/* output[b] = tokens[b, indices[b]]. INVALID_ARGUMENT where an index lies outside [0, count). */
CLIPENGINE_API clipengine_status clipengine_cpu_select_tokens(clipengine_cpu_pass* pass, const float* tokens, int64_t batch, int64_t count,
                                                              int64_t width, const int32_t* indices, float* output) CLIPENGINE_NOEXCEPT;

/* output[b] = mean over t of tokens[b, t]. */
CLIPENGINE_API clipengine_status clipengine_cpu_mean_tokens(clipengine_cpu_pass* pass, const float* tokens, int64_t batch, int64_t count,
                                                            int64_t width, float* output) CLIPENGINE_NOEXCEPT;

/* Copies batch runs of length floats: output + b * output_stride = input + b * input_stride. What slices, joins and broadcasts
 * tokens (input_stride 0 repeats). */
CLIPENGINE_API clipengine_status clipengine_cpu_copy_runs(clipengine_cpu_pass* pass, const float* input, int64_t input_stride, float* output,
                                                          int64_t output_stride, int64_t length, int64_t batch) CLIPENGINE_NOEXCEPT;

/* The fp32 values of a weight made by clipengine_cpu_values_create; null for a matrix. Valid as long as the weight. */
CLIPENGINE_API const float* clipengine_cpu_weight_values(const clipengine_cpu_weight* weight) CLIPENGINE_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
