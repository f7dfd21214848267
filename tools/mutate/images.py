#!/usr/bin/env python3
"""Mutates image files and compares what ClipEngine makes of them with Pillow, the oracle.

    images.py --library artifacts/native/Release/libclipengine_image.so [--count 2000] [--seed 1] [--case N] [--save DIR]

Needs Pillow and NumPy. Every mutant is a function of the seed and its number alone. Mutants are tried in child processes, a batch
each, so that a crash is seen and pinned to its mutant. The verdicts:

    agreed     both accept and every RGB byte is the same
    refused    both refuse
    stricter   only ClipEngine refuses: damage that Pillow shows as gray, missing end marks, variants that Pillow misreads
    SILENT     only ClipEngine accepts, or both do and a byte differs: of the decoded image, or of a crop of random size and mode
               (the crop also proves that leaving out what a crop does not need changes nothing)
    CRASH      the child died
    HANG       more than one second of processor time in ClipEngine

The last three must not happen: the exit status is 1 if one does. The last line sums up.
"""
import argparse
import ctypes
import io
import os
import random
import struct
import sys
import time
import warnings
import zlib

import numpy as np
from PIL import Image

BATCH = 100
HANG_SECONDS = 1.0
COMPARED_PIXELS = 4_000_000
warnings.simplefilter("ignore")


class Engine:
    """The native library's C functions."""

    class Info(ctypes.Structure):
        _fields_ = [("format", ctypes.c_int32), ("width", ctypes.c_int32), ("height", ctypes.c_int32), ("reserved", ctypes.c_int32),
                    ("memory", ctypes.c_int64)]

    class Transform(ctypes.Structure):
        _fields_ = [("height", ctypes.c_int32), ("width", ctypes.c_int32), ("resize_mode", ctypes.c_int32),
                    ("interpolation", ctypes.c_int32), ("resampler", ctypes.c_int32), ("rgb_order", ctypes.c_int32),
                    ("alpha", ctypes.c_int32), ("crop_start", ctypes.c_int32), ("normalization", ctypes.c_int32), ("mean", ctypes.c_float * 3), ("deviation", ctypes.c_float * 3)]

    def __init__(self, path):
        self.library = ctypes.CDLL(os.path.abspath(path))

    def message(self):
        buffer = ctypes.create_string_buffer(1024)
        self.library.clipengine_image_error_message(buffer, ctypes.c_int64(1024))
        return buffer.value.decode("utf-8", "replace")

    def decode(self, data):
        """The RGB array, or the message of the refusal, or the pair (width, height) of what is too large to compare."""
        info = self.Info()
        if self.library.clipengine_image_probe(data, ctypes.c_int64(len(data)), ctypes.byref(info)):
            return self.message()
        if info.width * info.height > COMPARED_PIXELS:
            crop = np.empty((32, 32, 3), np.uint8)
            transform = self.Transform(32, 32, 1, 0)
            status = self.library.clipengine_image_crop(data, ctypes.c_int64(len(data)), ctypes.byref(transform),
                                                        crop.ctypes.data_as(ctypes.c_void_p))
            return self.message() if status else (info.width, info.height)
        rgb = np.empty((info.height, info.width, 3), np.uint8)
        status = self.library.clipengine_image_decode(data, ctypes.c_int64(len(data)), rgb.ctypes.data_as(ctypes.c_void_p),
                                                      ctypes.c_int64(rgb.size))
        return self.message() if status else rgb

    def crop(self, data, height, width, squash, bilinear, rgb_first):
        result = np.empty((height, width, 3), np.uint8)
        transform = self.Transform(height, width, squash, bilinear, 1, rgb_first)  # resampler 1: Pillow up to 12
        status = self.library.clipengine_image_crop(data, ctypes.c_int64(len(data)), ctypes.byref(transform), result.ctypes.data_as(ctypes.c_void_p))
        return self.message() if status else result


def oracle_crop(image, height, width, squash, bilinear, rgb_first):
    """torchvision's Resize and CenterCrop (for unequal sides open_clip's ResizeKeepRatio) on Pillow, before or after it is RGB."""
    filter_ = Image.Resampling.BILINEAR if bilinear and (squash or width == height) else Image.Resampling.BICUBIC
    if rgb_first:
        image = image.convert("RGB")
    if squash:
        return np.asarray(image.resize((width, height), filter_).convert("RGB"))
    if width == height:
        short, long = sorted(image.size)
        sides = (width, int(width * long / short))
        size = sides if image.width <= image.height else sides[::-1]
    else:
        ratio = min(image.height / height, image.width / width)
        size = (round(image.width / ratio), round(image.height / ratio))
    image = image.resize(size, filter_)
    left = round((image.width - width) / 2.0)
    top = round((image.height - height) / 2.0)
    return np.asarray(image.crop((left, top, left + width, top + height)).convert("RGB"))


def oracle(data):
    """Pillow's image, loaded; or its message, or the size of what is too large to compare."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP", "BMP", "GIF")) as image:
            if image.size[0] * image.size[1] > COMPARED_PIXELS:
                return image.size
            image.load()
            image.convert("RGB")
            return image.copy()
    except Exception as error:  # Pillow raises nearly everything
        return f"{type(error).__name__}: {error}"


# ---------------------------------------------------------------------------------------------------------------- seeds

def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(array, colour, depth, interlaced=False, extra=()):
    """A PNG from samples [height, width, channels], every depth and colour type, filters in turn, optionally interlaced."""
    height, width, channels = array.shape

    def pack(rows):
        result = b""
        previous = None
        for y, row in enumerate(rows):
            values = row.reshape(-1)
            if depth == 16:
                line = values.astype(">u2").tobytes()
            elif depth == 8:
                line = values.astype(np.uint8).tobytes()
            else:
                bits = "".join(format(int(v), f"0{depth}b") for v in values)
                bits += "0" * (-len(bits) % 8)
                line = int(bits, 2).to_bytes(len(bits) // 8, "big")
            step = max(1, channels * depth // 8)
            kind = y % 3
            above = previous if previous is not None else bytes(len(line))
            if kind == 0:
                coded = line
            elif kind == 1:
                coded = bytes((line[i] - (line[i - step] if i >= step else 0)) & 255 for i in range(len(line)))
            else:
                coded = bytes((line[i] - above[i]) & 255 for i in range(len(line)))
            result += bytes([kind]) + coded
            previous = line
        return result

    if interlaced:
        raw = b""
        for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
            part = array[y0::dy, x0::dx]
            if part.size:
                raw += pack(part)
    else:
        raw = pack(array)
    body = zlib.compress(raw)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *extra]
    for start in range(0, len(body), 700):
        parts.append(chunk(b"IDAT", body[start:start + 700]))
    return b"".join(parts) + chunk(b"IEND", b"")


def bmp(array, bits, header=40, compression=0, masks=b"", palette=b"", data=None, top_down=False, colours=0):
    height, width = array.shape[:2]
    if data is None:
        stride = (width * bits + 31) // 32 * 4
        rows = []
        for row in array if top_down else array[::-1]:
            if bits in (1, 4):
                text = "".join(format(int(v), f"0{bits}b") for v in row.reshape(-1))
                text += "0" * (-len(text) % 8)
                line = int(text, 2).to_bytes(len(text) // 8, "big")
            elif bits == 16:
                line = row.astype("<u2").tobytes()
            else:
                line = row.astype(np.uint8).tobytes()
            rows.append(line + bytes(stride - len(line)))
        data = b"".join(rows)
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, width, -height if top_down else height, 1, bits, compression, len(data), 2835, 2835, colours, 0)
        info += masks.ljust(header - 40, b"\0") if header > 40 else b""
    tail = (masks if header <= 40 else b"") + palette
    offset = 14 + len(info) + len(tail)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + info + tail + data


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def seeds():
    """Small files of every variant that is read, made from one drawing."""
    generator = np.random.default_rng(5)
    height, width = 37, 45
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    wave = np.stack([128 + 100 * np.sin(x / (3 + c) + y / 7) for c in range(3)], axis=2)
    rgb = np.clip(wave + generator.normal(0, 12, wave.shape), 0, 255).astype(np.uint8)
    image = Image.fromarray(rgb)
    alpha = generator.integers(0, 256, (height, width, 1), dtype=np.uint8)
    rgba = Image.fromarray(np.concatenate([rgb, alpha], axis=2))
    gray = rgb[:, :, :1]
    palette = generator.integers(0, 256, 48, dtype=np.uint8).tobytes()
    indices = (gray // 16).astype(np.uint8)
    result = {}
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        result[f"jpeg-{name}"] = saved(image, "JPEG", quality=85, subsampling=subsampling)
        result[f"jpeg-{name}-progressive"] = saved(image, "JPEG", quality=85, subsampling=subsampling, progressive=True)
    result["jpeg-gray"] = saved(image.convert("L"), "JPEG", quality=80)
    result["jpeg-cmyk"] = saved(image.convert("CMYK"), "JPEG", quality=90)
    result["jpeg-restart"] = saved(image, "JPEG", quality=70, restart_marker_blocks=2) if Image.__version__ >= "10.2" else result["jpeg-420"]
    for depth in (1, 2, 4, 8, 16):
        sample = (gray.astype(np.uint32) * ((1 << depth) - 1) // 255).astype(np.uint16)
        for interlaced in (False, True):
            result[f"png-gray{depth}{'-i' * interlaced}"] = png(sample, 0, depth, interlaced)
            if depth <= 8:
                result[f"png-palette{depth}{'-i' * interlaced}"] = png(indices % (1 << min(depth, 4)), 3, depth, interlaced,
                                                                       [chunk(b"PLTE", palette), chunk(b"tRNS", bytes(range(0, 160, 10)))])
            if depth >= 8:
                wide = rgb.astype(np.uint16) * (257 if depth == 16 else 1)
                deep = np.concatenate([rgb, alpha], axis=2).astype(np.uint16) * (257 if depth == 16 else 1)
                result[f"png-rgb{depth}{'-i' * interlaced}"] = png(wide, 2, depth, interlaced)
                result[f"png-rgba{depth}{'-i' * interlaced}"] = png(deep, 6, depth, interlaced)
                result[f"png-la{depth}{'-i' * interlaced}"] = png(deep[:, :, 2:], 4, depth, interlaced)
    result["png-chunks"] = png(rgb, 2, 8, False, [chunk(b"gAMA", struct.pack(">I", 45455)), chunk(b"tEXt", b"Title\0a title"),
                                                  chunk(b"iCCP", b"p\0\0" + zlib.compress(b"x" * 200)), chunk(b"tRNS", bytes(6))])
    result["webp-lossy"] = saved(image, "WEBP", quality=80)
    result["webp-lossless"] = saved(image, "WEBP", lossless=True)
    result["webp-alpha"] = saved(rgba, "WEBP", quality=70)
    result["webp-animated"] = saved(image, "WEBP", save_all=True, append_images=[image.rotate(90)], duration=40)
    result["gif"] = saved(image.quantize(16), "GIF", interlace=0)
    result["gif-interlaced"] = saved(image.quantize(200), "GIF", interlace=1)
    result["gif-transparent"] = saved(image.quantize(8), "GIF", transparency=3)
    result["gif-gray"] = saved(image.convert("L"), "GIF")
    result["gif-animated"] = saved(image.quantize(32), "GIF", save_all=True, append_images=[image.rotate(9).quantize(32)])
    table = generator.integers(0, 256, 1024, dtype=np.uint8).tobytes()
    bgr = rgb[:, :, ::-1]
    bgrx = np.concatenate([bgr, alpha], axis=2)
    result["bmp-24"] = bmp(bgr, 24)
    result["bmp-24-down"] = bmp(bgr, 24, top_down=True)
    result["bmp-24-v1"] = bmp(bgr, 24, header=12)
    result["bmp-32"] = bmp(bgrx, 32)
    result["bmp-32-v5"] = bmp(bgrx, 32, header=124, compression=3, masks=struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    result["bmp-32-fields"] = bmp(bgrx, 32, compression=3, masks=struct.pack("<III", 0xFF000000, 0xFF0000, 0xFF00))
    five = (gray.astype(np.uint16) * 257)
    result["bmp-16"] = bmp(five, 16)
    result["bmp-16-565"] = bmp(five, 16, compression=3, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F))
    result["bmp-8"] = bmp(gray, 8, palette=table)
    result["bmp-8-gray"] = bmp(gray, 8, palette=b"".join(bytes([i, i, i, 0]) for i in range(256)))
    result["bmp-8-few"] = bmp(indices, 8, palette=table[:64], colours=16)
    result["bmp-4"] = bmp(indices, 4, palette=table[:64])
    result["bmp-1"] = bmp(indices % 2, 1, palette=table[:8])
    result["bmp-1-gray"] = bmp(indices % 2, 1, palette=b"\0\0\0\0\xff\xff\xff\0")
    runs = bytearray()
    for row in indices[::-1]:
        values = row.reshape(-1)
        at = 0
        while at < width:
            if at + 4 <= width and at % 3 == 0:
                runs += bytes([0, 4]) + values[at:at + 4].tobytes()
                at += 4
            else:
                length = min(3, width - at)
                runs += bytes([length, values[at]])
                at += length
        runs += b"\0\0"
    result["bmp-rle8"] = bmp(indices, 8, compression=1, palette=table, data=bytes(runs) + b"\0\1")
    nibbles = b"".join(bytes([width, 0x12 + i % 5, 0, 0]) for i in range(height))
    result["bmp-rle4"] = bmp(indices, 4, compression=2, palette=table[:64], data=nibbles + b"\0\1")
    return result


# ------------------------------------------------------------------------------------------------------------ mutations

INTERESTING = (0, 1, 2, 7, 8, 9, 15, 16, 31, 32, 127, 128, 255, 256, 1000, 4095, 4096, 32767, 32768, 65535, 65536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def segments(data):
    """Borders of the format's own parts: JPEG segments, PNG and RIFF chunks, GIF blocks, else thirds."""
    borders = [0]
    if data[:2] == b"\xff\xd8":
        at = 2
        while at + 4 <= len(data) and data[at] == 0xFF:
            borders.append(at)
            if data[at + 1] == 0xDA:
                break
            at += 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
    elif data[:4] == b"\x89PNG":
        at = 8
        while at + 8 <= len(data):
            borders.append(at)
            at += 12 + struct.unpack(">I", data[at:at + 4])[0]
    elif data[:4] == b"RIFF":
        at = 12
        while at + 8 <= len(data):
            borders.append(at)
            length = struct.unpack("<I", data[at + 4:at + 8])[0]
            at += 8 + length + length % 2
    elif data[:3] == b"GIF":
        borders += [13] + [i for i, byte in enumerate(data) if byte in b"!,"][:20]
    else:
        borders += [14, 18, 54, len(data) // 3]
    return sorted({b for b in borders if b < len(data)}) + [len(data)]


def repair(data):
    """Makes the checksums of a PNG right again, so that a mutation reaches what lies behind them."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return data
    out = bytearray(data[:8])
    at = 8
    while at + 8 <= len(data):
        length = struct.unpack(">I", data[at:at + 4])[0]
        end = at + 8 + length
        if end + 4 > len(data):
            out += data[at:]
            break
        out += data[at:end] + struct.pack(">I", zlib.crc32(data[at + 4:end]))
        at = end + 4
    return bytes(out)


def recompress(data, choice):
    """Mutates a PNG behind its compression: filter bytes, sample bytes, too many or too few rows."""
    at = 8
    parts = []
    body = b""
    while at + 8 <= len(data):
        length = struct.unpack(">I", data[at:at + 4])[0]
        kind = data[at + 4:at + 8]
        if kind == b"IDAT":
            body += data[at + 8:at + 8 + length]
        else:
            parts.append(data[at:at + 12 + length])
        at += 12 + length
    raw = bytearray(zlib.decompress(body))
    action = choice.randrange(4)
    if action == 0:
        raw[choice.randrange(len(raw))] = choice.randrange(256)
    elif action == 1:
        del raw[-choice.randrange(1, len(raw)):]
    elif action == 2:
        raw += bytes(choice.randrange(1, 500))
    else:
        for _ in range(20):
            raw[choice.randrange(len(raw))] ^= 1 << choice.randrange(8)
    stored = zlib.compress(bytes(raw))
    if choice.random() < 0.3:
        stored = stored[:-choice.randrange(1, 6)]
    return data[:8] + b"".join(parts[:-1]) + chunk(b"IDAT", stored) + parts[-1]


def mutate(data, choice):
    for _ in range(choice.choice((1, 1, 1, 2, 3))):
        action = choice.randrange(13)
        buffer = bytearray(data)
        # Headers decide more than pixels do: half of all places lie in the first bytes.
        place = choice.randrange(min(len(data), 64)) if choice.random() < 0.5 else choice.randrange(len(data))
        if action == 0:
            buffer[place] ^= 1 << choice.randrange(8)
        elif action == 1:
            buffer[place] = choice.randrange(256)
        elif action == 2:
            for i in range(place, min(len(buffer), place + choice.randrange(1, 9))):
                buffer[i] = choice.choice((0, 255, choice.randrange(256)))
        elif action == 3:
            size = choice.choice((1, 2, 4))
            value = choice.choice(INTERESTING) & ((1 << 8 * size) - 1)
            buffer[place:place + size] = value.to_bytes(size, choice.choice(("little", "big")))
        elif action == 4:
            del buffer[choice.randrange(1, len(buffer)):]
        elif action == 5:
            del buffer[place:place + choice.randrange(1, 33)]
        elif action == 6:
            buffer[place:place] = choice.randbytes(choice.randrange(1, 33))
        elif action == 7:
            buffer += choice.randbytes(choice.randrange(1, 200))
        elif action in (8, 9, 10):
            borders = segments(data)
            parts = [data[a:b] for a, b in zip(borders, borders[1:])]
            index = choice.randrange(len(parts))
            if action == 8:
                del parts[index]
            elif action == 9:
                parts.insert(choice.randrange(len(parts) + 1), parts[index])
            else:
                other = choice.randrange(len(parts))
                parts[index], parts[other] = parts[other], parts[index]
            buffer = bytearray(b"".join(parts))
        elif action == 11 and data[:4] == b"\x89PNG":
            try:
                buffer = bytearray(recompress(data, choice))
            except (zlib.error, struct.error, ValueError, IndexError):
                pass
        else:
            value = choice.choice(INTERESTING)
            if data[:4] == b"\x89PNG" and len(data) > 24:
                where = choice.choice((16, 20))
                buffer[where:where + 4] = value.to_bytes(4, "big")
            elif data[:3] == b"GIF" and len(data) > 10:
                where = choice.choice((6, 8))
                buffer[where:where + 2] = (value & 0xFFFF).to_bytes(2, "little")
            elif data[:2] == b"BM" and len(data) > 26:
                where = choice.choice((10, 14, 18, 22))
                buffer[where:where + 4] = value.to_bytes(4, "little")
        data = bytes(buffer)
        if not data:
            break
        if choice.random() < 0.7:
            data = repair(data)
    return data


# ------------------------------------------------------------------------------------------------------------- judgement

def judge(engine, data, choice):
    """The verdict, a detail for people, and the seconds that the engine took."""
    start = time.process_time()
    ours = engine.decode(data)
    seconds = time.process_time() - start
    theirs = oracle(data)
    accepted = not isinstance(ours, str)
    if seconds > HANG_SECONDS:
        return "HANG", f"{seconds:.2f} s", seconds
    if not accepted:
        return ("refused" if isinstance(theirs, str) else "stricter"), ours, seconds
    if isinstance(theirs, str):
        return "SILENT", "only we accept; Pillow says " + theirs, seconds
    if isinstance(ours, tuple) or isinstance(theirs, tuple):
        same = tuple(ours if isinstance(ours, tuple) else ours.shape[1::-1]) == tuple(theirs if isinstance(theirs, tuple) else theirs.size)
        return ("agreed" if same else "SILENT"), "too large to compare pixels", seconds
    rgb = np.asarray(theirs.convert("RGB"))
    if ours.shape != rgb.shape or not (ours == rgb).all():
        return "SILENT", f"decoded {ours.shape} against {rgb.shape}", seconds
    height = choice.randrange(1, 80)
    wanted = (height, choice.choice((height, height, choice.randrange(1, 80))), choice.randrange(2), choice.randrange(2))
    # Pillow 9.4 resizes 16-bit gray in 32 bits, later ones in 16, as the engine does: compared as RGB only.
    wanted += (1 if theirs.mode == "I" else choice.randrange(2),)
    if max(ours.shape[:2]) < 200 * min(ours.shape[:2]):
        crop = engine.crop(data, *wanted)
        if isinstance(crop, str) or not (crop == oracle_crop(theirs, *wanted)).all():
            return "SILENT", f"crop {wanted} of {ours.shape}", seconds
    return "agreed", "", seconds


def mutant(originals, names, seed, number):
    choice = random.Random(seed * 1_000_003 + number)
    name = names[number % len(names)]
    return name, mutate(originals[name], choice)


def run_batch(engine, originals, names, seed, numbers, write):
    for number in numbers:
        write(f"{number}\n")  # announced first: a crash names its mutant
        name, data = mutant(originals, names, seed, number)
        verdict, detail, seconds = judge(engine, data, random.Random(number))
        write(f"{number}\t{verdict}\t{name}\t{seconds:.4f}\t{detail[:160]!r}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, help="try this mutant alone, here")
    parser.add_argument("--save", help="a folder for mutants that failed")
    arguments = parser.parse_args()
    originals = seeds()
    names = sorted(originals)
    engine = Engine(arguments.library)
    if arguments.case is not None:
        name, data = mutant(originals, names, arguments.seed, arguments.case)
        if arguments.save:
            os.makedirs(arguments.save, exist_ok=True)
            with open(os.path.join(arguments.save, f"{arguments.case}-{name}"), "wb") as file:
                file.write(data)
        print(name, len(data), judge(engine, data, random.Random(arguments.case)))
        return 0

    failed = 0
    for name in names:
        verdict, detail, _ = judge(engine, originals[name], random.Random(0))
        if verdict != "agreed":
            print(f"seed {name}: {verdict} {detail}")
            failed += 1

    counts = dict.fromkeys(("agreed", "refused", "stricter", "SILENT", "HANG", "CRASH"), 0)
    slowest = 0.0
    at = 0
    while at < arguments.count:
        numbers = range(at, min(at + BATCH, arguments.count))
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            run_batch(engine, originals, names, arguments.seed, numbers, lambda text: os.write(writer, text.encode()))
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as stream:
            lines = stream.read().splitlines()
        status = os.waitpid(child, 0)[1]
        last = at
        for line in lines:
            parts = line.split("\t")
            last = int(parts[0])
            if len(parts) < 5:
                continue
            counts[parts[1]] += 1
            slowest = max(slowest, float(parts[3]))
            if parts[1].isupper():
                failed += 1
                print("\t".join(parts))
        if status != 0:
            counts["CRASH"] += 1
            failed += 1
            print(f"{last}\tCRASH\tstatus {status}")
            at = last + 1
        else:
            at = numbers[-1] + 1
    print(f"{arguments.count} mutants of {len(names)} images, seed {arguments.seed}: {counts['agreed']} agreed, {counts['refused']} refused by both, "
          f"{counts['stricter']} refused by us alone; {counts['CRASH']} crashes, {counts['HANG']} hangs over 1 s, "
          f"{counts['SILENT']} silent acceptances; slowest {slowest * 1000:.0f} ms")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
