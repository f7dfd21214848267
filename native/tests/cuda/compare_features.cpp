// cuda_compare_features FOUND.safetensors EXPECTED.safetensors DIFFERENCE COSINE: compares image_features and text_features
// (fp32, [n, width]) where both files have them. Fails where the largest absolute difference exceeds DIFFERENCE times the
// expected features' standard deviation, or a row's cosine is below COSINE ("-" for either: not asked for).
// For machines without .NET: what `clipengine embed raw --device cuda` wrote against a golden. Exit code: 0, 1, or 2 for bad input.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Features {
  size_t width = 0;
  std::vector<float> values;
};

std::string between(const std::string& text, size_t from, const std::string& open, char close) {
  const size_t start = text.find(open, from);
  if (start == std::string::npos) throw std::runtime_error("the header lacks " + open);
  return text.substr(start + open.size(), text.find(close, start + open.size()) - start - open.size());
}

// Empty where the file has no such tensor. Reads what our own writer and the goldens' maker write: one JSON object a tensor.
Features read(const std::string& path, const std::string& key) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  const std::string bytes = content.str();
  if (bytes.size() < 8) throw std::runtime_error(path + ": cannot be read");
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  if (length > bytes.size() - 8) throw std::runtime_error(path + ": is cut short");
  const std::string header = bytes.substr(8, length);
  const size_t at = header.find("\"" + key + "\"");
  Features features;
  if (at == std::string::npos) return features;
  const std::string entry = header.substr(at, header.find('}', at) - at);
  if (entry.find("\"F32\"") == std::string::npos) throw std::runtime_error(path + ": " + key + " is not F32");
  std::string shape = between(entry, entry.find("\"shape\""), "[", ']'), offsets = between(entry, entry.find("\"data_offsets\""), "[", ']');
  features.width = std::strtoull(shape.substr(shape.rfind(',') + 1).c_str(), nullptr, 10);
  const uint64_t first = std::strtoull(offsets.c_str(), nullptr, 10), last = std::strtoull(offsets.substr(offsets.find(',') + 1).c_str(), nullptr, 10);
  if (features.width == 0 || first > last || 8 + length + last > bytes.size()) throw std::runtime_error(path + ": " + key + " does not lie inside the file");
  features.values.resize((last - first) / 4);
  std::memcpy(features.values.data(), bytes.data() + 8 + length + first, features.values.size() * 4);
  return features;
}

bool compare(const Features& found, const Features& expected, const char* difference_bound, const char* cosine_bound, const char* key) {
  if (found.width != expected.width || found.values.size() != expected.values.size()) {
    std::printf("%s: FAIL, another shape\n", key);
    return false;
  }
  const size_t n = expected.values.size(), width = expected.width;
  double mean = 0, variance = 0, largest = 0, least_cosine = 1;
  for (float value : expected.values) mean += value / (double)n;
  for (float value : expected.values) variance += (value - mean) * (value - mean) / (double)n;
  for (size_t row = 0; row < n / width; ++row) {
    double dot = 0, a = 0, b = 0;
    for (size_t i = row * width; i < (row + 1) * width; ++i) {
      const double x = found.values[i], y = expected.values[i];
      dot += x * y;
      a += x * x;
      b += y * y;
      if (!(std::abs(x - y) <= largest)) largest = std::abs(x - y);  // NaN stays
    }
    const double cosine = dot / std::sqrt(a * b);
    if (!(cosine >= least_cosine)) least_cosine = cosine;
  }
  const double relative = largest / std::sqrt(variance);
  const bool is_close = (*difference_bound == '-' || relative <= std::atof(difference_bound)) && (*cosine_bound == '-' || least_cosine >= std::atof(cosine_bound)) && std::isfinite(relative);
  std::printf("%s: %s, largest difference %.2g of the standard deviation, smallest cosine %.7f\n", key, is_close ? "ok" : "FAIL", relative, least_cosine);
  return is_close;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) {
    std::fprintf(stderr, "usage: cuda_compare_features FOUND.safetensors EXPECTED.safetensors DIFFERENCE|- COSINE|-\n");
    return 2;
  }
  try {
    bool is_close = true;
    int compared = 0;
    for (const char* key : {"image_features", "text_features"}) {
      const Features found = read(arguments[1], key), expected = read(arguments[2], key);
      if (found.values.empty() || expected.values.empty()) continue;
      is_close = compare(found, expected, arguments[3], arguments[4], key) && is_close;
      ++compared;
    }
    if (compared == 0) throw std::runtime_error("the two files share neither image_features nor text_features");
    return is_close ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
