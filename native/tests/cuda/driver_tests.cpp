// The real library with a driver of our own: what is refused before anything runs on a GPU.
#include <cstdlib>
#include <string>

#include "check.h"
#include "clipengine_cuda.h"

CLIPENGINE_TEST(an_architecture_below_sm_80_is_refused_by_name) {
  for (const char* capability : {"61", "70", "75"}) {
    setenv("CLIPENGINE_FAKE_CAPABILITY", capability, 1);
    clipengine_cuda_device* device = nullptr;
    CHECK_EQUAL(clipengine_cuda_device_open(0, nullptr, &device), CLIPENGINE_UNSUPPORTED);
    char text[1024] = "";
    clipengine_cuda_error_message(text, sizeof text);
    const std::string message = text;
    CHECK_EQUAL(message.find(std::string("cuda:0 is sm_") + capability) != std::string::npos, true);
    CHECK_EQUAL(message.find("sm_80") != std::string::npos, true);
  }
}

CLIPENGINE_TEST_MAIN()
