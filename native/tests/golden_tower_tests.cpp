// Whole towers through the C interface, with the weights and the features that open_clip gave: every instruction set that runs here
// must agree with them. The managed tests do the same for every family; these run where .NET does not.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>

#include "cpu_support.h"

using namespace cpu_test;

namespace {

struct Array {
  std::vector<int64_t> shape;
  std::vector<float> values;  // whatever they are stored as
};

// The tensors of a safetensors file of little-endian fp32 and int64.
std::map<std::string, Array> read(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error("no file " + path);
  const std::string all(std::istreambuf_iterator<char>(stream), {});
  uint64_t length;
  std::memcpy(&length, all.data(), sizeof length);
  std::string header = all.substr(8, length);
  header.erase(std::remove(header.begin(), header.end(), ' '), header.end());  // no name has one
  const char* data = all.data() + 8 + length;
  std::map<std::string, Array> tensors;
  const std::string mark = "\":{\"dtype\":\"";
  for (size_t at = header.find(mark); at != std::string::npos; at = header.find(mark, at + 1)) {
    const std::string name = header.substr(header.rfind('"', at - 1) + 1, at - header.rfind('"', at - 1) - 1);
    const bool wide = header.compare(at + mark.size(), 3, "I64") == 0;
    Array array;
    const char* number = header.c_str() + header.find("\"shape\":[", at) + 9;
    for (char* end; *number != ']'; number = *end == ',' ? end + 1 : end) array.shape.push_back(std::strtoll(number, &end, 10));
    const int64_t first = std::strtoll(header.c_str() + header.find("\"data_offsets\":[", at) + 16, nullptr, 10);
    int64_t count = 1;
    for (const int64_t side : array.shape) count *= side;
    for (int64_t i = 0; i < count; ++i) {
      int64_t integer;
      float value;
      if (wide) {
        std::memcpy(&integer, data + first + i * 8, sizeof integer);
        value = static_cast<float>(integer);
      } else {
        std::memcpy(&value, data + first + i * 4, sizeof value);
      }
      array.values.push_back(value);
    }
    tensors[name] = std::move(array);
  }
  return tensors;
}

class Towers {
 public:
  Towers(const std::string& name, int64_t image_heads, int64_t text_heads, int32_t isa)
      : image_heads_(image_heads), text_heads_(text_heads), isa_(isa), pass_(pass(isa)),
        checkpoint_(read(std::string(CLIPENGINE_SOURCE_DIR "/tests/data/towers/") + name + "/open_clip_model.safetensors")) {}

  Guarded image(const Array& pixels) {
    const int64_t batch = pixels.shape[0], height = pixels.shape[2], width = pixels.shape[3];
    const Array& kernel = array("visual.conv1.weight");
    const int64_t channels = kernel.shape[0], patch = kernel.shape[3], count = (height / patch) * (width / patch);
    const OwnedWeight convolution = matrix(kernel.values, channels, 3 * patch * patch, isa_);
    Guarded patches(batch * count * channels), tokens(batch * (count + 1) * channels);
    CHECK_EQUAL(clipengine_cpu_patch_embedding(pass_.get(), pixels.values.data(), batch, 3, height, width, patch, convolution.get(), nullptr, patches.data()), CLIPENGINE_OK);
    const OwnedWeight first = vector("visual.class_embedding"), positions = vector("visual.positional_embedding");
    CHECK_EQUAL(clipengine_cpu_assemble_tokens(pass_.get(), patches.data(), batch, count, channels, first.get(), positions.get(), tokens.data()), CLIPENGINE_OK);
    normalize("visual.ln_pre", tokens, channels);
    blocks("visual.transformer", tokens, batch, count + 1, channels, image_heads_, false);
    return project(tokens, batch, count + 1, channels, std::vector<int32_t>(static_cast<size_t>(batch), 0), "visual.ln_post", "visual.proj");
  }

  Guarded text(const Array& ids) {
    const int64_t batch = ids.shape[0], count = ids.shape[1];
    const Array& words = array("token_embedding.weight");
    const int64_t width = words.shape[1];
    std::vector<int32_t> whole(ids.values.begin(), ids.values.end()), ends;
    for (int64_t b = 0; b < batch; ++b) {  // the end of text has the largest id
      const auto begin = ids.values.begin() + b * count;
      ends.push_back(static_cast<int32_t>(std::max_element(begin, begin + count) - begin));
    }
    const OwnedWeight table = vector("token_embedding.weight");
    Guarded tokens(batch * count * width);
    CHECK_EQUAL(clipengine_cpu_token_embedding(pass_.get(), whole.data(), batch, count, words.shape[0], width, table.get(), nullptr, array("positional_embedding").values.data(), tokens.data()), CLIPENGINE_OK);
    blocks("transformer", tokens, batch, count, width, text_heads_, true);
    return project(tokens, batch, count, width, ends, "ln_final", "text_projection");
  }

 private:
  const Array& array(const std::string& name) const {
    const auto found = checkpoint_.find(name);
    if (found == checkpoint_.end()) throw std::runtime_error("no tensor " + name);
    return found->second;
  }
  OwnedWeight vector(const std::string& name) const { return values(array(name).values); }
  OwnedWeight linear(const std::string& name) const { return matrix(array(name).values, array(name).shape[0], array(name).shape[1], isa_); }

  void normalize(const std::string& name, Guarded& tokens, int64_t width) {
    const OwnedWeight weight = vector(name + ".weight"), bias = vector(name + ".bias");
    Guarded output(tokens.size());
    CHECK_EQUAL(clipengine_cpu_layer_norm(pass_.get(), tokens.data(), tokens.size() / width, width, weight.get(), bias.get(), 1e-5f, output.data()), CLIPENGINE_OK);
    std::copy_n(output.data(), output.size(), tokens.data());
  }

  void blocks(const std::string& tower, Guarded& tokens, int64_t batch, int64_t count, int64_t width, int64_t heads, bool causal) {
    for (int layer = 0; checkpoint_.count(tower + ".resblocks." + std::to_string(layer) + ".ln_1.weight") != 0; ++layer) {
      const std::string name = tower + ".resblocks." + std::to_string(layer) + ".";
      const OwnedWeight norm1 = vector(name + "ln_1.weight"), norm1_bias = vector(name + "ln_1.bias"), norm2 = vector(name + "ln_2.weight"), norm2_bias = vector(name + "ln_2.bias");
      const OwnedWeight in = linear(name + "attn.in_proj_weight"), in_bias = vector(name + "attn.in_proj_bias");
      const OwnedWeight out = linear(name + "attn.out_proj.weight"), out_bias = vector(name + "attn.out_proj.bias");
      const OwnedWeight expand = linear(name + "mlp.c_fc.weight"), expand_bias = vector(name + "mlp.c_fc.bias");
      const OwnedWeight contract = linear(name + "mlp.c_proj.weight"), contract_bias = vector(name + "mlp.c_proj.bias");
      Guarded output(tokens.size());
      clipengine_cpu_block block{};
      block.input = tokens.data();
      block.output = output.data();
      block.norm1_weight = norm1.get();
      block.norm1_bias = norm1_bias.get();
      block.in_weight = in.get();
      block.in_bias = in_bias.get();
      block.out_weight = out.get();
      block.out_bias = out_bias.get();
      block.norm2_weight = norm2.get();
      block.norm2_bias = norm2_bias.get();
      block.expand_weight = expand.get();
      block.expand_bias = expand_bias.get();
      block.contract_weight = contract.get();
      block.contract_bias = contract_bias.get();
      block.batch = batch;
      block.tokens = count;
      block.width = width;
      block.heads = heads;
      block.causal = causal ? 1 : 0;
      block.activation = static_cast<int32_t>(Activation::Gelu);
      block.epsilon = 1e-5f;
      CHECK_EQUAL(clipengine_cpu_transformer_block(pass_.get(), &block), CLIPENGINE_OK);
      std::copy_n(output.data(), output.size(), tokens.data());
    }
  }

  Guarded project(Guarded& tokens, int64_t batch, int64_t count, int64_t width, const std::vector<int32_t>& places, const std::string& norm, const std::string& projection) {
    Guarded chosen(batch * width);
    CHECK_EQUAL(clipengine_cpu_select_tokens(pass_.get(), tokens.data(), batch, count, width, places.data(), chosen.data()), CLIPENGINE_OK);
    normalize(norm, chosen, width);
    const Array& weight = array(projection);  // [width, features]
    const OwnedWeight last = matrix(weight.values, weight.shape[1], width, isa_, CLIPENGINE_FLOAT32, true);
    Guarded features(batch * weight.shape[1]);
    CHECK_EQUAL(clipengine_cpu_linear(pass_.get(), chosen.data(), batch, last.get(), nullptr, 0, nullptr, nullptr, nullptr, features.data()), CLIPENGINE_OK);
    return features;
  }

  int64_t image_heads_, text_heads_;
  int32_t isa_;
  OwnedPass pass_;
  std::map<std::string, Array> checkpoint_;
};

void compare(const std::string& name, int64_t image_heads, int64_t text_heads) {
  const auto golden = read(std::string(CLIPENGINE_SOURCE_DIR "/tests/data/towers/") + name + "/golden.safetensors");
  for (const int32_t isa : available_isas()) {
    Towers towers(name, image_heads, text_heads, isa);
    const auto check = [&](const Guarded& found, const Array& expected, const char* what) {
      check_all(found, std::vector<double>(expected.values.begin(), expected.values.end()), 2e-5, name + " " + what + " " + clipengine_cpu_isa_name(isa));
    };
    check(towers.image(golden.at("pixels")), golden.at("image_features"), "image");
    check(towers.text(golden.at("tokens")), golden.at("text_features"), "text");
  }
}

}  // namespace

CLIPENGINE_TEST(towers_give_open_clips_features) {
  compare("vit-plus240-like", 4, 4);
  compare("vit-patch14-oddgrid", 3, 2);
}

CLIPENGINE_TEST_MAIN()
