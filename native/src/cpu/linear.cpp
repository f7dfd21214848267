#include "cpu/linear.h"

#include <algorithm>

#include "clipengine_cpu.h"
#include "core/status.h"
#include "core/thread_pool.h"

namespace clipengine::cpu {
namespace {

// Rows that stay in the second-level cache while panels stream past them: what a depth block of theirs takes of its 1 MiB.
constexpr int64_t kChunkBytes = 640 << 10;
// Panels between whose depth blocks sums wait: few enough for the sums to be small beside the operands.
constexpr int64_t kWaitingPanels = 12;
// Multiply-adds that are worth a chunk of their own.
constexpr int64_t kWorthSharing = 1 << 20;
// Rows for which it is worth taking the weights of an MLP past them, on any set; two of AVX-512's tiles. Bands of 28 to 208 rows are equally fast.
constexpr int64_t kLeastBand = 28;
// Bands of this size that each thread must have for rows to go in bands: the first ones are then twice as large, and what threads wait for each
// other at the end is a small part. A transformer block hands over kBlockRows at most, so that from eight threads on all of them share each product instead.
constexpr int64_t kBandsPerThread = 4;
// Chunks of packing for each thread, so that one that is held up does not hold the others up.
constexpr int64_t kChunksPerThread = 4;

// Borders of chunks over [0, units): each a part of what is left, so that few borders tear apart what streams well and yet all
// threads finish together. Returns their number.
int64_t deal(int64_t units, int64_t least, int64_t threads, int64_t* borders) {
  int64_t count = 0;
  borders[0] = 0;
  while (borders[count] < units) {
    const int64_t left = units - borders[count];
    borders[count + 1] = borders[count] + (threads == 1 ? left : std::min(left, std::max(least, left / (2 * threads))));
    ++count;
  }
  return count;
}

PackRows packing(const TiledRows& tiled, const float* input, int64_t input_stride, const Weight& weight, const Norm& norm) {
  PackRows call{};
  call.input = input;
  call.input_stride = input_stride;
  call.rows = tiled.rows;
  call.tiles = tiled.tiles;
  call.depth = weight.depth;
  call.tile_to = tiled.tiles;
  call.norm_weight = norm.weight;
  call.norm_bias = norm.bias;
  call.epsilon = norm.epsilon;
  call.precision = weight.precision;
  call.output = tiled.data;
  call.words = tiled.words;
  call.row_scales = tiled.scales;
  return call;
}

Product product_of(const TiledRows& rows, const Weight& weight, const Finish& finish) {
  Product call{};
  call.rows_data = rows.data;
  call.rows = rows.rows;
  call.tiles = rows.tiles;
  call.words = rows.words;
  call.depth_words = weight.depth_words;
  call.panels = weight.data.data();
  call.columns = weight.columns;
  call.precision = weight.precision;
  call.row_scales = rows.scales;
  if (weight.precision == Precision::Int8) {
    call.column_scales = weight.column_scales.as<float>();
    call.column_sums = weight.column_sums.as<int32_t>();
  }
  call.finish = finish;
  return call;
}

// Panels that are multiplied one behind the other.
int64_t panels_together(const Weight& weight, int64_t panels) { return weight.depth_words > weight.kernels->depth_block ? std::min(panels, kWaitingPanels) : panels; }

int64_t scratch_words(const Weight& weight, int64_t tiles, int64_t together) {
  return round_up(product_scratch_words(*weight.kernels, weight.precision, tiles, together, weight.depth_words), kLine);
}

}  // namespace

void resize_rows(TiledRows& tiled, int64_t rows, const Weight& weight) {
  tiled.rows = rows;
  tiled.tiles = divide_up(rows, tile_rows_of(*weight.kernels, weight.precision));
}

TiledRows allocate_rows(Pass& pass, int64_t rows, const Weight& weight) {
  TiledRows tiled;
  resize_rows(tiled, rows, weight);
  tiled.depth = weight.depth;
  tiled.words = words_of(weight.depth, weight.precision, weight.kernels->bf16_pairs);
  tiled.precision = weight.precision;
  tiled.data = pass.arena.allocate((rows * tiled.words + kLine) * 4);  // the line more: see Kernels::matrix_tiles
  if (weight.precision == Precision::Int8) tiled.scales = pass.arena.allocate_array<float>(rows);
  return tiled;
}

TiledRows pack(Pass& pass, const float* input, int64_t input_stride, int64_t rows, const Weight& weight, const Norm& norm) {
  TiledRows tiled = allocate_rows(pass, rows, weight);
  const int64_t threads = ThreadPool::instance().size();
  // A few hundred thousand floats take less time than waking a thread.
  const int64_t chunks = rows * weight.depth < 32768 ? 1 : std::min(tiled.tiles, threads == 1 ? 1 : threads * kChunksPerThread);
  Scratch scratch(pass.arena);
  const int64_t buffer = weight.precision == Precision::Int8 ? tiled.words * 4 : 0;
  float* buffers = pass.arena.allocate_array<float>(buffer * threads);
  parallel_for(chunks, [&](int64_t chunk, int worker) {
    PackRows call = packing(tiled, input, input_stride, weight, norm);
    call.tile_from = tiled.tiles * chunk / chunks;
    call.tile_to = tiled.tiles * (chunk + 1) / chunks;
    call.row_buffer = buffers + worker * buffer;
    weight.kernels->pack_rows(call);
  }, static_cast<int>(threads));
  return tiled;
}

void multiply(Pass& pass, const TiledRows& rows, const Weight& weight, const Finish& finish, int64_t column_from, int64_t column_to) {
  const Kernels& kernels = *weight.kernels;
  const int64_t threads = ThreadPool::instance().size();
  const int64_t first_panel = column_from / kernels.panel_columns;
  const int64_t panels = divide_up(std::min(column_to, weight.columns), kernels.panel_columns) - first_panel;
  const int64_t row_bytes = std::min(rows.words, kernels.depth_block) * 4;
  const int64_t row_chunks = std::min(rows.tiles, divide_up(rows.rows * row_bytes, kChunkBytes));
  const int64_t together = panels_together(weight, panels);

  Scratch scratch(pass.arena);
  const int64_t words = scratch_words(weight, divide_up(rows.tiles, row_chunks), together);
  uint32_t* scratches = pass.arena.allocate_array<uint32_t>(words * threads);
  // A unit is a panel times a chunk of rows, a chunk of rows' panels side by side. Of few rows a panel's memory is the work.
  const int64_t units = row_chunks * panels;
  const int64_t panel_work = weight.depth_words * kernels.panel_columns * (divide_up(rows.rows, row_chunks) + 32);
  int64_t* borders = pass.arena.allocate_array<int64_t>(units + 1);
  const int64_t chunks = deal(units, divide_up(kWorthSharing, panel_work), threads, borders);
  parallel_for(chunks, [&](int64_t chunk, int worker) {
    Product call = product_of(rows, weight, finish);
    call.scratch = scratches + worker * words;
    for (int64_t unit = borders[chunk]; unit < borders[chunk + 1];) {
      const int64_t row_chunk = unit / panels, panel = unit % panels;
      const int64_t here = std::min({together, panels - panel, borders[chunk + 1] - unit});
      call.tile_from = rows.tiles * row_chunk / row_chunks;
      call.tile_to = rows.tiles * (row_chunk + 1) / row_chunks;
      call.panel_from = first_panel + panel;
      call.panel_to = call.panel_from + here;
      kernels.product(call);
      unit += here;
    }
  }, static_cast<int>(threads));
}

OwnProduct allocate_product(Pass& pass, int64_t rows, const Weight& weight) {
  OwnProduct product;
  product.rows = allocate_rows(pass, rows, weight);
  if (weight.precision == Precision::Int8) product.row_buffer = pass.arena.allocate_array<float>(product.rows.words * 4);
  product.scratch = pass.arena.allocate_array<uint32_t>(scratch_words(weight, product.rows.tiles, panels_together(weight, weight.panels())));
  return product;
}

void pack_own(OwnProduct& product, const float* input, int64_t input_stride, int64_t rows, const Weight& weight, const Norm& norm) {
  resize_rows(product.rows, rows, weight);
  PackRows call = packing(product.rows, input, input_stride, weight, norm);
  call.row_buffer = product.row_buffer;
  weight.kernels->pack_rows(call);
}

void multiply_own(const OwnProduct& product, const Weight& weight, const Finish& finish) {
  Product call = product_of(product.rows, weight, finish);
  call.tile_to = product.rows.tiles;
  call.scratch = product.scratch;
  const int64_t panels = weight.panels(), together = panels_together(weight, panels);
  for (int64_t panel = 0; panel < panels; panel += together) {
    call.panel_from = panel;
    call.panel_to = std::min(panels, panel + together);
    weight.kernels->product(call);
  }
}

Finish Mlp::finish_hidden(const TiledRows& hidden) const {
  Finish finish{};
  finish.bias = values_of(expand_bias);
  finish.activation = activation;
  finish.output = static_cast<float*>(hidden.data);
  finish.output_words = hidden.words;
  finish.output_bf16 = contract->precision == Precision::BFloat16;
  return finish;
}

Finish Mlp::finish_hidden(float* hidden) const {
  Finish finish{};
  finish.bias = values_of(expand_bias);
  finish.activation = activation;
  finish.output = hidden;
  finish.output_stride = expand->columns;
  return finish;
}

Finish Mlp::finish_output(const float* residual, float* output) const {
  Finish finish{};
  finish.bias = values_of(contract_bias);
  finish.scale = values_of(scale);
  finish.residual = residual;
  finish.residual_stride = contract->columns;
  finish.output = output;
  finish.output_stride = contract->columns;
  return finish;
}

namespace {

// The two products, over all rows on all threads.
void run_together(Pass& pass, const Mlp& mlp, const float* input, int64_t rows, const float* residual, float* output) {
  const Weight &expand = *mlp.expand, &contract = *mlp.contract;
  const TiledRows normed = pack(pass, input, expand.depth, rows, expand, mlp.norm);
  TiledRows hidden;
  if (mlp.is_direct()) {
    hidden = allocate_rows(pass, rows, contract);
    multiply(pass, normed, expand, mlp.finish_hidden(hidden));
  } else {
    float* between = pass.arena.allocate_array<float>(rows * expand.columns);
    multiply(pass, normed, expand, mlp.finish_hidden(between));
    hidden = pack(pass, between, expand.columns, rows, contract);
  }
  multiply(pass, hidden, contract, mlp.finish_output(residual, output));
}

// Both, band by band, each on one thread: what lies between the products stays near it, and no thread waits for another meanwhile.
void run_bands(Pass& pass, const Mlp& mlp, const float* input, int64_t rows, const float* residual, float* output) {
  const Weight &expand = *mlp.expand, &contract = *mlp.contract;
  const int threads = ThreadPool::instance().size();
  int64_t* borders = pass.arena.allocate_array<int64_t>(rows + 1);
  // A single thread gains by bands too.
  const int64_t bands = deal(rows, kLeastBand, std::max(2, threads), borders);
  struct Own {
    OwnProduct expand, contract;
    float* hidden;
  };
  Own* owns = pass.arena.allocate_array<Own>(threads);
  for (int i = 0; i < threads; ++i) owns[i] = {allocate_product(pass, borders[1], expand), allocate_product(pass, borders[1], contract), pass.arena.allocate_array<float>(borders[1] * expand.columns)};
  parallel_for(bands, [&](int64_t band, int worker) {
    Own& own = owns[worker];
    const int64_t first = borders[band], here = borders[band + 1] - first;
    pack_own(own.expand, input + first * expand.depth, expand.depth, here, expand, mlp.norm);
    multiply_own(own.expand, expand, mlp.finish_hidden(own.hidden));
    pack_own(own.contract, own.hidden, expand.columns, here, contract);
    multiply_own(own.contract, contract, mlp.finish_output(residual + first * contract.columns, output + first * contract.columns));
  }, threads);
}

}  // namespace

void run_mlp(Pass& pass, const Mlp& mlp, const float* input, int64_t rows, const float* residual, float* output) {
  Scratch scratch(pass.arena);
  // Where the first product writes what the second reads, bands of rows gain nothing: each takes all weights past it.
  if (!mlp.is_direct() && rows >= kBandsPerThread * kLeastBand * ThreadPool::instance().size()) {
    run_bands(pass, mlp, input, rows, residual, output);
  } else {
    run_together(pass, mlp, input, rows, residual, output);
  }
}

}  // namespace clipengine::cpu

extern "C" clipengine_status clipengine_cpu_linear(clipengine_cpu_pass* pass, const float* input, int64_t rows, const clipengine_cpu_weight* weight,
                                                   const clipengine_cpu_weight* bias, int32_t activation, const clipengine_cpu_weight* scale, const float* multiplier, const float* residual,
                                                   float* output) noexcept {
  using namespace clipengine::cpu;
  return clipengine::guard([&] {
    if (rows == 0) return;
    if (weight->kernels == nullptr) throw clipengine::Error(CLIPENGINE_INVALID_ARGUMENT, "a product needs a matrix");
    Scratch scratch(pass->arena);
    const TiledRows packed = pack(*pass, input, weight->depth, rows, *weight);
    Finish finish{};
    finish.bias = values_of(bias);
    finish.scale = values_of(scale);
    finish.multiplier = multiplier;
    finish.multiplier_stride = weight->columns;
    finish.residual = residual;
    finish.residual_stride = weight->columns;
    finish.activation = static_cast<Activation>(activation);
    finish.output = output;
    finish.output_stride = weight->columns;
    multiply(*pass, packed, *weight, finish);
  });
}
