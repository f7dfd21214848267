// cuBLASLt, opened at run time where it is installed. The declarations are ours, after NVIDIA's public documentation ("cuBLAS
// Library", chapter "Using the cuBLASLt API": functions, cublasLtMatmulDescAttributes_t, cublasLtEpilogue_t,
// cublasLtMatmulPreferenceAttributes_t, cublasLtMatmulAlgoConfigAttributes_t); no header of CUDA is used. What is declared here
// has been the same from CUDA 11 to 13.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cuda/device.h"

namespace clipengine::cuda {

// What a product's operands are; results are of the same type or fp32: of tf32 always fp32, of fp8 bf16 or fp32.
enum class ProductType : int32_t { kFp32 = 0, kTf32 = 1, kBf16 = 2, kFp16 = 3, kFp8 = 4 };

// What the library can do with the sums; anything else is for our own kernels. Its GELU is the one with tanh.
struct LibraryEpilogue {
  bool has_bias, has_residual, has_gelu_tanh;
};

// y [rows, columns] = epilogue(x [rows, depth] w [columns, depth]^T) by one algorithm for any number of rows.
class LibraryProduct {
 public:
  struct Arguments {
    uint64_t x, w, y, bias, residual;  // the bias in the type of y; bias and residual 0 where the epilogue has none
    int32_t rows;
    uint64_t workspace;
  };
  virtual ~LibraryProduct() = default;
  // Enqueues one product. Throws Error naming the status where the library refuses.
  virtual void enqueue(const Arguments& arguments, void* stream) const = 0;
};

class CublasLt {
 public:
  virtual ~CublasLt() = default;
  // "cuBLASLt 12.4.5".
  virtual std::string name() const = 0;
  // Chooses an algorithm once, for kReferenceRows rows, among those that add up a sum's terms in one go: a row's result must not
  // depend on how many others there are. Throws Error where the library has none.
  virtual std::unique_ptr<LibraryProduct> prepare(ProductType operands, bool is_result_fp32, int32_t columns, int32_t depth, LibraryEpilogue epilogue, uint64_t workspace_bytes) const = 0;

  // A batch of 256 pictures in 50 tokens: algorithms are chosen for work of this size.
  static constexpr int32_t kReferenceRows = 12800;
  // Addresses that are handed over must be multiples of it.
  static constexpr uint64_t kAlignment = 16;

  // CLIPENGINE_CUBLASLT names the library, or says "none". Null where there is none, and `reason` says why.
  static std::unique_ptr<CublasLt> open(const Device& device, std::string& reason);
};

}  // namespace clipengine::cuda
