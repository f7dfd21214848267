#include "cuda/cublaslt.h"

#include <dlfcn.h>

#include <cstdlib>
#include <type_traits>
#include <vector>

#include "core/status.h"

namespace clipengine::cuda {
namespace {

using Status = int;
using Handle = struct HandleTag*;
using Descriptor = struct DescriptorTag*;
using Layout = struct LayoutTag*;
using Preference = struct PreferenceTag*;

struct Algorithm {
  uint64_t words[8];
};
struct Heuristic {
  Algorithm algorithm;
  size_t workspace_bytes;
  Status status;
  float waves;
  int reserved[4];
};
static_assert(sizeof(Heuristic) == 96, "cublasLtMatmulHeuristicResult_t");

enum DataType : int { kReal32 = 0, kReal16 = 2, kRealBf16 = 14 };                             // cudaDataType_t
enum ComputeType : int { kCompute32 = 68, kCompute32FastTf32 = 77 };                          // cublasComputeType_t
enum DescriptorAttribute : int { kTransposeA = 3, kEpilogue = 7, kBiasPointer = 8 };          // cublasLtMatmulDescAttributes_t
enum EpilogueCode : int { kEpilogueDefault = 1, kEpilogueBias = 4, kEpilogueGeluBias = 36 };                      // cublasLtEpilogue_t
enum PreferenceAttribute : int { kMaxWorkspaceBytes = 1, kReductionSchemeMask = 3, kMinAlignmentA = 5, kMinAlignmentD = 8 };  // cublasLtMatmulPreferenceAttributes_t
enum ConfigAttribute : int { kSplitK = 2, kReductionScheme = 3 };                             // cublasLtMatmulAlgoConfigAttributes_t
enum Operation : int { kTransposed = 1 };                                                     // cublasOperation_t

// Every function that is used; all return cublasStatus_t.
#define CLIPENGINE_CUBLASLT_FUNCTIONS(X)                                                                          \
  X(cublasLtCreate, (Handle*))                                                                                    \
  X(cublasLtDestroy, (Handle))                                                                                    \
  X(cublasLtMatmulDescCreate, (Descriptor*, int, int))                                                            \
  X(cublasLtMatmulDescDestroy, (Descriptor))                                                                      \
  X(cublasLtMatmulDescSetAttribute, (Descriptor, int, const void*, size_t))                                       \
  X(cublasLtMatrixLayoutCreate, (Layout*, int, uint64_t, uint64_t, int64_t))                                      \
  X(cublasLtMatrixLayoutDestroy, (Layout))                                                                        \
  X(cublasLtMatmulPreferenceCreate, (Preference*))                                                                \
  X(cublasLtMatmulPreferenceDestroy, (Preference))                                                                \
  X(cublasLtMatmulPreferenceSetAttribute, (Preference, int, const void*, size_t))                                 \
  X(cublasLtMatmulAlgoGetHeuristic, (Handle, Descriptor, Layout, Layout, Layout, Layout, Preference, int, Heuristic*, int*)) \
  X(cublasLtMatmulAlgoConfigGetAttribute, (const Algorithm*, int, void*, size_t, size_t*))                        \
  X(cublasLtMatmul, (Handle, Descriptor, const void*, const void*, Layout, const void*, Layout, const void*, const void*, Layout, void*, Layout, const Algorithm*, void*, size_t, void*))

struct Functions {
  size_t (*cublasLtGetVersion)() = nullptr;
#define CLIPENGINE_DECLARE(name, parameters) Status(*name) parameters = nullptr;
  CLIPENGINE_CUBLASLT_FUNCTIONS(CLIPENGINE_DECLARE)
#undef CLIPENGINE_DECLARE
};

const char* text_of(Status status) {
  switch (status) {
    case 1: return "not initialised";
    case 3: return "allocation failed";
    case 7: return "invalid value";
    case 8: return "architecture mismatch";
    case 11: return "mapping error";
    case 13: return "execution failed";
    case 14: return "internal error";
    case 15: return "not supported";
    case 16: return "licence error";
    default: return "unknown status";
  }
}

void check(Status status, const char* function) {
  if (status != 0) throw Error(CLIPENGINE_UNSUPPORTED, std::string(function) + ": " + text_of(status) + " (" + std::to_string(status) + ")");
}

// Each of these belongs to who made it.
template <typename T, auto destroy>
class Owned {
 public:
  explicit Owned(const Functions& functions) : functions_(functions) {}
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (value != nullptr) (functions_.*destroy)(value);
  }
  T value = nullptr;

 private:
  const Functions& functions_;
};
using OwnedDescriptor = Owned<Descriptor, &Functions::cublasLtMatmulDescDestroy>;
using OwnedLayout = Owned<Layout, &Functions::cublasLtMatrixLayoutDestroy>;
using OwnedPreference = Owned<Preference, &Functions::cublasLtMatmulPreferenceDestroy>;

// The library's matrices are stored by columns, so ours are their transposes: y^T [columns, rows] = w [columns, depth] x^T, where w
// is stored as its transpose and its bias runs down the columns of y^T.
struct Layouts {
  Layouts(const Functions& functions, int operands, int result, int32_t rows, int32_t columns, int32_t depth) : w(functions), x(functions), y(functions) {
    const auto create = [&](OwnedLayout& layout, int type, int32_t height, int32_t width) {
      check(functions.cublasLtMatrixLayoutCreate(&layout.value, type, static_cast<uint64_t>(height), static_cast<uint64_t>(width), height), "cublasLtMatrixLayoutCreate");
    };
    create(w, operands, depth, columns);
    create(x, operands, depth, rows);
    create(y, result, columns, rows);
  }
  OwnedLayout w, x, y;
};

class Product final : public LibraryProduct {
 public:
  Product(const Functions& functions, Handle handle, ProductType operands, bool is_result_fp32, int32_t columns, int32_t depth, LibraryEpilogue epilogue, uint64_t workspace_bytes)
      : functions_(functions), handle_(handle), descriptor_(functions), columns_(columns), depth_(depth), epilogue_(epilogue) {
    operand_type_ = operands == ProductType::kBf16 ? kRealBf16 : operands == ProductType::kFp16 ? kReal16 : kReal32;
    result_type_ = is_result_fp32 ? kReal32 : operand_type_;
    check(functions.cublasLtMatmulDescCreate(&descriptor_.value, operands == ProductType::kTf32 ? kCompute32FastTf32 : kCompute32, kReal32), "cublasLtMatmulDescCreate");
    set<int32_t>(kTransposeA, kTransposed);
    set<int32_t>(kEpilogue, epilogue.has_gelu_tanh ? kEpilogueGeluBias : epilogue.has_bias ? kEpilogueBias : kEpilogueDefault);

    OwnedPreference preference(functions);
    check(functions.cublasLtMatmulPreferenceCreate(&preference.value), "cublasLtMatmulPreferenceCreate");
    const auto prefer = [&](int attribute, auto value) { check(functions.cublasLtMatmulPreferenceSetAttribute(preference.value, attribute, &value, sizeof value), "cublasLtMatmulPreferenceSetAttribute"); };
    prefer(kMaxWorkspaceBytes, workspace_bytes);
    prefer(kReductionSchemeMask, uint32_t{0});  // no part sums that are added up in the end
    for (int attribute = kMinAlignmentA; attribute <= kMinAlignmentD; ++attribute) prefer(attribute, static_cast<uint32_t>(CublasLt::kAlignment));
    const Layouts layouts(functions, operand_type_, result_type_, CublasLt::kReferenceRows, columns, depth);
    Heuristic found[8] = {};
    int count = 0;
    check(functions.cublasLtMatmulAlgoGetHeuristic(handle, descriptor_.value, layouts.w.value, layouts.x.value, layouts.y.value, layouts.y.value, preference.value, 8, found, &count),
          "cublasLtMatmulAlgoGetHeuristic");
    for (int i = 0; i < count; ++i) {
      const auto config = [&](int attribute) {
        uint32_t value = 0;
        size_t written = 0;
        check(functions.cublasLtMatmulAlgoConfigGetAttribute(&found[i].algorithm, attribute, &value, sizeof value, &written), "cublasLtMatmulAlgoConfigGetAttribute");
        return value;
      };
      // What was asked for is not taken on trust: more memory than there is, or part sums, would be wrong in silence.
      if (found[i].status != 0 || found[i].workspace_bytes > workspace_bytes || config(kSplitK) > 1 || config(kReductionScheme) != 0) continue;
      algorithm_ = found[i].algorithm;
      workspace_bytes_ = found[i].workspace_bytes;
      return;
    }
    throw Error(CLIPENGINE_UNSUPPORTED, "none of its " + std::to_string(count) + " algorithms does without part sums and with the workspace that there is");
  }

  void enqueue(const Arguments& arguments, void* stream) const override {
    if (epilogue_.has_bias) set<uint64_t>(kBiasPointer, arguments.bias);
    const Layouts layouts(functions_, operand_type_, result_type_, arguments.rows, columns_, depth_);
    const float alpha = 1.0f, beta = epilogue_.has_residual ? 1.0f : 0.0f;
    const auto pointer = [](uint64_t address) { return reinterpret_cast<void*>(address); };
    check(functions_.cublasLtMatmul(handle_, descriptor_.value, &alpha, pointer(arguments.w), layouts.w.value, pointer(arguments.x), layouts.x.value, &beta,
                                    pointer(epilogue_.has_residual ? arguments.residual : arguments.y), layouts.y.value, pointer(arguments.y), layouts.y.value, &algorithm_,
                                    pointer(arguments.workspace), workspace_bytes_, stream),
          "cublasLtMatmul");
  }

 private:
  template <typename T>
  void set(int attribute, T value) const {
    check(functions_.cublasLtMatmulDescSetAttribute(descriptor_.value, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
  }

  const Functions& functions_;
  Handle handle_;
  OwnedDescriptor descriptor_;
  int operand_type_, result_type_;
  int32_t columns_, depth_;
  LibraryEpilogue epilogue_;
  Algorithm algorithm_ = {};
  size_t workspace_bytes_ = 0;
};

class Library final : public CublasLt {
 public:
  explicit Library(const Functions& functions) : functions_(functions) { check(functions_.cublasLtCreate(&handle_), "cublasLtCreate"); }
  ~Library() override { functions_.cublasLtDestroy(handle_); }

  std::string name() const override {
    // 120405 is 12.4.5; before CUDA 12 it was 110402 for 11.4.2.
    const size_t version = functions_.cublasLtGetVersion();
    return "cuBLASLt " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." + std::to_string(version % 100);
  }

  std::unique_ptr<LibraryProduct> prepare(ProductType operands, bool is_result_fp32, int32_t columns, int32_t depth, LibraryEpilogue epilogue, uint64_t workspace_bytes) const override {
    return std::make_unique<Product>(functions_, handle_, operands, is_result_fp32, columns, depth, epilogue, workspace_bytes);
  }

 private:
  Functions functions_;
  Handle handle_ = nullptr;
};

}  // namespace

std::unique_ptr<CublasLt> CublasLt::open(const Device& device, std::string& reason) {
  const char* chosen = std::getenv("CLIPENGINE_CUBLASLT");
  std::vector<std::string> names;
  if (chosen != nullptr && *chosen != '\0')
    names = {chosen};
  else if (device.library_mark() == nullptr)
    names = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11"};
  if (names.empty() || names[0] == "none") {
    reason = names.empty() ? "not for this device" : "CLIPENGINE_CUBLASLT says none";
    return nullptr;
  }
  reason = "not found; looked for";
  for (const std::string& name : names) reason += " " + name;
  for (const std::string& name : names) {
    void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    if (device.library_mark() != nullptr && dlsym(library, device.library_mark()) == nullptr) {
      reason = name + " computes on GPUs, and this device is none";
      continue;
    }
    Functions functions;
    std::string missing;
    const auto resolve = [&](auto& function, const char* symbol) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, symbol));
      if (function == nullptr && missing.empty()) missing = symbol;
    };
    resolve(functions.cublasLtGetVersion, "cublasLtGetVersion");
#define CLIPENGINE_RESOLVE(name, parameters) resolve(functions.name, #name);
    CLIPENGINE_CUBLASLT_FUNCTIONS(CLIPENGINE_RESOLVE)
#undef CLIPENGINE_RESOLVE
    if (!missing.empty()) {
      reason = name + " has no " + missing;
      continue;
    }
    try {
      return std::make_unique<Library>(functions);
    } catch (const Error& error) {
      reason = name + ": " + error.what();
    }
  }
  return nullptr;
}

}  // namespace clipengine::cuda
