// Kernels that work row by row. Included inside an anonymous namespace, behind math_body.h.

static inline Vector load_up_to(const float* p, int64_t left) { return left >= kWidth ? load(p) : load_first(p, left); }
static inline void store_up_to(float* p, Vector v, int64_t left) {
  if (left >= kWidth) {
    store(p, v);
  } else {
    store_first(p, v, left);
  }
}

#ifndef CLIPENGINE_STORES_BF16  // dots_avx512.h has the instruction
// Rounded to bf16, as halves of words.
static inline void store_bf16(uint16_t* p, Vector v) { store_upper_halves(p, round_to_bf16(v)); }
#endif

// Mean and 1 / sqrt(variance + epsilon) in two passes: the variance of what is left after the mean is taken away loses no digits.
static inline void moments(const float* x, int64_t width, float epsilon, float* mean, float* inverse) {
  Vector sum = spread(0.0f), more = spread(0.0f);
  int64_t i = 0;
  for (; i + 2 * kWidth <= width; i += 2 * kWidth) {
    sum = add(sum, load(x + i));
    more = add(more, load(x + i + kWidth));
  }
  for (; i < width; i += kWidth) sum = add(sum, load_up_to(x + i, width - i));
  *mean = sum_of(add(sum, more)) / static_cast<float>(width);
  const Vector center = spread(*mean);
  sum = more = spread(0.0f);
  i = 0;
  for (; i + 2 * kWidth <= width; i += 2 * kWidth) {
    const Vector d = subtract(load(x + i), center), e = subtract(load(x + i + kWidth), center);
    sum = multiply_add(d, d, sum);
    more = multiply_add(e, e, more);
  }
  float tail = 0;
  for (; i < width; i += kWidth) {
    if (width - i >= kWidth) {
      const Vector d = subtract(load(x + i), center);
      sum = multiply_add(d, d, sum);
    } else {
      for (int64_t j = i; j < width; ++j) tail += (x[j] - *mean) * (x[j] - *mean);
    }
  }
  *inverse = 1.0f / __builtin_sqrtf((sum_of(add(sum, more)) + tail) / static_cast<float>(width) + epsilon);
}

static inline Vector normalized(Vector x, Vector mean, Vector inverse, Vector weight, Vector bias) {
  return multiply_add(multiply(subtract(x, mean), inverse), weight, bias);
}

static void layer_norm(const float* input, float* output, int64_t rows, int64_t width, const float* weight, const float* bias, float epsilon) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* x = input + r * width;
    float* y = output + r * width;
    float mean, inverse;
    moments(x, width, epsilon, &mean, &inverse);
    for (int64_t i = 0; i < width; i += kWidth) {
      const int64_t left = width - i;
      store_up_to(y + i, normalized(load_up_to(x + i, left), spread(mean), spread(inverse), load_up_to(weight + i, left), load_up_to(bias + i, left)), left);
    }
  }
}

static void rms_norm(const float* input, float* output, int64_t rows, int64_t width, const float* weight, float epsilon) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* x = input + r * width;
    Vector sum = spread(0.0f);
    for (int64_t i = 0; i < width; i += kWidth) {
      const Vector v = load_up_to(x + i, width - i);
      sum = multiply_add(v, v, sum);
    }
    const Vector inverse = spread(1.0f / __builtin_sqrtf(sum_of(sum) / static_cast<float>(width) + epsilon));
    for (int64_t i = 0; i < width; i += kWidth) {
      const int64_t left = width - i;
      store_up_to(output + r * width + i, multiply(multiply(load_up_to(x + i, left), inverse), load_up_to(weight + i, left)), left);
    }
  }
}

static void l2_normalize(const float* input, float* output, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* x = input + r * width;
    Vector sum = spread(0.0f);
    for (int64_t i = 0; i < width; i += kWidth) {
      const Vector v = load_up_to(x + i, width - i);
      sum = multiply_add(v, v, sum);
    }
    const float norm = __builtin_sqrtf(sum_of(sum));
    const Vector divisor = spread(norm > 1e-12f ? norm : 1e-12f);
    for (int64_t i = 0; i < width; i += kWidth) store_up_to(output + r * width + i, divide(load_up_to(x + i, width - i), divisor), width - i);
  }
}

static void activate(const float* input, float* output, int64_t count, Activation activation) {
  with_activation(activation, [&](auto kind) {
    for (int64_t i = 0; i < count; i += kWidth) store_up_to(output + i, activated<decltype(kind)::value>(load_up_to(input + i, count - i)), count - i);
  });
}

static void add_arrays(const float* left, const float* right, float* output, int64_t count) {
  for (int64_t i = 0; i < count; i += kWidth) store_up_to(output + i, add(load_up_to(left + i, count - i), load_up_to(right + i, count - i)), count - i);
}

static void multiply_arrays(const float* left, const float* right, float* output, int64_t count) {
  for (int64_t i = 0; i < count; i += kWidth) store_up_to(output + i, multiply(load_up_to(left + i, count - i), load_up_to(right + i, count - i)), count - i);
}

// Scales one row of floats, padded with zeros to whole lines of bytes, to bytes. largest: of their magnitudes.
static inline void quantize_row(const float* row, float largest, uint8_t* out, int64_t lines, int64_t line_step, float* scale) {
  *scale = largest / 127.0f;
  const Vector inverse = spread(largest > 0 ? 127.0f / largest : 0.0f);
  for (int64_t i = 0; i < lines; ++i) store_offset_bytes(out + i * line_step, row + i * 4 * kLine, inverse);
}

// precision is a constant where this is called, so that each gets a loop of its own.
static inline void pack_row(const PackRows& call, int64_t row, int64_t first, int64_t height, Precision precision) {
  const float* x = call.input + row * call.input_stride;
  const float *norm_weight = call.norm_weight, *norm_bias = call.norm_bias;
  float* buffer = call.row_buffer;
  const int64_t line_words = height * kLine, start = first * call.words + (row - first) * kLine;  // of a line, of the row
  float mean = 0, inverse = 1;
  if (norm_weight != nullptr) moments(x, call.depth, call.epsilon, &mean, &inverse);
  const bool pairs = precision == Precision::BFloat16 && kBf16Pairs, bytes = precision == Precision::Int8;
  float* floats = static_cast<float*>(call.output) + start;
  uint16_t* halves = static_cast<uint16_t*>(call.output) + start * 2;
  Vector largest = spread(0.0f);
  // Whole lines of bytes that no norm changes are read twice in place of being kept.
  const bool in_place = bytes && norm_weight == nullptr && call.depth == call.words * 4;
  const int64_t padded = round_up(call.depth, kLine), whole = bytes || pairs ? call.words * (bytes ? 4 : 2) : padded;
  for (int64_t i = 0; i < whole; i += kWidth) {
    const int64_t left = call.depth - i;
    Vector v = left >= kWidth ? load(x + i) : left > 0 ? load_first(x + i, left) : spread(0.0f);
    if (norm_weight != nullptr && left > 0) {
      v = normalized(v, spread(mean), spread(inverse), load_up_to(norm_weight + i, left), load_up_to(norm_bias + i, left));
      // Lanes beyond the width stay zero, because weight and bias are read as zero there.
    }
    if (precision == Precision::BFloat16 && !pairs) v = round_to_bf16(v);
    if (bytes) {
      largest = maximum(absolute(v), largest);
      if (!in_place) store(buffer + i, v);
    } else if (pairs) {
      store_bf16(halves + (i / (2 * kLine)) * line_words * 2 + i % (2 * kLine), v);
    } else {
      store(floats + (i / kLine) * line_words + i % kLine, v);
    }
  }
  if (bytes) {
    // A row must be complete before it can be scaled.
    quantize_row(in_place ? x : buffer, maximum_of(largest), static_cast<uint8_t*>(call.output) + start * 4, call.words / kLine, line_words * 4, call.row_scales + row);
  }
}

static void pack_rows(const PackRows& call) {
  for (int64_t tile = call.tile_from; tile < call.tile_to; ++tile) {
    const int64_t first = tile_begin(tile, call.tiles, call.rows), end = tile_begin(tile + 1, call.tiles, call.rows);
    for (int64_t row = first; row < end; ++row) {
      switch (call.precision) {
        case Precision::Float32:
        case Precision::Float16: pack_row(call, row, first, end - first, Precision::Float32); break;
        case Precision::BFloat16: pack_row(call, row, first, end - first, Precision::BFloat16); break;
        case Precision::Int8: pack_row(call, row, first, end - first, Precision::Int8); break;
      }
    }
  }
}
