// Everything that moves tokens, pixels and feature maps about: one thread an output element, outputs in fp32 unless said.
#include "cuda/kernels/maths.h"

constexpr int kElementThreads = 256;

CLIPENGINE_DEVICE int64_t element_index() { return (int64_t)block_index_x() * block_size() + thread_index(); }

// Patches (or the windows of a convolution) as rows of a product: y[n oh ow, padded] from x[n, channels, height, width];
// within a row: channel, kernel row, kernel column; zeros outside the image and behind the last element.
template <typename Out>
CLIPENGINE_DEVICE void unfold(const float* x, Out* y, int64_t total, int channels, int height, int width, int kernel_height, int kernel_width, int stride,
                              int padding, int out_height, int out_width, int padded) {
  const int64_t index = element_index();
  if (index >= total) return;
  const int element = (int)(index % padded);
  const int64_t window = index / padded;
  const int out_column = (int)(window % out_width), out_row = (int)(window / out_width % out_height);
  const int64_t image = window / out_width / out_height;
  float value = 0.0f;
  if (element < channels * kernel_height * kernel_width) {
    const int channel = element / (kernel_height * kernel_width);
    const int row = out_row * stride - padding + element / kernel_width % kernel_height, column = out_column * stride - padding + element % kernel_width;
    if (row >= 0 && row < height && column >= 0 && column < width) value = x[((image * channels + channel) * height + row) * width + column];
  }
  y[index] = convert<Out>(value);
}

// y[n, channels, positions] = activation(x[n, positions, channels] + residual): the way back from a convolution's product.
CLIPENGINE_KERNEL fold_channels(const float* x, float* y, int64_t total, int channels, int positions, const float* residual, int activation) {
  const int64_t index = element_index();
  if (index >= total) return;
  const int position = (int)(index % positions), channel = (int)(index / positions % channels);
  const int64_t image = index / positions / channels;
  float value = x[(image * positions + position) * channels + channel];
  if (residual) value += residual[index];
  y[index] = activate(value, activation);
}

// A convolution of which every output channel looks at one input channel: y[n, outputs, oh, ow] = activation(sum + bias + residual).
CLIPENGINE_KERNEL depthwise_convolution(const float* x, const float* kernel, const float* bias, const float* residual, float* y, int64_t total, int channels, int outputs,
                                        int height, int width, int kernel_height, int kernel_width, int stride, int padding, int out_height, int out_width, int activation) {
  const int64_t index = element_index();
  if (index >= total) return;
  const int column = (int)(index % out_width) * stride - padding, row = (int)(index / out_width % out_height) * stride - padding;
  const int out = (int)(index / out_width / out_height % outputs);
  const int64_t image = index / out_width / out_height / outputs;
  const float* plane = x + (image * channels + out / (outputs / channels)) * height * width;
  const float* weights = kernel + (int64_t)out * kernel_height * kernel_width;
  float sum = bias ? bias[out] : 0.0f;
  for (int r = 0; r < kernel_height; ++r) {
    for (int c = 0; c < kernel_width; ++c) {
      if (row + r >= 0 && row + r < height && column + c >= 0 && column + c < width)
        sum = multiply_add(weights[r * kernel_width + c], plane[(int64_t)(row + r) * width + column + c], sum);
    }
  }
  if (residual) sum += residual[index];
  y[index] = activate(sum, activation);
}

// y[n, positions, channels] = x[n, channels, positions].
CLIPENGINE_KERNEL map_to_tokens(const float* x, float* y, int64_t total, int channels, int positions) {
  const int64_t index = element_index();
  if (index >= total) return;
  const int channel = (int)(index % channels), position = (int)(index / channels % positions);
  y[index] = x[(index / channels / positions * channels + channel) * positions + position];
}

// The mean of each square; what lies outside the map is not counted.
CLIPENGINE_KERNEL average_pool(const float* x, float* y, int64_t total, int height, int width, int size, int stride, int padding, int out_height, int out_width) {
  const int64_t index = element_index();
  if (index >= total) return;
  const int column = (int)(index % out_width) * stride - padding, row = (int)(index / out_width % out_height) * stride - padding;
  const int left = column > 0 ? column : 0, right = column + size < width ? column + size : width;
  const int top = row > 0 ? row : 0, bottom = row + size < height ? row + size : height;
  const float* plane = x + index / out_width / out_height * height * width;
  float sum = 0.0f;
  for (int r = top; r < bottom; ++r)
    for (int c = left; c < right; ++c) sum += plane[r * width + c];
  y[index] = sum / (float)((bottom - top) * (right - left));
}

// y[n, tokens, width] = activation(x * sigmoid(gates[n, width])).
CLIPENGINE_KERNEL gate_tokens(const float* x, const float* gates, float* y, int64_t total, int tokens, int width, int activation) {
  const int64_t index = element_index();
  if (index >= total) return;
  const float gate = gates[index / width / tokens * width + index % width];
  y[index] = activate(x[index] * sigmoid(gate), activation);
}

// y[n, (first ? 1 : 0) + t, w]: a learned first token, then the tokens, each with its position added.
template <typename In>
CLIPENGINE_DEVICE void assemble_tokens(const In* tokens, const float* first, const float* positions, float* y, int64_t total, int count, int width) {
  const int64_t index = element_index();
  if (index >= total) return;
  const int shifted = first ? 1 : 0, out_count = count + shifted;
  const int column = (int)(index % width), token = (int)(index / width % out_count);
  const int64_t sequence = index / width / out_count;
  float value = first && token == 0 ? first[column] : to_float(tokens[(sequence * count + token - shifted) * width + column]);
  if (positions) value += positions[(int64_t)token * width + column];
  y[index] = value;
}

// y[n, t (+ 1), w] from ids [n, t]; the appended token stands behind the last one.
CLIPENGINE_KERNEL token_embedding(const int* ids, const float* table, const float* appended, const float* positions, float* y, int64_t total, int count, int width) {
  const int64_t index = element_index();
  if (index >= total) return;
  const int out_count = count + (appended ? 1 : 0);
  const int column = (int)(index % width), token = (int)(index / width % out_count);
  const int64_t sequence = index / width / out_count;
  const float word = token == count ? appended[column] : table[(int64_t)ids[sequence * count + token] * width + column];
  y[index] = positions ? word + positions[(int64_t)token * width + column] : word;
}

// y[n, count, w]: tokens start.. of each sequence; with indices, the one token that each names (count = 1).
template <typename In>
CLIPENGINE_DEVICE void take_tokens(const In* x, const int* indices, float* y, int64_t total, int in_count, int start, int count, int width) {
  const int64_t index = element_index();
  if (index >= total) return;
  const int column = (int)(index % width), token = (int)(index / width % count);
  const int64_t sequence = index / width / count;
  const int source = indices ? indices[sequence] : start + token;
  y[index] = to_float(x[(sequence * in_count + source) * width + column]);
}

template <typename In>
CLIPENGINE_DEVICE void mean_tokens(const In* x, float* y, int64_t total, int count, int width) {
  const int64_t index = element_index();
  if (index >= total) return;
  const In* column = x + index / width * count * width + index % width;
  float sum = 0.0f;
  for (int token = 0; token < count; ++token) sum += to_float(column[(int64_t)token * width]);
  y[index] = sum / (float)count;
}

template <typename First, typename Second>
CLIPENGINE_DEVICE void concatenate_tokens(const First* first, const Second* second, float* y, int64_t total, int first_count, int second_count, int width) {
  const int64_t index = element_index();
  if (index >= total) return;
  const int count = first_count + second_count, column = (int)(index % width), token = (int)(index / width % count);
  const int64_t sequence = index / width / count;
  y[index] = token < first_count ? to_float(first[(sequence * first_count + token) * width + column])
                                 : to_float(second[(sequence * second_count + token - first_count) * width + column]);
}

// y[n, period] = x[period] repeated.
CLIPENGINE_KERNEL broadcast(const float* x, float* y, int64_t total, int64_t period) {
  const int64_t index = element_index();
  if (index < total) y[index] = x[index % period];
}

// y[rows, padded] from x[rows, width]: another element type, zeros behind the width.
template <typename In, typename Out>
CLIPENGINE_DEVICE void convert_rows(const In* x, Out* y, int64_t total, int width, int padded) {
  const int64_t index = element_index();
  if (index >= total) return;
  const int column = (int)(index % padded);
  y[index] = convert<Out>(column < width ? to_float(x[index / padded * width + column]) : 0.0f);
}

template <typename In>
CLIPENGINE_DEVICE void activate_elements(const In* x, float* y, int64_t total, int activation) {
  const int64_t index = element_index();
  if (index < total) y[index] = activate(to_float(x[index]), activation);
}

template <typename First, typename Second>
CLIPENGINE_DEVICE void add_elements(const First* first, const Second* second, float* y, int64_t total) {
  const int64_t index = element_index();
  if (index < total) y[index] = to_float(first[index]) + to_float(second[index]);
}

// y[n, capacity, w] from position on: columns start .. start + w of tokens x[n, count, row]; sources names another sequence for each, or is null.
template <typename T>
CLIPENGINE_DEVICE void store_tokens(const T* x, const int* sources, T* y, int64_t total, int count, int row, int start, int width, int capacity, int position) {
  const int64_t index = element_index();
  if (index >= total) return;
  const int column = (int)(index % width), token = (int)(index / width % count);
  const int64_t sequence = index / width / count, source = sources ? sources[sequence] : sequence;
  y[(sequence * capacity + position + token) * width + column] = x[(source * count + token) * row + start + column];
}

// y[n, t, w]: pairs of channels of columns start .. start + w of x[n, t, row] turned by the angles of their token.
template <typename In>
CLIPENGINE_DEVICE void rotate(const In* x, const float* cosines, const float* sines, float* y, int64_t total, int count, int row, int start, int width, int head_width,
                              int is_half_split) {
  const int64_t index = element_index();  // of a pair
  if (index >= total) return;
  const int pairs = head_width / 2, pair = (int)(index % pairs), head = (int)(index / pairs % (width / head_width));
  const int64_t line = index / pairs / (width / head_width);  // sequence and token
  const int first = head * head_width + (is_half_split ? pair : 2 * pair), second = first + (is_half_split ? pairs : 1);
  const float cosine = cosines[line % count * pairs + pair], sine = sines[line % count * pairs + pair];
  const float a = to_float(x[line * row + start + first]), b = to_float(x[line * row + start + second]);
  y[line * width + first] = a * cosine - b * sine;
  y[line * width + second] = b * cosine + a * sine;
}

// y = x * factor + residual, where given.
CLIPENGINE_KERNEL multiply_fp32(const float* x, const float* factor, const float* residual, float* y, int64_t total) {
  const int64_t index = element_index();
  if (index >= total) return;
  const float value = x[index] * factor[index];
  y[index] = residual ? value + residual[index] : value;
}

#define CLIPENGINE_FOR_TYPE(type, T)                                                                                                                       \
  CLIPENGINE_KERNEL unfold_##type(const float* x, T* y, int64_t total, int channels, int height, int width, int kernel_height, int kernel_width, int stride, \
                                  int padding, int out_height, int out_width, int padded) {                                                                \
    unfold(x, y, total, channels, height, width, kernel_height, kernel_width, stride, padding, out_height, out_width, padded);                              \
  }                                                                                                                                                        \
  CLIPENGINE_KERNEL assemble_tokens_##type(const T* tokens, const float* first, const float* positions, float* y, int64_t total, int count, int width) {    \
    assemble_tokens(tokens, first, positions, y, total, count, width);                                                                                     \
  }                                                                                                                                                        \
  CLIPENGINE_KERNEL take_tokens_##type(const T* x, const int* indices, float* y, int64_t total, int in_count, int start, int count, int width) {            \
    take_tokens(x, indices, y, total, in_count, start, count, width);                                                                                      \
  }                                                                                                                                                        \
  CLIPENGINE_KERNEL store_tokens_##type(const T* x, const int* sources, T* y, int64_t total, int count, int row, int start, int width, int capacity, int position) { \
    store_tokens(x, sources, y, total, count, row, start, width, capacity, position);                                                                        \
  }                                                                                                                                                        \
  CLIPENGINE_KERNEL rotate_##type(const T* x, const float* cosines, const float* sines, float* y, int64_t total, int count, int row, int start, int width, \
                                  int head_width, int is_half_split) {                                                                                     \
    rotate(x, cosines, sines, y, total, count, row, start, width, head_width, is_half_split);                                                              \
  }                                                                                                                                                        \
  CLIPENGINE_KERNEL mean_tokens_##type(const T* x, float* y, int64_t total, int count, int width) { mean_tokens(x, y, total, count, width); }               \
  CLIPENGINE_KERNEL convert_rows_fp32_##type(const float* x, T* y, int64_t total, int width, int padded) { convert_rows(x, y, total, width, padded); }      \
  CLIPENGINE_KERNEL convert_rows_##type##_fp32(const T* x, float* y, int64_t total, int width, int padded) { convert_rows(x, y, total, width, padded); }
CLIPENGINE_FOR_TYPE(bf16, bf16)
CLIPENGINE_FOR_TYPE(fp16, fp16)
#undef CLIPENGINE_FOR_TYPE

CLIPENGINE_KERNEL unfold_fp32(const float* x, float* y, int64_t total, int channels, int height, int width, int kernel_height, int kernel_width, int stride,
                              int padding, int out_height, int out_width, int padded) {
  unfold(x, y, total, channels, height, width, kernel_height, kernel_width, stride, padding, out_height, out_width, padded);
}
CLIPENGINE_KERNEL assemble_tokens_fp32(const float* tokens, const float* first, const float* positions, float* y, int64_t total, int count, int width) {
  assemble_tokens(tokens, first, positions, y, total, count, width);
}
CLIPENGINE_KERNEL take_tokens_fp32(const float* x, const int* indices, float* y, int64_t total, int in_count, int start, int count, int width) {
  take_tokens(x, indices, y, total, in_count, start, count, width);
}
CLIPENGINE_KERNEL mean_tokens_fp32(const float* x, float* y, int64_t total, int count, int width) { mean_tokens(x, y, total, count, width); }
CLIPENGINE_KERNEL convert_rows_fp32(const float* x, float* y, int64_t total, int width, int padded) { convert_rows(x, y, total, width, padded); }
CLIPENGINE_KERNEL concatenate_tokens_fp32(const float* first, const float* second, float* y, int64_t total, int first_count, int second_count, int width) {
  concatenate_tokens(first, second, y, total, first_count, second_count, width);
}
CLIPENGINE_KERNEL activate_fp32(const float* x, float* y, int64_t total, int activation) { activate_elements(x, y, total, activation); }
CLIPENGINE_KERNEL add_fp32(const float* first, const float* second, float* y, int64_t total) { add_elements(first, second, y, total); }
CLIPENGINE_KERNEL store_tokens_fp32(const float* x, const int* sources, float* y, int64_t total, int count, int row, int start, int width, int capacity, int position) {
  store_tokens(x, sources, y, total, count, row, start, width, capacity, position);
}
CLIPENGINE_KERNEL rotate_fp32(const float* x, const float* cosines, const float* sines, float* y, int64_t total, int count, int row, int start, int width, int head_width,
                              int is_half_split) {
  rotate(x, cosines, sines, y, total, count, row, start, width, head_width, is_half_split);
}
