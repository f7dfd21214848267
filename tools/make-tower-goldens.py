#!/usr/bin/env python3
"""Makes tests/data/tower-options: tiny random checkpoints in the OpenCLIP layout and the features that open_clip computes.

    make-tower-goldens.py OPEN_CLIP_SRC OUT

OPEN_CLIP_SRC is the folder `src` of an open_clip 2.24.0 checkout. Needs PyTorch and NumPy; of open_clip only the model code
is imported, so that none of its other dependencies is needed. Each configuration mixes options that tests/data/towers leaves out.

The text features of class-embedding-plain are those of open_clip 3, which hides padding there (TextTransformer._build_additive_mask);
2.24.0 does not.
"""
import importlib
import json
import os
import struct
import sys
import types

import numpy as np
import torch

VISION = dict(image_size=24, layers=2, width=32, head_width=16, patch_size=8)
TEXT = dict(context_length=9, vocab_size=64, width=24, heads=3, layers=2)

MIXES = {
    "vision-avg-norm-first": (dict(pool_type="avg"), dict(pool_type="first"), {}),
    "vision-tok-norm-after": (dict(final_ln_after_pool=True), dict(pool_type="last"), {}),
    "no-pooling": (dict(pool_type="none"), dict(pool_type="none"), {}),
    "heads-round-down": (dict(width=48, head_width=20, image_size=[29, 47], patch_size=9), dict(heads=1, layers=1), {}),
    "epsilon-and-tanh": (
        dict(norm_kwargs={"eps": 1e-3}, act_kwargs={"approximate": "tanh"}, mlp_ratio=2.7),
        dict(norm_kwargs={"eps": 1e-6}, act_kwargs={"approximate": "tanh"}, mlp_ratio=1.3), {}),
    "custom-text-bias": (
        dict(no_ln_pre=True), dict(proj_bias=True, pool_type="last", no_causal_mask=True), dict(custom_text=True, init_logit_bias=-10)),
    "root-text-bias-argmax": (dict(ls_init_value=0.3), dict(proj_bias=True, no_causal_mask=True, ls_init_value=0.2), dict(quick_gelu=True)),
    "pooler-average": (dict(attentional_pool=True, attn_pooler_queries=5, attn_pooler_heads=2, pool_type="avg"), dict(layers=3), {}),
    "pooler-same-width": (
        dict(attentional_pool=True, attn_pooler_queries=4, attn_pooler_heads=4, width=20, head_width=10, final_ln_after_pool=True), {}, {}),
    "pooler-none": (dict(attentional_pool=True, attn_pooler_queries=3, attn_pooler_heads=1, pool_type="none"), {}, {}),
    "pooler-parallel": (dict(attentional_pool="parallel", attn_pooler_queries=3, attn_pooler_heads=2, width=20, head_width=10), {}, {}),
    "pooler-cascade": (dict(attentional_pool="cascade", attn_pooler_queries=3, attn_pooler_heads=5, width=20, head_width=5), {}, {}),
    "class-embedding-plain": (
        dict(pool_type="avg"), dict(embed_cls=True, no_causal_mask=True, pool_type="argmax"),
        dict(custom_text=True)),
    "class-embedding-padding": (dict(), dict(embed_cls=True, pad_id=3, proj_bias=True), dict(custom_text=True)),
    "coca-options": (
        dict(attentional_pool=True, attn_pooler_heads=2, attn_pooler_queries=6, output_tokens=True, ls_init_value=0.5),
        dict(embed_cls=True, output_tokens=True, pad_id=2, mlp_ratio=2.0),
        dict(custom_text=True, quick_gelu=True, multimodal_cfg=dict(context_length=9, vocab_size=64, width=24, heads=3, layers=2, attn_pooler_heads=2, mlp_ratio=2))),
    "resnet-wide-heads": (dict(layers=[2, 1, 1, 2], width=4, head_width=32, image_size=96, patch_size=None), dict(pool_type="last"), dict(quick_gelu=True)),
    "resnet-odd-image": (dict(layers=[1, 2, 1, 1], width=6, head_width=48, image_size=71, patch_size=None), {}, {}),
    "sin-cos-class-token": (dict(pos_embed_type="sin_cos_2d", image_size=40, layers=1), dict(layers=1), {}),
}


def import_open_clip(src):
    """Imports open_clip's model code without its package's __init__, which wants downloads, timm and transformers."""
    package = types.ModuleType("open_clip")
    package.__path__ = [os.path.join(src, "open_clip")]
    sys.modules["open_clip"] = package
    for name, attribute in (("hf_model", "HFTextEncoder"), ("timm_model", "TimmModel")):
        stand_in = types.ModuleType(f"open_clip.{name}")
        setattr(stand_in, attribute, None)
        sys.modules[f"open_clip.{name}"] = stand_in
    return importlib.import_module("open_clip.model"), importlib.import_module("open_clip.coca_model")


def write_safetensors(path, tensors):
    names = {np.dtype("float32"): "F32", np.dtype("int64"): "I64"}
    header, blobs, offset = {}, [], 0
    for key, tensor in tensors.items():
        array = np.ascontiguousarray(tensor.detach().numpy())
        header[key] = {"dtype": names[array.dtype], "shape": list(tensor.shape), "data_offsets": [offset, offset + array.nbytes]}
        blobs.append(array.tobytes())
        offset += array.nbytes
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head + b"".join(blobs))


def sentences(rng, count, length, vocabulary, pad_id):
    tokens = np.full((count, length), pad_id, dtype=np.int64)
    for row in tokens:
        words = rng.integers(1, length - 1)
        row[0] = vocabulary - 2
        row[1:1 + words] = rng.integers(4, vocabulary - 2, words)
        row[1 + words] = vocabulary - 1
    return torch.from_numpy(tokens)


def write_position_grids(path):
    """What open_clip's resize_pos_embed does to a grid, shrinking, growing and both at once."""
    tensors = {}
    rng = np.random.default_rng(1)
    for old, new in (((7, 7), (4, 4)), ((4, 4), (7, 9)), ((5, 3), (3, 8)), ((16, 16), (5, 5)), ((2, 2), (6, 6))):
        grid = torch.from_numpy(rng.standard_normal((*old, 3)).astype(np.float32))
        resized = torch.nn.functional.interpolate(grid.permute(2, 0, 1)[None], size=new, mode="bicubic", antialias=True, align_corners=False)
        tensors[f"{old[0]}x{old[1]} to {new[0]}x{new[1]}: from"] = grid
        tensors[f"{old[0]}x{old[1]} to {new[0]}x{new[1]}: to"] = resized[0].permute(1, 2, 0)
    write_safetensors(path, tensors)


def write_model_positions(path, checkpoint):
    """The positions of tests/data/towers/vit-gelu (a grid of 4 x 4 behind a class token) as resize_pos_embed makes them at other image sizes."""
    with open(checkpoint, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        start = file.tell()
        entry = header["visual.positional_embedding"]
        file.seek(start + entry["data_offsets"][0])
        positions = torch.frombuffer(bytearray(file.read(entry["data_offsets"][1] - entry["data_offsets"][0])), dtype=torch.float32).reshape(entry["shape"])
    tensors = {}
    for name, new in (("48", (6, 6)), ("24x40", (3, 5))):
        grid = positions[1:].reshape(1, 4, 4, -1).permute(0, 3, 1, 2)
        resized = torch.nn.functional.interpolate(grid, size=new, mode="bicubic", antialias=True, align_corners=False)
        tensors[f"visual.positional_embedding at {name}"] = torch.cat([positions[:1], resized.permute(0, 2, 3, 1).reshape(new[0] * new[1], -1)])
    write_safetensors(path, tensors)


def main():
    src, out = sys.argv[1:]
    model_module, coca_module = import_open_clip(src)
    for index, (name, (vision, text, extra)) in enumerate(MIXES.items()):
        config = {"embed_dim": 20, "vision_cfg": {**VISION, **vision}, "text_cfg": {**TEXT, **text}, **extra}
        torch.manual_seed(100 + index)
        arguments = {key: value for key, value in config.items() if key != "custom_text"}
        kind = coca_module.CoCa if "multimodal_cfg" in config else model_module.CustomTextCLIP if config.get("custom_text") else model_module.CLIP
        model = kind(**arguments)
        with torch.no_grad():  # open_clip starts biases at 0 and norms at 1, which would hide a mistake
            for key, value in model.state_dict().items():
                if value.dtype != torch.float32 or key.startswith("logit"):
                    continue
                if key.endswith("running_var"):
                    value.uniform_(0.5, 1.5)
                elif value.ndim <= 1:
                    value.add_(torch.randn_like(value) * 0.1)
                elif "conv" in key or "downsample" in key:
                    value.copy_(torch.randn_like(value) * (2.0 / value[0].numel()) ** 0.5)
                elif "pos_embed" not in key:
                    value.copy_(torch.randn_like(value) * value.shape[-1] ** -0.5)
        model.eval()
        rng = np.random.default_rng(index)
        size = config["vision_cfg"]["image_size"]
        height, width = size if isinstance(size, list) else (size, size)
        length = config["text_cfg"]["context_length"]
        tensors = {
            "pixels": torch.from_numpy(rng.standard_normal((3, 3, height, width)).astype(np.float32)),
            "tokens": sentences(rng, 4, length, config["text_cfg"]["vocab_size"], config["text_cfg"].get("pad_id", 0)),
        }
        with torch.no_grad():
            for which, source in (("image", "pixels"), ("text", "tokens")):
                encode = getattr(model, f"encode_{which}")
                results = encode(tensors[source]), encode(tensors[source], normalize=True)
                tensors[f"{which}_features"] = results[0]
                tensors[f"{which}_features_normalized"] = results[1] if kind is coca_module.CoCa else torch.nn.functional.normalize(results[0], dim=-1)
        folder = os.path.join(out, name)
        os.makedirs(folder, exist_ok=True)
        write_safetensors(os.path.join(folder, "open_clip_model.safetensors"), model.state_dict())
        write_safetensors(os.path.join(folder, "golden.safetensors"), tensors)
        with open(os.path.join(folder, "open_clip_config.json"), "w", encoding="utf-8") as file:
            json.dump({"model_cfg": config, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}, file, indent=1)
            file.write("\n")
        print(name, tuple(tensors["image_features"].shape), tuple(tensors["text_features"].shape))
    write_position_grids(os.path.join(out, "position-grids.safetensors"))
    write_model_positions(os.path.join(out, "vit-gelu-positions.safetensors"), os.path.join(out, "..", "towers", "vit-gelu", "open_clip_model.safetensors"))


if __name__ == "__main__":
    main()
