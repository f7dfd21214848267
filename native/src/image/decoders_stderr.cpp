// What the decoders call stderr (static_decoders.cmake). They write there only where nobody took their messages, which jpeg_decoder.cpp,
// png_decoder.cpp and webp_decoder.cpp do.
#include <cstdio>

extern "C" {
__attribute__((visibility("hidden"))) extern FILE* clipengine_decoders_stderr;
FILE* clipengine_decoders_stderr = stderr;
}
