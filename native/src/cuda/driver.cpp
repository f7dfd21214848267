#include "cuda/driver.h"

#include <dlfcn.h>

#include "core/status.h"

namespace clipengine::cuda {
namespace {

Driver open_driver() {
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw Error(CLIPENGINE_UNSUPPORTED, "no CUDA driver: libcuda.so.1 was not found (it comes with NVIDIA's display driver)");
  Driver driver;
#define CLIPENGINE_RESOLVE(name, parameters)                                              \
  driver.name = reinterpret_cast<DriverStatus(*) parameters>(dlsym(library, #name));      \
  if (driver.name == nullptr) throw Error(CLIPENGINE_UNSUPPORTED, "the CUDA driver is too old: it has no " #name);
  CLIPENGINE_DRIVER_FUNCTIONS(CLIPENGINE_RESOLVE)
#undef CLIPENGINE_RESOLVE
  if (const DriverStatus status = driver.cuInit(0); status != kSuccess) {
    const char* text = nullptr;
    driver.cuGetErrorString(status, &text);
    throw Error(CLIPENGINE_UNSUPPORTED, std::string("the CUDA driver does not start: ") + (text ? text : "unknown error"));
  }
  return driver;
}

}  // namespace

const Driver& Driver::get() {
  static const Driver driver = open_driver();  // an exception leaves it unset, and the next call tries again
  return driver;
}

void Driver::check(DriverStatus status, const std::string& doing) const {
  if (status == kSuccess) return;
  const char *name = nullptr, *text = nullptr;
  cuGetErrorName(status, &name);
  cuGetErrorString(status, &text);
  throw Error(status == kOutOfMemory ? CLIPENGINE_OUT_OF_MEMORY : CLIPENGINE_INTERNAL,
              doing + ": " + (name ? name : "error " + std::to_string(status)) + (text ? std::string(", ") + text : ""));
}

}  // namespace clipengine::cuda
