#include "cuda/products.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "core/half.h"
#include "core/status.h"
#include "cuda/kernels/product_tiles.h"

namespace clipengine::cuda {
namespace {

enum Argument { kX = 0, kW = 1, kY = 2, kRows = 3, kColumns = 4, kDepth = 5, kBias = 6, kScale = 7, kResidual = 8, kActivation = 9 };
constexpr uint64_t kNoActivation = 0, kGeluTanhActivation = 2;  // values of ActivationCode in kernels/maths.h
constexpr int64_t kLongestBias = 1 << 16;
constexpr int32_t kCheckedRows = 130, kFirstAmongOthers = 64;  // rows of a check; the one that is also computed alone and among few

int index_of(LibraryEpilogue epilogue) { return epilogue.has_bias + 2 * epilogue.has_residual + 4 * epilogue.has_gelu_tanh; }
constexpr LibraryEpilogue kEpilogues[] = {{false, false, false}, {true, false, false}, {true, true, false}, {true, false, true}};

bool is_16bit(ProductType type) { return type == ProductType::kBf16 || type == ProductType::kFp16; }
const char* name_of(ProductType type) { return type == ProductType::kFp8 ? "fp8" : type == ProductType::kBf16 ? "bf16" : type == ProductType::kFp16 ? "fp16" : type == ProductType::kTf32 ? "tf32" : "fp32"; }

// Numbers of 8 bits with exponents 0 to -7: exact in every type, while their products' sums are not, so that another order shows.
struct Number {
  uint32_t sign, mantissa, exponent;
  float value() const { return std::ldexp(1.0f + static_cast<float>(mantissa) / 128.0f, -static_cast<int>(exponent)) * (sign ? -1.0f : 1.0f); }
};

class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed) {}
  // shift: how many more powers of two below one.
  Number next(uint32_t shift) {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    const uint32_t bits = static_cast<uint32_t>(state_ >> 33);
    return {bits & 1, bits >> 1 & 127, (bits >> 8 & 7) + shift};
  }

 private:
  uint64_t state_;
};

void append(std::vector<unsigned char>& bytes, const void* value, size_t size) {
  const unsigned char* from = static_cast<const unsigned char*>(value);
  bytes.insert(bytes.end(), from, from + size);
}

std::vector<unsigned char> random_matrix(uint64_t seed, int64_t count, uint32_t shift, ProductType type) {
  Numbers numbers(seed);
  std::vector<unsigned char> bytes;
  for (int64_t i = 0; i < count; ++i) {
    const Number number = numbers.next(shift);
    const float value = number.value();
    uint32_t word = 0;
    std::memcpy(&word, &value, 4);
    const uint16_t half = type == ProductType::kBf16 ? static_cast<uint16_t>(word >> 16) : static_cast<uint16_t>(number.sign << 15 | (15 - number.exponent) << 10 | number.mantissa << 3);
    if (is_16bit(type))
      append(bytes, &half, 2);
    else
      append(bytes, &value, 4);
  }
  return bytes;
}

double read_number(const unsigned char* at, ProductType type) {
  if (!is_16bit(type)) {
    float value = 0;
    std::memcpy(&value, at, 4);
    return value;
  }
  uint16_t half = 0;
  std::memcpy(&half, at, 2);
  return type == ProductType::kBf16 ? bf16_to_float(half) : half_to_float(half);
}

// Device memory of a check.
class Scratch {
 public:
  Scratch(Device& device, int64_t bytes) : device_(device), address(device.allocate(bytes)) {}
  Scratch(Device& device, const std::vector<unsigned char>& content) : Scratch(device, static_cast<int64_t>(content.size())) { device.upload(address, content.data(), static_cast<int64_t>(content.size())); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    try {
      device_.free(address);
    } catch (const std::exception&) {
      // What failed before is reported; this only follows from it.
    }
  }

 private:
  Device& device_;

 public:
  const uint64_t address;
};

}  // namespace

Products::Products(Device& device) : device_(device) {
  if (device.architecture() == "sm_90") check_wide();
  open_library();
}

void Products::open_library() {
  std::string reason;
  library_ = CublasLt::open(device_, reason);
  if (library_ == nullptr) {
    steps_down_.push_back("cuBLASLt: " + reason);
    return;
  }
  try {
    // As large as NVIDIA recommends.
    workspace_bytes_ = (device_.architecture() >= "sm_90" ? 32 : 4) << 20;
    workspace_ = device_.allocate(workspace_bytes_);
    bias_ = device_.allocate(kLongestBias * 2);
    // Whether it works here at all, before anybody asks for a product.
    prepare(entries_.emplace_back(Entry{ProductType::kBf16, true, 128, 128, {}}));
  } catch (const std::exception& error) {
    step_down(error.what());
  }
}

Products::~Products() {
  for (const uint64_t address : {workspace_, bias_}) {
    if (address == 0) continue;
    try {
      device_.free(address);
    } catch (const std::exception&) {
      // The device goes next, and takes its memory with it.
    }
  }
}

int64_t Products::find(ProductType operands, bool is_result_fp32, int32_t columns, int32_t depth) {
  const int32_t group = operands == ProductType::kFp8 ? 16 : 8;
  if (columns < 1 || depth < 1 || depth % group != 0) throw Error(CLIPENGINE_INVALID_ARGUMENT, "a product needs columns and a depth in whole groups of " + std::to_string(group) + "; found " + std::to_string(columns) + " and " + std::to_string(depth));
  const std::lock_guard lock(mutex_);
  if (operands == ProductType::kFp8) {
    // Asked of the device first: code for it, and where that was compiled from is another matter.
    const std::string architecture = device_.architecture();
    if (std::atoi(architecture.c_str() + 3) < 89) throw Error(CLIPENGINE_UNSUPPORTED, "fp8 is multiplied by GPUs of compute capability 8.9 and later (Ada, Hopper); this one is " + architecture);
    try {
      device_.find_kernel("product_fp8_fp32", kProductSharedBytes);
    } catch (const Error& error) {
      throw Error(CLIPENGINE_UNSUPPORTED, std::string("the kernels that were loaded have none for fp8, they were compiled for older GPUs: ") + error.what());
    }
  }
  is_result_fp32 = is_result_fp32 || operands == ProductType::kFp32 || operands == ProductType::kTf32;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    if (entry.operands == operands && entry.is_result_fp32 == is_result_fp32 && entry.columns == columns && entry.depth == depth) return -1 - static_cast<int64_t>(i);
  }
  Entry& entry = entries_.emplace_back(Entry{operands, is_result_fp32, columns, depth, {}});
  prepare(entry);
  return -static_cast<int64_t>(entries_.size());
}

const Products::Entry& Products::entry_of(int64_t product) const {
  if (product >= 0 || product < -static_cast<int64_t>(entries_.size())) throw Error(CLIPENGINE_INVALID_ARGUMENT, "there is no such product");
  return entries_[static_cast<size_t>(-1 - product)];
}

int Products::argument_count(int64_t product) const {
  const std::lock_guard lock(mutex_);
  return entry_of(product).operands == ProductType::kFp8 ? kArgumentsFp8 : kArguments;
}

void Products::expand(int64_t product, const uint64_t* arguments, LaunchList& list) {
  const std::lock_guard lock(mutex_);
  const Entry& entry = entry_of(product);
  if (static_cast<int32_t>(arguments[kColumns]) != entry.columns || static_cast<int32_t>(arguments[kDepth]) != entry.depth)
    throw Error(CLIPENGINE_INVALID_ARGUMENT, "a product was launched with another shape than it was made for");
  if (static_cast<int32_t>(arguments[kRows]) < 1) return;  // an empty batch
  const LibraryEpilogue epilogue = {arguments[kBias] != 0, arguments[kResidual] != 0, arguments[kActivation] == kGeluTanhActivation};
  const bool may_fit = arguments[kScale] == 0 && (arguments[kActivation] == kNoActivation || epilogue.has_gelu_tanh);
  if (may_fit && entry.library[index_of(epilogue)] != nullptr)
    append_library(entry, *entry.library[index_of(epilogue)], arguments, epilogue.has_bias, list);
  else
    append_own(entry, arguments, list, uses_wide_);
}

void Products::append_own(const Entry& entry, const uint64_t* arguments, LaunchList& list, bool is_wide) const {
  struct Shape {
    int32_t tile_rows, tile_columns, shared;
  };
  is_wide = is_wide && is_16bit(entry.operands);
  const auto [tile_rows, tile_columns, shared] = is_wide                                    ? Shape{kWideRows, kWideColumns, kWideSharedBytes}
                                                 : entry.operands == ProductType::kFp32 ? Shape{kPlainTile, kPlainTile, 0}
                                                                                        : Shape{kTileRows, kTileColumns, kProductSharedBytes};
  const std::string name = std::string(is_wide ? "product_wide_" : "product_") + name_of(entry.operands) + (entry.is_result_fp32 ? "_fp32" : entry.operands == ProductType::kFp8 ? "_bf16" : "");
  const int32_t rows = static_cast<int32_t>(arguments[kRows]);
  const auto blocks = [](int32_t total, int32_t size) { return static_cast<uint32_t>((total + size - 1) / size); };
  list.launches.push_back({device_.find_kernel(name, shared), {blocks(entry.columns, tile_columns), blocks(rows, tile_rows), 1, kProductThreads, static_cast<uint32_t>(shared)}, arguments, entry.operands == ProductType::kFp8 ? kArgumentsFp8 : kArguments});
}

void Products::append_library(const Entry& entry, const LibraryProduct& product, const uint64_t* arguments, bool has_bias, LaunchList& list) const {
  uint64_t bias = arguments[kBias];
  if (has_bias && !entry.is_result_fp32) {
    // The library takes a bias only in the type of the result. Converted on the same queue, so that memory for one is enough.
    const int64_t count = entry.columns;
    list.arguments.push_back({bias, bias_, static_cast<uint64_t>(count), static_cast<uint64_t>(count), static_cast<uint64_t>(count)});
    const uint32_t threads = 256;
    list.launches.push_back({device_.find_kernel(entry.operands == ProductType::kBf16 ? "convert_rows_fp32_bf16" : "convert_rows_fp32_fp16", 0),
                             {static_cast<uint32_t>((count + threads - 1) / threads), 1, 1, threads, 0}, list.arguments.back().data(), 5});
    bias = bias_;
  }
  const LibraryProduct::Arguments call = {arguments[kX], arguments[kW], arguments[kY], bias, arguments[kResidual], static_cast<int32_t>(arguments[kRows]), workspace_};
  for (const uint64_t address : {call.x, call.w, call.y, call.bias, call.residual}) {
    if (address % CublasLt::kAlignment != 0) throw Error(CLIPENGINE_INVALID_ARGUMENT, "a product's address is not a multiple of " + std::to_string(CublasLt::kAlignment));
  }
  list.launches.push_back({0, {}, nullptr, 0, [&product, call](void* stream) {
                             try {
                               product.enqueue(call, stream);
                             } catch (const Error& error) {
                               throw Error(error.status(), std::string(error.what()) + ", on " + std::to_string(call.rows) + " rows after it had passed its checks; CLIPENGINE_CUBLASLT=none runs without cuBLASLt");
                             }
                           }});
}

void Products::prepare(Entry& entry) {
  if (library_ == nullptr || entry.operands == ProductType::kFp8) return;
  for (const LibraryEpilogue epilogue : kEpilogues) {
    // What is added to the residual stream stays fp32; a bias that is longer than there is room for goes to our kernels.
    if ((epilogue.has_residual && !entry.is_result_fp32) || (epilogue.has_bias && entry.columns > kLongestBias)) continue;
    std::string reason;
    std::unique_ptr<LibraryProduct> product;
    try {
      product = library_->prepare(entry.operands, entry.is_result_fp32, entry.columns, entry.depth, epilogue, static_cast<uint64_t>(workspace_bytes_));
      reason = check(entry, *product, epilogue);
    } catch (const Error& error) {
      reason = error.what();
    }
    if (reason.empty()) {
      entry.library[index_of(epilogue)] = std::move(product);
      continue;
    }
    step_down(std::string(name_of(entry.operands)) + (entry.is_result_fp32 ? " to fp32" : "") + " [" + std::to_string(entry.columns) + ", " + std::to_string(entry.depth) + "]" +
              (epilogue.has_bias ? " with a bias" : "") + (epilogue.has_residual ? " and a residual" : "") + (epilogue.has_gelu_tanh ? " and GELU" : "") + ": " + reason);
  }
}

// Hopper's kernels have a promise to keep before they compute: over odd sizes, with everything an epilogue can do, they say what the
// portable ones say, and the same bits of a row alone and among others.
void Products::check_wide() {
  try {
    for (const ProductType type : {ProductType::kBf16, ProductType::kFp16}) {
      for (const bool is_result_fp32 : {false, true}) {
        const Entry entry = {type, is_result_fp32, 40, 328, {}};
        const std::string reason = compare(
            entry, {true, true, true}, true, [&](const uint64_t* arguments, LaunchList& list) { append_own(entry, arguments, list, false); },
            [&](const uint64_t* arguments, LaunchList& list) { append_own(entry, arguments, list, true); });
        if (!reason.empty()) throw Error(CLIPENGINE_UNSUPPORTED, reason);
      }
    }
    uses_wide_ = true;
  } catch (const std::exception& error) {
    steps_down_.push_back(std::string("kernels on wgmma: ") + error.what());
  }
}

// Why the library's product is not to be used; empty where it is.
std::string Products::check(const Entry& entry, const LibraryProduct& product, LibraryEpilogue epilogue) {
  return compare(
      entry, epilogue, false, [&](const uint64_t* arguments, LaunchList& list) { append_own(entry, arguments, list, false); },
      [&](const uint64_t* arguments, LaunchList& list) { append_library(entry, product, arguments, epilogue.has_bias, list); });
}

// How a product differs from the trusted one; empty where it does not.
template <typename Trusted, typename Tried>
std::string Products::compare(const Entry& entry, LibraryEpilogue epilogue, bool has_scale, const Trusted& append_trusted, const Tried& append_tried) {
  const ProductType result_type = entry.is_result_fp32 ? ProductType::kFp32 : entry.operands;
  const int64_t operand_bytes = is_16bit(entry.operands) ? 2 : 4, result_bytes = is_16bit(result_type) ? 2 : 4, row_bytes = entry.columns * result_bytes;
  // Weights shrink with the root of the depth, so that sums are about 1.
  const uint32_t shift = static_cast<uint32_t>(std::lround(std::log2(entry.depth) / 2));
  const Scratch x(device_, random_matrix(1, static_cast<int64_t>(kCheckedRows) * entry.depth, 0, entry.operands));
  const Scratch w(device_, random_matrix(2, static_cast<int64_t>(entry.columns) * entry.depth, shift, entry.operands));
  const Scratch bias(device_, random_matrix(3, entry.columns, 0, ProductType::kFp32));
  const Scratch scale(device_, random_matrix(5, entry.columns, 0, ProductType::kFp32));
  const Scratch residual(device_, random_matrix(4, static_cast<int64_t>(kCheckedRows) * entry.columns, 0, ProductType::kFp32));
  const auto compute = [&](bool is_trusted, int32_t first, int32_t rows) {
    const Scratch y(device_, rows * row_bytes);
    const uint64_t arguments[kArguments] = {x.address + static_cast<uint64_t>(first * entry.depth * operand_bytes), w.address, y.address, static_cast<uint64_t>(rows), static_cast<uint64_t>(entry.columns), static_cast<uint64_t>(entry.depth),
                                            epilogue.has_bias ? bias.address : 0, has_scale ? scale.address : 0, epilogue.has_residual ? residual.address + static_cast<uint64_t>(first) * static_cast<uint64_t>(entry.columns) * 4 : 0, epilogue.has_gelu_tanh ? kGeluTanhActivation : kNoActivation};
    LaunchList list;
    if (is_trusted)
      append_trusted(arguments, list);
    else
      append_tried(arguments, list);
    for (const KernelLaunch& launch : list.launches) device_.launch(launch);
    std::vector<unsigned char> result(static_cast<size_t>(rows * row_bytes));
    device_.download(result.data(), y.address, rows * row_bytes);
    return result;
  };
  const std::vector<unsigned char> expected = compute(true, 0, kCheckedRows), found = compute(false, 0, kCheckedRows);
  // Sums of about 1 in fp32, another approximation of tanh, and one step of the result's type.
  const double step = result_type == ProductType::kBf16 ? 1.0 / 128 : result_type == ProductType::kFp16 ? 1.0 / 1024 : 0;
  for (size_t at = 0; at < expected.size(); at += static_cast<size_t>(result_bytes)) {
    const double trusted = read_number(expected.data() + at, result_type), tried = read_number(found.data() + at, result_type);
    if (!(std::abs(trusted - tried) <= (epilogue.has_gelu_tanh ? 2e-3 : 2e-4) + step * std::abs(trusted)))
      return "it says " + std::to_string(tried) + " where our portable kernel says " + std::to_string(trusted);
  }
  for (const int32_t rows : {1, 7}) {
    const std::vector<unsigned char> among_few = compute(false, kFirstAmongOthers, rows);
    if (std::memcmp(among_few.data(), found.data() + kFirstAmongOthers * row_bytes, among_few.size()) != 0)
      return "a row's bits are others among " + std::to_string(rows) + " rows than among " + std::to_string(kCheckedRows);
  }
  return {};
}

void Products::step_down(const std::string& what) { steps_down_.push_back((library_ == nullptr ? "cuBLASLt" : library_->name()) + ": " + what); }

std::string Products::describe() const {
  const std::lock_guard lock(mutex_);
  int used = 0;
  for (const Entry& entry : entries_) {
    for (const auto& product : entry.library) used += product != nullptr;
  }
  const std::string ours = uses_wide_ ? "our kernels (wgmma)" : "our kernels (mma.sync)";
  std::string text = "\nmatrix products: " + (used > 0 ? library_->name() + " where it fits, else " + ours : ours);
  for (const std::string& step : steps_down_) text += "\nstep down: " + step;
  return text;
}

}  // namespace clipengine::cuda
