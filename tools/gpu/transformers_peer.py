#!/usr/bin/env python3
"""transformers_peer.py FOLDER --batch N --seconds S: images a second of transformers' CLIP on cuda:0, in bf16 with SDPA, eager and
with torch.compile(mode="max-autotune"), on the weights in FOLDER (the transformers layout, as `clipengine convert` writes it).
Prints a line each: what, images a second, milliseconds a batch (median), of how many batches. "device" has its pixels on the GPU
already; "host" copies them there from ordinary memory and the features back, which is what `clipengine bench` times."""

import argparse
import statistics
import sys
import time

import torch
from transformers import CLIPModel


def timed(run, seconds):
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    samples, start = [], time.perf_counter()
    while len(samples) < 10 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        run()
        torch.cuda.synchronize()
        samples.append(time.perf_counter() - before)
    return samples


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=5)
    arguments = parser.parse_args()
    model = CLIPModel.from_pretrained(arguments.folder, torch_dtype=torch.bfloat16, attn_implementation="sdpa").to("cuda").eval()
    size = model.config.vision_config.image_size
    pixels = torch.randn(arguments.batch, 3, size, size)
    resident = pixels.to("cuda", torch.bfloat16)

    def tower(values):
        features = model.visual_projection(model.vision_model(pixel_values=values).pooler_output)
        return features / features.norm(dim=-1, keepdim=True)

    for name, run in (("eager", tower), ("max-autotune", torch.compile(tower, mode="max-autotune"))):
        with torch.inference_mode():
            try:
                for where, once in (("device", lambda: run(resident)), ("host", lambda: run(pixels.to("cuda").to(torch.bfloat16)).float().cpu())):
                    samples = timed(once, arguments.seconds)
                    middle = statistics.median(samples)
                    print(f"{name}-{where} {arguments.batch / middle:.1f} {middle * 1e3:.2f} {len(samples)}", flush=True)
            except Exception as error:  # a compiler that is missing must not cost the other figures
                print(f"{name} failed: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}", file=sys.stderr)


if __name__ == "__main__":
    main()
