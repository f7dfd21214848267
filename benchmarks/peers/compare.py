#!/usr/bin/env python3
"""ClipEngine beside ONNX Runtime, Pillow with torchvision, numpy and oneDNN in one go, alternating, with ratios.

    ORT_DIR=<folder that holds node_modules> benchmarks/peers/compare.py --work /tmp/peers [--threads 2] [--rounds 3]
        [--parts start,towers,products,imaging,sweep,load] [--program dotnet .../ClipEngine.Cli.dll]

WORK holds what is made once and reused: onnx/ (export_towers.py), photos/ (make_photos.py), and as ViT-B-32/ a model's folder with the
same shapes (tools/synthesize-checkpoint). A peer that is not there is said to be missing and its part left out; nothing is fetched:
    npm install --ignore-scripts onnxruntime-node@1.30.0        in the folder that ORT_DIR names, outside the tree
    apt-get install libdnnl-dev                                 or unpacked anywhere: CPLUS_INCLUDE_PATH and LIBRARY_PATH name it
Python needs numpy, and PyTorch, torchvision and Pillow for imaging. Wall times; run it on a quiet machine. A ratio is the peer's time
over ours: above 1 we are faster.
"""
import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LIBRARY = os.path.join(ROOT, "artifacts", "native", "Release", "libclipengine.so")
BENCHMARKS = os.path.join(ROOT, "benchmarks", "ClipEngine.Benchmarks", "bin", "Release", "net10.0", "ClipEngine.Benchmarks.dll")
PROGRAM = ["dotnet", os.path.join(ROOT, "src", "ClipEngine.Cli", "bin", "Release", "net10.0", "ClipEngine.Cli.dll")]

parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
parser.add_argument("--work", required=True)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--parts", default="start,towers,products,imaging,sweep,load")
parser.add_argument("--batches", default="1,8,32")
parser.add_argument("--program", nargs="+", default=PROGRAM)
options = parser.parse_args()
environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads), OPENBLAS_NUM_THREADS=str(options.threads))
table = []


def path(*parts):
    return os.path.join(options.work, *parts)


def missing(what):
    print(f"-- {what}: left out", flush=True)


def run(*command, **settings):
    result = subprocess.run(command, env=settings.pop("env", environment), capture_output=True, text=True, **settings)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def record(what, peer, ours, unit):
    table.append((what, statistics.median(peer), statistics.median(ours), min(ours), max(ours), unit))
    print(f"   {what}: peer {statistics.median(peer):.3f} {unit}, ClipEngine {statistics.median(ours):.3f}", flush=True)


def process(*command):
    """Wall seconds of a whole process, and its peak of resident memory in MiB."""
    start = time.perf_counter()
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)} failed:\n{said.decode()}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def has_ort():
    return shutil.which("node") and os.path.isdir(os.path.join(os.environ.get("ORT_DIR", "."), "node_modules", "onnxruntime-node"))


def start():
    """From the start of the process to the first embedding, one image, the page cache warm; peak memory."""
    if not has_ort():
        return missing("start: onnxruntime-node is not in ORT_DIR")
    photo, output = path("photos", "photo_640x480.jpg"), os.path.join(tempfile.mkdtemp(), "features.npy")
    peer = ("node", os.path.join(HERE, "ort_first.js"), path("onnx", "ViT-B-32.image.onnx"), str(options.threads))
    ours = (*options.program, "embed", "image", "--model", path("ViT-B-32"), photo, "--threads", str(options.threads), "--out", output)
    for command in (peer, ours):
        process(*command)  # the page cache is warm from here on
    times = [[], []]
    for _ in range(max(5, options.rounds)):
        for side, command in enumerate((peer, ours)):
            times[side].append(process(*command))
    shutil.rmtree(os.path.dirname(output))
    record("start to first embedding, ViT-B-32 image", *[[seconds for seconds, _ in side] for side in times], "s")
    record("peak memory of the same", *[[peak for _, peak in side] for side in times], "MiB")


def towers():
    if not has_ort():
        return missing("towers: onnxruntime-node is not in ORT_DIR")
    line = re.compile(r"batch (\d+): wall median ([\d.]+) ms")
    for tower in ("image", "text"):
        times = {}
        for _ in range(options.rounds):
            for side, command in enumerate((("node", os.path.join(HERE, "ort_towers.js"), path("onnx", f"ViT-B-32.{tower}.onnx"), str(options.threads), options.batches, "2"),
                                            ("dotnet", BENCHMARKS, "towers", path("ViT-B-32"), tower, str(options.threads), options.batches, "fp32", "2"))):
                for batch, median in line.findall(run(*command)):
                    times.setdefault(int(batch), ([], []))[side].append(float(median))
        for batch, (peer, ours) in sorted(times.items()):
            record(f"ViT-B-32 {tower}, batch {batch}, fp32, {options.threads} threads", peer, ours, "ms")


def products():
    program = os.path.join(tempfile.mkdtemp(), "onednn_products")
    built = subprocess.run(["g++", "-O2", "-std=c++17", "-fopenmp", "-I", os.path.join(ROOT, "native", "include"), os.path.join(HERE, "onednn_products.cpp"), "-o", program, "-ldnnl", "-ldl"],
                           capture_output=True, text=True)
    if built.returncode != 0:
        return missing("products: oneDNN's headers or library are not installed (libdnnl-dev)")
    print(run(program, LIBRARY, str(options.threads), "15"), end="", flush=True)
    shutil.rmtree(os.path.dirname(program))


def imaging():
    photos = [path("photos", name) for name in sorted(os.listdir(path("photos")))]
    said = run(sys.executable, os.path.join(HERE, "preprocess.py"), "--library", LIBRARY, *photos, env=dict(environment, OMP_NUM_THREADS="1"))
    print(said, end="", flush=True)


def sweep():
    print(run(sys.executable, os.path.join(HERE, "sweep.py"), "--library", LIBRARY, "--threads", str(options.threads), "--peers", "numpy", "--shapes", "200000x8,20000x1000,4000x20000",
              "--rounds", str(options.rounds)), end="", flush=True)


def load():
    print(run("dotnet", BENCHMARKS, "load", path("ViT-B-32"), "both", str(options.threads), str(max(5, options.rounds))), end="", flush=True)


for part in options.parts.split(","):
    if part not in ("start", "towers", "products", "imaging", "sweep", "load"):
        sys.exit(f"--parts: there is no part '{part}'")
    print(f"== {part}", flush=True)
    globals()[part]()
if table:
    print(f"\n{'':52}{'peer':>10}{'ClipEngine':>12}{'(least, most)':>20}{'ratio':>8}")
    for what, peer, ours, least, most, unit in table:
        print(f"{what:52}{peer:10.3f}{ours:12.3f}{f'({least:.3f}, {most:.3f})':>20}{peer / ours:8.2f}  {unit}")
