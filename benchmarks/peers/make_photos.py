#!/usr/bin/env python3
"""Draws the two JPEGs of the imaging benchmark: gradients, blobs on five scales and sensor-like noise, quality 92.

    make_photos.py FOLDER            the two
    make_photos.py FOLDER COUNT      COUNT different ones of 2444 x 1718: a few such drawings, shifted and tinted

Made of the same parts as photographs, they cost about as many bits a pixel (1.8 and 2.4). Needs NumPy and Pillow; deterministic.
"""
import os
import sys

import numpy as np
from PIL import Image


def photo(width, height, random):
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    rgb = np.empty((height, width, 3), np.float32)
    for channel in range(3):
        rgb[..., channel] = 110 + 60 * np.sin(x / width * (2 + channel) + y / height * 3) + 30 * np.cos(y / height * (5 - channel))
    for cells, strength in ((3, 40), (12, 28), (48, 18), (160, 10), (400, 6)):
        rows = max(2, height * cells // width)
        coarse = random.normal(0, 1, (rows, cells, 3)).astype(np.float32)
        coarse = 0.75 * coarse[..., :1] + 0.25 * coarse  # detail is mostly in the luminance
        for channel in range(3):
            layer = Image.fromarray(coarse[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
            rgb[..., channel] += strength * np.asarray(layer)
    rgb += 3.0 * random.normal(0, 1, (height, width, 1)) + random.normal(0, 1, rgb.shape)
    return Image.fromarray(rgb.clip(0, 255).astype(np.uint8))


def variations(count, random):
    drawings = [np.asarray(photo(2444, 1718, random)) for _ in range(min(count, 4))]
    for index in range(count):
        pixels = np.roll(drawings[index % len(drawings)], (int(random.integers(1718)), int(random.integers(2444))), axis=(0, 1))
        levels = np.arange(256) / 255
        tables = [(255 * levels ** random.uniform(0.6, 1.6)).round().astype(np.uint8) for _ in range(3)]
        yield Image.fromarray(np.stack([table[pixels[..., channel]] for channel, table in enumerate(tables)], axis=-1))


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    random = np.random.default_rng(7)
    if len(sys.argv) > 2:
        for index, image in enumerate(variations(int(sys.argv[2]), random)):
            image.save(os.path.join(folder, f"photo_{index:05d}.jpg"), quality=92)
        return
    for width, height in ((2444, 1718), (640, 480)):
        photo(width, height, random).save(os.path.join(folder, f"photo_{width}x{height}.jpg"), quality=92)


if __name__ == "__main__":
    main()
