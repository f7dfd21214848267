#!/usr/bin/env python3
"""A tower of export_towers.py in PyTorch eager or OpenVINO, in the words of towers/: what was loaded is said in a line that begins with '#';
then each line 'BATCH SECONDS' of standard input is answered by the milliseconds of every run, one at least, after one that does not count.

    python3 python_tower.py pytorch|openvino NAME.onnx THREADS fp32|bf16

Needs the packages torch or openvino. PyTorch: whole modules in one type and its own attention. OpenVINO: the ONNX file, with the hint that
says which type it infers in and the one for latency.
"""
import json
import os
import sys
import time

import numpy

kind, onnx, threads, element = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
stem = onnx[: -len(".onnx")]
with open(stem + ".json", encoding="utf-8") as file:
    about = json.load(file)
samples = numpy.fromfile(stem + ".in.bin", about["dtype"]).reshape(about["shape"])
reference = numpy.fromfile(stem + ".ref.bin", numpy.float32)


def batch_of(count):
    return numpy.ascontiguousarray(numpy.resize(samples, (count, *samples.shape[1:])))  # the file's own over and over


def pytorch():
    import torch
    from torch.nn import functional

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    dtype = torch.bfloat16 if element == "bf16" else torch.float32
    weights, at = {}, 0
    values = numpy.fromfile(stem + ".weights.bin", numpy.float32)
    for tensor in about["weights"]:
        count = int(numpy.prod(tensor["shape"]))
        weights[tensor["name"]] = torch.from_numpy(values[at : at + count].copy()).reshape(tensor["shape"]).to(dtype)
        at += count
    heads, blocks = about["heads"], sum(name.endswith(".ln_1.weight") for name in weights)

    def linear(x, name):
        return functional.linear(x, weights[name + ".weight"], weights[name + ".bias"])

    def norm(x, name):
        return functional.layer_norm(x, x.shape[-1:], weights[name + ".weight"], weights[name + ".bias"])

    def block(x, at, causal):
        n, t, w = x.shape
        q, k, v = linear(norm(x, at + "ln_1"), at + "in_proj").reshape(n, t, 3, heads, w // heads).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).reshape(n, t, w)
        x = x + linear(attended, at + "out_proj")
        return x + linear(functional.gelu(linear(norm(x, at + "ln_2"), at + "c_fc")), at + "c_proj")

    def image(pixels):
        kernel = weights["conv1.weight"]
        x = functional.conv2d(pixels, kernel, stride=kernel.shape[2]).flatten(2).transpose(1, 2)
        x = torch.cat([weights["class_embedding"].expand(x.shape[0], 1, -1), x], 1) + weights["positions"]
        x = norm(x, "ln_pre")
        for i in range(blocks):
            x = block(x, f"blocks.{i}.", False)
        return norm(x[:, 0], "ln_post") @ weights["proj"]

    def text(tokens):
        x = weights["token_embedding.weight"][tokens] + weights["positions"]
        for i in range(blocks):
            x = block(x, f"blocks.{i}.", True)
        x = norm(x, "ln_final")
        return x[torch.arange(x.shape[0]), tokens.argmax(-1)] @ weights["proj"]

    inputs = {}

    def run(count):
        if count not in inputs:
            made = torch.from_numpy(batch_of(count))
            inputs[count] = made if about["dtype"] == "int64" else made.to(dtype)
        return (text if about["dtype"] == "int64" else image)(inputs[count]).float().numpy()

    return f"PyTorch {torch.__version__} eager", run


def openvino():
    import openvino

    core = openvino.Core()
    requests = {}

    def run(count):
        if count not in requests:  # shapes that are known are what OpenVINO is fastest with
            model = core.read_model(onnx)
            model.reshape({about["input"]: [count, *about["shape"][1:]]})
            compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "bf16" if element == "bf16" else "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1})
            requests[count] = (compiled.create_infer_request(), batch_of(count))
        request, samples_of = requests[count]
        request.infer({0: samples_of}, share_inputs=True)
        return request.get_output_tensor(0).data.astype(numpy.float32)

    return f"OpenVINO {openvino.__version__}", run


name, run = pytorch() if kind == "pytorch" else openvino()
found = run(samples.shape[0]).ravel()
cosine = float(found @ reference) / float(numpy.linalg.norm(found) * numpy.linalg.norm(reference))
print(f"# {os.path.basename(stem)} in {name} in {element}, {threads} threads, cosine to PyTorch's fp32 {cosine:.6f}", flush=True)
for line in sys.stdin:
    count, seconds = line.split()
    run(int(count))
    times, start = [], time.perf_counter()
    while not times or time.perf_counter() - start < float(seconds):
        begun = time.perf_counter()
        run(int(count))
        times.append((time.perf_counter() - begun) * 1000)
    print(" ".join(f"{each:.3f}" for each in times), flush=True)
