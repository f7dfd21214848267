// A cuBLASLt for tests: checks everything it is handed as strictly as the documentation allows and multiplies in double
// precision in the memory of the emulated device. CLIPENGINE_FAKE_CUBLASLT says what goes wrong:
//   no-create, no-heuristic   a status instead of a handle, of algorithms
//   greedy                    every algorithm wants more workspace than was allowed
//   part-sums                 the first algorithm splits the depth, the second adds up part sums, the third is sound
//   only-part-sums            there is no third
//   wrong                     results are off by a little
//   by-batch                  a row's last bits depend on how many rows there are
//   fails-later               sound until a product has 300 rows
// A violation of the interface is printed and ends the process: no test may take it for a refusal.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#define FAKE_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

std::string mode() {
  const char* chosen = std::getenv("CLIPENGINE_FAKE_CUBLASLT");
  return chosen == nullptr ? "" : chosen;
}

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "fake cuBLASLt: violated: %s\n", what);
  std::_Exit(3);
}

constexpr uint64_t kLive = 0x4c495645;
struct Handle {
  uint64_t state = kLive;
};
struct Descriptor {
  uint64_t state = kLive;
  int compute, scale;
  int32_t transpose_a = 0, epilogue = 1;
  uint64_t bias = 0;
};
struct Layout {
  uint64_t state = kLive;
  int type;
  uint64_t rows, columns;
  int64_t leading;
};
struct Preference {
  uint64_t state = kLive;
  uint64_t workspace = 0;
  uint32_t reductions = 7, alignment[4] = {256, 256, 256, 256};
};
struct Algorithm {
  uint64_t words[8];  // mark, split, reduction, workspace, compute and epilogue, columns, depth, types
};
struct Heuristic {
  Algorithm algorithm;
  size_t workspace_bytes;
  int status;
  float waves;
  int reserved[4];
};
constexpr uint64_t kAlgorithmMark = 0x464c4f41;
int live_objects = 0, products = 0;

template <typename T>
T& live(T* object) {
  require(object != nullptr && object->state == kLive, "an object that is not, or no more");
  return *object;
}
template <typename T>
int destroy(T* object) {
  live(object).state = 0;
  delete object;
  --live_objects;
  return 0;
}

int size_of(int type) { return type == 0 ? 4 : 2; }
double read(const unsigned char* matrix, int type, int64_t index) {
  if (type == 0) {
    float value;
    std::memcpy(&value, matrix + index * 4, 4);
    return value;
  }
  uint16_t half;
  std::memcpy(&half, matrix + index * 2, 2);
  if (type == 14) {
    const uint32_t word = static_cast<uint32_t>(half) << 16;
    float value;
    std::memcpy(&value, &word, 4);
    return value;
  }
  _Float16 value;
  std::memcpy(&value, &half, 2);
  return static_cast<double>(value);
}
void write(unsigned char* matrix, int type, int64_t index, double exact) {
  const float value = static_cast<float>(exact);
  if (type == 0) {
    std::memcpy(matrix + index * 4, &value, 4);
  } else if (type == 14) {
    uint32_t word;
    std::memcpy(&word, &value, 4);
    const uint16_t half = static_cast<uint16_t>((word + 0x7fffu + (word >> 16 & 1)) >> 16);
    std::memcpy(matrix + index * 2, &half, 2);
  } else {
    const _Float16 half = static_cast<_Float16>(value);
    std::memcpy(matrix + index * 2, &half, 2);
  }
}

uint64_t key(const Descriptor& d) { return static_cast<uint64_t>(d.compute) << 32 | static_cast<uint32_t>(d.epilogue); }
uint64_t key(const Layout& a, const Layout& d) { return static_cast<uint64_t>(a.type) << 32 | static_cast<uint32_t>(d.type); }

// D [m, n] = A^T [m, k] B [k, n] + C, all stored by columns.
void check_shapes(const Descriptor& descriptor, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
  require(descriptor.scale == 0 && (descriptor.compute == 68 || descriptor.compute == 77), "compute type 32F or 32F_FAST_TF32 with scale type 32F");
  require(descriptor.compute == 68 || a.type == 0, "FAST_TF32 multiplies fp32");
  require(descriptor.transpose_a == 1, "A transposed, B not");
  require(a.type == b.type && (a.type == 0 || a.type == 2 || a.type == 14), "A and B of one of three types");
  require(c.type == d.type && (d.type == a.type || d.type == 0), "C and D of the operands' type or fp32");
  require(a.rows == b.rows && d.rows == a.columns && d.columns == b.columns, "shapes that fit");
  require(c.rows == d.rows && c.columns == d.columns && c.leading == d.leading, "C like D");
  for (const Layout* layout : {&a, &b, &c, &d}) require(layout->leading >= static_cast<int64_t>(layout->rows), "a leading dimension of at least the rows");
  require(a.leading * size_of(a.type) % 16 == 0 && b.leading * size_of(b.type) % 16 == 0, "operands' columns of whole 16 bytes");
}

}  // namespace

// What tests ask: that this is the fake, how many products it computed, how many of its objects are alive.
FAKE_EXPORT int clipengine_fake_cublaslt(int which) { return which == 0 ? products : live_objects; }

FAKE_EXPORT size_t cublasLtGetVersion() { return 120405; }

FAKE_EXPORT int cublasLtCreate(Handle** handle) {
  if (mode() == "no-create") return 1;
  *handle = new Handle;
  ++live_objects;
  return 0;
}
FAKE_EXPORT int cublasLtDestroy(Handle* handle) { return destroy(handle); }

FAKE_EXPORT int cublasLtMatmulDescCreate(Descriptor** descriptor, int compute, int scale) {
  *descriptor = new Descriptor;
  (*descriptor)->compute = compute;
  (*descriptor)->scale = scale;
  ++live_objects;
  return 0;
}
FAKE_EXPORT int cublasLtMatmulDescDestroy(Descriptor* descriptor) { return destroy(descriptor); }
FAKE_EXPORT int cublasLtMatmulDescSetAttribute(Descriptor* descriptor, int attribute, const void* value, size_t bytes) {
  Descriptor& d = live(descriptor);
  require(bytes == (attribute == 8 ? 8u : 4u), "a descriptor's attribute of its own size");
  if (attribute == 3)
    std::memcpy(&d.transpose_a, value, 4);
  else if (attribute == 7)
    std::memcpy(&d.epilogue, value, 4);
  else if (attribute == 8)
    std::memcpy(&d.bias, value, 8);
  else
    require(false, "an attribute of a descriptor that is known");
  require(d.epilogue == 1 || d.epilogue == 4 || d.epilogue == 36, "epilogue DEFAULT, BIAS or GELU_BIAS");
  return 0;
}

FAKE_EXPORT int cublasLtMatrixLayoutCreate(Layout** layout, int type, uint64_t rows, uint64_t columns, int64_t leading) {
  require(rows > 0 && columns > 0, "a layout of something");
  *layout = new Layout{kLive, type, rows, columns, leading};
  ++live_objects;
  return 0;
}
FAKE_EXPORT int cublasLtMatrixLayoutDestroy(Layout* layout) { return destroy(layout); }

FAKE_EXPORT int cublasLtMatmulPreferenceCreate(Preference** preference) {
  *preference = new Preference;
  ++live_objects;
  return 0;
}
FAKE_EXPORT int cublasLtMatmulPreferenceDestroy(Preference* preference) { return destroy(preference); }
FAKE_EXPORT int cublasLtMatmulPreferenceSetAttribute(Preference* preference, int attribute, const void* value, size_t bytes) {
  Preference& p = live(preference);
  require(bytes == (attribute == 1 ? 8u : 4u), "a preference's attribute of its own size");
  if (attribute == 1)
    std::memcpy(&p.workspace, value, 8);
  else if (attribute == 3)
    std::memcpy(&p.reductions, value, 4);
  else if (attribute >= 5 && attribute <= 8)
    std::memcpy(&p.alignment[attribute - 5], value, 4);
  else
    require(false, "an attribute of a preference that is known");
  return 0;
}

FAKE_EXPORT int cublasLtMatmulAlgoGetHeuristic(Handle* handle, Descriptor* descriptor, Layout* a, Layout* b, Layout* c, Layout* d, Preference* preference, int asked, Heuristic* results, int* count) {
  live(handle);
  const Preference& p = live(preference);
  check_shapes(live(descriptor), live(a), live(b), live(c), live(d));
  require(p.reductions == 0, "no part sums wanted");
  for (const uint32_t alignment : p.alignment) require(alignment == 16, "16 bytes of alignment promised");
  *count = 0;
  if (mode() == "no-heuristic") return 15;
  const auto add = [&](uint64_t split, uint64_t reduction, uint64_t workspace, int status) {
    require(*count < asked, "room for the results");
    results[(*count)++] = {{{kAlgorithmMark, split, reduction, workspace, key(*descriptor), a->columns, a->rows, key(*a, *d)}}, workspace, status, 1.0f, {}};
  };
  if (mode() == "greedy") {
    add(1, 0, p.workspace + 1, 0);
    return 0;
  }
  add(1, 0, 0, 15);  // one that the library itself marks as unusable
  if (mode().ends_with("part-sums")) {
    add(4, 0, 0, 0);
    add(1, 2, 0, 0);
  }
  if (mode() != "only-part-sums") add(1, 0, p.workspace / 2, 0);
  return 0;
}

FAKE_EXPORT int cublasLtMatmulAlgoConfigGetAttribute(const Algorithm* algorithm, int attribute, void* value, size_t bytes, size_t* written) {
  require(algorithm->words[0] == kAlgorithmMark, "an algorithm of this library");
  require((attribute == 2 || attribute == 3) && bytes == 4, "an attribute of an algorithm that is known, in its size");
  const uint32_t found = static_cast<uint32_t>(algorithm->words[attribute - 1]);
  std::memcpy(value, &found, 4);
  *written = 4;
  return 0;
}

FAKE_EXPORT int cublasLtMatmul(Handle* handle, Descriptor* descriptor, const float* alpha, const unsigned char* a, Layout* a_layout, const unsigned char* b, Layout* b_layout, const float* beta,
                               const unsigned char* c, Layout* c_layout, unsigned char* d, Layout* d_layout, const Algorithm* algorithm, void* workspace, size_t workspace_bytes, void*) {
  live(handle);
  const Descriptor& plan = live(descriptor);
  const Layout &la = live(a_layout), &lb = live(b_layout), &lc = live(c_layout), &ld = live(d_layout);
  check_shapes(plan, la, lb, lc, ld);
  require(algorithm->words[0] == kAlgorithmMark && algorithm->words[4] == key(plan) && algorithm->words[5] == la.columns && algorithm->words[6] == la.rows && algorithm->words[7] == key(la, ld),
          "an algorithm that was chosen for this very product");
  require(algorithm->words[1] <= 1 && algorithm->words[2] == 0, "an algorithm without part sums");
  require(workspace_bytes >= algorithm->words[3] && (workspace_bytes == 0 || workspace != nullptr), "the workspace that the algorithm wants");
  std::memset(workspace, 0xff, workspace_bytes);
  for (const void* pointer : {static_cast<const void*>(a), static_cast<const void*>(b), static_cast<const void*>(c), static_cast<const void*>(d)})
    require(pointer != nullptr && reinterpret_cast<uintptr_t>(pointer) % 16 == 0, "pointers at multiples of 16 bytes");
  const bool has_bias = plan.epilogue != 1, has_gelu = plan.epilogue == 36;
  require(!has_bias || (plan.bias != 0 && plan.bias % 16 == 0), "a bias where the epilogue has one");
  require(*beta == 0.0f || c != nullptr, "C where beta is not 0");
  if (mode() == "fails-later" && ld.columns >= 300) return 13;
  ++products;
  const unsigned char* bias = reinterpret_cast<const unsigned char*>(plan.bias);
  const int64_t m = static_cast<int64_t>(ld.rows), n = static_cast<int64_t>(ld.columns), depth = static_cast<int64_t>(la.rows);
  std::vector<double> column(static_cast<size_t>(m));
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < m; ++i) {
      double sum = 0;
      for (int64_t k = 0; k < depth; ++k) sum += read(a, la.type, i * la.leading + k) * read(b, lb.type, j * lb.leading + k);
      sum *= *alpha;
      if (*beta != 0.0f) sum += *beta * read(c, lc.type, j * lc.leading + i);
      // The bias of an epilogue is in the type of D.
      if (has_bias) sum += read(bias, ld.type, i);
      if (has_gelu) sum = 0.5 * sum * (1 + std::tanh(std::sqrt(2 / M_PI) * (sum + 0.044715 * sum * sum * sum)));
      if (mode() == "wrong" && i == m - 1) sum += 0.05;
      if (mode() == "by-batch") sum *= 1 + static_cast<double>(n) * 1e-7;
      column[static_cast<size_t>(i)] = sum;
    }
    for (int64_t i = 0; i < m; ++i) write(d, ld.type, j * ld.leading + i, column[static_cast<size_t>(i)]);
  }
  return 0;
}
