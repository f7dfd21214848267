// A libcuda.so.1 with one device of the compute capability that CLIPENGINE_FAKE_CAPABILITY names (75: sm_75); every other call succeeds
// and does nothing. The answers stand in fake_driver_answers.cpp and go before these.
#include "cuda/driver.h"

#define CLIPENGINE_DEFINE(name, parameters) \
  extern "C" __attribute__((weak, visibility("default"))) clipengine::cuda::DriverStatus name parameters { return clipengine::cuda::kSuccess; }
namespace clipengine::cuda {
CLIPENGINE_DRIVER_FUNCTIONS(CLIPENGINE_DEFINE)
}  // namespace clipengine::cuda
