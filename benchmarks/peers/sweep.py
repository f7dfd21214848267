"""The probe sweep beside numpy and PyTorch: softmax(100 I T^T) of unit rows, 512 wide, one process, taking turns.

    python3 benchmarks/peers/sweep.py [--library artifacts/native/Release/libclipengine.so] [--threads 2] [--rounds 5]
        [--peers numpy,torch] [--shapes 1000000x8,100000x1000,20000x20000] [--precisions bf16,int16,int8] [--segments N] [--top-k K] [--stored fp32|bf16]

With --precisions sweeps in fewer bits take their turns too, and must give the argmax counts and best columns of fp32. --segments cuts
columns into softmaxes of N; --top-k asks for the best columns in place of group sums; --stored bf16 rounds features to bf16 first.
Ours returns group totals only (argmax counts and probability sums of 14 groups) and never holds [images, texts]; the peers
return [images, texts] and no totals. Prints medians, ratios (of each round, then their median), and beside them what was measured in
the same rounds: multiply-adds in registers, reading memory (numpy's sum of the images on every thread at once) and the peers' best
matrix product. Memory beyond the inputs: what a process of its own that holds just the inputs grows by at its peak, while it makes
the sweep, runs it and takes its totals. OpenBLAS is told to use AVX-512 where the processor has it: this one does not always see it.
"""
import argparse
import ctypes
import os
import re
import statistics
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("--library", default="artifacts/native/Release/libclipengine.so")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--peers", default="numpy,torch")
parser.add_argument("--shapes", default="1000000x8,100000x1000,20000x20000")
parser.add_argument("--precisions", default="")
parser.add_argument("--segments", type=int, default=0)
parser.add_argument("--top-k", type=int, default=0)
parser.add_argument("--stored", choices=("fp32", "bf16"), default="fp32")
options = parser.parse_args()
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, str(options.threads))
with open("/proc/cpuinfo", encoding="utf-8") as info:
    processor = info.read()
if "avx512dq" in processor:
    os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")

import numpy as np  # noqa: E402  (reads the thread counts above)

WIDTH, GROUPS = 512, 14
PRECISIONS = ("fp32", "bf16", "int16", "int8")


class Plan(ctypes.Structure):
    _fields_ = [
        ("prompts", ctypes.c_void_p), ("prompt_count", ctypes.c_int64), ("width", ctypes.c_int64), ("segment_lengths", ctypes.c_void_p),
        ("segment_count", ctypes.c_int64), ("group_count", ctypes.c_int64), ("replicate_count", ctypes.c_int64), ("scale", ctypes.c_double),
        ("bias", ctypes.c_double), ("prompt_type", ctypes.c_int32), ("activation", ctypes.c_int32), ("top_count", ctypes.c_int32), ("entropy", ctypes.c_int32),
        ("precision", ctypes.c_int32)]


class Batch(ctypes.Structure):
    _fields_ = [
        ("rows", ctypes.c_void_p), ("row_count", ctypes.c_int64), ("file_offset", ctypes.c_int64), ("file", ctypes.c_int32), ("row_type", ctypes.c_int32),
        ("groups", ctypes.c_void_p), ("weights", ctypes.c_void_p), ("weight_stride", ctypes.c_int64), ("probabilities", ctypes.c_void_p),
        ("top_indices", ctypes.c_void_p), ("top_probabilities", ctypes.c_void_p), ("entropy", ctypes.c_void_p), ("margin", ctypes.c_void_p),
        ("group_rows", ctypes.c_void_p), ("argmax_counts", ctypes.c_void_p), ("sums", ctypes.c_void_p), ("weighted_sums", ctypes.c_void_p),
        ("bounds", ctypes.c_void_p), ("sum_bounds", ctypes.c_void_p), ("weighted_bounds", ctypes.c_void_p), ("failed_row", ctypes.c_int64),
        ("open_scores", ctypes.c_int64), ("bound", ctypes.c_float), ("entropy_bound", ctypes.c_float)]


library = ctypes.CDLL(os.path.abspath(options.library))
library.clipengine_sweep_isa.restype = ctypes.c_char_p
for name, size in ((b"clipengine_sweep_plan", ctypes.sizeof(Plan)), (b"clipengine_sweep_batch", ctypes.sizeof(Batch))):
    library.clipengine_struct_size.restype = ctypes.c_int64
    assert library.clipengine_struct_size(name) == size, f"{name} differs: this script and the library are of different versions"


def unit(rows, seed):
    values = np.random.default_rng(seed).standard_normal((rows, WIDTH), dtype=np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    if options.stored == "bf16":
        words = values.view(np.uint32)
        words += 0x7FFF + (words >> 16 & 1)
        words &= 0xFFFF0000
    return values


class Sweep:
    def __init__(self, images, texts, precision="fp32"):
        self.images, self.texts = images, texts
        if options.stored == "bf16":
            self.images = (images.view(np.uint32) >> 16).astype(np.uint16)
        self.groups = (np.arange(len(images)) * 7919 % GROUPS).astype(np.int32)
        length = options.segments or len(texts)
        self.lengths = np.full(len(texts) // length, length, np.int32)
        plan = Plan(texts.ctypes.data, len(texts), WIDTH, self.lengths.ctypes.data, len(self.lengths), GROUPS, 0, 100.0, 0.0, 2, 0, options.top_k, 0, PRECISIONS.index(precision))
        self.handle, failed = ctypes.c_void_p(), ctypes.c_int64()
        assert library.clipengine_sweep_create(ctypes.byref(plan), ctypes.byref(self.handle), ctypes.byref(failed)) == 0

    def __call__(self):
        self.rows = np.zeros(GROUPS, np.int64)
        self.counts = np.zeros((GROUPS, len(self.texts)), np.int64)
        self.sums = np.zeros((GROUPS, len(self.texts), 2), np.uint64)
        self.batch = batch = Batch(rows=self.images.ctypes.data, row_count=len(self.images), row_type=1 if options.stored == "bf16" else 2, groups=self.groups.ctypes.data,
                                   group_rows=self.rows.ctypes.data, argmax_counts=self.counts.ctypes.data)
        if options.top_k > 0:
            self.top = np.zeros((len(self.images), len(self.lengths), options.top_k), np.int32)
            batch.top_indices = self.top.ctypes.data
        else:
            batch.sums = self.sums.ctypes.data
        assert library.clipengine_sweep_run(self.handle, ctypes.byref(batch)) == 0

    def probability_sums(self):
        return self.sums[..., 0].astype(np.float64) * 2.0**-80 + self.sums[..., 1].astype(np.int64) * 2.0**-16

    def close(self):
        library.clipengine_sweep_destroy(self.handle)


def with_numpy(images, texts):
    scores = 100 * images @ texts.T
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    return scores


def read(images):
    parts = np.array_split(images, options.threads)
    workers = [threading.Thread(target=np.add.reduce, args=(part.reshape(-1),)) for part in parts]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def ceiling():
    """Multiply-adds in registers on every thread, in GFLOP/s."""
    speed = ctypes.c_double()
    assert library.clipengine_ceiling_measure(0, ISAS[library.clipengine_sweep_isa(sweep.handle)], ctypes.c_double(0.1), ctypes.byref(speed)) == 0
    return speed.value * 1e-9


def peak_memory():
    """The most that this process has held at a time, in MB."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024 / 1e6


def memory_beyond_inputs(rows, columns):
    """In MB. In a child that was forked before this process had threads or inputs of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            images, texts = (np.full((count, WIDTH), WIDTH**-0.5, np.float32) for count in (rows, columns))
            assert library.clipengine_threads_set(options.threads) == 0
            with open("/proc/self/clear_refs", "w", encoding="ascii") as reset:
                reset.write("5")  # the peak begins anew
            before = peak_memory()
            Sweep(images, texts)()
            os.write(writer, str(peak_memory() - before).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as said:
        grown = said.read()
    assert os.waitpid(child, 0)[1] == 0, "the process that measures memory failed"
    return float(grown)


ISAS = {b"portable": 0, b"avx2": 1, b"avx512": 2}
print(re.search(r"model name\s*: (.*)", processor)[1], f"| {options.threads} threads | numpy {np.__version__}")
shapes = [(shape, *map(int, shape.split("x"))) for shape in options.shapes.split(",")]
memory = [memory_beyond_inputs(rows, columns) for _, rows, columns in shapes]
assert library.clipengine_threads_set(options.threads) == 0
for (shape, rows, columns), beyond in zip(shapes, memory):
    images, texts = unit(rows, 0), unit(columns, 1)
    sweep = Sweep(images, texts)
    print(f"\n{shape}: {library.clipengine_sweep_isa(sweep.handle).decode()}, {beyond:.0f} MB beyond the inputs")
    contenders = {"clipengine": sweep} | {name: Sweep(images, texts, name) for name in options.precisions.split(",") if name}
    narrow = list(contenders)[1:]
    contenders |= {"read": lambda: read(images), "product": lambda: images @ texts.T}
    if options.peers == "none":
        del contenders["product"]
    if "numpy" in options.peers:
        contenders["numpy"] = lambda: with_numpy(images, texts)
    if "torch" in options.peers:
        import torch
        torch.set_num_threads(options.threads)
        torch_images, torch_texts = torch.from_numpy(images), torch.from_numpy(texts)
        contenders["torch"] = lambda: (100 * torch_images @ torch_texts.t()).softmax(-1)
    expected = with_numpy(images[:2000], texts) if options.segments == 0 and options.top_k == 0 else None
    part = Sweep(images[:2000], texts)
    part()
    if expected is not None:
        truth = np.stack([expected[part.groups == group].sum(0, dtype=np.float64) for group in range(GROUPS)])
        assert np.allclose(part.probability_sums(), truth, rtol=1e-3, atol=1e-9), "the totals differ from numpy's"
    part.close()
    times, ceilings = {name: [] for name in contenders}, []
    for _ in range(options.rounds):
        ceilings.append(ceiling())
        for name, run in contenders.items():
            start = time.perf_counter()
            result = run()
            times[name].append(time.perf_counter() - start)
            del result
    print(f"  multiply-adds in registers: median {statistics.median(ceilings):.0f} GFLOP/s")
    for name, values in times.items():
        median = statistics.median(values)
        share = statistics.median(2e-9 * rows * columns * WIDTH / seconds / best for seconds, best in zip(values, ceilings))
        ratio = statistics.median(theirs / ours for theirs, ours in zip(values, times["clipengine"]))
        speed = "" if name == "read" else f"  {2e-9 * rows * columns * WIDTH / median:7.1f} GFLOP/s, {100 * share:3.0f} %"
        print(f"  {name:10s} median {median:7.3f} s  min {min(values):7.3f}  max {max(values):7.3f}  {4e-9 * rows * WIDTH / median:6.2f} GB/s{speed}"
              + ("" if name == "clipengine" else f"  {ratio:5.2f}x ours"))
    for name in narrow:
        one = contenders[name]
        assert (one.counts == sweep.counts).all() and (options.top_k == 0 or (one.top == sweep.top).all()), f"{name}: other counts or columns than fp32's"
        used = PRECISIONS[library.clipengine_sweep_precision(one.handle)]
        print(f"  {name}: in {used}, the same counts and columns; {100 * one.batch.open_scores / rows / columns:.3f} % multiplied again, probabilities within {one.batch.bound:.2g}")
        one.close()
    sweep.close()
