#!/usr/bin/env python3
"""Writes the small PyTorch archives under tests/data/checkpoints with a real PyTorch (any from 1.6 on).

Every tensor is filled by one rule, so that tests can compute what must come out: element i of a tensor whose key has n
characters is (i + n) / 8, cast to the tensor's type.

    python3 tools/make-archive-fixtures.py
"""
import collections
import pathlib
from typing import Dict, List

import torch

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "checkpoints"


def fill(key, *shape, dtype=torch.float32):
    count = 1
    for size in shape:
        count *= size
    return ((torch.arange(count, dtype=torch.float64) + len(key)) / 8).to(dtype).reshape(shape)


def weights(prefix="", dtype=torch.float32):
    shapes = {"visual.conv1.weight": (4, 3, 2, 2), "ln_final.bias": (5,), "logit_scale": ()}
    return collections.OrderedDict((prefix + key, fill(key, *shape, dtype=dtype)) for key, shape in shapes.items())


class Part(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(fill("visual.weight", 3, 2, dtype=torch.float16))


class Script(torch.nn.Module):
    """A module with a submodule, buffers and attributes of every plain kind, as TorchScript keeps them."""

    sizes: List[int]
    names: Dict[str, int]

    def __init__(self):
        super().__init__()
        self.visual = Part()
        self.logit_scale = torch.nn.Parameter(fill("logit_scale"))
        self.register_buffer("input_resolution", torch.tensor(224))
        self.sizes = [1, 2]
        self.names = {"a": 1}
        self.pair = (1, "two", 3.0)

    def forward(self, x):
        # The constant goes into the archive's constants.
        return x @ self.visual.weight.float() * self.logit_scale + torch.ones(2) * self.sizes[0] + self.names["a"] + self.pair[0]


def main():
    OUT.mkdir(parents=True, exist_ok=True)

    module = torch.nn.Module()
    for key, value in weights(dtype=torch.float16).items():
        module.register_buffer(key.replace(".", "_"), value)
    torch.save(module.state_dict(), OUT / "state-dict-fp16.pt")

    parameter = torch.nn.Parameter(fill("p", 3))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    torch.save({
        "epoch": 32,
        "name": "run",
        "state_dict": weights("module."),
        "optimizer": optimizer.state_dict(),
        "scaler": {"scale": 65536.0, "_growth_tracker": 0},
    }, OUT / "training.pt")

    types = {name: fill(name, 2, 3, dtype=getattr(torch, name)) for name in
             ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")}
    types["parameter"] = torch.nn.Parameter(fill("parameter", 4))
    torch.save(types, OUT / "types.pt")

    whole = fill("whole", 6, 4)
    torch.save({
        "whole": whole,
        "alias": whole,
        "rows": whole[2:4],
        "transposed": whole.t(),
        "every_other": whole[::2, 1:],
        "empty": whole[:0],
    }, OUT / "views.pt")

    torch.save({"a": torch.zeros(2, dtype=torch.complex64)}, OUT / "complex.pt")
    torch.save(weights(), OUT / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.jit.save(torch.jit.script(Script()), str(OUT / "script.pt"))


if __name__ == "__main__":
    main()
