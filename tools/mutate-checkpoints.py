#!/usr/bin/env python3
"""Makes damaged and hostile variants of checkpoint files and says, by rules of its own, what each of them means.

    python3 tools/mutate-checkpoints.py --kind safetensors|archive --count 2000 --seed 1 --out mutants.bin [SEED_FILE ...]

The oracle knows nothing of ClipEngine: it is written from the rules of the formats, with Python's json and pickle (the pure Python
unpickler, with every name replaced by an inert stand-in) and a zip reader of its own. Only the standard library is needed.

Output, little-endian: for each mutant a byte (0: must be refused, 1: may be read), 32 bytes, a 4-byte length, the mutant.
The 32 bytes are the SHA-256 over what must come out where it is read: for each tensor in the order of its UTF-8 key
"key\\0dtype\\0d1,d2\\0" and its bytes.

A further kind of file needs an entry in KINDS: a mutator and an oracle.
"""
import argparse
import hashlib
import io
import json
import pickle
import random
import re
import struct
import sys
import unicodedata
import warnings
import zipfile
import zlib

SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8}
LIMIT = 1 << 48


class Refused(Exception):
    """The oracle's verdict: these bytes are no such file."""


def digest(tensors):
    """tensors: key -> (dtype, shape, bytes)"""
    sha = hashlib.sha256()
    for key in sorted(tensors, key=lambda name: name.encode("utf-8")):
        dtype, shape, data = tensors[key]
        sha.update(key.encode("utf-8") + b"\0" + dtype.encode() + b"\0" + ",".join(map(str, shape)).encode() + b"\0" + data)
    return sha.digest()


# ---------------------------------------------------------------- safetensors

def make_safetensors(rng):
    tensors, position, data = {}, 0, b""
    for i in range(rng.randint(0, 5)):
        dtype = rng.choice(list(SIZES))
        shape = [rng.randint(0, 3) for _ in range(rng.randint(0, 3))]
        count = 1
        for size in shape:
            count *= size
        length = count * SIZES[dtype]
        name = rng.choice(["a.b%d", "visual.ln_%d.weight", "\u00fc%d", "x\n%d", "t%d"]) % i
        tensors[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + length]}
        data += bytes(rng.randrange(256) for _ in range(length))
        position += length
    if rng.random() < 0.5:
        tensors["__metadata__"] = {"format": "pt", "k": "v"}
    return tensors, data


def pack_safetensors(text, data):
    header = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return struct.pack("<Q", len(header)) + header + data


def mutate_safetensors(rng, seeds):
    if seeds and rng.random() < 0.1:
        file = bytearray(rng.choice(seeds))
        return damage_bytes(rng, file)
    tensors, data = make_safetensors(rng)
    names = [name for name in tensors if name != "__metadata__"]
    kind = rng.randrange(12)
    if kind == 0 or not names:
        text = json.dumps(tensors)
        return damage_bytes(rng, bytearray(pack_safetensors(text, data)))
    entry = tensors[rng.choice(names)]
    if kind == 1:
        entry["dtype"] = rng.choice(list(SIZES) + ["F8_E4M3", "C64", "f32", "", 7, None, ["F32"]])
    elif kind == 2:
        entry["shape"] = rng.choice([entry["shape"] + [1], entry["shape"] + [0], entry["shape"][::-1], [-1], [1.0], ["1"], None, {}, [2 ** 64], [2 ** 48, 2 ** 48], [0, 2 ** 48], [1] * 65])
    elif kind == 3:
        i = rng.randrange(2)
        entry["data_offsets"][i] += rng.choice([-1, 1, 8, -8, 2 ** 63, -2 ** 63])
    elif kind == 4:
        entry["data_offsets"] = rng.choice([[], [0], [0, 1, 2], None, "0,1", entry["data_offsets"][::-1], [0.0, 1.0], [True, 2]])
    elif kind == 5:
        entry.pop(rng.choice(list(entry)))
    elif kind == 6:
        entry[rng.choice(["note", "Dtype", "", "shape "])] = rng.choice([1, None, {"a": []}])
    elif kind == 7:
        tensors["__metadata__"] = rng.choice([None, [], {"a": 1}, {"a": None}, {"a": {"b": "c"}}, "x", {}, {"": ""}])
    elif kind == 8:
        data = rng.choice([data + b"\0", data[:-1], data[1:], b"", data + data])
    elif kind == 9:
        items = list(tensors.items())
        rng.shuffle(items)
        tensors = dict(items)
    text = json.dumps(tensors, ensure_ascii=rng.random() < 0.5)
    if kind == 10:
        name = json.dumps(rng.choice(names))
        text = "{" + name + ":" + json.dumps(entry) + "," + text[1:]
    if kind == 11:
        text = rng.choice([" " + text + "\n\t ", "\ufeff" + text, text + "\0", text + "{}", text + "x", text[:-1], "[" + text + "]", text.replace(":", "::", 1), text.replace("{", "{,", 1),
                           text[:-1] + ",}", text.replace('"', "'"), "/**/" + text, text.replace("[", "[[", 1), text.replace('"', '"\\ud800', 1), text.replace('"', '"\\u0000', 1),
                           text.replace("[", "[01", 1), text.replace("[", "[1e0,", 1), text.replace("[", "[NaN,", 1), "{" * 3000])
    file = pack_safetensors(text, data)
    if rng.random() < 0.1:
        file = damage_bytes(rng, bytearray(file))
    return bytes(file)


def oracle_safetensors(file):
    if len(file) < 8:
        raise Refused("no length")
    length = struct.unpack("<Q", file[:8])[0]
    if not 1 <= length <= 100_000_000 or 8 + length > len(file):
        raise Refused("length")
    try:
        text = file[8:8 + length].decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("utf-8")
    if text.startswith("\ufeff"):
        raise Refused("byte order mark")

    def unique(pairs):
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            raise Refused("duplicate")
        for key in keys:
            key.encode("utf-8")
        return dict(pairs)

    def constant(name):
        raise Refused(name)

    try:
        root = json.loads(text, object_pairs_hook=unique, parse_constant=constant, parse_float=lambda number: Fraction(number), parse_int=whole)
        check_text(root)
    except (ValueError, RecursionError):
        raise Refused("json")
    if not isinstance(root, dict):
        raise Refused("no object")
    tensors, ranges = {}, []
    start = 8 + length
    for key, entry in root.items():
        if key == "__metadata__":
            if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
                raise Refused("metadata")
            continue
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise Refused("fields")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in SIZES:
            raise Refused("dtype")
        if not isinstance(shape, list) or len(shape) > 64 or not all(is_size(size) for size in shape):
            raise Refused("shape")
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(is_size(offset) for offset in offsets):
            raise Refused("offsets")
        count = SIZES[dtype]
        for size in shape:
            count *= size
        if offsets[1] - offsets[0] != count:
            raise Refused("size")
        ranges.append((offsets[0], offsets[1]))
        tensors[key] = (dtype, shape, file[start + offsets[0]:start + offsets[1]])
    position = 0
    for begin, end in sorted(ranges):
        if begin != position:
            raise Refused("hole or overlap")
        position = end
    if start + position != len(file):
        raise Refused("truncated or trailing")
    return tensors


class Fraction(str):
    """A number with a point or an exponent, which no size may have."""


def whole(text):
    return Fraction(text) if text.startswith("-") else int(text) if len(text) < 30 else Fraction(text)


def is_size(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LIMIT


def check_text(value):
    """Lone surrogates are no text."""
    if isinstance(value, Fraction):
        return
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, dict):
        for key, inner in value.items():
            key.encode("utf-8")
            check_text(inner)
    elif isinstance(value, list):
        for inner in value:
            check_text(inner)


# ---------------------------------------------------------------- PyTorch archives

STORAGES = {"FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16", "DoubleStorage": "F64", "LongStorage": "I64", "IntStorage": "I32",
            "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8", "BoolStorage": "BOOL"}


class Name:
    def __init__(self, module, name, made):
        self.name, self.made = module + "." + name, made

    def __call__(self, *arguments):
        if self.name == "collections.OrderedDict" and not arguments:
            return Ordered()
        if self.name in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor") and len(arguments) >= 4:
            bits = arguments[6] if len(arguments) > 6 else None
            if isinstance(bits, dict) and any(value is not False for value in bits.values()):
                raise Refused("a bit of the tensor")
            self.made.append(Tensor(*arguments[:4]))
            return self.made[-1]
        if self.name.startswith("torch.jit._pickle.build_") and len(arguments) == 1 and isinstance(arguments[0], (list, tuple)):
            return arguments[0]
        if self.name == "torch.jit._pickle.restore_type_tag" and len(arguments) == 2 and isinstance(arguments[0], (list, tuple, dict)):
            return arguments[0]
        if self.name == "torch._utils._rebuild_parameter" and arguments and isinstance(arguments[0], Tensor):
            return arguments[0]
        raise Refused("call of " + self.name)


class Ordered(dict):
    def __setstate__(self, state):
        if not isinstance(state, dict):
            raise Refused("state")


class ScriptObject:
    """An object of a TorchScript class: its attributes and nothing else."""

    def __init__(self):
        self.attributes = {}

    def __setstate__(self, state):
        if not isinstance(state, dict):
            raise Refused("state")
        self.attributes = state

    def tensors(self, prefix=""):
        for key, value in self.attributes.items():
            if isinstance(value, Tensor):
                yield prefix + key, value
            elif isinstance(value, ScriptObject):
                yield from value.tensors(prefix + key + ".")


class Storage:
    def __init__(self, kind, key, length):
        self.kind, self.key, self.length = kind, key, length


class Tensor:
    def __init__(self, storage, offset, sizes, strides):
        if not isinstance(storage, Storage) or not isinstance(sizes, tuple) or not isinstance(strides, tuple) or not all(type(number) is int and number >= 0 for number in (offset, *sizes, *strides)) or len(sizes) != len(strides):
            raise Refused("tensor")
        self.storage, self.offset, self.sizes, self.strides = storage, offset, sizes, strides

    def read(self, members, folder, whole=True):
        dtype, length = STORAGES[self.storage.kind], self.storage.length
        size = SIZES[dtype]
        data = members.get(folder + self.storage.key)
        if data is None or len(data) != length * size:
            raise Refused("storage")
        count = 1
        for dimension in self.sizes:
            count *= dimension
        if count > length and whole:
            raise Refused("larger than its storage")
        if count == 0:
            if self.offset > length:
                raise Refused("beyond the storage")
            return dtype, list(self.sizes), b""
        last = self.offset + sum((dimension - 1) * stride for dimension, stride in zip(self.sizes, self.strides))
        if last >= length:
            raise Refused("beyond the storage")
        if not whole:
            return None
        elements = [self.offset]
        for dimension, stride in zip(self.sizes, self.strides):
            elements = [element + i * stride for element in elements for i in range(dimension)]
        return dtype, list(self.sizes), b"".join(data[element * size:element * size + size] for element in elements)


class Unpickler(pickle._Unpickler):
    def __init__(self, data, is_script):
        self.file = io.BytesIO(data)
        super().__init__(self.file, encoding="latin1")
        self.is_script = is_script
        self.tensors, self.storages = [], []

    def find_class(self, module, name):
        full = module + "." + name
        if self.is_script and (module + ".").startswith("__torch__."):
            return type("ScriptObject", (ScriptObject,), {})
        known = full.startswith("torch.jit._pickle.build_") or full in ("torch.jit._pickle.restore_type_tag", "collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor", "torch._utils._rebuild_parameter") \
            or (module == "torch" and name in STORAGES)
        if not known:
            raise Refused("name " + full)
        return Name(module, name, self.tensors)

    def persistent_load(self, identity):
        if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage" or not isinstance(identity[1], Name) or not identity[1].name.startswith("torch."):
            raise Refused("persistent id")
        _, kind, key, place, length = identity
        if not isinstance(key, str) or not isinstance(place, str) or type(length) is not int or length < 0 or kind.name[len("torch."):] not in STORAGES:
            raise Refused("persistent id")
        self.storages.append(Storage(kind.name[len("torch."):], key, length))
        return self.storages[-1]

    def read(self):
        """The one value that fills the bytes."""
        try:
            root = self.load()
        except Refused:
            raise
        except Exception as error:
            raise Refused("pickle: %s" % error)
        if self.file.read() or self.stack or self.metastack:
            raise Refused("bytes or values left behind the pickle")
        refuse_cycles(root)
        return root


def refuse_cycles(root):
    """A value that contains itself, or one nested more than 500 deep, is no checkpoint."""
    finished, open_, path = set(), set(), []

    def enter(value):
        if isinstance(value, dict):
            children = [part for item in dict.items(value) for part in item]
        elif isinstance(value, ScriptObject):
            children = [value.attributes]
        elif isinstance(value, (list, tuple, set, frozenset)):
            children = list(value)
        else:
            return
        if id(value) in finished:
            return
        if id(value) in open_ or len(path) >= 500:
            raise Refused("cycle or depth")
        open_.add(id(value))
        path.append((value, iter(children)))

    enter(root)
    while path:
        value, children = path[-1]
        for child in children:
            enter(child)
            break
        else:
            path.pop()
            open_.discard(id(value))
            finished.add(id(value))


def numbers(layout, data, start):
    """Little-endian numbers; what ends too early is refused."""
    if start < 0 or start + struct.calcsize(layout) > len(data):
        raise Refused("zip: ends too early")
    return struct.unpack_from(layout, data, start)


def zip64(extra, wanted):
    """The 64-bit numbers of a header's extra fields that stand for those in `wanted` which did not fit."""
    position, field = 0, None
    while position < len(extra):
        kind, length = numbers("<HH", extra, position)
        if position + 4 + length > len(extra) or (kind == 1 and field is not None):
            raise Refused("zip: extra field")
        if kind == 1:
            field = extra[position + 4:position + 4 + length]
        position += 4 + length
    values, position = [], 0
    for value in wanted:
        if value == 0xFFFFFFFF and field is not None:
            value = numbers("<Q", field, position)[0]
            position += 8
        values.append(value)
    return values, field is not None and position != len(field)


def read_zip(file):
    """
    Name -> (method, bytes as stored, sum, unpacked length), by the rules that make a zip archive mean one thing only: the end record ends
    the file, without comment; the headers of a member say the same in both places; members follow each other without gap or overlap; no
    name twice, none that leads anywhere; nothing encrypted, no links. Nothing of Python's zipfile, which forgives most of this, is used.
    """
    end = len(file) - 22
    signature, disk, first, here, count, length, start, comment = numbers("<IHHHHIIH", file, end)
    if signature != 0x06054B50 or comment or disk or first or here != count:
        raise Refused("zip: end")
    if end >= 20 and numbers("<I", file, end - 20)[0] == 0x07064B50:
        _, disk, start64, disks = numbers("<IIQI", file, end - 20)
        end -= 20 + 56
        if disk or disks != 1 or start64 != end:
            raise Refused("zip: locator")
        signature, size, _, _, disk, first, here64, count64, length64, start64 = numbers("<IQHHIIQQQQ", file, end)
        if signature != 0x06064B50 or size != 44 or disk or first or here64 != count64:
            raise Refused("zip: end of 64 bits")
        for narrow, wide, limit in ((count, count64, 0xFFFF), (length, length64, 0xFFFFFFFF), (start, start64, 0xFFFFFFFF)):
            if narrow != wide and not (narrow == limit and wide >= limit):
                raise Refused("zip: two ends that differ")
        count, length, start = count64, length64, start64
    if start + length != end:
        raise Refused("zip: directory")
    entries, position = [], start
    for _ in range(count):
        if position >= end:
            raise Refused("zip: count")
        signature, made, _, flags, method, _, _, crc, packed, unpacked, names, extras, comments, disk, _, attributes, header = numbers("<IHHHHHHIIIHHHHHII", file, position)
        name = file[position + 46:position + 46 + names]
        extra = file[position + 46 + names:position + 46 + names + extras]
        position += 46 + names + extras + comments
        (unpacked, packed, header), left = zip64(extra, (unpacked, packed, header))
        if signature != 0x02014B50 or comments or disk or left or position > end:
            raise Refused("zip: directory entry")
        if flags & ~(8 | 6 | 0x800) or method not in (0, 8) or (method == 0 and packed != unpacked):
            raise Refused("zip: flags or method")
        if made >> 8 == 3 and attributes >> 28 not in (0, 4, 8):
            raise Refused("zip: link or device")
        entries.append((header, name, flags, method, crc, packed, unpacked))
    if position != end:
        raise Refused("zip: directory length")
    members, position = {}, 0
    entries.sort(key=lambda entry: entry[0])
    for i, (header, name, flags, method, crc, packed, unpacked) in enumerate(entries):
        if header != position:
            raise Refused("zip: gap or overlap")
        signature, _, flags2, method2, _, _, crc2, packed2, unpacked2, names, extras = numbers("<IHHHHHIIIHH", file, header)
        data = header + 30 + names + extras
        (unpacked2, packed2), _ = zip64(file[header + 30 + names:data], (unpacked2, packed2))
        descriptor = flags & 8
        same = all(here == there or (descriptor and here == 0) for here, there in ((crc2, crc), (packed2, packed), (unpacked2, unpacked)))
        if signature != 0x04034B50 or flags != flags2 or method != method2 or not same or file[header + 30:header + 30 + names] != name:
            raise Refused("zip: local header")
        position = data + packed
        following = entries[i + 1][0] if i + 1 < len(entries) else start
        if descriptor:
            layout = {16: "<IIII", 24: "<IIQQ"}.get(following - position)
            if layout is None or numbers(layout, file, position) != (0x08074B50, crc, packed, unpacked):
                raise Refused("zip: descriptor")
            position = following
        if position != following:
            raise Refused("zip: bytes between members")
        try:
            name = name.decode("utf-8" if flags & 0x800 else "ascii")
        except UnicodeDecodeError:
            raise Refused("zip: name")
        steps = name[:-1].split("/") if name.endswith("/") else name.split("/")
        if name in members or any(step in ("", ".", "..") for step in steps):
            raise Refused("zip: name")
        if name.endswith("/"):
            if unpacked:
                raise Refused("zip: folder with content")
            continue
        members[name] = (method, file[data:data + packed], crc, unpacked)
    # PyTorch names the folder of its members after the file, which may have any name; all else is plain.
    tops = {name.split("/")[0] for name in members if name.count("/") == 1 and name.endswith("/data.pkl")}
    for name in members:
        top, _, rest = name.partition("/")
        checked = rest if top in tops and "\0" not in top else name
        if any(character in "\\:" or unicodedata.category(character) == "Cc" for character in checked):
            raise Refused("zip: name")
    return members


class Members:
    """The members of an archive, stored or deflated and with the right sum, when they are asked for."""

    def __init__(self, table):
        self.table = table
        # All zero: torch.utils.serialization.config.save.compute_crc32 was off.
        self.summed = any(entry[2] for entry in table.values())

    def get(self, name):
        if name not in self.table:
            return None
        method, data, crc, unpacked = self.table[name]
        if method == 8:
            inflater = zlib.decompressobj(-15)
            try:
                data = inflater.decompress(data, unpacked + 1)
            except zlib.error:
                raise Refused("packed wrongly")
            if not inflater.eof and len(data) <= unpacked and inflater.decompress(inflater.unconsumed_tail, 1):
                raise Refused("packed wrongly")
        if len(data) != unpacked or (self.summed and zlib.crc32(data) != crc):
            raise Refused("packed wrongly, or a wrong sum")
        return data


def oracle_archive(file):
    table = read_zip(file)
    members = Members(table)
    pickles = [name for name in table if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1 or pickles[0].count("/") != 1:
        raise Refused("data.pkl")
    prefix = pickles[0][:-len("data.pkl")]
    if not all(name.startswith(prefix) for name in table):
        raise Refused("a member outside the folder")
    for name in ("version", ".data/version"):
        version = members.get(prefix + name)
        if version is not None and not re.fullmatch(rb"[0-9]{1,8}\n*", version):
            raise Refused("version")
    if members.get(prefix + "byteorder") not in (None, b"little", b"little\n"):
        raise Refused("byte order")
    is_script = prefix + "constants.pkl" in table
    unpickler = Unpickler(members.get(prefix + "data.pkl"), is_script)
    root = unpickler.read()
    check_storages(unpickler, members, prefix + "data/")
    if is_script:
        constants = Unpickler(members.get(prefix + "constants.pkl"), is_script)
        constants.read()
        check_storages(constants, members, prefix + "constants/")
    if isinstance(root, ScriptObject):
        root = dict(root.tensors())
    root = weights_of(root)
    tensors = {key: value.read(members, prefix + "data/") for key, value in root.items() if isinstance(value, Tensor)}
    if not tensors or not all(isinstance(key, str) for key in tensors):
        raise Refused("no tensors")
    return tensors


MODELS = ("visual.", "vision_model.", "text_model.", "visual_encoder.")
NESTS = ("state_dict", "model_state_dict", "model", "module", "ema")


def weights_of(root):
    """The one dictionary of tensors that is a model by its keys; without such, the one in a usual place."""
    found, seen, waiting = [], {id(root)}, [((), root)]
    while waiting:
        path, value = waiting.pop(0)
        if isinstance(value, dict):
            if any(isinstance(inner, Tensor) for inner in value.values()):
                found.append((path, value))
            children = [(key, inner) for key, inner in value.items() if isinstance(key, str)]
        elif isinstance(value, (list, tuple)):
            children = [("[%d]" % i, inner) for i, inner in enumerate(value)]
        else:
            continue
        for key, inner in children if len(path) < 5 else []:
            if isinstance(inner, (dict, list, tuple)) and id(inner) not in seen:
                seen.add(id(inner))
                waiting.append((path + (key,), inner))
    models = [item for item in found if any(isinstance(key, str) and isinstance(value, Tensor) and any(key.startswith(m) or "." + m in key for m in MODELS) for key, value in item[1].items())]
    candidates = models or [item for item in found if all(step in NESTS for step in item[0])]
    if len(candidates) != 1:
        raise Refused("none or several sets of weights")
    return candidates[0][1]


def check_storages(unpickler, members, folder):
    """Every tensor lies inside its storage, and no member of the folder lies there unused."""
    kinds = {}
    for storage in unpickler.storages:
        if kinds.setdefault(storage.key, (storage.kind, storage.length)) != (storage.kind, storage.length):
            raise Refused("one storage, two kinds")
    for tensor in unpickler.tensors:
        tensor.read(members, folder, False)
    if {name[len(folder):] for name in members.table if name.startswith(folder)} != set(kinds):
        raise Refused("a storage that no tensor uses")


def text(value):
    encoded = value.encode("utf-8")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def integer(value):
    return b"J" + struct.pack("<i", value) if -2 ** 31 <= value < 2 ** 31 else b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def sequence(values):
    return b"(" + b"".join(integer(value) for value in values) + b"t"


def make_archive(rng):
    """-> parts of the pickle (a list of byte strings), members"""
    parts, members = [b"\x80\x02", b"}"], {}
    for i in range(rng.randint(1, 4)):
        kind = rng.choice(list(STORAGES))
        sizes = [rng.randint(1, 3) for _ in range(rng.randint(0, 3))]
        strides, count = [], 1
        for size in reversed(sizes):
            strides.insert(0, count)
            count *= size
        length = count + rng.choice([0, 0, 2])
        members["data/%d" % i] = bytes(rng.randrange(256) for _ in range(length * SIZES[STORAGES[kind]]))
        numbers = [rng.choice([0, length - count]), length]
        if rng.random() < 0.1:
            numbers[rng.randrange(2)] += rng.choice([-1, 1, 2 ** 31, 2 ** 62])
        if rng.random() < 0.1 and sizes:
            changed = rng.choice([sizes, strides])
            changed[rng.randrange(len(changed))] += rng.choice([-1, 1, 7, 2 ** 40, -3])
        if rng.random() < 0.15 and len(sizes) > 1:
            sizes.reverse()
            strides.reverse()
        if rng.random() < 0.05:
            kind = rng.choice(list(STORAGES) + ["ComplexFloatStorage", "QInt8Storage", "Evil"])
        parts += [text("layer%d.weight" % i), b"ctorch._utils\n_rebuild_tensor_v2\n", b"(", b"(", text("storage"), b"ctorch\n" + kind.encode() + b"\n", text(str(i)), text("cpu"),
                  integer(numbers[1]), b"t", b"Q", integer(numbers[0]), sequence(sizes), sequence(strides), b"\x89", b"ccollections\nOrderedDict\n", b")", b"R", b"t", b"R", b"s"]
    parts.append(b".")
    return parts, members


def write_zip(rng, members):
    """The members as zipfile writes them, now and then with something about the zip that is not as it should be."""
    names = list(members)
    odd = rng.randrange(40)
    victim = rng.choice(names)
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")
        for name, data in members.items():
            info = zipfile.ZipInfo("archive/" + name)
            if odd == 0 and name == victim:
                info.compress_type = zipfile.ZIP_DEFLATED
            elif odd == 1 and name == victim:
                info.external_attr = rng.choice([0xA1FF, 0x21FF, 0x81A4, 0x41ED]) << 16
            elif odd == 2 and name == victim:
                info.comment = b"x"
            elif odd == 3 and name == victim:
                info.extra = rng.choice([struct.pack("<HH", 1, 0), struct.pack("<HHQ", 1, 8, 7), struct.pack("<HHI", 0x4650, 4, 0), b"\1"])
            archive.writestr(info, data)
        if odd == 4:
            archive.comment = b"PK"
        elif odd == 5:
            archive.writestr("archive/" + victim, members[victim])
        elif odd == 6:
            archive.writestr(rng.choice(["archive/../x", "/x", "archive/data/7", "archive/x\0y", "archive//x", "archive\\x", "other/x", "archive/code/x.py", "archive/extra/data.pkl", "archive/data/", "archive/byteorder",
                                         "archive/constants.pkl"]), rng.choice([b"", b"x", b"little", b"big", members["data.pkl"], b"\x80\x02).", b"\x80\x02cos\nsystem\n."]))
    file = bytearray(buffer.getvalue())
    if odd == 7:
        file[:0] = b"MZ"
    elif odd == 8:
        file += rng.choice([b"\0", b"PK", bytes(22)])
    elif odd == 9:
        # The two headers of a member disagree about one of their numbers.
        place = file.find(rng.choice([b"PK\3\4", b"PK\1\2"]))
        file[place + rng.randrange(4, 30)] ^= 1 << rng.randrange(8)
    elif odd == 10:
        end = len(file) - 22
        file[end + rng.randrange(4, 22)] ^= 1 << rng.randrange(8)
    elif odd == 11:
        # Another member under this one's name in the directory only, or in the local header only.
        name = ("archive/" + victim).encode()
        place = file.find(name) if rng.random() < 0.5 else file.rfind(name)
        file[place + len(name) - 1] ^= 1
    return bytes(file)


def mutate_archive(rng, seeds):
    if seeds and rng.random() < 0.15:
        return damage_bytes(rng, bytearray(rng.choice(seeds)))
    parts, members = make_archive(rng)
    kind = rng.randrange(6)
    operations = [b"(", b")", b"0", b"1", b"2", b"N", b"\x88", b"]", b"}", b"a", b"e", b"s", b"u", b"t", b"\x85", b"\x86", b"\x87", b"R", b"b", b"Q", b"q\x01", b"h\x01", b"r\xff\xff\xff\x7f",
                  b"cos\nsystem\n", b"c__builtin__\neval\n", b"\x81", b"\x92", b"i", b"o", b"\x82\x01", b"\x93", b"\x94", b"\x8b\xff\xff\xff\x7f", b"P", b".", b"l", b"d", b"K\x05", b"\x8e" + b"\xff" * 8]
    if kind == 1:
        parts.insert(rng.randint(1, len(parts)), rng.choice(operations))
    elif kind == 2:
        parts.pop(rng.randrange(len(parts)))
    elif kind == 3:
        i, j = rng.randrange(len(parts)), rng.randrange(len(parts))
        parts[i], parts[j] = parts[j], parts[i]
    elif kind == 4:
        parts[rng.randrange(len(parts))] = rng.choice(operations)
    pickled = b"".join(parts)
    if kind == 5:
        pickled = bytes(damage_bytes(rng, bytearray(pickled)))
    everything = {"data.pkl": pickled, **members, "version": b"3\n"}
    file = write_zip(rng, everything)
    if rng.random() < 0.2:
        file = damage_bytes(rng, bytearray(file))
    return bytes(file)


# ---------------------------------------------------------------- common

def damage_bytes(rng, file):
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        if not file:
            break
        i = rng.randrange(len(file))
        kind = rng.randrange(7)
        if kind == 0:
            file[i] ^= 1 << rng.randrange(8)
        elif kind == 1:
            file[i] = rng.choice([0, 0xFF, 0x7F, 0x80, rng.randrange(256)])
        elif kind == 2:
            del file[i:i + rng.randint(1, 16)]
        elif kind == 3:
            file[i:i] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 8)))
        elif kind == 4:
            del file[i:]
        elif kind == 5:
            j = rng.randrange(len(file))
            file[i:i] = file[j:j + rng.randint(1, 32)]
        else:
            width = rng.choice([1, 2, 4, 8])
            value = rng.choice([0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), 2 ** (8 * width - 1) - 1])
            file[i:i + width] = value.to_bytes(width, "little")
    return bytes(file)


# A mutator takes the generator and the seed files and returns bytes; an oracle returns key -> (dtype, shape, bytes) or raises Refused.
KINDS = {
    "safetensors": (mutate_safetensors, oracle_safetensors),
    "archive": (mutate_archive, oracle_archive),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kind", choices=sorted(KINDS), required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True)
    parser.add_argument("seeds", nargs="*")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    seeds = [open(path, "rb").read() for path in options.seeds]
    mutate, oracle = KINDS[options.kind]
    sys.setrecursionlimit(3000)
    readable = 0
    with open(options.out, "wb") as out:
        for _ in range(options.count):
            file = bytes(mutate(rng, seeds))
            try:
                verdict, summary = 1, digest(oracle(file))
            except Refused:
                verdict, summary = 0, bytes(32)
            readable += verdict
            out.write(struct.pack("<B32sI", verdict, summary, len(file)) + file)
    print("%d mutants, %d of them readable" % (options.count, readable))


if __name__ == "__main__":
    main()
