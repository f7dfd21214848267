// Decoded pixels and crops of the sample images, bit for bit those of Pillow (tests/data/preprocess/golden.json holds their SHA-256). The
// managed tests compare more; these run where .NET does not.
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "check.h"
#include "clipengine_image.h"

namespace {

// FIPS 180-4.
std::string sha256(const std::vector<uint8_t>& message) {
  constexpr uint32_t kRound[64] = {
      0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
      0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
      0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
      0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::vector<uint8_t> padded = message;
  padded.push_back(0x80);
  while (padded.size() % 64 != 56) padded.push_back(0);
  for (int byte = 7; byte >= 0; --byte) padded.push_back(static_cast<uint8_t>(static_cast<uint64_t>(message.size()) * 8 >> (8 * byte)));
  const auto turn = [](uint32_t x, int bits) { return x >> bits | x << (32 - bits); };
  for (size_t block = 0; block < padded.size(); block += 64) {
    uint32_t word[64];
    for (size_t i = 0; i < 16; ++i) {
      const uint8_t* p = padded.data() + block + 4 * i;
      word[i] = static_cast<uint32_t>(p[0]) << 24 | static_cast<uint32_t>(p[1]) << 16 | static_cast<uint32_t>(p[2]) << 8 | p[3];
    }
    for (size_t i = 16; i < 64; ++i) {
      const uint32_t a = word[i - 15], b = word[i - 2];
      word[i] = word[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + word[i - 7] + (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
    }
    uint32_t v[8];
    std::memcpy(v, state, sizeof v);
    for (size_t i = 0; i < 64; ++i) {
      const uint32_t first = v[7] + (turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + kRound[i] + word[i];
      const uint32_t second = (turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
      for (int j = 7; j > 0; --j) v[j] = v[j - 1];
      v[4] += first;
      v[0] = first + second;
    }
    for (int i = 0; i < 8; ++i) state[i] += v[i];
  }
  std::string text;
  char part[9];
  for (const uint32_t s : state) {
    std::snprintf(part, sizeof part, "%08x", s);
    text += part;
  }
  return text;
}

std::string load(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error("no file " + path);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

// The string or number behind "key": from a place on.
std::string field(const std::string& json, const std::string& key, size_t from) {
  size_t at = json.find("\"" + key + "\": ", from);
  if (at == std::string::npos) throw std::runtime_error("golden.json: no " + key);
  at += key.size() + 4;
  const bool quoted = json[at] == '"';
  if (quoted) ++at;
  return json.substr(at, json.find_first_of(quoted ? "\"" : ",\n", at) - at);
}

}  // namespace

CLIPENGINE_TEST(sha256_of_the_standards_example) {
  CHECK_EQUAL(sha256({'a', 'b', 'c'}), std::string("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
}

CLIPENGINE_TEST(pixels_and_crops_are_pillows) {
  const std::string folder = CLIPENGINE_SOURCE_DIR "/tests/data/preprocess/";
  const std::string json = load(folder + "golden.json");
  int files = 0, crops = 0;
  // One object a file, at two spaces; its transforms at four.
  for (size_t at = json.find("\n  \"", json.find("\"files\"")); at != std::string::npos;) {
    const std::string name = json.substr(at + 4, json.find('"', at + 4) - at - 4);
    size_t end = json.find("\n  \"", at + 1);
    const std::string one = json.substr(at, end == std::string::npos ? std::string::npos : end - at);
    const std::string encoded = load(folder + "images/" + name);
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(encoded.data());
    const int64_t size = static_cast<int64_t>(encoded.size());
    clipengine_image_info info;
    CHECK_EQUAL(clipengine_image_probe(bytes, size, &info), CLIPENGINE_OK);
    std::vector<uint8_t> rgb(static_cast<size_t>(info.width) * static_cast<size_t>(info.height) * 3);
    CHECK_EQUAL(clipengine_image_decode(bytes, size, rgb.data(), static_cast<int64_t>(rgb.size())), CLIPENGINE_OK);
    if (sha256(rgb) != field(one, "decoded_sha256", 0)) clipengine_test::report(__FILE__, __LINE__, name + ": other pixels than Pillow's");
    ++files;
    for (size_t t = one.find("\n    \"", one.find("\"transforms\"")); t != std::string::npos; t = one.find("\n    \"", t + 1)) {
      const std::string transform_name = one.substr(t + 6, one.find('"', t + 6) - t - 6);
      clipengine_image_transform transform{};
      transform.rgb_order = CLIPENGINE_RGB_FIRST;
      transform.resampler = CLIPENGINE_RESAMPLER_PILLOW_12;
      transform.resize_mode = transform_name.rfind("squash-", 0) == 0 ? CLIPENGINE_RESIZE_SQUASH : CLIPENGINE_RESIZE_SHORTEST;
      transform.interpolation = transform_name.find("bilinear") != std::string::npos ? CLIPENGINE_INTERPOLATION_BILINEAR : CLIPENGINE_INTERPOLATION_BICUBIC;
      transform.height = transform.width = std::atoi(transform_name.c_str() + transform_name.find('-') + 1);
      std::vector<uint8_t> crop(static_cast<size_t>(transform.height) * static_cast<size_t>(transform.width) * 3);
      CHECK_EQUAL(clipengine_image_crop(bytes, size, &transform, crop.data()), CLIPENGINE_OK);
      if (sha256(crop) != field(one, "sha256", t)) clipengine_test::report(__FILE__, __LINE__, name + " " + transform_name + ": another crop than Pillow's");
      ++crops;
    }
    at = end;
  }
  CHECK(files >= 20 && crops >= 100);
}

CLIPENGINE_TEST_MAIN()
