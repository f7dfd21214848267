// Which implementation computes a matrix product: cuBLASLt where it is installed and its epilogues fit, else our kernels; on Hopper
// those on its own instructions, once they have said what the portable ones say.
//
// A row's result must have the same bits in any batch. Our kernels keep that by construction. Of cuBLASLt one algorithm is chosen
// for each shape of a weight, for any number of rows and without part sums, and because NVIDIA promises nothing for different
// numbers of rows, every choice is tried on the device before it is used: against our kernel, and alone, among few and among many
// rows for the same bits. What fails is computed by our kernels, and describe() says so. All of this is decided before the
// first product: a library that refuses later is an error, because another kernel in the middle of a run would change bits.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/cublaslt.h"
#include "cuda/device.h"

namespace clipengine::cuda {

// Launches with the arguments that were made for them.
struct LaunchList {
  std::vector<KernelLaunch> launches;
  std::deque<std::array<uint64_t, 10>> arguments;
};

class Products {
 public:
  // x, w, y, rows, columns, depth, bias, scale, residual, activation, as our kernels take them; fp8 has the scales of x and w too.
  static constexpr int kArguments = 10, kArgumentsFp8 = 12;

  explicit Products(Device& device);
  ~Products();
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  // The product of a weight [columns, depth], depth in elements and a multiple of 8, of 16 for fp8; numbers are below 0, where no
  // kernel's are. Throws Error (CLIPENGINE_UNSUPPORTED) for fp8 where the device does not multiply it.
  int64_t find(ProductType operands, bool is_result_fp32, int32_t columns, int32_t depth);
  int argument_count(int64_t product) const;
  // Appends what computes the product with these arguments.
  void expand(int64_t product, const uint64_t* arguments, LaunchList& list);
  // Lines "key: value", each behind a line break.
  std::string describe() const;

 private:
  struct Entry {
    ProductType operands;
    bool is_result_fp32;
    int32_t columns, depth;
    std::unique_ptr<LibraryProduct> library[8];  // by which of bias, residual and GELU there are; null: ours
  };

  const Entry& entry_of(int64_t product) const;
  void append_own(const Entry& entry, const uint64_t* arguments, LaunchList& list, bool is_wide) const;
  void append_library(const Entry& entry, const LibraryProduct& product, const uint64_t* arguments, bool has_bias, LaunchList& list) const;
  void open_library();
  void prepare(Entry& entry);
  void check_wide();
  template <typename Trusted, typename Tried>
  std::string compare(const Entry& entry, LibraryEpilogue epilogue, bool has_scale, const Trusted& append_trusted, const Tried& append_tried);
  std::string check(const Entry& entry, const LibraryProduct& product, LibraryEpilogue epilogue);
  void step_down(const std::string& what);

  Device& device_;
  bool uses_wide_ = false;  // Hopper's
  mutable std::mutex mutex_;
  std::unique_ptr<CublasLt> library_;
  std::deque<Entry> entries_;
  uint64_t workspace_ = 0, bias_ = 0;  // device memory: the library's, and a bias in 16 bits
  int64_t workspace_bytes_ = 0;
  std::vector<std::string> steps_down_;
};

}  // namespace clipengine::cuda
