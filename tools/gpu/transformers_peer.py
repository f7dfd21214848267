#!/usr/bin/env python3
"""transformers_peer.py FOLDER --batch N --seconds S [--device cpu --dtype fp32]: images a second of CLIP's image tower in PyTorch,
eager and with torch.compile(mode="max-autotune"), on the weights in FOLDER (the transformers layout, as `clipengine convert` writes
it). It is transformers' CLIPModel with SDPA; where transformers is not installed, plain modules of our own of the same sizes with
random weights, which cost the same, stand in and are named so. What a version of PyTorch lacks (SDPA and torch.compile came with 2.0) is
said on standard error and left out.
Prints a line each: what, images a second, milliseconds a batch (median), of how many batches. "device" has its pixels on the device
already; "host" copies them there from ordinary memory and the features back, which is what `clipengine bench` times.
Exit code: 0, or 2 where PyTorch or the device is missing."""

import argparse
import json
import os
import statistics
import sys
import time

try:
    import torch
    from torch import nn
except ImportError as missing:
    print(f"transformers_peer: {missing}: PyTorch is not installed for {sys.executable}", file=sys.stderr)
    sys.exit(2)

HAS_SDPA = hasattr(nn.functional, "scaled_dot_product_attention")
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def say(text):
    print(f"transformers_peer: {text}", file=sys.stderr, flush=True)


class Block(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.in_proj, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.c_proj = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        n, t, w = x.shape
        q, k, v = self.in_proj(self.ln_1(x)).reshape(n, t, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        if HAS_SDPA:
            attended = nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            attended = (q @ k.transpose(-2, -1) * (w // self.heads) ** -0.5).softmax(-1) @ v
        x = x + self.out_proj(attended.transpose(1, 2).reshape(n, t, w))
        return x + self.c_proj(nn.functional.gelu(self.c_fc(self.ln_2(x))))


class PlainTower(nn.Module):
    def __init__(self, config, embedding):
        super().__init__()
        width, patch, size = config["hidden_size"], config["patch_size"], config["image_size"]
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.positions = nn.Parameter(torch.randn((size // patch) ** 2 + 1, width) * width**-0.5)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, config["num_attention_heads"], config["intermediate_size"]) for _ in range(config["num_hidden_layers"]))
        self.proj = nn.Linear(width, embedding, bias=False)

    def forward(self, pixels):
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = self.ln_pre(torch.cat([self.class_embedding.expand(x.shape[0], 1, -1), x], 1) + self.positions)
        for block in self.blocks:
            x = block(x)
        return self.proj(self.ln_post(x[:, 0]))


def open_tower(folder, dtype, device):
    """The tower, the side of its images, and what it is."""
    try:
        from transformers import CLIPModel
    except ImportError as missing:
        say(f"{missing}: plain modules of the same sizes with random weights stand in for transformers' CLIP")
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        # What a configuration leaves out is what transformers' CLIPVisionConfig fills in.
        vision = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224, "patch_size": 32}
        vision.update({key: value for key, value in config.get("vision_config", {}).items() if key in vision})
        torch.manual_seed(0)
        model = PlainTower(vision, config.get("projection_dim", 512)).to(device, dtype).eval()
        return model, vision["image_size"], "plain" + ("" if HAS_SDPA else "-without-sdpa")
    attention = "sdpa" if HAS_SDPA else "eager"
    model = CLIPModel.from_pretrained(folder, torch_dtype=dtype, attn_implementation=attention).to(device).eval()
    return (lambda pixels: model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)), model.config.vision_config.image_size, "transformers-" + attention


def timed(run, seconds, wait):
    for _ in range(3):
        run()
    wait()
    samples, start = [], time.perf_counter()
    while len(samples) < 10 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        run()
        wait()
        samples.append(time.perf_counter() - before)
    return samples


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--dtype", choices=list(TYPES), default="bf16")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        say("PyTorch sees no CUDA device; --device cpu runs it on the processor")
        sys.exit(2)
    wait = torch.cuda.synchronize if arguments.device == "cuda" else lambda: None
    dtype = TYPES[arguments.dtype]
    tower, size, what = open_tower(arguments.folder, dtype, arguments.device)
    pixels = torch.randn(arguments.batch, 3, size, size)
    resident = pixels.to(arguments.device, dtype)

    def features(values):
        found = tower(values)
        return found / found.norm(dim=-1, keepdim=True)

    runs = [("eager", features)]
    if hasattr(torch, "compile"):
        runs.append(("max-autotune", torch.compile(features, mode="max-autotune")))
    else:
        say(f"torch {torch.__version__} has no torch.compile")
    for name, run in runs:
        with torch.inference_mode():
            try:
                for where, once in (("device", lambda: run(resident)), ("host", lambda: run(pixels.to(arguments.device).to(dtype)).float().cpu())):
                    samples = timed(once, arguments.seconds, wait)
                    middle = statistics.median(samples)
                    print(f"{what}-{name}-{where} {arguments.batch / middle:.1f} {middle * 1e3:.2f} {len(samples)}", flush=True)
            except Exception as error:  # a compiler that is missing must not cost the other figures
                say(f"{name} failed: {type(error).__name__}: {str(error)[:200]}")
    say(f"torch {torch.__version__}, {torch.cuda.get_device_name() if arguments.device == 'cuda' else 'the processor'}")


if __name__ == "__main__":
    main()
