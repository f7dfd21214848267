// The emulated device punishes what a GPU may let pass: an access beside an allocation is a fault that names the kernel.
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "clipengine_cuda.h"

namespace {

clipengine_cuda_device* open_device() {
  clipengine_cuda_device* device = nullptr;
  CHECK_EQUAL(clipengine_cuda_device_open(0, nullptr, &device), CLIPENGINE_OK);
  return device;
}

uint64_t allocate(clipengine_cuda_device* device, int64_t bytes) {
  uint64_t address = 0;
  CHECK_EQUAL(clipengine_cuda_memory_allocate(device, bytes, &address), CLIPENGINE_OK);
  CHECK_EQUAL(address % 256, 0u);
  return address;
}

// y[i] = a[i] + b[i]; what it says when it fails, else nothing.
std::string add(clipengine_cuda_device* device, uint64_t a, uint64_t b, uint64_t y, int64_t count) {
  int64_t kernel = 0;
  CHECK_EQUAL(clipengine_cuda_kernel_find(device, "add_fp32", 0, &kernel), CLIPENGINE_OK);
  const uint64_t arguments[] = {a, b, y, (uint64_t)count};
  const clipengine_cuda_launch launch = {kernel, (uint32_t)((count + 255) / 256), 1, 1, 256, 0, 4, 0};
  CHECK_EQUAL(clipengine_cuda_launches_enqueue(device, &launch, 1, arguments, 4), CLIPENGINE_OK);
  if (clipengine_cuda_device_synchronize(device) == CLIPENGINE_OK) return "";
  char text[1024] = "";
  clipengine_cuda_error_message(text, sizeof text);
  return text;
}

void check_names(const std::string& message, const std::string& what) {
  if (message.find("add_fp32") == std::string::npos || message.find(what) == std::string::npos)
    CHECK_EQUAL(message, "add_fp32 ... " + what);
}

}  // namespace

CLIPENGINE_TEST(accesses_beside_an_allocation_are_faults_and_the_next_launch_is_well) {
  clipengine_cuda_device* device = open_device();
  const int64_t count = 640;  // 2560 bytes, a multiple of 256: the guard begins right behind
  const uint64_t a = allocate(device, count * 4), b = allocate(device, count * 4), y = allocate(device, count * 4);
  CHECK_EQUAL(add(device, a, b, y, count), std::string());
  check_names(add(device, a, b, y, count + 1), "0 bytes behind the end of an allocation of 2560 bytes");
  check_names(add(device, a, b, y + 4, count), "0 bytes behind the end of an allocation of 2560 bytes");
  check_names(add(device, a - 4096, b, y, 1), "bytes before an allocation of 2560 bytes");
  CHECK_EQUAL(add(device, a, b, y, count), std::string());
  // Values survive the faults of others.
  const std::vector<float> ones((size_t)count, 1.0f);
  std::vector<float> found((size_t)count);
  CHECK_EQUAL(clipengine_cuda_memory_upload(device, a, ones.data(), count * 4), CLIPENGINE_OK);
  CHECK_EQUAL(clipengine_cuda_memory_upload(device, b, ones.data(), count * 4), CLIPENGINE_OK);
  CHECK_EQUAL(add(device, a, b, y, count), std::string());
  CHECK_EQUAL(clipengine_cuda_memory_download(device, found.data(), y, count * 4), CLIPENGINE_OK);
  for (float value : found) CHECK_EQUAL(value, 2.0f);
  for (uint64_t address : {a, b, y}) CHECK_EQUAL(clipengine_cuda_memory_free(device, address), CLIPENGINE_OK);
  clipengine_cuda_device_close(device);
}

CLIPENGINE_TEST(freed_memory_is_not_touched_again) {
  clipengine_cuda_device* device = open_device();
  const uint64_t a = allocate(device, 1024), b = allocate(device, 1024), y = allocate(device, 1024);
  CHECK_EQUAL(clipengine_cuda_memory_free(device, b), CLIPENGINE_OK);
  check_names(add(device, a, b, y, 256), "touches an allocation of 1024 bytes that was freed");
  CHECK(clipengine_cuda_memory_free(device, b) != CLIPENGINE_OK);
  for (uint64_t address : {a, y}) CHECK_EQUAL(clipengine_cuda_memory_free(device, address), CLIPENGINE_OK);
  clipengine_cuda_device_close(device);
}

CLIPENGINE_TEST(what_aligns_an_allocation_is_not_written) {
  clipengine_cuda_device* device = open_device();
  const int64_t count = 10;
  const uint64_t a = allocate(device, 1024), b = allocate(device, 1024), y = allocate(device, count * 4);
  const std::vector<float> ones(256, 1.0f);
  for (uint64_t operand : {a, b}) CHECK_EQUAL(clipengine_cuda_memory_upload(device, operand, ones.data(), 1024), CLIPENGINE_OK);
  CHECK_EQUAL(add(device, a, b, y, count + 1), std::string());  // up to the next multiple of 256 no page can guard
  CHECK(clipengine_cuda_memory_free(device, y) != CLIPENGINE_OK);
  char text[1024] = "";
  clipengine_cuda_error_message(text, sizeof text);
  CHECK(std::string(text).find("beside an allocation of 40 bytes") != std::string::npos);
  for (uint64_t address : {a, b}) CHECK_EQUAL(clipengine_cuda_memory_free(device, address), CLIPENGINE_OK);
  clipengine_cuda_device_close(device);
}

CLIPENGINE_TEST_MAIN()
