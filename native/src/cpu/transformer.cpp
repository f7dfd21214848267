#include "cpu/transformer.h"

#include <algorithm>
#include <cmath>

#include "core/status.h"
#include "core/thread_pool.h"
#include "cpu/linear.h"

namespace clipengine::cpu {
namespace {

// Chunks of attention for each thread, so that one that is held up does not hold the others up.
constexpr int64_t kChunksPerThread = 24;

}  // namespace

void attend(Pass& pass, const clipengine_cpu_attention& call) {
  const Kernels& kernels = *pass.kernels;
  const int64_t width = call.width / call.heads;
  const auto pack_head = pass.attention_in_bf16 ? kernels.pack_attention_bf16 : kernels.pack_attention;
  const auto attend_head = pass.attention_in_bf16 ? kernels.attention_bf16 : kernels.attention;
  Scratch scratch(pass.arena);
  const bool shared = call.shared_keys != 0 && call.batch > 1;
  // A causal mask hides what lies behind the last query: it need not be packed.
  const int64_t reachable = call.causal != 0 ? std::min(call.keys, call.offset + call.queries) : call.keys;
  const int64_t panel_floats = round_up(attention_panel_floats(kernels, reachable, width), kLine);
  const int64_t floats = round_up(attention_scratch_floats(kernels, reachable, width), kLine);
  const int threads = ThreadPool::instance().size();
  float* scratches = pass.arena.allocate_array<float>(floats * threads);
  float* panels = pass.arena.allocate_array<float>(panel_floats * (shared ? call.heads : threads));
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  const auto head_of = [&](int64_t n, int64_t h, float* packed, float* own) {
    const int64_t offset = h * width, keys_of = shared ? 0 : n;
    AttentionHead head{};
    head.query = call.query + n * call.queries * call.query_stride + offset;
    head.key = call.key + keys_of * call.keys * call.key_stride + offset;
    head.value = call.value + keys_of * call.keys * call.value_stride + offset;
    head.query_stride = call.query_stride;
    head.key_stride = call.key_stride;
    head.value_stride = call.value_stride;
    head.queries = call.queries;
    head.width = width;
    head.visible = call.key_lengths == nullptr ? reachable : std::clamp<int64_t>(call.key_lengths[n], 0, reachable);
    head.keys = shared ? reachable : head.visible;
    head.shared = shared;
    head.causal = call.causal != 0;
    head.offset = call.offset;
    const int64_t masks = call.mask_heads != 0 ? call.heads : 1;  // of one sequence
    head.mask = call.mask == nullptr ? nullptr : call.mask + ((call.shared_mask != 0 ? 0 : n * masks) + (call.mask_heads != 0 ? h : 0)) * call.queries * call.keys;
    head.mask_stride = call.keys;
    head.scale = scale;
    head.output = call.output + n * call.queries * call.width + offset;
    head.output_stride = call.width;
    head.panels = packed;
    head.scratch = own;
    return head;
  };
  if (shared) parallel_for(call.heads, [&](int64_t h, int) { pack_head(head_of(0, h, panels + h * panel_floats, nullptr)); });
  const int64_t heads = call.batch * call.heads, chunks = std::min(heads, threads == 1 ? 1 : threads * kChunksPerThread);
  parallel_for(chunks, [&](int64_t chunk, int worker) {
    const int64_t end = heads * (chunk + 1) / chunks;
    for (int64_t i = heads * chunk / chunks; i < end; ++i) {
      const int64_t n = i / call.heads, h = i % call.heads;
      AttentionHead head = head_of(n, h, panels + (shared ? h : worker) * panel_floats, scratches + worker * floats);
      // What this thread computes next, and fetches meanwhile: behind its chunk, most likely the chunk after those that the others have now.
      const int64_t likely = i + 1 < end ? i + 1 : heads * std::min<int64_t>(chunk + threads, chunks) / chunks;
      if (likely < heads) {
        const AttentionHead next = head_of(likely / call.heads, likely % call.heads, nullptr, nullptr);
        head.next_query = next.query;
        if (!shared) {
          head.next_key = next.key;
          head.next_value = next.value;
        }
      }
      if (!shared) pack_head(head);
      attend_head(head);
    }
  }, threads);
}

namespace {

void run_block(Pass& pass, const clipengine_cpu_block& call, int64_t first, int64_t count) {
  Scratch scratch(pass.arena);
  const int64_t width = call.width, tokens = call.tokens, rows = count * tokens;
  const float* input = call.input + first * tokens * width;
  float* output = call.output + first * tokens * width;
  const Weight &in = *call.in_weight, &out = *call.out_weight;

  const TiledRows normed = pack(pass, input, width, rows, in, {values_of(call.norm1_weight), values_of(call.norm1_bias), call.epsilon});
  float* projected = pass.arena.allocate_array<float>(rows * 3 * width);
  Finish finish{};
  finish.bias = values_of(call.in_bias);
  finish.output = projected;
  finish.output_stride = 3 * width;
  multiply(pass, normed, in, finish);

  clipengine_cpu_attention attention{};
  attention.query = projected;
  attention.key = projected + width;
  attention.value = projected + 2 * width;
  attention.mask = call.mask == nullptr ? nullptr : call.mask + (call.shared_mask != 0 ? 0 : first * tokens * tokens);
  attention.shared_mask = call.shared_mask;
  attention.key_lengths = call.key_lengths == nullptr ? nullptr : call.key_lengths + first;
  attention.output = pass.arena.allocate_array<float>(rows * width);
  attention.query_stride = attention.key_stride = attention.value_stride = 3 * width;
  attention.batch = count;
  attention.queries = attention.keys = tokens;
  attention.width = width;
  attention.heads = call.heads;
  attention.causal = call.causal;
  attend(pass, attention);

  float* middle = pass.arena.allocate_array<float>(rows * width);
  finish = {};
  finish.bias = values_of(call.out_bias);
  finish.scale = values_of(call.scale1);
  finish.residual = input;
  finish.residual_stride = width;
  finish.output = middle;
  finish.output_stride = width;
  multiply(pass, pack(pass, attention.output, width, rows, out), out, finish);

  Mlp mlp{};
  mlp.norm = {values_of(call.norm2_weight), values_of(call.norm2_bias), call.epsilon};
  mlp.expand = call.expand_weight;
  mlp.expand_bias = call.expand_bias;
  mlp.activation = static_cast<Activation>(call.activation);
  mlp.contract = call.contract_weight;
  mlp.contract_bias = call.contract_bias;
  mlp.scale = call.scale2;
  run_mlp(pass, mlp, middle, rows, middle, output);
}

}  // namespace
}  // namespace clipengine::cpu

extern "C" clipengine_status clipengine_cpu_attend(clipengine_cpu_pass* pass, const clipengine_cpu_attention* call) noexcept {
  return clipengine::guard([&] { clipengine::cpu::attend(*pass, *call); });
}

extern "C" clipengine_status clipengine_cpu_transformer_block(clipengine_cpu_pass* pass, const clipengine_cpu_block* call) noexcept {
  return clipengine::guard([&] {
    const int64_t together = std::max<int64_t>(1, clipengine::cpu::kBlockRows / std::max<int64_t>(1, call->tokens));
    for (int64_t first = 0; first < call->batch; first += together) clipengine::cpu::run_block(*pass, *call, first, std::min(together, call->batch - first));
  });
}
