// Runs kernels on the CPU: one fiber a CUDA thread, blocks one after another, barriers and warp collectives as meeting
// points. It is built to find mistakes, not to be fast:
//   - the schedule is adversarial: one warp runs as far as it can, its lanes in random order, so that a missing barrier shows;
//   - asynchronous copies poison their destination and only land when they are waited for;
//   - Hopper's warpgroup products read a view of shared memory of their own, which copies reach through a fence, some time between
//     their issue and the wait for them; their registers are poisoned in between;
//   - lanes that meet at different collectives, a barrier that not everybody reaches, a misaligned 16-byte access: a fault.
// Not covered: memory ordering within a warp, bank conflicts, registers, the rounding order of tensor cores.
#pragma once

#include <ucontext.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

// Not [[maybe_unused]]: a kernel that no test launches, or that the emulated device does not list, fails the build.
#if defined(CLIPENGINE_TESTS_ON_DEVICE)
#define CLIPENGINE_KERNEL extern "C" __attribute__((visibility("default"))) void  // its name is looked up, its body never runs
#else
#define CLIPENGINE_KERNEL static void
#endif
#define CLIPENGINE_DEVICE [[maybe_unused]] static inline
#define CLIPENGINE_SHARED alignas(16) static
#define CLIPENGINE_DYNAMIC_SHARED(name) unsigned char* name = clipengine::emulator::dynamic_shared()
#define __launch_bounds__(...)
#define CLIPENGINE_UNROLL
#define CLIPENGINE_NO_UNROLL

namespace clipengine::emulator {

// A mistake in a kernel that hardware would punish with a hang, a trap or a wrong result.
class Fault : public std::logic_error {
 public:
  explicit Fault(const std::string& what) : std::logic_error(what) {}
};

struct Dimensions {
  unsigned x = 1, y = 1, z = 1;
};

// Runs body once for every thread of every block. seed drives the order in which warps and lanes run.
void launch(Dimensions grid, unsigned block, size_t dynamic_shared_bytes, uint64_t seed, const std::function<void()>& body);

// Ends the running thread with a Fault, and with it the launch; for a handler of a signal. Does not return.
[[noreturn]] void fail_thread(const std::string& what);

// What a kernel sees of its place.
unsigned thread();
unsigned block_threads();
Dimensions block();
Dimensions grid();
unsigned char* dynamic_shared();

// Meeting points. `operation` tells apart what lanes meet at.
void meet_block();
void meet_warp(unsigned operation);
unsigned lane();

// Per-warp mailboxes of 64 bytes a lane: written before a meeting, read after it.
unsigned char* mailbox(unsigned lane);

void copy_async(void* destination, const void* source, bool valid);
void copy_async_commit();
void copy_async_wait(int pending);
void check_alignment(const void* pointer, unsigned bytes, const char* what);

// Hopper. A product of 64 rows, computed by the 128 threads of four warps, each its share.
using ReadElement = float (*)(const unsigned char* element);
uint32_t shared_address(const void* pointer);
void fence_async_proxy();
void product_fence();
void product_begin(float* sums, int columns, uint64_t a, uint64_t b, ReadElement read);
void product_commit();
void product_wait(int pending);

}  // namespace clipengine::emulator

struct bf16 {
  uint16_t bits;
};
struct fp16 {
  uint16_t bits;
};
struct tf32 {
  uint16_t bits;
};

struct fp8_pair {
  uint16_t bits;
};

CLIPENGINE_DEVICE float bits_to_float(uint32_t bits) {
  float result;
  std::memcpy(&result, &bits, 4);
  return result;
}
CLIPENGINE_DEVICE uint32_t float_to_bits(float value) {
  uint32_t result;
  std::memcpy(&result, &value, 4);
  return result;
}
CLIPENGINE_DEVICE uint64_t double_to_bits(double value) {
  uint64_t result;
  std::memcpy(&result, &value, 8);
  return result;
}
CLIPENGINE_DEVICE float to_float(float value) { return value; }
CLIPENGINE_DEVICE float to_float(bf16 value) { return bits_to_float((uint32_t)value.bits << 16); }
CLIPENGINE_DEVICE float to_float(fp16 value) {
  _Float16 half;
  std::memcpy(&half, &value.bits, 2);
  return (float)half;
}
CLIPENGINE_DEVICE void from_float(float value, float& out) { out = value; }
CLIPENGINE_DEVICE void from_float(float value, bf16& out) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  out.bits = (bits & 0x7fffffffu) > 0x7f800000u ? (uint16_t)0x7fff : (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
CLIPENGINE_DEVICE void from_float(float value, fp16& out) {
  const _Float16 half = (_Float16)value;
  std::memcpy(&out.bits, &half, 2);
}

CLIPENGINE_DEVICE int thread_index() { return (int)clipengine::emulator::thread(); }
CLIPENGINE_DEVICE int block_index_x() { return (int)clipengine::emulator::block().x; }
CLIPENGINE_DEVICE int block_index_y() { return (int)clipengine::emulator::block().y; }
CLIPENGINE_DEVICE int block_index_z() { return (int)clipengine::emulator::block().z; }
CLIPENGINE_DEVICE int block_size() { return (int)clipengine::emulator::block_threads(); }
CLIPENGINE_DEVICE int grid_size_x() { return (int)clipengine::emulator::grid().x; }
CLIPENGINE_DEVICE void block_barrier() { clipengine::emulator::meet_block(); }
CLIPENGINE_DEVICE void warp_barrier() { clipengine::emulator::meet_warp(1); }

template <typename T>
CLIPENGINE_DEVICE T emulated_shuffle_xor(T value, int mask) {
  namespace emu = clipengine::emulator;
  const unsigned me = emu::lane();
  std::memcpy(emu::mailbox(me), &value, sizeof(T));
  emu::meet_warp(2);
  T result;
  std::memcpy(&result, emu::mailbox(me ^ (unsigned)mask), sizeof(T));
  emu::meet_warp(3);
  return result;
}
CLIPENGINE_DEVICE float shuffle_xor(float value, int mask) { return emulated_shuffle_xor(value, mask); }
CLIPENGINE_DEVICE int shuffle_xor(int value, int mask) { return emulated_shuffle_xor(value, mask); }

CLIPENGINE_DEVICE float exp2_fast(float x) { return std::exp2(x); }
CLIPENGINE_DEVICE float log2_fast(float x) { return std::log2(x); }
CLIPENGINE_DEVICE float reciprocal_square_root(float x) { return 1.0f / std::sqrt(x); }
CLIPENGINE_DEVICE float multiply_add(float a, float b, float c) { return std::fma(a, b, c); }

CLIPENGINE_DEVICE void load_16(uint32_t words[4], const void* source) {
  clipengine::emulator::check_alignment(source, 16, "a load of 16 bytes");
  std::memcpy(words, source, 16);
}
// Blocks and threads take turns: plain arithmetic is atomic.
CLIPENGINE_DEVICE uint64_t atomic_add(unsigned long long* address, uint64_t value) {
  const uint64_t before = *address;
  *address = before + value;
  return before;
}
CLIPENGINE_DEVICE void atomic_minimum(unsigned* address, uint32_t value) {
  if (value < *address) *address = value;
}

CLIPENGINE_DEVICE void copy_async_16(void* destination, const void* source, bool valid) {
  clipengine::emulator::copy_async(destination, source, valid);
}
CLIPENGINE_DEVICE void copy_async_commit() { clipengine::emulator::copy_async_commit(); }
template <int pending>
CLIPENGINE_DEVICE void copy_async_wait() {
  clipengine::emulator::copy_async_wait(pending);
}

CLIPENGINE_DEVICE void emulated_load_matrix(uint32_t fragment[4], const void* row, bool is_transposed) {
  namespace emu = clipengine::emulator;
  emu::check_alignment(row, 16, "ldmatrix");
  const unsigned me = emu::lane();
  std::memcpy(emu::mailbox(me), row, 16);
  emu::meet_warp(is_transposed ? 5 : 4);
  for (unsigned matrix = 0; matrix < 4; ++matrix) {
    uint16_t pair[2];
    for (unsigned half = 0; half < 2; ++half) {
      const unsigned in_row = is_transposed ? (me % 4) * 2 + half : me / 4;
      const unsigned in_column = is_transposed ? me / 4 : (me % 4) * 2 + half;
      std::memcpy(&pair[half], emu::mailbox(matrix * 8 + in_row) + in_column * 2, 2);
    }
    fragment[matrix] = pair[0] | (uint32_t)pair[1] << 16;
  }
  emu::meet_warp(6);
}
CLIPENGINE_DEVICE void load_matrix_x4(uint32_t fragment[4], const void* row) { emulated_load_matrix(fragment, row, false); }
CLIPENGINE_DEVICE void load_matrix_x4_transposed(uint32_t fragment[4], const void* row) { emulated_load_matrix(fragment, row, true); }

// The fragment layout of the PTX ISA's mma.m16n8k16: see its figures for .f16 and .bf16.
template <typename T>
CLIPENGINE_DEVICE void multiply_tile(float d[4], const uint32_t a[4], const uint32_t b[2], T) {
  namespace emu = clipengine::emulator;
  const unsigned me = emu::lane();
  std::memcpy(emu::mailbox(me), a, 16);
  std::memcpy(emu::mailbox(me) + 16, b, 8);
  emu::meet_warp(7);
  const unsigned char* boxes = emu::mailbox(0);
  const auto element = [boxes](unsigned lane, unsigned word, unsigned half) {
    T value;
    std::memcpy(&value.bits, boxes + lane * 64 + word * 4 + half * 2, 2);
    return to_float(value);
  };
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = me / 4 + (i / 2) * 8, column = (me % 4) * 2 + i % 2;
    float sum = d[i];
    for (unsigned k = 0; k < 16; ++k) {
      const unsigned a_lane = (row % 8) * 4 + (k % 8) / 2, a_word = row / 8 + 2 * (k / 8), b_lane = column * 4 + (k % 8) / 2;
      sum += element(a_lane, a_word, k % 2) * element(b_lane, 4 + k / 8, k % 2);
    }
    d[i] = sum;
  }
  emu::meet_warp(8);
}

CLIPENGINE_DEVICE uint32_t round_to_tf32(uint32_t word) { return (word + 0x1000u) & 0xffffe000u; }

// mma.m16n8k8 for .tf32: its own figures in the PTX ISA.
CLIPENGINE_DEVICE void multiply_tile(float d[4], const uint32_t a[4], const uint32_t b[2], tf32) {
  namespace emu = clipengine::emulator;
  const unsigned me = emu::lane();
  std::memcpy(emu::mailbox(me), a, 16);
  std::memcpy(emu::mailbox(me) + 16, b, 8);
  emu::meet_warp(9);
  const unsigned char* boxes = emu::mailbox(0);
  const auto element = [boxes](unsigned lane, unsigned word) {
    uint32_t bits;
    std::memcpy(&bits, boxes + lane * 64 + word * 4, 4);
    return bits_to_float(round_to_tf32(bits));
  };
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = me / 4 + (i / 2) * 8, column = (me % 4) * 2 + i % 2;
    float sum = d[i];
    for (unsigned k = 0; k < 8; ++k) sum += element((row % 8) * 4 + k % 4, row / 8 + 2 * (k / 4)) * element(column * 4 + k % 4, 4 + k / 4);
    d[i] = sum;
  }
  emu::meet_warp(10);
}

// e4m3: bias 7, no infinities, NaN where all bits but the sign's are set (Micikevicius et al. 2022, "FP8 formats for deep learning").
#define CLIPENGINE_HAS_FP8 1
CLIPENGINE_DEVICE float e4m3_to_float(uint8_t bits) {
  static const std::array<float, 256> numbers = [] {
    std::array<float, 256> all{};
    for (int i = 0; i < 256; ++i) {
      const int exponent = i >> 3 & 15, mantissa = i & 7;
      const float size = (i & 127) == 127 ? NAN : exponent == 0 ? std::ldexp((float)mantissa, -9) : std::ldexp((float)(8 + mantissa), exponent - 10);
      all[(size_t)i] = i & 128 ? -size : size;
    }
    return all;
  }();
  return numbers[bits];
}
CLIPENGINE_DEVICE uint8_t float_to_e4m3(float value) {
  const uint8_t sign = std::signbit(value) ? 128 : 0;
  if (std::isnan(value)) return 127;
  const float size = std::fmin(std::fabs(value), 448.0f);
  int exponent = 0;
  std::frexp(size, &exponent);  // size in [2^(exponent - 1), 2^exponent)
  exponent = exponent - 1 < -6 || size == 0.0f ? -6 : exponent - 1;
  const int steps = (int)std::nearbyint(std::ldexp(size, 3 - exponent));  // 8 and more: normal; 16: the next power of two
  return sign | (uint8_t)((exponent + 6) * 8 + steps);
}
CLIPENGINE_DEVICE fp8_pair pack_fp8(float low, float high) { return {(uint16_t)(float_to_e4m3(low) | float_to_e4m3(high) << 8)}; }

// mma.m16n8k32 for .e4m3: its own figures in the PTX ISA.
CLIPENGINE_DEVICE void multiply_tile(float d[4], const uint32_t a[4], const uint32_t b[2], fp8_pair) {
  namespace emu = clipengine::emulator;
  const unsigned me = emu::lane();
  std::memcpy(emu::mailbox(me), a, 16);
  std::memcpy(emu::mailbox(me) + 16, b, 8);
  emu::meet_warp(15);
  const unsigned char* boxes = emu::mailbox(0);
  const auto element = [boxes](unsigned lane, unsigned word, unsigned byte) { return e4m3_to_float(boxes[lane * 64 + word * 4 + byte]); };
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = me / 4 + (i / 2) * 8, column = (me % 4) * 2 + i % 2;
    float sum = d[i];
    for (unsigned k = 0; k < 32; ++k) sum += element((row % 8) * 4 + k % 16 / 4, row / 8 + 2 * (k / 16), k % 4) * element(column * 4 + k % 16 / 4, 4 + k / 16, k % 4);
    d[i] = sum;
  }
  emu::meet_warp(16);
}

#define CLIPENGINE_HAS_WGMMA 1
CLIPENGINE_DEVICE uint32_t shared_address(const void* pointer) { return clipengine::emulator::shared_address(pointer); }
CLIPENGINE_DEVICE void fence_async_proxy() { clipengine::emulator::fence_async_proxy(); }
CLIPENGINE_DEVICE void wgmma_fence() {
  clipengine::emulator::meet_warp(11);
  clipengine::emulator::product_fence();
}
CLIPENGINE_DEVICE void wgmma_commit() {
  clipengine::emulator::meet_warp(12);
  clipengine::emulator::product_commit();
}
template <int pending>
CLIPENGINE_DEVICE void wgmma_wait() {
  clipengine::emulator::meet_warp(13);
  clipengine::emulator::product_wait(pending);
}
CLIPENGINE_DEVICE void wgmma_wait_all(float (&)[128]) { wgmma_wait<0>(); }
template <typename T>
CLIPENGINE_DEVICE void wgmma_m64n256(float (&d)[128], uint64_t a, uint64_t b, T) {
  clipengine::emulator::meet_warp(14);
  clipengine::emulator::product_begin(d, 256, a, b, [](const unsigned char* element) {
    T value;
    std::memcpy(&value.bits, element, 2);
    return to_float(value);
  });
}
