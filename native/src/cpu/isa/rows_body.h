// Kernels that work row by row. Included inside an anonymous namespace, behind math_body.h.

static inline Vector load_up_to(const float* p, int64_t left) { return left >= kWidth ? load(p) : load_first(p, left); }
static inline void store_up_to(float* p, Vector v, int64_t left) {
  if (left >= kWidth) {
    store(p, v);
  } else {
    store_first(p, v, left);
  }
}

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

// Writes one row of floats, padded with zeros to whole lines, into its place in a tile.
static inline void emit_row(const PackRows& call, const float* row, int64_t global_row, int64_t tile_first, int64_t height, int64_t r) {
  const int64_t padded = round_up(call.depth, kLine);
  if (call.precision == Precision::Int8) {
    Vector largest = spread(0.0f);
    for (int64_t i = 0; i < padded; i += kWidth) largest = maximum(absolute(load(row + i)), largest);
    const float peak = maximum_of(largest);
    const Vector inverse = spread(peak > 0 ? 127.0f / peak : 0.0f);
    call.row_scales[global_row] = peak / 127.0f;
    uint8_t* out = static_cast<uint8_t*>(call.output) + (tile_first * call.words + r * kLine) * 4;
    const int64_t bytes = call.words * 4;
    for (int64_t i = 0; i < bytes; i += kWidth) {
      uint8_t* line = out + (i / 64) * height * 64 + i % 64;
      store_offset_bytes(line, i < padded ? round_to_even(multiply(load(row + i), inverse)) : spread(0.0f));
    }
    return;
  }
  if (call.precision == Precision::BFloat16 && kBf16Pairs) {
    uint16_t* out = static_cast<uint16_t*>(call.output) + (tile_first * call.words + r * kLine) * 2;
    for (int64_t i = 0; i < call.words * 2; ++i) {
      uint32_t bits = 0;
      if (i < padded) __builtin_memcpy(&bits, row + i, 4);  // already rounded
      out[(i / 32) * height * 32 + i % 32] = static_cast<uint16_t>(bits >> 16);
    }
    return;
  }
  float* out = static_cast<float*>(call.output) + tile_first * call.words + r * kLine;
  for (int64_t i = 0; i < padded; i += kWidth) store(out + (i / kLine) * height * kLine + i % kLine, load(row + i));
}

static void pack_rows(const PackRows& call) {
  const bool plain = call.precision == Precision::Float32 || call.precision == Precision::Float16;
  const bool round = call.precision == Precision::BFloat16;
  const int64_t padded = round_up(call.depth, kLine);
  for (int64_t tile = call.tile_from; tile < call.tile_to; ++tile) {
    const int64_t first = tile_begin(tile, call.tiles, call.rows), height = tile_begin(tile + 1, call.tiles, call.rows) - first;
    for (int64_t r = 0; r < height; ++r) {
      const float* x = call.input + (first + r) * call.input_stride;
      float mean = 0, inverse = 1;
      if (call.norm_weight != nullptr) moments(x, call.depth, call.epsilon, &mean, &inverse);
      // Straight into its place, unless the row must be complete before it can be scaled.
      float* line = plain ? static_cast<float*>(call.output) + first * call.words + r * kLine : call.row_buffer;
      const int64_t line_step = plain ? height * kLine : kLine;
      for (int64_t i = 0; i < padded; i += kWidth) {
        const int64_t left = call.depth - i;
        Vector v = left > 0 ? load_up_to(x + i, left) : spread(0.0f);
        if (call.norm_weight != nullptr && left > 0) {
          v = normalized(v, spread(mean), spread(inverse), load_up_to(call.norm_weight + i, left), load_up_to(call.norm_bias + i, left));
          // Lanes beyond the width stay zero, because weight and bias are read as zero there.
        }
        if (round) v = round_to_bf16(v);
        store(line + (i / kLine) * line_step + i % kLine, v);
      }
      if (!plain) emit_row(call, call.row_buffer, first + r, first, height, r);
    }
  }
}
