// y = softmax(q k^T / sqrt(head width) + mask) v per head, scores never leaving the chip: 64 queries a block walk over the
// keys 64 at a time with a running maximum and sum (the online softmax of Milakov and Gimelshein, 2018).
// The walk depends on the number of keys alone, never on the batch.
#include "cuda/kernels/primitives.h"

// How a sequence's rows lie: heads side by side within a row, `row` elements from one token to the next, `batch` from one
// sequence to the next.
struct Operand {
  int64_t row, batch;
};

struct AttentionShape {
  int heads, head_width, queries, keys;
  int is_causal;
  const float* mask;     // [queries, keys], added to the scaled scores; or null
  int64_t mask_batch;    // elements from one sequence's mask to the next; 0: one for all
  int64_t mask_head;     // elements from one head's mask to the next; 0: one for all
  const int* lengths;    // [batch]: keys from there on are hidden; or null
  int offset;            // behind a causal mask query i sees keys 0 .. offset + i
};

constexpr int kQueryTile = 64, kKeyTile = 64, kAttentionThreads = 128;
constexpr float kLog2E = 1.4426950408889634f;

CLIPENGINE_DEVICE float negative_infinity() { return bits_to_float(0xff800000u); }

template <typename T>
CLIPENGINE_DEVICE float unpack(uint32_t bits) {
  T value;
  value.bits = (uint16_t)bits;
  return to_float(value);
}

// Brings 64 rows of one head into shared memory, zeros behind the head's width and behind the last row.
template <typename T, int padded>
CLIPENGINE_DEVICE void fetch_rows(T* tile, const T* rows, int64_t row_stride, int first, int count, int head_width) {
  constexpr int pitch = padded + 8;
  if (head_width % 8 == 0 && row_stride % 8 == 0) {
    for (int piece = thread_index(); piece < 64 * (padded / 8); piece += kAttentionThreads) {
      const int r = piece / (padded / 8), c = (piece % (padded / 8)) * 8;
      const bool valid = first + r < count && c < head_width;
      copy_async_16(tile + r * pitch + c, valid ? rows + (first + r) * row_stride + c : rows, valid);
    }
  } else {  // 14 elements a head, say: no 16-byte rows
    for (int element = thread_index(); element < 64 * padded; element += kAttentionThreads) {
      const int r = element / padded, c = element % padded;
      tile[r * pitch + c] = first + r < count && c < head_width ? rows[(first + r) * row_stride + c] : convert<T>(0.0f);
    }
  }
  copy_async_commit();
}

template <typename T, int padded>
CLIPENGINE_DEVICE void attention_16bit(const T* q, const T* k, const T* v, T* y, Operand q_rows, Operand k_rows, Operand v_rows, const AttentionShape& shape) {
  constexpr int pitch = padded + 8;
  CLIPENGINE_DYNAMIC_SHARED(shared);
  T* q_tile = reinterpret_cast<T*>(shared);
  T* k_tile = q_tile + kQueryTile * pitch;
  T* v_tile = k_tile + kKeyTile * pitch;
  const int thread = thread_index(), warp = thread / 32, lane = thread % 32;
  const int query0 = block_index_x() * kQueryTile, head = block_index_y(), sequence = block_index_z();
  const int64_t offset = (int64_t)head * shape.head_width;
  q += sequence * q_rows.batch + offset;
  k += sequence * k_rows.batch + offset;
  v += sequence * v_rows.batch + offset;
  // Scores are kept in units of log2, so that the softmax is a bare 2^x.
  const float scale = kLog2E * reciprocal_square_root((float)shape.head_width);

  float output[padded / 8][4], peak[2], total[2];
  CLIPENGINE_UNROLL
  for (int j = 0; j < padded / 8; ++j)
    CLIPENGINE_UNROLL
    for (int e = 0; e < 4; ++e) output[j][e] = 0.0f;
  CLIPENGINE_UNROLL
  for (int half = 0; half < 2; ++half) {
    peak[half] = negative_infinity();
    total[half] = 0.0f;
  }

  fetch_rows<T, padded>(q_tile, q, q_rows.row, query0, shape.queries, shape.head_width);
  // Behind a causal mask no query of this block sees a key beyond its last query.
  const int keys = shape.lengths ? smaller(shape.keys, shape.lengths[sequence]) : shape.keys;
  const int last_key = shape.is_causal ? smaller(keys, shape.offset + query0 + kQueryTile) : keys;
  for (int key0 = 0; key0 < last_key; key0 += kKeyTile) {
    block_barrier();  // nobody still reads the tiles of the last round
    fetch_rows<T, padded>(k_tile, k, k_rows.row, key0, keys, shape.head_width);
    fetch_rows<T, padded>(v_tile, v, v_rows.row, key0, keys, shape.head_width);
    copy_async_wait<0>();
    block_barrier();

    float scores[kKeyTile / 8][4];
    CLIPENGINE_UNROLL
    for (int j = 0; j < kKeyTile / 8; ++j)
      CLIPENGINE_UNROLL
      for (int e = 0; e < 4; ++e) scores[j][e] = 0.0f;
    CLIPENGINE_UNROLL
    for (int c = 0; c < padded; c += 16) {
      uint32_t a[4];
      load_matrix_x4(a, q_tile + (warp * 16 + lane % 16) * pitch + c + (lane / 16) * 8);
      CLIPENGINE_UNROLL
      for (int j = 0; j < kKeyTile / 8; j += 2) {
        uint32_t b[4];
        load_matrix_x4(b, k_tile + (j * 8 + (lane / 16) * 8 + lane % 8) * pitch + c + ((lane / 8) % 2) * 8);
        multiply_tile(scores[j], a, b, T());
        multiply_tile(scores[j + 1], a, b + 2, T());
      }
    }

    float new_peak[2] = {peak[0], peak[1]};
    CLIPENGINE_UNROLL
    for (int j = 0; j < kKeyTile / 8; ++j) {
      CLIPENGINE_UNROLL
      for (int e = 0; e < 4; ++e) {
        const int query = query0 + warp * 16 + lane / 4 + (e / 2) * 8, key = key0 + j * 8 + (lane % 4) * 2 + e % 2;
        float score = scores[j][e] * scale;
        if (shape.mask && query < shape.queries && key < keys)
          score += kLog2E * shape.mask[sequence * shape.mask_batch + head * shape.mask_head + (int64_t)query * shape.keys + key];
        if (key >= keys || (shape.is_causal && key > shape.offset + query)) score = negative_infinity();
        scores[j][e] = score;
        new_peak[e / 2] = maximum(new_peak[e / 2], score);
      }
    }
    CLIPENGINE_UNROLL
    for (int half = 0; half < 2; ++half) {  // the four lanes of a group hold one row
      new_peak[half] = maximum(new_peak[half], shuffle_xor(new_peak[half], 1));
      new_peak[half] = maximum(new_peak[half], shuffle_xor(new_peak[half], 2));
    }
    float shift[2], decay[2];
    CLIPENGINE_UNROLL
    for (int half = 0; half < 2; ++half) {
      // A row that has seen no key yet has peak -infinity; shifting by 0 keeps -infinity - -infinity out of the sums.
      shift[half] = new_peak[half] == negative_infinity() ? 0.0f : new_peak[half];
      decay[half] = exp2_fast(peak[half] - shift[half]);
      peak[half] = new_peak[half];
      total[half] *= decay[half];
    }
    CLIPENGINE_UNROLL
    for (int j = 0; j < padded / 8; ++j)
      CLIPENGINE_UNROLL
      for (int e = 0; e < 4; ++e) output[j][e] *= decay[e / 2];
    // The weights are summed as the second product reads them, rounded: what it adds up is then a mean of the values.
    uint32_t weights[kKeyTile / 8][2];
    CLIPENGINE_UNROLL
    for (int j = 0; j < kKeyTile / 8; ++j) {
      CLIPENGINE_UNROLL
      for (int half = 0; half < 2; ++half) {
        weights[j][half] = pack_pair<T>(exp2_fast(scores[j][half * 2] - shift[half]), exp2_fast(scores[j][half * 2 + 1] - shift[half]));
        total[half] += unpack<T>(weights[j][half] & 0xffffu) + unpack<T>(weights[j][half] >> 16);
      }
    }
    CLIPENGINE_UNROLL
    for (int j = 0; j < kKeyTile / 8; j += 2) {
      // Two neighbouring score blocks are, register for register, the left operand of a 16-deep product.
      const uint32_t a[4] = {weights[j][0], weights[j][1], weights[j + 1][0], weights[j + 1][1]};
      CLIPENGINE_UNROLL
      for (int d = 0; d < padded / 8; d += 2) {
        uint32_t b[4];
        load_matrix_x4_transposed(b, v_tile + (j * 8 + ((lane / 8) % 2) * 8 + lane % 8) * pitch + d * 8 + (lane / 16) * 8);
        multiply_tile(output[d], a, b, T());
        multiply_tile(output[d + 1], a, b + 2, T());
      }
    }
  }
  copy_async_wait<0>();

  CLIPENGINE_UNROLL
  for (int half = 0; half < 2; ++half) {
    total[half] += shuffle_xor(total[half], 1);
    total[half] += shuffle_xor(total[half], 2);
  }
  const int64_t y_row = (int64_t)shape.heads * shape.head_width;
  CLIPENGINE_UNROLL
  for (int d = 0; d < padded / 8; ++d) {
    CLIPENGINE_UNROLL
    for (int e = 0; e < 4; ++e) {
      const int query = query0 + warp * 16 + lane / 4 + (e / 2) * 8, c = d * 8 + (lane % 4) * 2 + e % 2;
      // A fully masked row gives zeros, not NaN.
      if (query < shape.queries && c < shape.head_width)
        y[((int64_t)sequence * shape.queries + query) * y_row + offset + c] = convert<T>(total[e / 2] > 0.0f ? output[d][e] / total[e / 2] : 0.0f);
    }
  }
}

// fp32: one warp a query, one lane a key, plain multiply-adds.
CLIPENGINE_DEVICE void attention_plain(const float* q, const float* k, const float* v, float* y, Operand q_rows, Operand k_rows, Operand v_rows, const AttentionShape& shape) {
  CLIPENGINE_SHARED float weights[4][32];
  const int warp = thread_index() / 32, lane = thread_index() % 32;
  const int query = block_index_x() * 4 + warp, head = block_index_y(), sequence = block_index_z();
  if (query >= shape.queries) return;  // a whole warp; no block barrier follows
  const int64_t offset = (int64_t)head * shape.head_width;
  q += sequence * q_rows.batch + query * q_rows.row + offset;
  k += sequence * k_rows.batch + offset;
  v += sequence * v_rows.batch + offset;
  const float scale = kLog2E * reciprocal_square_root((float)shape.head_width);
  float output[4] = {0.0f, 0.0f, 0.0f, 0.0f}, peak = negative_infinity(), total = 0.0f;
  const int keys = shape.lengths ? smaller(shape.keys, shape.lengths[sequence]) : shape.keys;
  const int last_key = shape.is_causal ? smaller(keys, shape.offset + query + 1) : keys;
  for (int key0 = 0; key0 < last_key; key0 += 32) {
    const int key = key0 + lane;
    float score = negative_infinity();
    if (key < last_key) {
      float dot = 0.0f;
      for (int c = 0; c < shape.head_width; ++c) dot = multiply_add(q[c], k[key * k_rows.row + c], dot);
      score = dot * scale;
      if (shape.mask) score += kLog2E * shape.mask[sequence * shape.mask_batch + head * shape.mask_head + (int64_t)query * shape.keys + key];
    }
    const float new_peak = maximum(peak, warp_maximum(score));
    const float shift = new_peak == negative_infinity() ? 0.0f : new_peak;
    const float decay = exp2_fast(peak - shift), weight = exp2_fast(score - shift);
    peak = new_peak;
    total = total * decay + warp_sum(weight);
    weights[warp][lane] = weight;
    warp_barrier();
    CLIPENGINE_UNROLL
    for (int part = 0; part < 4; ++part) {
      const int c = part * 32 + lane;
      float sum = output[part] * decay;
      if (c < shape.head_width) {
        for (int i = 0; i < 32 && key0 + i < last_key; ++i) sum = multiply_add(weights[warp][i], v[(key0 + i) * v_rows.row + c], sum);
      }
      output[part] = sum;
    }
    warp_barrier();  // the weights are overwritten next
  }
  CLIPENGINE_UNROLL
  for (int part = 0; part < 4; ++part) {
    const int c = part * 32 + lane;
    if (c < shape.head_width)
      y[((int64_t)sequence * shape.queries + query) * shape.heads * shape.head_width + offset + c] = total > 0.0f ? output[part] / total : 0.0f;
  }
}

#define CLIPENGINE_ATTENTION(name, T, body)                                                                                                            \
  CLIPENGINE_KERNEL __launch_bounds__(kAttentionThreads, 2) name(const T* q, const T* k, const T* v, T* y, int64_t q_row, int64_t q_batch, int64_t k_row,   \
                                                              int64_t k_batch, int64_t v_row, int64_t v_batch, int heads, int head_width, int queries, \
                                                              int keys, int is_causal, const float* mask, int64_t mask_batch, int64_t mask_head,      \
                                                              const int* lengths, int offset) {                                                      \
    body(q, k, v, y, Operand{q_row, q_batch}, Operand{k_row, k_batch}, Operand{v_row, v_batch},                                                          \
         AttentionShape{heads, head_width, queries, keys, is_causal, mask, mask_batch, mask_head, lengths, offset});                                                                           \
  }
#define CLIPENGINE_ATTENTION_16BIT(type, width) CLIPENGINE_ATTENTION(attention_##type##_##width, type, (attention_16bit<type, width>))
#define CLIPENGINE_ATTENTION_WIDTHS(type) \
  CLIPENGINE_ATTENTION_16BIT(type, 32)    \
  CLIPENGINE_ATTENTION_16BIT(type, 64)    \
  CLIPENGINE_ATTENTION_16BIT(type, 80)    \
  CLIPENGINE_ATTENTION_16BIT(type, 96)    \
  CLIPENGINE_ATTENTION_16BIT(type, 112)   \
  CLIPENGINE_ATTENTION_16BIT(type, 128)
CLIPENGINE_ATTENTION_WIDTHS(bf16)
CLIPENGINE_ATTENTION_WIDTHS(fp16)
CLIPENGINE_ATTENTION(attention_fp32, float, attention_plain)
#undef CLIPENGINE_ATTENTION_WIDTHS
#undef CLIPENGINE_ATTENTION_16BIT
#undef CLIPENGINE_ATTENTION
