// What kernels are written in: element types, tensor-core and asynchronous-copy primitives, collectives, fast maths.
// The only file that knows which compiler reads it: NVRTC or nvcc (device code), clang with -nocudainc (a syntax check
// that needs no CUDA installation), or g++ with CLIPENGINE_CUDA_EMULATOR (every kernel runs on the CPU, thread by thread).
// Kernels include nothing of CUDA, so that they compile from memory wherever NVRTC is found.
#pragma once

#if defined(CLIPENGINE_CUDA_EMULATOR)
#include "cuda/emulator/emulator.h"
#else

#if defined(__CUDACC_RTC__)
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef int int32_t;
typedef unsigned long long uint64_t;
typedef long long int64_t;
#elif defined(__NVCC__)
#include <cstdint>
#else
#include "cuda/kernels/clang_dialect.h"
#endif

#define CLIPENGINE_KERNEL extern "C" __global__ void
#define CLIPENGINE_DEVICE static __device__ __forceinline__
#define CLIPENGINE_SHARED __shared__ __align__(16)
#define CLIPENGINE_DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]
// Loops over register arrays must unroll: a register has no run-time index, and the array would move to memory.
#define CLIPENGINE_UNROLL _Pragma("unroll")
#define CLIPENGINE_NO_UNROLL _Pragma("unroll 1")

struct bf16 {
  uint16_t bits;
};
struct fp16 {
  uint16_t bits;
};
// Half of an fp32 element that multiplies as tf32: rows of fp32 then move like rows of 16-bit elements, twice as many.
struct tf32 {
  uint16_t bits;
};

// Two e4m3 numbers (4 bits of exponent, 3 of mantissa), the first in the low byte; they move like one 16-bit element.
struct fp8_pair {
  uint16_t bits;
};

CLIPENGINE_DEVICE float bits_to_float(uint32_t bits) {
  union {
    uint32_t u;
    float f;
  } both;
  both.u = bits;
  return both.f;
}
CLIPENGINE_DEVICE uint32_t float_to_bits(float value) {
  union {
    float f;
    uint32_t u;
  } both;
  both.f = value;
  return both.u;
}
CLIPENGINE_DEVICE uint64_t double_to_bits(double value) {
  union {
    double d;
    uint64_t u;
  } both;
  both.d = value;
  return both.u;
}
CLIPENGINE_DEVICE float to_float(float value) { return value; }
CLIPENGINE_DEVICE float to_float(bf16 value) { return bits_to_float((uint32_t)value.bits << 16); }
CLIPENGINE_DEVICE float to_float(fp16 value) {
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
}
CLIPENGINE_DEVICE void from_float(float value, float& out) { out = value; }
CLIPENGINE_DEVICE void from_float(float value, bf16& out) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(out.bits) : "f"(value)); }
CLIPENGINE_DEVICE void from_float(float value, fp16& out) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out.bits) : "f"(value)); }

CLIPENGINE_DEVICE int thread_index() { return (int)threadIdx.x; }
CLIPENGINE_DEVICE int block_index_x() { return (int)blockIdx.x; }
CLIPENGINE_DEVICE int block_index_y() { return (int)blockIdx.y; }
CLIPENGINE_DEVICE int block_index_z() { return (int)blockIdx.z; }
CLIPENGINE_DEVICE int block_size() { return (int)blockDim.x; }
CLIPENGINE_DEVICE int grid_size_x() { return (int)gridDim.x; }
CLIPENGINE_DEVICE void block_barrier() { __syncthreads(); }
CLIPENGINE_DEVICE void warp_barrier() { __syncwarp(); }
CLIPENGINE_DEVICE float shuffle_xor(float value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }
CLIPENGINE_DEVICE int shuffle_xor(int value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }

// 2^x: relative error about 2^-22, subnormal results flushed to zero (PTX ISA, ex2.approx.ftz).
CLIPENGINE_DEVICE float exp2_fast(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
// log2(x): absolute error about 2^-22 (PTX ISA, lg2.approx.ftz).
CLIPENGINE_DEVICE float log2_fast(float x) {
  float result;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
CLIPENGINE_DEVICE float reciprocal_square_root(float x) {
  float result;
  asm("sqrt.rn.f32 %0, %1;" : "=f"(result) : "f"(x));
  return 1.0f / result;
}
CLIPENGINE_DEVICE float multiply_add(float a, float b, float c) {
  float result;
  asm("fma.rn.f32 %0, %1, %2, %3;" : "=f"(result) : "f"(a), "f"(b), "f"(c));
  return result;
}

CLIPENGINE_DEVICE uint32_t shared_address(const void* pointer) {
#if defined(__clang__) && !defined(__NVCC__) && !defined(__CUDACC_RTC__)
  return clang_shared_address(pointer);
#else
  return (uint32_t)__cvta_generic_to_shared(pointer);
#endif
}

// 16 bytes of device memory that no running kernel writes.
CLIPENGINE_DEVICE void load_16(uint32_t words[4], const void* source) {
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]) : "l"(source));
}
// Atomics on device memory; atomic_add returns what was there before.
CLIPENGINE_DEVICE uint64_t atomic_add(unsigned long long* address, uint64_t value) {
  uint64_t before;
  asm volatile("atom.global.add.u64 %0, [%1], %2;" : "=l"(before) : "l"(address), "l"(value) : "memory");
  return before;
}
CLIPENGINE_DEVICE void atomic_minimum(unsigned* address, uint32_t value) {
  asm volatile("red.global.min.u32 [%0], %1;" ::"l"(address), "r"(value) : "memory");
}

// 16 bytes from device to shared memory, asynchronously; with valid == false the 16 bytes become zero and nothing is read.
CLIPENGINE_DEVICE void copy_async_16(void* destination, const void* source, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(destination)), "l"(source), "r"(valid ? 16 : 0) : "memory");
}
CLIPENGINE_DEVICE void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most `pending` of this thread's newest groups are unfinished.
template <int pending>
CLIPENGINE_DEVICE void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// Four 8x8 matrices of 16-bit elements; lane l names row l % 8 of matrix l / 8 (PTX ISA, ldmatrix).
CLIPENGINE_DEVICE void load_matrix_x4(uint32_t fragment[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
               : "r"(shared_address(row)));
}
CLIPENGINE_DEVICE void load_matrix_x4_transposed(uint32_t fragment[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
               : "r"(shared_address(row)));
}

// d[16x8] += a[16x16] b[16x8], fp32 accumulation; fragments as in the PTX ISA's m16n8k16.
CLIPENGINE_DEVICE void multiply_tile(float d[4], const uint32_t a[4], const uint32_t b[2], bf16) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
CLIPENGINE_DEVICE void multiply_tile(float d[4], const uint32_t a[4], const uint32_t b[2], fp16) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// To the nearest of the 10 bits of mantissa that tensor cores read; halves away from zero. They would drop the others.
CLIPENGINE_DEVICE uint32_t round_to_tf32(uint32_t word) {
  uint32_t result;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(result) : "r"(word));
  return result;
}
// d[16x8] += a[16x8] b[8x8] in tf32: a 16-byte row of ldmatrix is four fp32 elements, and its fragments are those of m16n8k8.
CLIPENGINE_DEVICE void multiply_tile(float d[4], const uint32_t a[4], const uint32_t b[2], tf32) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(round_to_tf32(a[0])), "r"(round_to_tf32(a[1])), "r"(round_to_tf32(a[2])), "r"(round_to_tf32(a[3])), "r"(round_to_tf32(b[0])), "r"(round_to_tf32(b[1])));
}

// fp8, for sm_89 and later (PTX ISA 8.4); clang only checks syntax.
#if (defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890) || (defined(__clang__) && !defined(__NVCC__) && !defined(__CUDACC_RTC__))
#define CLIPENGINE_HAS_FP8 1

// To nearest, ties to even; what is too large becomes 448, a NaN stays one.
CLIPENGINE_DEVICE fp8_pair pack_fp8(float low, float high) {
  fp8_pair result;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(result.bits) : "f"(high), "f"(low));
  return result;
}
// d[16x8] += a[16x32] b[32x8] in e4m3: a 16-byte row of ldmatrix is sixteen elements, and its fragments are those of m16n8k32.
CLIPENGINE_DEVICE void multiply_tile(float d[4], const uint32_t a[4], const uint32_t b[2], fp8_pair) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

// Hopper's warpgroup products (PTX ISA 8.0, wgmma), for sm_90a alone; clang only checks syntax.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL) || (defined(__clang__) && !defined(__NVCC__) && !defined(__CUDACC_RTC__))
#define CLIPENGINE_HAS_WGMMA 1

// What this thread wrote to shared memory becomes visible to wgmma.
CLIPENGINE_DEVICE void fence_async_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
// Registers that a product adds to are settled.
CLIPENGINE_DEVICE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
CLIPENGINE_DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
#define CLIPENGINE_SUMS_8(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define CLIPENGINE_SUMS_32(i) CLIPENGINE_SUMS_8(i), CLIPENGINE_SUMS_8(i + 8), CLIPENGINE_SUMS_8(i + 16), CLIPENGINE_SUMS_8(i + 24)
#define CLIPENGINE_WGMMA_SUMS CLIPENGINE_SUMS_32(0), CLIPENGINE_SUMS_32(32), CLIPENGINE_SUMS_32(64), CLIPENGINE_SUMS_32(96)
// Waits until at most `pending` of this group's newest products are unfinished.
template <int pending>
CLIPENGINE_DEVICE void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}
// Waits for all of them. The sums stand in it so that nothing reads them before.
CLIPENGINE_DEVICE void wgmma_wait_all(float (&d)[128]) { asm volatile("wgmma.wait_group.sync.aligned 0;" : CLIPENGINE_WGMMA_SUMS::"memory"); }

// d[64x256] += a[64x16] b[16x256]^T, asynchronously: thread t of the 128 has, in d[4 j + e], row t / 32 * 16 + t % 32 / 4 + e / 2 * 8 and
// column 8 j + t % 4 * 2 + e % 2.
CLIPENGINE_DEVICE void wgmma_m64n256(float (&d)[128], uint64_t a, uint64_t b, bf16) {
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, 1, 0;\nwgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
               "{"
               "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
               "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
               "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,"
               "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63,"
               "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,"
               "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,"
               "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,"
               "%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
               "}, %128, %129, add, 1, 1, 0, 0;\n}"
               : CLIPENGINE_WGMMA_SUMS
               : "l"(a), "l"(b));
}
CLIPENGINE_DEVICE void wgmma_m64n256(float (&d)[128], uint64_t a, uint64_t b, fp16) {
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, 1, 0;\nwgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 "
               "{"
               "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
               "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
               "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,"
               "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63,"
               "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,"
               "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,"
               "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,"
               "%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
               "}, %128, %129, add, 1, 1, 0, 0;\n}"
               : CLIPENGINE_WGMMA_SUMS
               : "l"(a), "l"(b));
}
#undef CLIPENGINE_SUMS_8
#undef CLIPENGINE_SUMS_32
#undef CLIPENGINE_WGMMA_SUMS
#endif

#endif  // CLIPENGINE_CUDA_EMULATOR

// ---- common to all compilers ----

CLIPENGINE_DEVICE float maximum(float a, float b) { return a > b ? a : b; }
CLIPENGINE_DEVICE float magnitude(float a) { return a < 0.0f ? -a : a; }
CLIPENGINE_DEVICE int smaller(int a, int b) { return a < b ? a : b; }

template <typename T>
CLIPENGINE_DEVICE T convert(float value) {
  T result;
  from_float(value, result);
  return result;
}

// Two 16-bit elements in one register, the first in the low half, as mma fragments want them.
template <typename T>
CLIPENGINE_DEVICE uint32_t pack_pair(float low, float high) {
  return (uint32_t)convert<T>(low).bits | ((uint32_t)convert<T>(high).bits << 16);
}

#if defined(CLIPENGINE_HAS_WGMMA)
// A matrix in shared memory whose rows are 128 bytes long in the 128-byte swizzle, eight of them 1024 bytes, beginning at a multiple of
// 1024: the PTX ISA's matrix descriptor. Address and offsets in 16 bytes; the leading offset counts for nothing with a swizzle.
CLIPENGINE_DEVICE uint64_t swizzled_matrix(const void* start) {
  return (uint64_t)((shared_address(start) & 0x3ffffu) >> 4) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}
#endif

CLIPENGINE_DEVICE float exponential(float x) { return exp2_fast(x * 1.4426950408889634f); }

CLIPENGINE_DEVICE float warp_sum(float value) {
  for (int mask = 16; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
  return value;
}
CLIPENGINE_DEVICE float warp_maximum(float value) {
  for (int mask = 16; mask > 0; mask /= 2) value = maximum(value, shuffle_xor(value, mask));
  return value;
}
