#include <cstdlib>

#include "cuda/driver.h"

using namespace clipengine::cuda;

extern "C" __attribute__((visibility("default"))) DriverStatus cuDeviceGetCount(int* count) {
  *count = 1;
  return kSuccess;
}

extern "C" __attribute__((visibility("default"))) DriverStatus cuDeviceGetAttribute(int* value, int which, DeviceOrdinal) {
  const char* text = std::getenv("CLIPENGINE_FAKE_CAPABILITY");
  const int capability = text != nullptr ? std::atoi(text) : 0;
  *value = which == kCapabilityMajor ? capability / 10 : which == kCapabilityMinor ? capability % 10 : 1;
  return kSuccess;
}
