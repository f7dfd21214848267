// The library is to load where glibc is 2.31 or newer, whatever the version that it is linked with. What newer versions offer under a
// newer symbol version is asked for under the older one, which all of them still have; and the few functions that are newer themselves,
// which libstdc++ (linked statically) calls, are defined here. Hidden: no other library sees them. NativeDependencyTests looks.
#include <sys/random.h>

#include <cstddef>
#include <cstdint>

#if (defined(__x86_64__) || defined(__aarch64__)) && defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ > 31)

// The version that an architecture's glibc began with, and a jump. fstat64(descriptor, status) is __fxstat64(version of the structure,
// descriptor, status) up to 2.32.
#if defined(__x86_64__)
#define CLIPENGINE_FIRST "GLIBC_2.2.5"
#define CLIPENGINE_JUMP(name) "  endbr64\n  jmp " name "@PLT\n"
#define CLIPENGINE_FXSTAT64 "  endbr64\n  mov %rsi, %rdx\n  mov %edi, %esi\n  mov $1, %edi\n  jmp clipengine_older_fxstat64@PLT\n"
#else
#define CLIPENGINE_FIRST "GLIBC_2.17"
#define CLIPENGINE_JUMP(name) "  b " name "\n"
#define CLIPENGINE_FXSTAT64 "  mov x2, x1\n  mov w1, w0\n  mov w0, #0\n  b clipengine_older_fxstat64\n"
#endif

// name: a jump to the older one.
#define CLIPENGINE_OLDER(name)                                                                          \
  asm(".symver clipengine_older_" #name ", " #name "@" CLIPENGINE_FIRST "\n"                            \
      ".pushsection .text\n.globl " #name "\n.hidden " #name "\n.type " #name ", @function\n" #name ":\n" \
      CLIPENGINE_JUMP("clipengine_older_" #name) ".size " #name ", . - " #name "\n.popsection")

CLIPENGINE_OLDER(pthread_create);
CLIPENGINE_OLDER(pthread_detach);
CLIPENGINE_OLDER(pthread_getspecific);
CLIPENGINE_OLDER(pthread_join);
CLIPENGINE_OLDER(pthread_key_create);
CLIPENGINE_OLDER(pthread_key_delete);
CLIPENGINE_OLDER(pthread_once);
CLIPENGINE_OLDER(pthread_setspecific);
CLIPENGINE_OLDER(dlclose);
CLIPENGINE_OLDER(dlopen);
CLIPENGINE_OLDER(dlsym);

asm(".symver clipengine_older_fxstat64, __fxstat64@" CLIPENGINE_FIRST "\n"
    ".pushsection .text\n.globl fstat64\n.hidden fstat64\n.type fstat64, @function\nfstat64:\n"
    CLIPENGINE_FXSTAT64 ".size fstat64, . - fstat64\n.popsection");

extern "C" {

// Since 2.32: whether the process never had a second thread. Saying no is always right.
__attribute__((visibility("hidden"))) extern char __libc_single_threaded;
char __libc_single_threaded = 0;

// Since 2.36: std::random_device.
__attribute__((visibility("hidden"))) uint32_t arc4random(void) noexcept {
  uint32_t value = 0;
  while (getrandom(&value, sizeof value, 0) != static_cast<ssize_t>(sizeof value)) {
  }
  return value;
}

}  // extern "C"

#endif
