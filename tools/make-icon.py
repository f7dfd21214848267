#!/usr/bin/env python3
"""Draws docs/packages/icon.png, the packages' icon: two towers that meet in one point. Standard library only: make-icon.py OUT."""
import struct
import sys
import zlib

SIZE = 128
SCALE = 4  # samples along a pixel's side


def colour(x, y):
    """The colour of a place, both coordinates in [0, 1)."""
    if (x - 0.5) ** 2 + (y - 0.24) ** 2 < 0.11 ** 2:
        return (255, 200, 87)
    for left, shade in ((0.16, (66, 135, 245)), (0.62, (38, 198, 168))):
        if left < x < left + 0.22 and 0.42 < y < 0.86 and (y - 0.42) % 0.15 < 0.12:
            return shade
    for foot in (0.27, 0.73):
        t = (y - 0.24) / 0.18
        if 0 < t < 1 and abs(x - (0.5 + (foot - 0.5) * t)) < 0.018:
            return (225, 230, 240)
    return (24, 32, 52)


rows = bytearray()
for row in range(SIZE):
    rows.append(0)
    for column in range(SIZE):
        samples = [colour((column + (i + 0.5) / SCALE) / SIZE, (row + (j + 0.5) / SCALE) / SIZE) for i in range(SCALE) for j in range(SCALE)]
        rows += bytes(sum(sample[c] for sample in samples) // len(samples) for c in range(3))


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


with open(sys.argv[1], "wb") as out:
    out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(bytes(rows), 9)) + chunk(b"IEND", b""))
