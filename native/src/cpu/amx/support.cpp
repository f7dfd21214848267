#include "cpu/amx/support.h"

#include <cerrno>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace clipengine::cpu {
namespace {

#if defined(__x86_64__) && defined(__linux__) && defined(CLIPENGINE_HAS_AMX)

AmxSupport look() {
  // CPUID leaf 7, EDX.
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx & (kBf16 | kTile | kInt8)) != (kBf16 | kTile | kInt8)) {
    return {false, "this processor has no AMX (amx_tile, amx_bf16 and amx_int8), or the hypervisor hides it"};
  }
  if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512cd") ||
      !__builtin_cpu_supports("avx512vnni")) {
    return {false, "AMX kernels also need AVX-512 with VNNI, which is switched off"};
  }
  // The bits of XCR0 for the tiles' configuration (17) and data (18). OSXSAVE is set where AVX-512 is usable.
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  constexpr unsigned kTileState = 3u << 17;
  if ((low & kTileState) != kTileState) return {false, "the operating system does not save AMX's registers (Linux does from 5.16 on)"};
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  if (syscall(SYS_arch_prctl, kRequestPermission, kTileData) != 0) {
    const int error = errno;
    switch (error) {
      case ENOSPC: {
#ifdef AT_MINSIGSTKSZ
        const unsigned long least = getauxval(AT_MINSIGSTKSZ);
#else
        const unsigned long least = getauxval(51);
#endif
        return {false, "the system refuses AMX because a thread's alternate signal stack is smaller than " + std::to_string(least) + " bytes, which saving its registers needs"};
      }
      case EPERM:
      case EACCES: return {false, "the system forbids AMX to this process (arch_prctl: " + std::string(std::strerror(error)) + "; a container's seccomp filter does that)"};
      case EINVAL:
      case ENOSYS: return {false, "this kernel cannot give the permission for AMX (arch_prctl: " + std::string(std::strerror(error)) + "; Linux does from 5.16 on)"};
      default: return {false, "the system refuses the permission for AMX (arch_prctl: " + std::string(std::strerror(error)) + ")"};
    }
  }
  return {true, ""};
}

#else

AmxSupport look() {
#if defined(__x86_64__) && defined(__linux__)
  return {false, "this library was built with an assembler that does not know AMX (binutils 2.35 does)"};
#else
  return {false, "AMX is used on Linux on x86-64 only"};
#endif
}

#endif

}  // namespace

const AmxSupport& amx_support() {
  static const AmxSupport support = look();
  return support;
}

}  // namespace clipengine::cpu
