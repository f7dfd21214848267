// The CUDA driver API, opened at run time. The declarations are ours, after NVIDIA's documentation of the driver API;
// no header of CUDA is used, so that this builds everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace clipengine::cuda {

using DriverStatus = int;
using DeviceOrdinal = int;
using DeviceAddress = unsigned long long;
using Context = struct ContextTag*;
using Module = struct ModuleTag*;
using Function = struct FunctionTag*;
using Stream = struct StreamTag*;
using Graph = struct GraphTag*;
using GraphExec = struct GraphExecTag*;

enum DeviceAttribute { kMultiprocessorCount = 16, kCapabilityMajor = 75, kCapabilityMinor = 76, kSharedPerBlockOptIn = 97 };
enum FunctionAttribute { kMaxDynamicShared = 8 };
enum DriverError { kSuccess = 0, kOutOfMemory = 2, kNoBinaryForGpu = 209, kInvalidPtx = 218, kUnsupportedPtxVersion = 222 };

// Every function that is used, by its exported name.
#define CLIPENGINE_DRIVER_FUNCTIONS(X)                                                                                     \
  X(cuInit, (unsigned))                                                                                                    \
  X(cuDriverGetVersion, (int*))                                                                                            \
  X(cuDeviceGetCount, (int*))                                                                                              \
  X(cuDeviceGet, (DeviceOrdinal*, int))                                                                                    \
  X(cuDeviceGetName, (char*, int, DeviceOrdinal))                                                                          \
  X(cuDeviceTotalMem_v2, (size_t*, DeviceOrdinal))                                                                         \
  X(cuDeviceGetAttribute, (int*, int, DeviceOrdinal))                                                                      \
  X(cuDevicePrimaryCtxRetain, (Context*, DeviceOrdinal))                                                                   \
  X(cuDevicePrimaryCtxRelease_v2, (DeviceOrdinal))                                                                         \
  X(cuCtxSetCurrent, (Context))                                                                                            \
  X(cuMemGetInfo_v2, (size_t*, size_t*))                                                                                   \
  X(cuModuleLoadDataEx, (Module*, const void*, unsigned, int*, void**))                                                    \
  X(cuModuleGetFunction, (Function*, Module, const char*))                                                                 \
  X(cuModuleUnload, (Module))                                                                                              \
  X(cuFuncSetAttribute, (Function, int, int))                                                                              \
  X(cuLaunchKernel, (Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Stream, void**, void**)) \
  X(cuMemAlloc_v2, (DeviceAddress*, size_t))                                                                               \
  X(cuMemFree_v2, (DeviceAddress))                                                                                         \
  X(cuMemHostAlloc, (void**, size_t, unsigned))                                                                            \
  X(cuMemFreeHost, (void*))                                                                                                \
  X(cuMemcpyHtoDAsync_v2, (DeviceAddress, const void*, size_t, Stream))                                                    \
  X(cuMemcpyDtoHAsync_v2, (void*, DeviceAddress, size_t, Stream))                                                          \
  X(cuMemsetD8Async, (DeviceAddress, unsigned char, size_t, Stream))                                                       \
  X(cuStreamWaitEvent, (Stream, void*, unsigned))                                                                          \
  X(cuEventElapsedTime, (float*, void*, void*))                                                                            \
  X(cuStreamCreate, (Stream*, unsigned))                                                                                   \
  X(cuStreamSynchronize, (Stream))                                                                                         \
  X(cuStreamDestroy_v2, (Stream))                                                                                          \
  X(cuStreamBeginCapture_v2, (Stream, int))                                                                                \
  X(cuStreamEndCapture, (Stream, Graph*))                                                                                  \
  X(cuGraphInstantiateWithFlags, (GraphExec*, Graph, unsigned long long))                                                  \
  X(cuGraphLaunch, (GraphExec, Stream))                                                                                    \
  X(cuGraphExecDestroy, (GraphExec))                                                                                       \
  X(cuGraphDestroy, (Graph))                                                                                               \
  X(cuEventCreate, (void**, unsigned))                                                                                     \
  X(cuEventRecord, (void*, Stream))                                                                                        \
  X(cuEventSynchronize, (void*))                                                                                           \
  X(cuEventDestroy_v2, (void*))                                                                                            \
  X(cuGetErrorName, (DriverStatus, const char**))                                                                          \
  X(cuGetErrorString, (DriverStatus, const char**))

struct Driver {
#define CLIPENGINE_DECLARE(name, parameters) DriverStatus(*name) parameters = nullptr;
  CLIPENGINE_DRIVER_FUNCTIONS(CLIPENGINE_DECLARE)
#undef CLIPENGINE_DECLARE

  // The driver of this process, opened and initialised once. Throws Error(CLIPENGINE_UNSUPPORTED) naming the step that failed.
  static const Driver& get();

  // Throws Error where status is not success: the name and text of the driver's error, and what was being done.
  void check(DriverStatus status, const std::string& doing) const;
};

}  // namespace clipengine::cuda
