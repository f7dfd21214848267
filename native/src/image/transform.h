// From an open image to the model's rectangle: the resize and the centre crop of open_clip or transformers.
#pragma once

#include "image/decoder.h"
#include "image/resample.h"

namespace clipengine::image {

// The image's size after resizing, and where the crop begins in it. The resized image always covers the crop.
struct Geometry {
  int64_t resized_width;
  int64_t resized_height;
  int64_t left;
  int64_t top;
};

Geometry plan(const clipengine_image_transform& transform, int width, int height);

// Receives the crop's rows from top to bottom, RGB.
class RowSink {
 public:
  virtual ~RowSink() = default;
  virtual void row(int y, const uint8_t* rgb) = 0;
};

// Decodes what the crop needs, resizes, crops and converts, row by row.
void transform_image(Decoder& decoder, const clipengine_image_transform& transform, const ResampleKernels& kernels, RowSink& sink);

}  // namespace clipengine::image
