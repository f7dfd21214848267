// Convolutions as products: every output pixel's neighbourhood is a row.
#include <algorithm>
#include <cstring>
#include <vector>

#include "clipengine_cpu.h"
#include "core/status.h"
#include "core/thread_pool.h"
#include "cpu/linear.h"

namespace clipengine::cpu {
namespace {

struct Window {
  int64_t channels, height, width;  // of one image, one group
  int64_t kernel_height, kernel_width, stride, padding;
  int64_t out_height, out_width;

  int64_t depth() const { return channels * kernel_height * kernel_width; }
};

// Row p of the output holds the window of output pixel p as [channels, kernel_height, kernel_width]; zeros outside the image.
void gather(const float* image, const Window& window, float* rows) {
  parallel_for(window.out_height, [&](int64_t oy, int) {
    for (int64_t ox = 0; ox < window.out_width; ++ox) {
      float* row = rows + (oy * window.out_width + ox) * window.depth();
      const int64_t left = ox * window.stride - window.padding;
      const int64_t from = std::clamp<int64_t>(-left, 0, window.kernel_width), to = std::clamp<int64_t>(window.width - left, from, window.kernel_width);
      for (int64_t c = 0; c < window.channels; ++c) {
        for (int64_t ky = 0; ky < window.kernel_height; ++ky, row += window.kernel_width) {
          const int64_t y = oy * window.stride - window.padding + ky;
          if (y < 0 || y >= window.height) {
            std::fill(row, row + window.kernel_width, 0.0f);
            continue;
          }
          std::fill(row, row + from, 0.0f);
          const float* line = image + (c * window.height + y) * window.width + left;
          for (int64_t kx = from; kx < to; ++kx) row[kx] = line[kx];
          std::fill(row + to, row + window.kernel_width, 0.0f);
        }
      }
    }
  });
}

void convolve(Pass& pass, const clipengine_cpu_convolution& call) {
  const Weight& kernel = *call.kernel;
  const int64_t out = kernel.columns, group_out = out / call.groups;
  Window window{call.channels / call.groups, call.height, call.width, call.kernel_height, call.kernel_width, call.stride, call.padding, 0, 0};
  window.out_height = (call.height + 2 * call.padding - call.kernel_height) / call.stride + 1;
  window.out_width = (call.width + 2 * call.padding - call.kernel_width) / call.stride + 1;
  const int64_t pixels = window.out_height * window.out_width;
  Scratch scratch(pass.arena);
  float* rows = pass.arena.allocate_array<float>(pixels * window.depth());
  float* products = pass.arena.allocate_array<float>(pixels * out);
  float* sums = pass.arena.allocate_array<float>(pixels * out);
  for (int64_t n = 0; n < call.batch; ++n) {
    for (int64_t g = 0; g < call.groups; ++g) {
      Scratch inner(pass.arena);
      gather(call.input + (n * call.channels + g * window.channels) * call.height * call.width, window, rows);
      Finish finish{};
      finish.bias = values_of(call.bias);
      finish.output = products;
      finish.output_stride = out;
      const int64_t from = g * group_out, to = from + group_out;
      multiply(pass, pack(pass, rows, window.depth(), pixels, kernel), kernel, finish, from, to);
      // Back to channels outermost, at most sixteen channels (a cache line of the products) at a time. Columns of other groups
      // that shared a panel were multiplied with the wrong input and are left behind.
      const float* residual = call.residual == nullptr ? nullptr : call.residual + n * out * pixels;
      parallel_for(divide_up(group_out, kLine), [&](int64_t chunk, int) {
        const int64_t first = from + chunk * kLine, last = std::min(to, first + kLine);
        for (int64_t p = 0; p < pixels; p += kLine) {
          for (int64_t c = first; c < last; ++c) {
            for (int64_t i = p; i < std::min(pixels, p + kLine); ++i) sums[c * pixels + i] = products[i * out + c];
          }
        }
        const int64_t offset = first * pixels, count = (last - first) * pixels;
        if (residual != nullptr) pass.kernels->add(sums + offset, residual + offset, sums + offset, count);
        pass.kernels->activate(sums + offset, call.output + n * out * pixels + offset, count, static_cast<Activation>(call.activation));
      });
    }
  }
}

// Every output channel looks at one input channel: no product, but planes that move past their kernels.
void convolve_depthwise(Pass& pass, const clipengine_cpu_convolution& call, int64_t outputs) {
  const int64_t kernel_size = call.kernel_height * call.kernel_width, each = outputs / call.channels;
  const int64_t out_height = (call.height + 2 * call.padding - call.kernel_height) / call.stride + 1;
  const int64_t out_width = (call.width + 2 * call.padding - call.kernel_width) / call.stride + 1;
  const int64_t rows = (out_height - 1) * call.stride + call.kernel_height, pixels = out_height * out_width;
  // Whole pairs of vectors are read, behind the last column too.
  const int64_t phase_width = round_up(out_width, 2 * kLine) + divide_up(call.kernel_width, call.stride) + kLine;
  const int threads = ThreadPool::instance().size();
  Scratch scratch(pass.arena);
  const int64_t plane_floats = round_up(rows * call.stride * phase_width, kLine), sum_floats = round_up(pixels, kLine);
  float* buffers = pass.arena.allocate_array<float>((plane_floats + sum_floats) * threads);
  parallel_for(call.batch * call.channels, [&](int64_t chunk, int worker) {
    const int64_t n = chunk / call.channels, channel = chunk % call.channels;
    const float* image = call.input + chunk * call.height * call.width;
    float* plane = buffers + worker * (plane_floats + sum_floats);
    float* sums = plane + plane_floats;
    std::fill(plane, plane + plane_floats, 0.0f);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t y = r - call.padding;
      if (y < 0 || y >= call.height) continue;
      float* row = plane + r * call.stride * phase_width;
      for (int64_t x = 0; x < call.width; ++x) {
        const int64_t c = x + call.padding;
        if (c / call.stride < phase_width) row[c % call.stride * phase_width + c / call.stride] = image[y * call.width + x];
      }
    }
    for (int64_t i = 0; i < each; ++i) {
      const int64_t out = channel * each + i, offset = (n * outputs + out) * pixels;
      DepthwisePlane work{};
      work.plane = plane;
      work.phase_width = phase_width;
      work.kernel = call.kernel->values() + out * kernel_size;
      work.kernel_height = call.kernel_height;
      work.kernel_width = call.kernel_width;
      work.stride = call.stride;
      work.out_height = out_height;
      work.out_width = out_width;
      work.bias = call.bias == nullptr ? 0.0f : call.bias->values()[out];
      work.output = sums;
      pass.kernels->depthwise(work);
      if (call.residual != nullptr) pass.kernels->add(sums, call.residual + offset, sums, pixels);
      pass.kernels->activate(sums, call.output + offset, pixels, static_cast<Activation>(call.activation));
    }
  }, threads);
}

// The windows of output pixels [from, to) of a map that is kept as tokens, as gather() makes them of one that is not.
void gather_tokens(const float* image, const Window& window, int64_t from, int64_t to, float* row) {
  const int64_t taps = window.kernel_height * window.kernel_width;
  for (int64_t pixel = from; pixel < to; ++pixel, row += window.depth()) {
    const int64_t top = pixel / window.out_width * window.stride - window.padding, left = pixel % window.out_width * window.stride - window.padding;
    for (int64_t tap = 0; tap < taps; ++tap) {
      const int64_t y = top + tap / window.kernel_width, x = left + tap % window.kernel_width;
      const bool is_inside = y >= 0 && y < window.height && x >= 0 && x < window.width;
      const float* seen = image + (y * window.width + x) * window.channels;
      for (int64_t c = 0; c < window.channels; ++c) row[c * taps + tap] = is_inside ? seen[c] : 0.0f;
    }
  }
}

// Rows of windows that a thread gathers and multiplies at a time: they stay in its cache, and each panel of the kernel serves many.
constexpr int64_t kWindowsTogether = 224;

// Products come out as tokens, so that nothing is turned.
void convolve_tokens(Pass& pass, const clipengine_cpu_convolution& call) {
  const Weight& kernel = *call.kernel;
  const int64_t out = kernel.columns;
  Window window{call.channels, call.height, call.width, call.kernel_height, call.kernel_width, call.stride, call.padding, 0, 0};
  window.out_height = (call.height + 2 * call.padding - call.kernel_height) / call.stride + 1;
  window.out_width = (call.width + 2 * call.padding - call.kernel_width) / call.stride + 1;
  const int64_t pixels = window.out_height * window.out_width;
  Scratch scratch(pass.arena);
  const auto activation = static_cast<Activation>(call.activation);
  // A product adds its residual behind the activation; a convolution in front of it.
  const bool is_whole = call.residual == nullptr || activation == Activation::None;
  Finish finish{};
  finish.bias = values_of(call.bias);
  finish.activation = activation;
  finish.residual = call.residual;
  finish.residual_stride = out;
  finish.output = call.output;
  finish.output_stride = out;
  if (!is_whole) finish.activation = Activation::None;
  const int threads = ThreadPool::instance().size();
  const int64_t chunks = divide_up(pixels, kWindowsTogether), most = divide_up(pixels, std::max<int64_t>(1, chunks));
  std::vector<OwnProduct> products(static_cast<size_t>(threads));
  std::vector<float*> windows(static_cast<size_t>(threads));
  for (int thread = 0; thread < threads; ++thread) {
    products[static_cast<size_t>(thread)] = allocate_product(pass, most, kernel);
    windows[static_cast<size_t>(thread)] = pass.arena.allocate_array<float>(most * window.depth());
  }
  parallel_for(call.batch * chunks, [&](int64_t chunk, int worker) {
    const int64_t n = chunk / chunks, from = pixels * (chunk % chunks) / chunks, to = pixels * (chunk % chunks + 1) / chunks;
    OwnProduct& product = products[static_cast<size_t>(worker)];
    float* gathered = windows[static_cast<size_t>(worker)];
    gather_tokens(call.input + n * call.channels * call.height * call.width, window, from, to, gathered);
    pack_own(product, gathered, window.depth(), to - from, kernel);
    Finish here = finish;
    here.output += (n * pixels + from) * out;
    if (here.residual != nullptr) here.residual += (n * pixels + from) * out;
    multiply_own(product, kernel, here);
  }, threads);
  if (is_whole) return;
  parallel_for(call.batch * window.out_height, [&](int64_t row, int) {
    float* line = call.output + row * window.out_width * out;
    pass.kernels->activate(line, line, window.out_width * out, activation);
  });
}

int64_t arranged_floats(int64_t outputs, int64_t taps) { return divide_up(outputs, kLine) * (taps + 1) * kLine; }

// The kernels of a convolution of single channels as DepthwiseLines reads them: kLine channels side by side, behind the taps the bias.
void arrange_kernels(const Weight& kernel, const Weight* bias, int64_t outputs, int64_t taps, float* arranged) {
  const float *values = kernel.values(), *added = values_of(bias);
  for (int64_t o = 0; o < round_up(outputs, kLine); ++o) {
    float* channel = arranged + o / kLine * (taps + 1) * kLine + o % kLine;
    for (int64_t tap = 0; tap < taps; ++tap) channel[tap * kLine] = o < outputs ? values[o * taps + tap] : 0.0f;
    channel[taps * kLine] = o < outputs && added != nullptr ? added[o] : 0.0f;
  }
}

// What all rows of outputs have in common; kernels: of arrange_kernels.
DepthwiseLines lines_of(const clipengine_cpu_convolution& call, const float* kernels, int64_t out_width) {
  const int64_t taps = call.kernel_height * call.kernel_width;
  DepthwiseLines lines{};
  lines.columns = call.width;
  lines.kernel_step = (taps + 1) * kLine;
  lines.kernel = kernels;
  lines.bias = kernels + taps * kLine;
  lines.kernel_width = call.kernel_width;
  lines.stride = call.stride;
  lines.padding = call.padding;
  lines.out_width = out_width;
  return lines;
}

// Row y of the outputs. input: the map's first pixel; lines: of lines_of, with its steps and channels.
void convolve_line(Pass& pass, const clipengine_cpu_convolution& call, DepthwiseLines lines, const float* input, int64_t y, float* output) {
  const int64_t top = y * call.stride - call.padding;
  const int64_t from = std::max<int64_t>(0, -top), to = std::max(from, std::min(call.kernel_height, call.height - top));
  lines.input = input + (top + from) * lines.row_step;
  lines.kernel += from * call.kernel_width * kLine;
  lines.kernel_height = to - from;
  lines.output = output;
  pass.kernels->depthwise_lines(lines);
}

// Where every channel has one output or two, and they fill whole lines, the map is read as it is.
bool is_read_in_place(const clipengine_cpu_convolution& call, int64_t outputs) { return (outputs == call.channels || outputs == 2 * call.channels) && outputs % kLine == 0; }

DepthwiseLines lines_in_place(const clipengine_cpu_convolution& call, int64_t outputs, const float* kernels, int64_t out_width) {
  DepthwiseLines lines = lines_of(call, kernels, out_width);
  lines.pixel_step = call.channels;
  lines.row_step = call.width * call.channels;
  lines.channels = lines.output_stride = outputs;
  lines.twice = outputs != call.channels;
  return lines;
}

// Floats of outputs that are worth a chunk of their own.
constexpr int64_t kWorthSharing = 32768;

// Every output channel looks at one input channel. Where the map cannot be read in place, kLine channels at a time are copied into a
// plane of their own.
void convolve_tokens_depthwise(Pass& pass, const clipengine_cpu_convolution& call, int64_t outputs, const float* kernels) {
  const int64_t each = outputs / call.channels, blocks = divide_up(outputs, kLine);
  const int64_t out_height = (call.height + 2 * call.padding - call.kernel_height) / call.stride + 1;
  const int64_t out_width = (call.width + 2 * call.padding - call.kernel_width) / call.stride + 1;
  const auto activation = static_cast<Activation>(call.activation);
  Scratch scratch(pass.arena);
  if (is_read_in_place(call, outputs)) {
    const DepthwiseLines lines = lines_in_place(call, outputs, kernels, out_width);
    const int64_t line_floats = out_width * outputs, together = std::max<int64_t>(1, kWorthSharing / std::max<int64_t>(1, line_floats)), bands = divide_up(out_height, together);
    parallel_for(call.batch * bands, [&](int64_t chunk, int) {
      const int64_t n = chunk / bands, first = chunk % bands * together;
      for (int64_t y = first; y < std::min(out_height, first + together); ++y) {
        const int64_t offset = (n * out_height + y) * line_floats;
        float* line = call.output + offset;
        convolve_line(pass, call, lines, call.input + n * call.height * call.width * call.channels, y, line);
        if (call.residual != nullptr) pass.kernels->add(line, call.residual + offset, line, line_floats);
        if (activation != Activation::None) pass.kernels->activate(line, line, line_floats, activation);
      }
    });
    return;
  }
  const int64_t plane_floats = call.height * call.width * kLine, row_floats = out_width * kLine;
  const int threads = ThreadPool::instance().size();
  float* buffers = pass.arena.allocate_array<float>((plane_floats + row_floats) * threads);
  DepthwiseLines lines = lines_of(call, kernels, out_width);
  lines.pixel_step = lines.channels = lines.output_stride = kLine;
  lines.row_step = call.width * kLine;
  parallel_for(call.batch * blocks, [&](int64_t chunk, int worker) {
    const int64_t n = chunk / blocks, block = chunk % blocks, first = block * kLine, count = std::min(kLine, outputs - first);
    const float* image = call.input + n * call.height * call.width * call.channels;
    float* plane = buffers + worker * (plane_floats + row_floats);
    float* line = plane + plane_floats;
    for (int64_t p = 0; p < call.height * call.width; ++p) {
      const float* pixel = image + p * call.channels;
      int64_t channel = first / each, turn = first % each;
      for (int64_t c = 0; c < kLine; ++c) {
        plane[p * kLine + c] = c < count ? pixel[channel] : 0.0f;
        if (++turn == each) ++channel, turn = 0;
      }
    }
    DepthwiseLines own = lines;
    own.kernel += block * lines.kernel_step;
    own.bias += block * lines.kernel_step;
    for (int64_t y = 0; y < out_height; ++y) {
      const int64_t offset = ((n * out_height + y) * out_width) * outputs + first;
      convolve_line(pass, call, own, plane, y, line);
      if (call.residual != nullptr) {
        for (int64_t x = 0; x < out_width; ++x)
          for (int64_t c = 0; c < count; ++c) line[x * kLine + c] += call.residual[offset + x * outputs + c];
      }
      if (activation != Activation::None) pass.kernels->activate(line, line, row_floats, activation);
      for (int64_t x = 0; x < out_width; ++x) std::memcpy(call.output + offset + x * outputs, line + x * kLine, static_cast<size_t>(count) * sizeof(float));
    }
  }, threads);
}

// Bytes of both weights of an MLP that stay near a core while it takes a band of rows through all of a block, and of the band's own
// rows. Larger weights are shared by all threads: each multiplies other columns.
constexpr int64_t kOwnWeightBytes = 2 << 20;
constexpr int64_t kBandBytes = 512 << 10;

// A block over a map of one size.
class MapBlock {
 public:
  MapBlock(Pass& pass, const clipengine_cpu_convolution_block& block, int64_t height, int64_t width, int64_t channels) : pass_(pass), has_mixer_(block.mixer_kernel != nullptr) {
    for (clipengine_cpu_convolution* call : {&mixer_, &convolution_}) {
      const bool first = call == &mixer_;
      const int64_t side = first ? block.mixer_side : block.side;
      call->kernel = first ? block.mixer_kernel : block.kernel;
      call->bias = first ? block.mixer_bias : block.bias;
      call->channels = call->groups = channels;
      call->height = height;
      call->width = width;
      call->kernel_height = call->kernel_width = side;
      call->stride = 1;
      call->padding = side / 2;
      if (call->kernel == nullptr) continue;
      float*& arranged = first ? mixer_kernels_ : kernels_;
      arranged = pass.arena.allocate_array<float>(arranged_floats(channels, side * side));
    }
    if (block.norm_weight != nullptr) mlp_.norm = {values_of(block.norm_weight), values_of(block.norm_bias), block.epsilon};
    mlp_.expand = block.expand_weight;
    mlp_.expand_bias = block.expand_bias;
    mlp_.activation = static_cast<Activation>(block.activation);
    mlp_.contract = block.contract_weight;
    mlp_.contract_bias = block.contract_bias;
    mlp_.scale = block.scale;
  }

  void arrange() {
    if (has_mixer_) arrange_kernels(*mixer_.kernel, mixer_.bias, channels(), mixer_.kernel_height * mixer_.kernel_width, mixer_kernels_);
    arrange_kernels(*convolution_.kernel, convolution_.bias, channels(), convolution_.kernel_height * convolution_.kernel_width, kernels_);
  }

  bool has_mixer() const { return has_mixer_; }

  // Whether a thread can take a band through all of the block by itself, and gains by it.
  bool is_own() const {
    return mlp_.expand->bytes() + mlp_.contract->bytes() <= kOwnWeightBytes && is_read_in_place(convolution_, channels()) && mlp_.is_direct();
  }

  // Lines of a band.
  int64_t together() const {
    const int64_t line_bytes = convolution_.width * (2 * channels() + mlp_.expand->columns) * 4;
    return std::max<int64_t>(1, kBandBytes / std::max<int64_t>(1, line_bytes));
  }
  int64_t bands() const { return divide_up(convolution_.height, together()); }

  // What a thread needs for bands.
  struct Own {
    float* mixed = nullptr;
    OwnProduct expand, contract;
  };
  Own allocate_own() const {
    const int64_t rows = together() * convolution_.width;
    return {pass_.arena.allocate_array<float>(rows * channels()), allocate_product(pass_, rows, *mlp_.expand), allocate_product(pass_, rows, *mlp_.contract)};
  }

  // What follows the mixer over a band of one image, on the calling thread; where is_own().
  void run_band(const float* image, int64_t band, Own& own, float* output) const {
    const DepthwiseLines lines = lines_in_place(convolution_, channels(), kernels_, convolution_.width);
    const int64_t first = convolution_.height * band / bands(), last = convolution_.height * (band + 1) / bands();
    const int64_t rows = (last - first) * convolution_.width, offset = first * lines.row_step;
    for (int64_t y = first; y < last; ++y) convolve_line(pass_, convolution_, lines, image, y, own.mixed + (y - first) * lines.row_step);
    pack_own(own.expand, own.mixed, channels(), rows, *mlp_.expand, mlp_.norm);
    resize_rows(own.contract.rows, rows, *mlp_.contract);
    multiply_own(own.expand, *mlp_.expand, mlp_.finish_hidden(own.contract.rows));
    multiply_own(own.contract, *mlp_.contract, mlp_.finish_output(image + offset, output + offset));
  }

  // All images on all threads; mixed: room for the mixer's result.
  void run(const float* input, int64_t batch, float* mixed, float* output) {
    const int64_t image_floats = convolution_.height * convolution_.width * channels();
    if (has_mixer_) {
      convolve(mixer_, mixer_kernels_, input, batch, mixed);
      input = mixed;
    }
    const int threads = ThreadPool::instance().size();
    Scratch scratch(pass_.arena);
    if (is_own() && batch * bands() >= 2 * threads) {
      std::vector<Own> owns(static_cast<size_t>(threads));
      for (Own& own : owns) own = allocate_own();
      parallel_for(batch * bands(), [&](int64_t chunk, int worker) {
        const int64_t offset = chunk / bands() * image_floats;
        run_band(input + offset, chunk % bands(), owns[static_cast<size_t>(worker)], output + offset);
      }, threads);
      return;
    }
    const int64_t rows = convolution_.height * convolution_.width, images = std::max<int64_t>(1, kBlockRows / std::max<int64_t>(1, rows));
    float* convolved = pass_.arena.allocate_array<float>(std::min(images, batch) * image_floats);
    for (int64_t first = 0; first < batch; first += images) {
      const int64_t here = std::min(images, batch - first);
      convolve(convolution_, kernels_, input + first * image_floats, here, convolved);
      run_mlp(pass_, mlp_, convolved, here * rows, input + first * image_floats, output + first * image_floats);
    }
  }

 private:
  int64_t channels() const { return convolution_.channels; }

  void convolve(const clipengine_cpu_convolution& convolution, const float* kernels, const float* input, int64_t batch, float* output) {
    clipengine_cpu_convolution call = convolution;
    call.input = input;
    call.batch = batch;
    call.output = output;
    convolve_tokens_depthwise(pass_, call, channels(), kernels);
  }

  Pass& pass_;
  bool has_mixer_;
  clipengine_cpu_convolution mixer_{}, convolution_{};
  float *mixer_kernels_ = nullptr, *kernels_ = nullptr;
  Mlp mlp_{};
};

// Blocks one behind the other, in the memory of two of their results and one mixer's.
void run_stack(Pass& pass, const float* input, int64_t batch, int64_t height, int64_t width, int64_t channels, const clipengine_cpu_convolution_block* calls, int64_t count, float* output) {
  Scratch scratch(pass.arena);
  std::vector<MapBlock> blocks;
  blocks.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) blocks.emplace_back(pass, calls[i], height, width, channels);
  parallel_for(count, [&](int64_t i, int) { blocks[static_cast<size_t>(i)].arrange(); });
  const bool mixes = std::any_of(blocks.begin(), blocks.end(), [](const MapBlock& block) { return block.has_mixer(); });
  const int64_t floats = batch * height * width * channels;
  float* mixed = mixes ? pass.arena.allocate_array<float>(floats) : nullptr;
  float* other = count > 1 ? pass.arena.allocate_array<float>(floats) : nullptr;
  for (int64_t i = 0; i < count; ++i) {
    float* result = (count - i) % 2 == 1 ? output : other;  // the last one's is the output
    blocks[static_cast<size_t>(i)].run(input, batch, mixed, result);
    input = result;
  }
}

void embed_patches(Pass& pass, const float* pixels, int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t patch, const Weight& kernel, const Weight* bias,
                   float* output) {
  const int64_t down = height / patch, across = width / patch, count = down * across, depth = channels * patch * patch;
  Scratch scratch(pass.arena);
  float* rows = pass.arena.allocate_array<float>(batch * count * depth);
  parallel_for(batch * down, [&](int64_t chunk, int) {
    const int64_t n = chunk / down, y = chunk % down;
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t py = 0; py < patch; ++py) {
        const float* line = pixels + ((n * channels + c) * height + y * patch + py) * width;
        float* row = rows + (n * count + y * across) * depth + (c * patch + py) * patch;
        for (int64_t x = 0; x < across; ++x) std::memcpy(row + x * depth, line + x * patch, static_cast<size_t>(patch) * sizeof(float));
      }
    }
  });
  Finish finish{};
  finish.bias = values_of(bias);
  finish.output = output;
  finish.output_stride = kernel.columns;
  multiply(pass, pack(pass, rows, depth, batch * count, kernel), kernel, finish);
}

}  // namespace
}  // namespace clipengine::cpu

extern "C" clipengine_status clipengine_cpu_convolve(clipengine_cpu_pass* pass, const clipengine_cpu_convolution* call) noexcept {
  return clipengine::guard([&] { clipengine::cpu::convolve(*pass, *call); });
}

extern "C" clipengine_status clipengine_cpu_convolve_depthwise(clipengine_cpu_pass* pass, const clipengine_cpu_convolution* call, int64_t outputs) noexcept {
  return clipengine::guard([&] { clipengine::cpu::convolve_depthwise(*pass, *call, outputs); });
}

extern "C" clipengine_status clipengine_cpu_convolve_tokens(clipengine_cpu_pass* pass, const clipengine_cpu_convolution* call, int64_t depthwise_outputs) noexcept {
  return clipengine::guard([&] {
    if (depthwise_outputs > 0) {
      using namespace clipengine::cpu;
      const int64_t taps = call->kernel_height * call->kernel_width;
      Scratch scratch(pass->arena);
      float* kernels = pass->arena.allocate_array<float>(arranged_floats(depthwise_outputs, taps));
      arrange_kernels(*call->kernel, call->bias, depthwise_outputs, taps, kernels);
      convolve_tokens_depthwise(*pass, *call, depthwise_outputs, kernels);
    } else {
      clipengine::cpu::convolve_tokens(*pass, *call);
    }
  });
}

extern "C" clipengine_status clipengine_cpu_convolution_stack(clipengine_cpu_pass* pass, const float* input, int64_t batch, int64_t height, int64_t width, int64_t channels,
                                                              const clipengine_cpu_convolution_block* blocks, int64_t count, float* output) noexcept {
  return clipengine::guard([&] {
    if (batch > 0 && count > 0) clipengine::cpu::run_stack(*pass, input, batch, height, width, channels, blocks, count, output);
  });
}

extern "C" clipengine_status clipengine_cpu_patch_embedding(clipengine_cpu_pass* pass, const float* pixels, int64_t batch, int64_t channels, int64_t height, int64_t width,
                                                            int64_t patch, const clipengine_cpu_weight* kernel, const clipengine_cpu_weight* bias, float* output) noexcept {
  return clipengine::guard([&] {
    if (batch > 0) clipengine::cpu::embed_patches(*pass, pixels, batch, channels, height, width, patch, *kernel, bias, output);
  });
}

extern "C" clipengine_status clipengine_cpu_average_pool(clipengine_cpu_pass*, const float* input, int64_t maps, int64_t height, int64_t width, int64_t size, int64_t stride,
                                                         int64_t padding, float* output) noexcept {
  return clipengine::guard([&] {
    const int64_t down = std::max<int64_t>(0, (height + 2 * padding - size + stride) / stride), across = std::max<int64_t>(0, (width + 2 * padding - size + stride) / stride);
    clipengine::parallel_for(maps, [&](int64_t map, int) {
      for (int64_t y = 0; y < down; ++y) {
        const int64_t top = std::max<int64_t>(0, y * stride - padding), bottom = std::min(height, y * stride - padding + size);
        for (int64_t x = 0; x < across; ++x) {
          const int64_t left = std::max<int64_t>(0, x * stride - padding), right = std::min(width, x * stride - padding + size);
          float sum = 0;
          for (int64_t row = top; row < bottom; ++row) {
            for (int64_t column = left; column < right; ++column) sum += input[(map * height + row) * width + column];
          }
          output[(map * down + y) * across + x] = sum / static_cast<float>((bottom - top) * (right - left));
        }
      }
    });
  });
}
