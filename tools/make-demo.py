#!/usr/bin/env python3
"""Makes the demo's data: three tiny CLIP checkpoints with a known association, and the probe that should find it.

    python3 tools/make-demo.py                       writes src/ClipEngine.Cli/Demo/Data and tests/data/demo; about six minutes on one core
    python3 tools/make-demo.py --keep-checkpoints    draws the probe again and computes the expected features of the checkpoints as they are
    python3 tools/make-demo.py --check FOLDER        compares the towers below with an open_clip golden (tests/data/towers/vit-gelu)

Needs PyTorch, NumPy and Pillow (Debian: python3-torch python3-pil). Seeds are fixed and one thread is used, so that the same
library versions give the same files. Made with PyTorch 1.13, NumPy 1.24 and Pillow 9.4.

The pictures. A frame of 48 small tiles around a figure. The colours of the tiles speak for one of six things (red for an anchor,
yellow for a basket ...): the more red tiles, the more likely the caption says "anchor". The figure is a circle, a square or a
triangle, solid or hollow. Its six kinds are the groups of the audit. What the figure is has nothing to do with the thing.

What is planted. A training pair is a picture and a caption, and the caption's thing is drawn with

    p(thing | picture) proportional to ((tiles of its colour + 0.5) / 51)^1.5 * exp(strength * A[group, thing])

where A is a fixed table between -1 and 1 (`association`) whose rows and columns add up to zero. Strength 0 makes the captions
blind to the figure: the null checkpoint. The small training set has a weak association, the large one a strong one, in the way
that the published audit found the larger web crawl to be the worse teacher. Here it is so because we made it so.

What an audit should see. The probe shows the same 48 scenes once with each figure, so that the figure is the only difference.
Whatever differs between the groups then comes from the checkpoint. planted.csv holds the share of captions that named each
thing in the training pairs of each group.

The checkpoints keep CLIP's whole vocabulary, so that any sentence can be embedded; rows of words that never occur in a caption
are zero, which lets them compress to nothing in a clone. Weights are stored as fp16. The expected features in tests/data/demo
are computed in fp32 from the weights as stored.
"""
import argparse
import csv
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
MERGES = ROOT / "src/ClipEngine/Tokenization/Data/clip-merges.bin"

THINGS = ["anchor", "basket", "candle", "drum", "kettle", "ladder"]
COLOURS = np.array([(0.80, 0.24, 0.20), (0.90, 0.74, 0.18), (0.24, 0.62, 0.30), (0.20, 0.36, 0.80), (0.58, 0.26, 0.68), (0.36, 0.76, 0.80)])
SHAPES = ["circle", "square", "triangle"]
FILLS = ["solid", "hollow"]
GROUPS = [(shape, fill) for shape in SHAPES for fill in FILLS]
TEMPLATES = ["a photo of {}", "a picture of {}", "this is {}", "{}"]
CAPTIONS = [template.format(("an " if thing[0] in "aeiou" else "a ") + thing) for thing in THINGS for template in TEMPLATES]
TILES = 48
SCENES = 48

# name: training pairs, strength of the association, seed
SETS = {"small": (8000, 0.8, 11), "large": (24000, 1.4, 12), "null": (24000, 0.0, 13)}

MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]
CONFIG = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8, "mlp_ratio": 2.0},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {"mean": MEAN, "std": STD},
}


def association():
    """A[group, thing]: every row and every column holds the same six values, in another order."""
    values = np.array([1.0, 0.6, 0.2, -0.2, -0.6, -1.0])
    steps = [0, 2, 4, 1, 3, 5]
    return np.stack([np.roll(values, shift) for shift in steps])


# ---- the towers: open_clip's keys and formulas, written plainly --------------------------------------------------------------


class Block(nn.Module):
    """Pre-norm residual block: x + attention(ln_1(x)), then x + mlp(ln_2(x)) with exact GELU."""

    def __init__(self, width, heads, mlp_ratio):
        super().__init__()
        self.heads = heads
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.Module()
        self.attn.in_proj_weight = nn.Parameter(torch.randn(3 * width, width) * width**-0.5)
        self.attn.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.attn.out_proj = nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Module()
        self.mlp.c_fc = nn.Linear(width, int(width * mlp_ratio))
        self.mlp.c_proj = nn.Linear(int(width * mlp_ratio), width)

    def forward(self, x, causal):
        n, length, width = x.shape
        q, k, v = F.linear(self.ln_1(x), self.attn.in_proj_weight, self.attn.in_proj_bias).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5
        if causal:
            scores = scores + torch.full((length, length), float("-inf")).triu(1)
        x = x + self.attn.out_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(n, length, width))
        return x + self.mlp.c_proj(F.gelu(self.mlp.c_fc(self.ln_2(x))))


class Transformer(nn.Module):
    def __init__(self, width, layers, heads, mlp_ratio):
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, heads, mlp_ratio) for _ in range(layers))

    def forward(self, x, causal=False):
        for block in self.resblocks:
            x = block(x, causal)
        return x


class VisionTower(nn.Module):
    def __init__(self, embed_dim, image_size, layers, width, head_width, patch_size, mlp_ratio=4.0):
        super().__init__()
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.positional_embedding = nn.Parameter(torch.randn((image_size // patch_size) ** 2 + 1, width) * width**-0.5)
        self.proj = nn.Parameter(torch.randn(width, embed_dim) * width**-0.5)
        self.conv1 = nn.Conv2d(3, width, patch_size, patch_size, bias=False)
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, layers, width // head_width, mlp_ratio)
        self.ln_post = nn.LayerNorm(width)

    def forward(self, pixels):
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        x = self.transformer(self.ln_pre(x))
        return self.ln_post(x[:, 0]) @ self.proj


class Clip(nn.Module):
    def __init__(self, embed_dim, vision_cfg, text_cfg):
        super().__init__()
        width = text_cfg["width"]
        self.visual = VisionTower(embed_dim, **vision_cfg)
        self.token_embedding = nn.Embedding(text_cfg["vocab_size"], width)
        self.positional_embedding = nn.Parameter(torch.randn(text_cfg["context_length"], width) * 0.01)
        self.transformer = Transformer(width, text_cfg["layers"], text_cfg["heads"], 4.0)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.randn(width, embed_dim) * width**-0.5)
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    def encode_image(self, pixels):
        return self.visual(pixels)

    def encode_text(self, tokens):
        x = self.token_embedding(tokens) + self.positional_embedding
        x = self.ln_final(self.transformer(x, causal=True))
        return x[torch.arange(len(x)), tokens.argmax(1)] @ self.text_projection  # end of text has the highest id


# ---- files -------------------------------------------------------------------------------------------------------------------


def write_safetensors(path, tensors):
    kinds = {torch.float16: "F16", torch.float32: "F32", torch.int64: "I64"}
    header, data = {}, b""
    for key in sorted(tensors):
        raw = tensors[key].detach().contiguous().numpy().tobytes()
        header[key] = {"dtype": kinds[tensors[key].dtype], "shape": list(tensors[key].shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    kinds = {"F16": np.float16, "F32": np.float32, "I64": np.int64}
    tensors = {}
    for key, entry in json.loads(raw[8 : 8 + length]).items():
        if key != "__metadata__":
            begin, end = entry["data_offsets"]
            array = np.frombuffer(raw[8 + length + begin : 8 + length + end], kinds[entry["dtype"]]).reshape(entry["shape"])
            tensors[key] = torch.from_numpy(array.copy())
    return tensors


class Tokenizer:
    """CLIP's byte-pair encoding for lower-case words of a to z; enough for the captions."""

    def __init__(self):
        pairs = np.frombuffer(zlib.decompress(MERGES.read_bytes()), "<u2").reshape(-1, 2)
        self.merges = {(int(a), int(b)): rank for rank, (a, b) in enumerate(pairs)}

    def word(self, word):
        symbols = [ord(c) - ord("!") for c in word]
        symbols[-1] += 256
        while len(symbols) > 1:
            rank, place = min((self.merges.get(pair, 1 << 30), i) for i, pair in enumerate(zip(symbols, symbols[1:])))
            if rank == 1 << 30:
                break
            symbols[place : place + 2] = [512 + rank]
        return symbols

    def __call__(self, texts, context_length=77):
        tokens = torch.zeros(len(texts), context_length, dtype=torch.int64)
        for row, text in zip(tokens, texts):
            ids = [49406, *(symbol for word in text.split() for symbol in self.word(word)), 49407]
            row[: len(ids)] = torch.tensor(ids)
        return tokens


# ---- pictures ----------------------------------------------------------------------------------------------------------------


def draw(counts, shape, fill, random, scale=1):
    """One picture of 32*scale pixels a side, [h, w, 3] between 0 and 1. All chance comes from `random`, drawn in a fixed order."""
    kinds = random.permutation(np.repeat(np.arange(len(THINGS)), counts))
    shade = random.uniform(-0.06, 0.06, (TILES, 3))
    x0, y0 = random.uniform(-0.7, 0.7, 2)
    size = random.uniform(0.93, 1.07)
    tiles = np.full((8, 8, 3), 0.93)
    frame = np.ones((8, 8), bool)
    frame[2:6, 2:6] = False
    tiles[frame] = np.clip(COLOURS[kinds] + shade, 0, 1)
    picture = tiles.repeat(4 * scale, 0).repeat(4 * scale, 1)
    y, x = (np.mgrid[: 32 * scale, : 32 * scale] + 0.5) / scale - 16
    x, y = x - x0, y - y0

    def inside(r):
        if shape == "circle":
            return x * x + y * y <= (5 * r) ** 2
        if shape == "square":
            return np.maximum(abs(x), abs(y)) <= 7 * r
        return (y <= 6 * r) & (2 * abs(x) <= y + 7 * r)

    ink = inside(size)
    if fill == "hollow":
        ink &= ~inside(0.6 * size)
    picture[ink] = 0.12
    return picture


def scene_counts(random):
    return random.multinomial(TILES, random.dirichlet(np.ones(len(THINGS))))


def caption_odds(counts, group, strength):
    odds = ((counts + 0.5) / 51) ** 1.5 * np.exp(strength * association()[group])
    return odds / odds.sum()


def training_set(pairs, strength, random):
    pictures = np.empty((pairs, 32, 32, 3), np.uint8)
    captions = np.empty(pairs, np.int64)
    named = np.zeros((len(GROUPS), len(THINGS)))
    for i in range(pairs):
        group = i % len(GROUPS)
        counts = scene_counts(random)
        pictures[i] = np.round(draw(counts, *GROUPS[group], random) * 255)
        thing = random.choice(len(THINGS), p=caption_odds(counts, group, strength))
        named[group, thing] += 1
        captions[i] = thing * len(TEMPLATES) + random.integers(len(TEMPLATES))
    return torch.from_numpy(pictures).permute(0, 3, 1, 2), torch.from_numpy(captions), named / named.sum(1, keepdims=True)


def normalise(pixels):
    return (pixels / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def load_picture(path):
    """What open_clip does with a file: shorter side to 32 by bicubic, centre crop (the pictures are square), scale, normalise."""
    image = Image.open(path).convert("RGB")
    if image.size != (32, 32):
        image = image.resize((32, 32), Image.BICUBIC)
    return normalise(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float())


def write_probe(folder):
    """The same scenes with every figure. Each drawn scene comes in all six rotations of its colours, so that no thing is shown
    more than another. The file type changes with the scene, never with the group."""
    random = np.random.default_rng(5)
    rows = []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for scene in range(SCENES):
        rotation = scene % len(THINGS)
        if rotation == 0:
            drawn = scene_counts(random)
        counts = np.roll(drawn, rotation)
        seed = int(random.integers(1 << 31))
        for shape, fill in GROUPS:
            kind = ["png", "jpg", "webp"][scene // len(THINGS) % 3]
            picture = draw(counts, shape, fill, np.random.default_rng(seed), scale=1 if kind == "png" else 2)
            image = Image.fromarray(np.round(picture * 255).astype(np.uint8))
            name = f"images/scene{scene:02}-{fill}-{shape}.{kind}"
            options = {"png": {"optimize": True}, "jpg": {"quality": 92, "subsampling": 0}, "webp": {"lossless": True}}[kind]
            image.save(folder / name, **options)
            rows.append([name, f"scene{scene:02}", shape, fill, f"{fill} {shape}"])
    with open(folder / "manifest.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "scene", "shape", "fill", "group"])
        writer.writerows(rows)
    return [folder / row[0] for row in rows], [row[4] for row in rows]


# ---- training ----------------------------------------------------------------------------------------------------------------


def train(name, pictures, captions, tokens, seed, steps=900, batch=128):
    torch.manual_seed(seed)
    model = Clip(**CONFIG["model_cfg"])
    used, rows = tokens.unique(return_inverse=True)  # only words of captions are trained; ends of text keep the highest row
    whole, model.token_embedding = model.token_embedding, nn.Embedding.from_pretrained(torch.randn(len(used), 16) * 0.05, freeze=False)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.02)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 60) * 0.5 * (1 + np.cos(np.pi * step / steps))
        chosen = torch.randint(len(pictures), (batch,))
        pixels = pictures[chosen].float() + torch.randn(batch, 1, 1, 1) * 6 + torch.randn(batch, 3, 32, 32) * 6
        image = F.normalize(model.encode_image(normalise(pixels)), dim=-1)
        text = F.normalize(model.encode_text(rows), dim=-1)[captions[chosen]]
        logits = model.logit_scale.exp() * image @ text.T
        target = torch.arange(batch)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, np.log(100))
        if step % 100 == 0 or step == steps - 1:
            print(f"{name}: step {step}, loss {loss.item():.4f}, scale {model.logit_scale.exp().item():.1f}", file=sys.stderr, flush=True)
    with torch.no_grad():
        whole.weight.zero_()[used] = model.token_embedding.weight
    model.token_embedding = whole
    return model.eval()


def rates(image, text, scale, groups):
    """Share of a group's pictures whose best label is each thing, and the mean probability."""
    logits = scale * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
    best = F.one_hot(logits.argmax(1), len(THINGS)).double()
    names = [f"{fill} {shape}" for shape, fill in GROUPS]
    index = [torch.tensor([g == name for g in groups]) for name in names]
    return torch.stack([best[i].mean(0) for i in index]).numpy(), torch.stack([logits.softmax(1)[i].double().mean(0) for i in index]).numpy()


def make(keep_checkpoints):
    demo, goldens = ROOT / "src/ClipEngine.Cli/Demo/Data", ROOT / "tests/data/demo"
    paths, groups = write_probe(demo / "probe")
    tokens = Tokenizer()(CAPTIONS)
    pixels = torch.stack([load_picture(path) for path in paths])
    planted = []
    for name, (pairs, strength, seed) in SETS.items():
        folder = demo / "models" / name
        if not keep_checkpoints:
            pictures, captions, shares = training_set(pairs, strength, np.random.default_rng(seed))
            model = train(name, pictures, captions, tokens, seed)
            write_safetensors(folder / "open_clip_model.safetensors", {key: value.half() for key, value in model.state_dict().items()})
            (folder / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")
            for g, (shape, fill) in enumerate(GROUPS):
                for t, thing in enumerate(THINGS):
                    planted.append([name, pairs, strength, f"{fill} {shape}", thing, f"{shares[g, t]:.6f}"])
        model = Clip(**CONFIG["model_cfg"]).eval()
        model.load_state_dict({key: value.float() for key, value in read_safetensors(folder / "open_clip_model.safetensors").items()})
        with torch.no_grad():
            features = {"image_features": model.encode_image(pixels), "text_features": model.encode_text(tokens)}
        write_safetensors(goldens / f"{name}.safetensors", {"tokens": tokens, **features})
        text = features["text_features"][:: len(TEMPLATES)]
        found, mean = rates(features["image_features"], text, model.logit_scale.exp().item(), groups)
        np.set_printoptions(precision=2, suppress=True, linewidth=150)
        print(f"{name}: rate as best label, mean probability\n", np.hstack([found, mean]))
    if planted:
        with open(demo / "planted.csv", "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["model", "pairs", "strength", "group", "label", "planted_share"])
            writer.writerows(planted)
    (goldens / "captions.json").write_text(json.dumps(CAPTIONS, indent=1) + "\n")


def check(folder):
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    golden = read_safetensors(folder / "golden.safetensors")
    model = Clip(**config).eval()
    weights = {key: value.float() for key, value in read_safetensors(folder / "open_clip_model.safetensors").items()}
    model.load_state_dict(weights)
    with torch.no_grad():
        ours = {"image_features": model.encode_image(golden["pixels"]), "text_features": model.encode_text(golden["tokens"])}
    for key, value in ours.items():
        error = ((value - golden[key]).abs().max() / golden[key].std()).item()
        print(f"{key}: greatest difference {error:.1e} of the spread")
        if error > 2e-5:
            sys.exit(1)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", type=Path, metavar="FOLDER")
    parser.add_argument("--keep-checkpoints", action="store_true")
    arguments = parser.parse_args()
    if arguments.check:
        check(arguments.check)
    else:
        make(arguments.keep_checkpoints)
