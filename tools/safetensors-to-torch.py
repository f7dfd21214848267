#!/usr/bin/env python3
"""Writes the tensors of a safetensors file as a state dict with a real PyTorch (any from 1.10 on).

    python3 tools/safetensors-to-torch.py IN.safetensors OUT.pt

state_dict.pt in tests/data/towers/vit-quickgelu was made so from the open_clip_model.safetensors beside it.
"""
import collections
import json
import struct
import sys

import torch

TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


def read(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        weights = collections.OrderedDict()
        for key, entry in header.items():
            start, end = entry["data_offsets"]
            file.seek(8 + length + start)
            weights[key] = torch.frombuffer(bytearray(file.read(end - start)), dtype=TYPES[entry["dtype"]]).reshape(entry["shape"])
    return weights


if __name__ == "__main__":
    source, target = sys.argv[1:]
    torch.save(read(source), target)
