"""Writes CLIP's towers as ONNX files for ONNX Runtime: plain PyTorch modules of our own with open_clip's arithmetic (fused
projection, exact GELU, pre-norm blocks) and random weights, which cost what trained ones cost.

    python3 export_towers.py OUTDIR [NAME...]        NAME: ViT-B-32 ViT-B-16 ViT-L-14; the text tower goes with ViT-B-32

Beside NAME.TOWER.onnx lie .in.bin, .ref.bin (PyTorch's own output), .weights.bin and .json for towers/. Needs PyTorch 1.13 or later.
"""
import json
import os
import sys

import numpy
import torch
from torch import nn

VISION = {  # width, layers, heads, patch, embedding
    "ViT-B-32": (768, 12, 12, 32, 512),
    "ViT-B-16": (768, 12, 12, 16, 512),
    "ViT-L-14": (1024, 24, 16, 14, 768),
}
TEXT = {"ViT-B-32": (512, 12, 8, 77, 49408, 512)}  # width, layers, heads, context, vocabulary, embedding


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.in_proj, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.c_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, mask):
        n, t, w = x.shape
        q, k, v = self.in_proj(self.ln_1(x)).reshape(n, t, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) * (w // self.heads) ** -0.5
        if mask is not None:
            scores = scores + mask
        x = x + self.out_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(n, t, w))
        return x + self.c_proj(nn.functional.gelu(self.c_fc(self.ln_2(x))))


class Vision(nn.Module):
    def __init__(self, width, layers, heads, patch, embedding, size=224):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * width ** -0.5)
        self.positions = nn.Parameter(torch.randn((size // patch) ** 2 + 1, width) * width ** -0.5)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.proj = nn.Parameter(torch.randn(width, embedding) * width ** -0.5)

    def forward(self, pixels):
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(x.shape[0], 1, -1), x], 1) + self.positions
        x = self.ln_pre(x)
        for block in self.blocks:
            x = block(x, None)
        return self.ln_post(x[:, 0]) @ self.proj


class Text(nn.Module):
    def __init__(self, width, layers, heads, context, vocabulary, embedding):
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.randn(context, width) * 0.01)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.ln_final = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.randn(width, embedding) * width ** -0.5)
        self.register_buffer("mask", torch.full((context, context), float("-inf")).triu(1))

    def forward(self, tokens):
        x = self.token_embedding(tokens) + self.positions
        for block in self.blocks:
            x = block(x, self.mask)
        x = self.ln_final(x)
        return x[torch.arange(x.shape[0]), tokens.argmax(-1)] @ self.proj


def export(folder, name, module, example, operand):
    module.eval().requires_grad_(False)
    base = os.path.join(folder, name)
    torch.onnx.export(module, example[:2], base + ".onnx", opset_version=14, input_names=[operand], output_names=["out"],
                      dynamic_axes={operand: {0: "n"}, "out": {0: "n"}}, do_constant_folding=True)
    with torch.no_grad():
        expected = module(example)
    example.numpy().tofile(base + ".in.bin")
    expected.numpy().astype(numpy.float32).tofile(base + ".ref.bin")
    weights = {key: value for key, value in module.state_dict().items() if key != "mask"}
    with open(base + ".weights.bin", "wb") as file:
        for value in weights.values():
            value.numpy().astype(numpy.float32).tofile(file)
    with open(base + ".json", "w", encoding="utf-8") as file:
        json.dump({"input": operand, "shape": list(example.shape), "dtype": "int64" if example.dtype == torch.int64 else "float32", "heads": module.blocks[0].heads,
                   "weights": [{"name": key, "shape": list(value.shape)} for key, value in weights.items()]}, file)
    print(name, os.path.getsize(base + ".onnx") >> 20, "MiB", flush=True)


def main():
    folder, names = sys.argv[1], sys.argv[2:] or list(VISION)
    os.makedirs(folder, exist_ok=True)
    for name in names:
        torch.manual_seed(0)
        export(folder, name + ".image", Vision(*VISION[name]), torch.randn(3, 3, 224, 224), "pixels")  # 3, not the traced 2
        if name in TEXT:
            tokens = torch.randint(1, 49000, (3, TEXT[name][3]))
            tokens[:, -1] = 49407
            export(folder, name + ".text", Text(*TEXT[name]), tokens, "tokens")


main()
