#!/usr/bin/env python3
"""JPEG file to model pixels on one thread: Pillow and torchvision against ClipEngine, alternating in one run.

    preprocess.py --library artifacts/native/Release/libclipengine_image.so [--rounds 25] IMAGE...

Both sides start from the file's bytes in memory and end with float32 [3, 224, 224], normalised (OpenAI's mean and deviation). Each
round times every side once; medians of processor time are printed with their ratio, and the pixels are compared bit for bit. Draw the
images with make_photos.py. Needs Pillow, torch and torchvision; set OMP_NUM_THREADS=1.
"""
import argparse
import ctypes
import io
import os
import statistics
import time

import numpy as np
import torch
from PIL import Image, features
from torchvision import transforms
from torchvision.transforms import InterpolationMode

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


class Transform(ctypes.Structure):
    _fields_ = [("height", ctypes.c_int32), ("width", ctypes.c_int32), ("resize_mode", ctypes.c_int32), ("interpolation", ctypes.c_int32),
                ("mean", ctypes.c_float * 3), ("deviation", ctypes.c_float * 3)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("images", nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    library = ctypes.CDLL(os.path.abspath(arguments.library))
    library.clipengine_image_kernels.restype = ctypes.c_char_p
    print("libjpeg-turbo", features.version("libjpeg_turbo"), "kernels", library.clipengine_image_kernels().decode())
    peer = transforms.Compose([transforms.Resize(224, InterpolationMode.BICUBIC), transforms.CenterCrop(224), lambda image: image.convert("RGB"),
                               transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)])
    transform = Transform(224, 224, 0, 0, (ctypes.c_float * 3)(*MEAN), (ctypes.c_float * 3)(*DEVIATION))
    pixels = np.empty((3, 224, 224), np.float32)
    for path in arguments.images:
        with open(path, "rb") as file:
            encoded = file.read()

        def ours():
            return library.clipengine_image_preprocess(encoded, ctypes.c_int64(len(encoded)), ctypes.byref(transform), pixels.ctypes.data_as(ctypes.c_void_p))

        sides = {"Pillow + torchvision": lambda: peer(Image.open(io.BytesIO(encoded))), "Pillow decode alone": lambda: Image.open(io.BytesIO(encoded)).load(),
                 "ClipEngine": ours}
        times = {name: [] for name in sides}
        for round_ in range(arguments.rounds + 2):
            for name, side in sides.items():
                start = time.process_time()
                side()
                if round_ >= 2:
                    times[name].append((time.process_time() - start) * 1000)
        same = ours() == 0 and np.array_equal(pixels, peer(Image.open(io.BytesIO(encoded))).numpy())
        for name, values in times.items():
            print(f"{os.path.basename(path)}  {name:22} median {statistics.median(values):7.2f} ms  (min {min(values):.2f}, max {max(values):.2f})")
        ratio = statistics.median(times["ClipEngine"]) / statistics.median(times["Pillow + torchvision"])
        print(f"{os.path.basename(path)}  ratio {ratio:.3f}, pixels {'equal' if same else 'DIFFER'}")


if __name__ == "__main__":
    main()
