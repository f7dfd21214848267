// The CUDA dialect for clang with -nocudainc -nocudalib: enough to check syntax, types and lowering to NVPTX without any
// CUDA installation. Nothing that this compiles is ever run.
#pragma once
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
#define __align__(n) __attribute__((aligned(n)))
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef int int32_t;
typedef unsigned long long uint64_t;
typedef long long int64_t;
#include <__clang_cuda_builtin_vars.h>  // threadIdx and its like, from clang's own resource folder

static __device__ __forceinline__ void __syncwarp() { __nvvm_bar_warp_sync(0xffffffffu); }
static __device__ __forceinline__ float __shfl_xor_sync(unsigned lanes, float value, int mask) {
  return __nvvm_shfl_sync_bfly_f32(lanes, value, mask, 0x1f);
}
static __device__ __forceinline__ int __shfl_xor_sync(unsigned lanes, int value, int mask) {
  return __nvvm_shfl_sync_bfly_i32(lanes, value, mask, 0x1f);
}
static __device__ __forceinline__ uint32_t clang_shared_address(const void* pointer) {
  return (uint32_t)(uint64_t)(const __attribute__((address_space(3))) void*)pointer;
}
