/* Images: decode, convert to RGB, resize, crop, normalise. Bit for bit what Pillow or torchvision give under open_clip and transformers, so
 * that features can match theirs. Included by clipengine.h.
 *
 * Formats are told from their first bytes, never from a name: JPEG (baseline, extended, progressive; gray, YCbCr, RGB, CMYK, YCCK),
 * PNG (every colour type and depth), WebP (lossy, lossless; the first frame), BMP, GIF (the first frame). Orientation tags are
 * ignored, as the reference does. All functions are thread-safe and work on the calling thread alone.
 *
 * Limits, checked from the header before anything is allocated for pixels: 178,956,970 pixels (where Pillow raises), 1,000,000 columns
 * or rows, 100 scans of a progressive JPEG; a header that promises more pixels than the file's length can hold is refused too. */
#ifndef CLIPENGINE_IMAGE_H
#define CLIPENGINE_IMAGE_H

#include "clipengine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* These functions make a library of their own, libclipengine_image: its version (CLIPENGINE_ABI_VERSION), the size of a struct by its name
 * (-1 where it has none), and the text of this thread's last error in it, as clipengine.h has them for libclipengine. */
CLIPENGINE_API int32_t clipengine_image_abi_version(void) CLIPENGINE_NOEXCEPT;
CLIPENGINE_API int64_t clipengine_image_struct_size(const char* name) CLIPENGINE_NOEXCEPT;
CLIPENGINE_API int64_t clipengine_image_error_message(char* buffer, int64_t capacity) CLIPENGINE_NOEXCEPT;

enum { CLIPENGINE_IMAGE_JPEG = 1, CLIPENGINE_IMAGE_PNG = 2, CLIPENGINE_IMAGE_WEBP = 3, CLIPENGINE_IMAGE_BMP = 4, CLIPENGINE_IMAGE_GIF = 5 };

/* Why an image was refused: clipengine_image_problem. */
enum {
  CLIPENGINE_IMAGE_NOT_AN_IMAGE = 1, /* something else, or a format that is not read; the message names what it looks like */
  CLIPENGINE_IMAGE_UNSUPPORTED = 2,  /* a variant of the format that is not read (12-bit JPEG, BMP holding a JPEG ...) */
  CLIPENGINE_IMAGE_TOO_LARGE = 3,    /* beyond a limit */
  CLIPENGINE_IMAGE_TRUNCATED = 4,    /* the file ends before the image does */
  CLIPENGINE_IMAGE_CORRUPT = 5
};

/* The order of the bytes of a decoded pixel. The fourth byte, where there is one, is not looked at. */
enum { CLIPENGINE_PIXELS_RGB = 0, CLIPENGINE_PIXELS_BGR = 1, CLIPENGINE_PIXELS_RGBA = 2, CLIPENGINE_PIXELS_BGRA = 3 };

enum { CLIPENGINE_RESIZE_SHORTEST = 0, CLIPENGINE_RESIZE_SQUASH = 1 };
enum { CLIPENGINE_INTERPOLATION_BICUBIC = 0, CLIPENGINE_INTERPOLATION_BILINEAR = 1 };

/* Whose resize. All three filter with antialiasing and weights computed in double precision. Pillow makes them whole numbers of 22 bits;
 * up to 12.1 the horizontal pass comes first, since 13.0 the vertical one where (height before - after) > 2 max(0, width before - after).
 * torchvision (on uint8 tensors) makes them 16-bit numbers; it needs CLIPENGINE_RGB_FIRST. */
enum { CLIPENGINE_RESAMPLER_PILLOW_13 = 0, CLIPENGINE_RESAMPLER_PILLOW_12 = 1, CLIPENGINE_RESAMPLER_TORCHVISION = 2 };

/* When images of another mode become RGB: behind resize and crop (open_clip; palettes and single bits then take the nearest pixel,
 * alpha is multiplied in for the resize, 16-bit gray is resized in 16 bits and clipped at 255 then), or before (transformers). */
enum { CLIPENGINE_RGB_LAST = 0, CLIPENGINE_RGB_FIRST = 1 };

/* What becomes of alpha and of transparent palette entries: left out, or laid over white before anything else (transformers since 5.21). */
enum { CLIPENGINE_ALPHA_DROP = 0, CLIPENGINE_ALPHA_WHITE = 1 };

/* Where the centre crop begins: (side - crop) / 2 with halves to the even number (torchvision), or rounded down (transformers). */
enum { CLIPENGINE_CROP_HALF_EVEN = 0, CLIPENGINE_CROP_DOWN = 1 };

/* (u8 / 255 - mean) / deviation, or (u8 - 255 mean) / (255 deviation) as transformers' torchvision processors do; in single precision. */
enum { CLIPENGINE_NORMALIZE_IN_TWO_STEPS = 0, CLIPENGINE_NORMALIZE_IN_ONE_STEP = 1 };

typedef struct clipengine_image_info {
  int32_t format; /* CLIPENGINE_IMAGE_JPEG ... */
  int32_t width;
  int32_t height;
  int32_t reserved; /* 0 */
  int64_t memory; /* bytes that decoding keeps at once, estimated from the header; a few rows come on top */
} clipengine_image_info;

typedef struct clipengine_image_transform {
  int32_t height; /* of the result, 1 to 8192 */
  int32_t width;
  int32_t resize_mode;   /* CLIPENGINE_RESIZE_... */
  int32_t interpolation; /* CLIPENGINE_INTERPOLATION_...; of CLIPENGINE_RESIZE_SHORTEST to a rectangle always bicubic, as in open_clip */
  int32_t resampler;     /* CLIPENGINE_RESAMPLER_... */
  int32_t rgb_order;     /* CLIPENGINE_RGB_... */
  int32_t alpha;         /* CLIPENGINE_ALPHA_... */
  int32_t crop_start;    /* CLIPENGINE_CROP_... */
  int32_t normalization; /* CLIPENGINE_NORMALIZE_...; only clipengine_image_preprocess reads it */
  float mean[3];         /* R, G, B, of values in [0, 1]; only clipengine_image_preprocess reads it */
  float standard_deviation[3];
} clipengine_image_transform;

/* Reads the header of the image encoded [size] alone. */
CLIPENGINE_API clipengine_status clipengine_image_probe(const uint8_t* encoded, int64_t size, clipengine_image_info* info) CLIPENGINE_NOEXCEPT;

/* Decodes to rgb [height, width, 3]; capacity, in bytes, must be exactly that. */
CLIPENGINE_API clipengine_status clipengine_image_decode(const uint8_t* encoded, int64_t size, uint8_t* rgb, int64_t capacity) CLIPENGINE_NOEXCEPT;

/* Decodes, resizes and crops to crop [transform->height, transform->width, 3]. */
CLIPENGINE_API clipengine_status clipengine_image_crop(const uint8_t* encoded, int64_t size, const clipengine_image_transform* transform,
                                                       uint8_t* crop) CLIPENGINE_NOEXCEPT;

/* The same, then normalised in single precision, to pixels [3, transform->height, transform->width]. */
CLIPENGINE_API clipengine_status clipengine_image_preprocess(const uint8_t* encoded, int64_t size, const clipengine_image_transform* transform,
                                                             float* pixels) CLIPENGINE_NOEXCEPT;

/* The same for an image that is decoded already: rows of width pixels, stride bytes apart, from top to bottom; the last row need not
 * reach its stride. The same bits as for a file with these pixels. */
CLIPENGINE_API clipengine_status clipengine_image_preprocess_pixels(const uint8_t* decoded, int32_t width, int32_t height, int64_t stride,
                                                                    int32_t layout, const clipengine_image_transform* transform,
                                                                    float* pixels) CLIPENGINE_NOEXCEPT;

/* Why this thread's last image call returned CLIPENGINE_BAD_INPUT: CLIPENGINE_IMAGE_NOT_AN_IMAGE ...; 0 where none did. */
CLIPENGINE_API int32_t clipengine_image_problem(void) CLIPENGINE_NOEXCEPT;

/* The instruction set that resizing uses in this process: "portable", "avx2" or "avx512", as CLIPENGINE_CPU allows;
 * "none" where that names nothing. The same bits come out of each. */
CLIPENGINE_API const char* clipengine_image_kernels(void) CLIPENGINE_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
