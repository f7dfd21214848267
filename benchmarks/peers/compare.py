#!/usr/bin/env python3
"""ClipEngine beside ONNX Runtime, TorchSharp, PyTorch, OpenVINO, Pillow with torchvision, numpy and oneDNN in one go, alternating, with ratios.

    ORT_DIR=<folder that holds node_modules> benchmarks/peers/compare.py --work /tmp/peers [--threads 2] [--rounds 3]
        [--parts start,towers,products,imaging,sweep,load] [--program dotnet .../ClipEngine.Cli.dll]
        [--models ViT-B-32,ViT-L-14] [--towers image,text,prompts,pairs] [--types fp32,int8] [--batches 1,8,32]
        [--peers onnx,torchsharp-fp32,torchsharp-bf16,pytorch-fp32,pytorch-bf16,openvino-fp32,openvino-bf16]

WORK holds what is made once and reused: onnx/ (export_towers.py), photos/ (make_photos.py), and for every model, ViT-B-32/ for one, a folder
with the same shapes (tools/synthesize-checkpoint); without it the towers are made from benchmarks/families with random weights. A peer that is not there is said to be missing and its part left out; nothing is fetched:
    npm install --ignore-scripts onnxruntime-node@1.30.0        for start, in the folder that ORT_DIR names, outside the tree
    apt-get install libdnnl-dev                                 or unpacked anywhere: CPLUS_INCLUDE_PATH and LIBRARY_PATH name it
Python needs numpy, and PyTorch, torchvision and Pillow for imaging. Wall times; run it on a quiet machine. A ratio is the peer's time
over ours: above 1 we are faster. The towers' peers are ONNX Runtime and TorchSharp eager from C# (towers/, whose build fetches both packages);
where TorchSharp cannot be loaded, root runs it in a Debian 13 root (tools/in-debian13.sh). PyTorch eager and OpenVINO are Python packages
(python_tower.py); one that is not installed is left out. Beside the peers each type that ClipEngine computes in stands against its own fp32.
"""
import argparse
import importlib.util
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LIBRARY = os.path.join(ROOT, "artifacts", "native", "Release", "libclipengine.so")
BENCHMARKS = os.path.join(ROOT, "benchmarks", "ClipEngine.Benchmarks", "bin", "Release", "net10.0", "ClipEngine.Benchmarks.dll")
TOWERS = os.path.join(HERE, "towers", "bin", "Release", "net10.0", "Towers.dll")
PROGRAM = ["dotnet", os.path.join(ROOT, "src", "ClipEngine.Cli", "bin", "Release", "net10.0", "ClipEngine.Cli.dll")]

parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
parser.add_argument("--work", required=True)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--parts", default="start,towers,products,imaging,sweep,load")
parser.add_argument("--models", default="ViT-B-32")
parser.add_argument("--towers", default="image,text", help="image, text (whole contexts), prompts (short ones on our side, padded on the peer's) and pairs (sentences with one image)")
parser.add_argument("--types", default="fp32", help="what ClipEngine computes in: fp32, bf16, fp16, int8")
parser.add_argument("--peers", default="onnx,torchsharp-fp32,torchsharp-bf16,pytorch-bf16,openvino-bf16", help="whose towers; 'none' for ClipEngine's own types alone")
parser.add_argument("--batches", default="1,8,32")
parser.add_argument("--seconds", type=float, default=0.7, help="length of one tower's turn")
parser.add_argument("--program", nargs="+", default=PROGRAM)
options = parser.parse_args()
environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads), OPENBLAS_NUM_THREADS=str(options.threads))
table, turns = [], []  # whole commands; turns of a tower
TURN = "{:58}{:10.2f} ms{:10.2f} ms{:8.2f} ({:.2f} to {:.2f})  {}"


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


class Contender:
    """A tower in a process of its own, stopped while it is not its turn: a peer's threads that spin after their work would run in ours."""

    def __init__(self, name, *command):
        self.name = name
        self.child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        print("   " + self.answer(), flush=True)  # what was loaded
        self.stop()

    def answer(self):
        line = self.child.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended with exit code {self.child.wait()}")
        return line.rstrip()

    def stop(self):
        os.killpg(self.child.pid, signal.SIGSTOP)

    def ask(self, question):
        os.killpg(self.child.pid, signal.SIGCONT)
        self.child.stdin.write(question + "\n")
        self.child.stdin.flush()
        answer = [float(word) for word in self.answer().split()]
        self.stop()
        return answer

    def end(self):
        os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()


def quartiles(values):
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3


def peer_command(name, onnx):
    """The command of a tower's peer, or None with the reason said."""
    if name == "onnx":
        return ["dotnet", TOWERS, "onnx", onnx, str(options.threads)]
    package = {"pytorch": "torch", "openvino": "openvino"}.get(name.split("-")[0])
    if package is not None:
        if importlib.util.find_spec(package) is None:
            return missing(f"{name}: the Python package {package} is not installed")
        return [sys.executable, os.path.join(HERE, "python_tower.py"), name.split("-")[0], onnx, str(options.threads), name.split("-")[1]]
    command = ["dotnet", TOWERS, "torchsharp", onnx, str(options.threads), name.removeprefix("torchsharp-")]
    library = subprocess.run("ldconfig -p | awk '/libstdc\\+\\+\\.so\\.6 .*x86-64/ { print $NF; exit }' | xargs -r grep -q GLIBCXX_3.4.32", shell=True)
    if library.returncode == 0:
        return command
    if os.getuid() != 0:
        return missing(f"{name}: libstdc++ lacks GLIBCXX_3.4.32, and only root can run it in a Debian 13 root")
    return [os.path.join(ROOT, "tools", "in-debian13.sh"), "--packages", "libgomp1,libjpeg62-turbo,libpng16-16t64,libwebp7,libwebpdemux2", *command]


def towers():
    """Turns of --seconds in every round: the ratio of a round is that of the medians of two turns within a few seconds of each other."""
    if any(name.startswith(("onnx", "torchsharp")) for name in options.peers.split(",")):
        run("dotnet", "build", os.path.join(HERE, "towers"), "-c", "Release", "-v", "quiet", "-nologo")
    for model in options.models.split(","):
        for tower in options.towers.split(","):
            onnx = path("onnx", f"{model}.{tower.replace('prompts', 'text')}.onnx")
            # Without a folder of weights ours are random, as the peer's are.
            source = path(model) if os.path.isdir(path(model)) else os.path.join(ROOT, "benchmarks", "families", f"{model}.json")
            if (options.peers != "none" and not os.path.exists(onnx)) or not os.path.exists(source):
                missing(f"{model} {tower}: {onnx} and {source} are both needed")
                continue
            commands = {name: peer_command(name, onnx) for name in options.peers.split(",") if name != "none"}
            peers = {name: Contender(name, *command) for name, command in commands.items() if command}
            ours = {kind: Contender(kind, "dotnet", BENCHMARKS, "towers", source, tower, str(options.threads), "-", kind) for kind in options.types.split(",")}
            operations = next(iter(ours.values())).ask("operations 0")[0]
            for batch in map(int, options.batches.split(",")):
                times, shares = {kind: [] for kind in (*peers, *ours)}, {kind: [] for kind in ours}
                for turn in range(options.rounds):
                    order = [*peers.items(), *ours.items()]
                    for kind, contender in order if turn % 2 == 0 else reversed(order):
                        times[kind].append(statistics.median(contender.ask(f"{batch} {options.seconds}")))
                        if kind in ours:
                            ceiling = contender.ask("ceiling 0.1")[0]
                            if ceiling > 0 and operations > 0:
                                shares[kind].append(operations * batch / times[kind][-1] * 1000 / ceiling)
                for kind in ours:
                    share = f"{100 * statistics.median(shares[kind]):.0f} % of the ceiling" if shares[kind] else ""
                    for name in (*peers, *(["fp32"] if kind != "fp32" and "fp32" in ours else [])):
                        low, ratio, high = quartiles([theirs / own for theirs, own in zip(times[name], times[kind])])
                        turns.append((f"{model} {tower}, batch {batch}, {kind} / {'our fp32' if name in ours else name}", statistics.median(times[name]), statistics.median(times[kind]), ratio, low, high, share))
                        print("   " + TURN.format(*turns[-1]), flush=True)
            for contender in (*peers.values(), *ours.values()):
                contender.end()


def products():
    program = os.path.join(tempfile.mkdtemp(), "onednn_products")
    built = subprocess.run(["g++", "-O2", "-std=c++17", "-fopenmp", "-I", os.path.join(ROOT, "native", "include"), os.path.join(HERE, "onednn_products.cpp"), "-o", program, "-ldnnl", "-ldl"],
                           capture_output=True, text=True)
    if built.returncode != 0:
        return missing("products: oneDNN's headers or library are not installed (libdnnl-dev)")
    peer, ours = (Contender(side, program, side, LIBRARY, str(options.threads)) for side in ("onednn", "clipengine"))
    shapes = [("ViT-B-32 qkv, 1 image", 50, 768, 2304), ("ViT-B-32 fc1, 1 image", 50, 768, 3072), ("ViT-B-32 fc2, 1 image", 50, 3072, 768),
              ("ViT-B-32 qkv, 8 images", 400, 768, 2304), ("ViT-B-32 fc1, 8 images", 400, 768, 3072), ("ViT-B-32 fc2, 8 images", 400, 3072, 768),
              ("ViT-L-14 fc1, 1 image", 257, 1024, 4096), ("ViT-L-14 fc2, 1 image", 257, 4096, 1024)]
    for name, m, k, n in shapes:
        question = f"{m} {k} {n} "
        theirs, own = peer.ask(question + "0"), ours.ask(question + "0")
        if max(abs(a - b) for a, b in zip(theirs, own)) > 1e-3:
            sys.exit(f"{name}: the products differ")
        times, shares = {peer: [], ours: []}, []
        for turn in range(options.rounds):
            for contender in (peer, ours) if turn % 2 == 0 else (ours, peer):
                times[contender].append(statistics.median(contender.ask(question + "0.2")))
            shares.append(2e-6 * m * k * n / times[ours][-1] / ours.ask("ceiling 0.1")[0])
        low, ratio, high = quartiles([a / b for a, b in zip(times[peer], times[ours])])
        turns.append((f"{name}, fp32 / oneDNN", statistics.median(times[peer]), statistics.median(times[ours]), ratio, low, high, f"{100 * statistics.median(shares):.0f} % of the ceiling"))
        print("   " + TURN.format(*turns[-1]), flush=True)
    for contender in (peer, ours):
        contender.end()
    shutil.rmtree(os.path.dirname(program))


def imaging():
    photos = [path("photos", name) for name in sorted(os.listdir(path("photos")))]
    said = run(sys.executable, os.path.join(HERE, "preprocess.py"), "--library", LIBRARY.replace("libclipengine", "libclipengine_image"), *photos, env=dict(environment, OMP_NUM_THREADS="1"))
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
if turns:
    print(f"\n{'medians of turns; ratios: median and quartiles':58}{'peer':>10}{'ClipEngine':>16}   ratio")
    for row in turns:
        print(TURN.format(*row))
if table:
    print(f"\n{'':52}{'peer':>10}{'ClipEngine':>12}{'(least, most)':>20}{'ratio':>8}")
    for what, peer, ours, least, most, unit in table:
        print(f"{what:52}{peer:10.3f}{ours:12.3f}{f'({least:.3f}, {most:.3f})':>20}{peer / ours:8.2f}  {unit}")
