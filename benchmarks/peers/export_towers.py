"""Writes CLIP's towers as ONNX files for ONNX Runtime: plain PyTorch modules of our own with open_clip's arithmetic (fused
projection, exact GELU, pre-norm blocks) and random weights, which cost what trained ones cost.

    python3 export_towers.py OUTDIR [NAME...]        NAME: ViT-B-32 ViT-B-16 ViT-L-14 convnext_base_w MobileCLIP2-S0
                                                    ViT-B-16-SigLIP EVA02-B-16 PE-Core-B-16 blip-itm-base; the text tower goes with ViT-B-32

blip-itm-base has its image tower at 384 pixels, and as its "pairs" sentences of 35 ids against one image of 577 tokens: the image's tokens are a
constant, so that its keys and values are computed once, as ours are.

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


class ConvNextBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, 1e-6)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.rand(width))

    def forward(self, x):
        y = self.norm(self.conv(x).permute(0, 2, 3, 1))
        y = self.fc2(nn.functional.gelu(self.fc1(y))).permute(0, 3, 1, 2)
        return x + y * self.gamma.reshape(1, -1, 1, 1)


class ChannelNorm(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNext(nn.Module):
    size = 256

    def __init__(self, depths, width, embedding):
        super().__init__()
        layers = [nn.Conv2d(3, width, 4, 4), ChannelNorm(width, 1e-6)]
        for stage, depth in enumerate(depths):
            if stage > 0:
                layers += [ChannelNorm(width, 1e-6), nn.Conv2d(width, 2 * width, 2, 2)]
                width *= 2
            layers += [ConvNextBlock(width) for _ in range(depth)]
        self.layers, self.norm, self.proj = nn.Sequential(*layers), nn.LayerNorm(width, 1e-6), nn.Linear(width, embedding, bias=False)

    def forward(self, pixels):
        return self.proj(self.norm(self.layers(pixels).mean((2, 3))))


class SqueezeExcite(nn.Module):
    def __init__(self, width, squeezed):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(width, squeezed, 1), nn.Conv2d(squeezed, width, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(nn.functional.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class FastVitBlock(nn.Module):
    """With all branches and batch norms folded into the convolutions, as the model is deployed."""

    def __init__(self, width, attends):
        super().__init__()
        self.attends = attends
        if attends:
            self.qkv, self.out, self.gamma1 = nn.Linear(width, 3 * width), nn.Linear(width, width), nn.Parameter(torch.rand(width))
        else:
            self.mixer = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.conv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.fc1, self.fc2, self.gamma = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(3 * width, width, 1), nn.Parameter(torch.rand(width))

    def forward(self, x):
        if self.attends:
            n, c, h, w = x.shape
            q, k, v = self.qkv(x.flatten(2).transpose(1, 2)).reshape(n, h * w, 3, c // 32, 32).permute(2, 0, 3, 1, 4)
            y = ((q @ k.transpose(-2, -1) * 32 ** -0.5).softmax(-1) @ v).transpose(1, 2).reshape(n, h * w, c)
            x = x + (self.out(y) * self.gamma1).transpose(1, 2).reshape(n, c, h, w)
        else:
            x = self.mixer(x)
        return x + self.fc2(nn.functional.gelu(self.fc1(self.conv(x)))) * self.gamma.reshape(1, -1, 1, 1)


class FastVit(nn.Module):
    """MobileCLIP's small towers: 3 stages of convolutions and one of attention."""

    size = 256

    def __init__(self, depths, width, embedding):
        super().__init__()
        layers = [nn.Conv2d(3, width, 3, 2, 1), nn.GELU(), nn.Conv2d(width, width, 3, 2, 1, groups=width), nn.GELU(), nn.Conv2d(width, width, 1), nn.GELU()]
        for stage, depth in enumerate(depths):
            if stage > 0:
                layers += [nn.Conv2d(width, 2 * width, 7, 2, 3, groups=width)]
                layers += [SqueezeExcite(2 * width, width // 2)] if stage > 1 else []
                width *= 2
                layers += [nn.GELU(), nn.Conv2d(width, width, 1), nn.GELU()]
            attends = stage == len(depths) - 1
            layers += [nn.Conv2d(width, width, 7, padding=3, groups=width)] if attends else []
            layers += [FastVitBlock(width, attends) for _ in range(depth)]
        layers += [nn.Conv2d(width, 2 * width, 3, padding=1, groups=width), SqueezeExcite(2 * width, width // 8), nn.GELU()]
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(2 * width, embedding)

    def forward(self, pixels):
        return self.head(self.layers(pixels).mean((2, 3)))


def heads_of(x, heads):
    n, t, w = x.shape
    return x.reshape(n, t, heads, w // heads).transpose(1, 2)


def attend(q, k, v):
    x = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1) @ v
    return x.transpose(1, 2).flatten(2)


class AttentionPool(nn.Module):
    """One learned query over all tokens, then an MLP (timm's AttentionPoolLatent)."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.latent = nn.Parameter(torch.randn(1, 1, width) * width ** -0.5)
        self.q, self.kv, self.proj = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.norm, self.fc1, self.fc2 = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        k, v = self.kv(x).chunk(2, -1)
        q = self.q(self.latent.expand(x.shape[0], -1, -1))
        y = self.proj(attend(heads_of(q, self.heads), heads_of(k, self.heads), heads_of(v, self.heads)))
        return (y + self.fc2(nn.functional.gelu(self.fc1(self.norm(y)))))[:, 0]


class TimmBlock(nn.Module):
    """With rotary positions over the patches, and EVA02's gated MLP and inner norms, where they are asked for."""

    def __init__(self, width, heads, rotary=False, eva=False):
        super().__init__()
        self.heads, self.rotary, self.eva = heads, rotary, eva
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        hidden = width * 8 // 3 if eva else 4 * width
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        if eva:
            self.gate, self.inner, self.hidden_norm = nn.Linear(width, hidden), nn.LayerNorm(width), nn.LayerNorm(hidden)

    def turn(self, x, cos, sin):
        first, rest = x[:, :, :1], x[:, :, 1:]
        turned = torch.stack([-rest[..., 1::2], rest[..., ::2]], -1).flatten(-2)
        return torch.cat([first, rest * cos + turned * sin], 2)

    def forward(self, x, cos, sin):
        q, k, v = (heads_of(part, self.heads) for part in self.qkv(self.norm1(x)).chunk(3, -1))
        if self.rotary:
            q, k = self.turn(q, cos, sin), self.turn(k, cos, sin)
        y = attend(q, k, v)
        x = x + self.out(self.inner(y) if self.eva else y)
        y = self.norm2(x)
        y = self.hidden_norm(nn.functional.silu(self.gate(y)) * self.fc1(y)) if self.eva else nn.functional.gelu(self.fc1(y))
        return x + self.fc2(y)


class TimmVision(nn.Module):
    """Towers of timm's transformers at 224 pixels: SigLIP (no class token), EVA02, Perception Encoder; and BLIP's, which is one of them, at 384."""

    def __init__(self, width, depth, heads, patch, embedding, class_token, pools, rotary=False, eva=False, pre_norm=False, size=224):
        super().__init__()
        self.size = size
        count = (size // patch) ** 2
        self.conv = nn.Conv2d(3, width, patch, patch)
        self.class_token = nn.Parameter(torch.randn(1, 1, width)) if class_token else None
        self.positions = nn.Parameter(torch.randn(count + class_token, width) * width ** -0.5)
        self.pre, self.norm = nn.LayerNorm(width) if pre_norm else nn.Identity(), nn.LayerNorm(width)
        self.layers = nn.ModuleList(TimmBlock(width, heads, rotary, eva) for _ in range(depth))
        self.pool = AttentionPool(width, 8 if pre_norm else heads) if pools else None
        self.proj = nn.Linear(width, embedding) if embedding else nn.Identity()
        angles = torch.rand(count, width // heads) * 6.28
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, pixels):
        x = self.conv(pixels).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], 1)
        x = self.pre(x + self.positions)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        x = self.norm(x)
        return self.proj(self.pool(x) if self.pool is not None else x[:, 0])


class PairLayer(nn.Module):
    """BERT's layer with cross-attention to an image between self-attention and MLP; norms behind the sums."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.out, self.norm1 = nn.Linear(width, 3 * width), nn.Linear(width, width), nn.LayerNorm(width)
        self.q, self.kv, self.cross_out, self.cross_norm = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width), nn.LayerNorm(width)
        self.fc1, self.fc2, self.norm2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width), nn.LayerNorm(width)

    def forward(self, x, image):
        x = self.norm1(x + self.out(attend(*(heads_of(part, self.heads) for part in self.qkv(x).chunk(3, -1)))))
        k, v = (heads_of(part, self.heads) for part in self.kv(image).chunk(2, -1))
        x = self.cross_norm(x + self.cross_out(attend(heads_of(self.q(x), self.heads), k, v)))
        return self.norm2(x + self.fc2(nn.functional.gelu(self.fc1(x))))


class Pairs(nn.Module):
    """BLIP's matching head: sentences with one image, whose tokens are a constant."""

    def __init__(self, width, depth, heads, context, vocabulary, tokens):
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.randn(context, width) * 0.01)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(PairLayer(width, heads) for _ in range(depth))
        self.head = nn.Linear(width, 2)
        self.register_buffer("image", torch.randn(1, tokens, width))

    def forward(self, tokens):
        x = self.norm(self.words(tokens) + self.positions)
        for layer in self.layers:
            x = layer(x, self.image)
        return self.head(x[:, 0])


PAIRS = {"blip-itm-base": (768, 12, 12, 35, 30524, 577)}  # width, layers, heads, ids, vocabulary, image tokens

OTHERS = {
    "convnext_base_w": lambda: ConvNext((3, 3, 27, 3), 128, 640),
    "MobileCLIP2-S0": lambda: FastVit((2, 6, 10, 2), 64, 512),
    "ViT-B-16-SigLIP": lambda: TimmVision(768, 12, 12, 16, 0, class_token=False, pools=True),
    "EVA02-B-16": lambda: TimmVision(768, 12, 12, 16, 512, class_token=True, pools=False, rotary=True, eva=True),
    "PE-Core-B-16": lambda: TimmVision(768, 12, 12, 16, 1024, class_token=True, pools=True, rotary=True, pre_norm=True),
    "blip-itm-base": lambda: TimmVision(768, 12, 12, 16, 256, class_token=True, pools=False, size=384),
}


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
        json.dump({"input": operand, "shape": list(example.shape), "dtype": "int64" if example.dtype == torch.int64 else "float32", "heads": module.blocks[0].heads if hasattr(module, "blocks") else 0,
                   "weights": [{"name": key, "shape": list(value.shape)} for key, value in weights.items()]}, file)
    print(name, os.path.getsize(base + ".onnx") >> 20, "MiB", flush=True)


def main():
    folder, names = sys.argv[1], sys.argv[2:] or list(VISION)
    os.makedirs(folder, exist_ok=True)
    for name in names:
        torch.manual_seed(0)
        if name in OTHERS:
            module = OTHERS[name]()
            export(folder, name + ".image", module, torch.randn(3, 3, module.size, module.size), "pixels")
            if name in PAIRS:
                export(folder, name + ".pairs", Pairs(*PAIRS[name]), torch.randint(1, PAIRS[name][4], (3, PAIRS[name][3])), "tokens")
            continue
        export(folder, name + ".image", Vision(*VISION[name]), torch.randn(3, 3, 224, 224), "pixels")  # 3, not the traced 2
        if name in TEXT:
            tokens = torch.randint(1, 49000, (3, TEXT[name][3]))
            tokens[:, -1] = 49407
            export(folder, name + ".text", Text(*TEXT[name]), tokens, "tokens")


main()
