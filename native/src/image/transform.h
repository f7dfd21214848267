// From an open image to the model's rectangle: torchvision's Resize and CenterCrop on Pillow's resampling.
#pragma once

#include "image/decoder.h"
#include "image/resample.h"

namespace clipengine::image {

// Where the crop lies in the resized image. A negative offset means black padding on that side.
struct Geometry {
  int64_t resized_width;
  int64_t resized_height;
  int64_t left;
  int64_t top;
};

Geometry plan(const clipengine_image_transform& transform, int width, int height);

// Receives the crop's rows from top to bottom.
class RowSink {
 public:
  virtual ~RowSink() = default;
  virtual void row(int y, const uint8_t* rgb) = 0;
};

// Decodes what the crop needs, resizes and crops, row by row.
void transform_image(Decoder& decoder, const clipengine_image_transform& transform, const ResampleKernels& kernels, RowSink& sink);

}  // namespace clipengine::image
