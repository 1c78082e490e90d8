#!/usr/bin/env python3
"""weigh.py PROGRAM [DEPTH]: what each crate and module costs, in the program and packed as the package is. PROGRAM.sym has its symbols.

  package/weigh.py target/cross/bin/mipsel_24kc/lanward 2

Packed is what the compressor spent on exactly those bytes: of a piece that was there before, the reference to it. So the parts' sum is the whole; but whoever
is second pays less, and a part that goes may leave others dearer. What was inlined counts for whom it was inlined into."""

import re
import struct
import subprocess
import sys
from collections import defaultdict
from itertools import accumulate

LENGTHS = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258]
LENGTHS_MORE = [0] * 8 + [bits for bits in range(1, 6) for _ in range(4)] + [0]
DISTANCES_MORE = [0, 0] + [bits for bits in range(14) for _ in range(2)]
# The order in which RFC 1951 sends the lengths of the codes for lengths.
SENT = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]


class Bits:
    """Bits from bytes, the lowest first."""

    def __init__(self, data, at):
        self.data, self.at, self.held, self.count = data, at, 0, 0

    def fill(self, count):
        while self.count < count:
            self.held |= (self.data[self.at] if self.at < len(self.data) else 0) << self.count
            self.count += 8
            self.at += 1

    def take(self, count):
        self.fill(count)
        value = self.held & ((1 << count) - 1)
        self.held >>= count
        self.count -= count
        return value

    def symbol(self, code):
        """The next symbol of a Huffman code, and its length."""
        table, longest = code
        self.fill(longest)
        found, length = table[self.held & ((1 << longest) - 1)]
        self.held >>= length
        self.count -= length
        return found, length


def code(lengths):
    """A table of what the next bits mean, for as many as the longest symbol has."""
    longest = max(lengths)
    table = [None] * (1 << longest)
    value = 0
    for length in range(1, longest + 1):
        for symbol, its in enumerate(lengths):
            if its == length:
                first = int(f"{value:0{length}b}"[::-1], 2)
                for at in range(first, 1 << longest, 1 << length):
                    table[at] = symbol, length
                value += 1
        value <<= 1
    return table, longest


def sent_codes(bits):
    literals, distances, count = bits.take(5) + 257, bits.take(5) + 1, bits.take(4) + 4
    lengths = [0] * 19
    for at in SENT[:count]:
        lengths[at] = bits.take(3)
    by, lengths = code(lengths), []
    while len(lengths) < literals + distances:
        symbol, _ = bits.symbol(by)
        if symbol < 16:
            lengths.append(symbol)
        elif symbol == 16:
            lengths += lengths[-1:] * (3 + bits.take(2))
        else:
            lengths += [0] * (3 + bits.take(3) if symbol == 17 else 11 + bits.take(7))
    return code(lengths[:literals]), code(lengths[literals:])


def costs(packed):
    """For each byte of what gzip's format holds (without a name in its header), how many bits it took."""
    bits, spent, last = Bits(packed, 10), [], False
    while not last:
        last, kind = bits.take(1), bits.take(2)
        if kind == 0:
            bits.take(bits.count % 8)
            count = bits.take(16)
            bits.take(16 + 8 * count)
            spent += [8] * count
            continue
        literals, distances = sent_codes(bits) if kind == 2 else (code([8] * 144 + [9] * 112 + [7] * 24 + [8] * 8), code([5] * 30))
        while True:
            symbol, took = bits.symbol(literals)
            if symbol == 256:
                break
            if symbol < 256:
                spent.append(took)
                continue
            more = LENGTHS_MORE[symbol - 257]
            length = LENGTHS[symbol - 257] + bits.take(more)
            distance, also = bits.symbol(distances)
            bits.take(DISTANCES_MORE[distance])
            spent += [(took + more + also + DISTANCES_MORE[distance]) / length] * length
    return spent


def segments(elf):
    """Address, place in the file and size of what is loaded."""
    wide, order = elf[4] == 2, "<" if elf[5] == 1 else ">"
    at_headers, at_counts, word = (32, 54, "Q") if wide else (28, 42, "I")
    header = order + ("4x4xQQ8xQ" if wide else "4xII4xI")
    first, = struct.unpack_from(order + word, elf, at_headers)
    length, count = struct.unpack_from(order + "HH", elf, at_counts)
    for at in range(first, first + length * count, length):
        if struct.unpack_from(order + "I", elf, at) == (1,):  # PT_LOAD
            offset, address, size = struct.unpack_from(header, elf, at)
            yield address, offset, size


def part(name, depth):
    """Whose a function is: by the first path in its name."""
    if name.startswith("core::ptr::drop_in_place"):
        return "(what ends values)"
    path = re.match(r"[<&(\[ ]*(?:mut |dyn )*((?:\w+::)+\w+)", name)
    if path:
        return "::".join(path[1].split("::")[:depth])
    return "core" if "::" in name else "(musl)"


def main():
    program, depth = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with open(program, "rb") as file:
        elf = file.read()
    packed = subprocess.run(["libdeflate-gzip", "-12", "-c", program], check=True, capture_output=True).stdout
    until = [0, *accumulate(costs(packed))]
    places = list(segments(elf))
    symbols = subprocess.run(["nm", "-C", "-S", program + ".sym"], check=True, capture_output=True, text=True).stdout
    functions = {}
    for line in symbols.splitlines():
        fields = line.split(None, 3)
        if len(fields) == 4 and fields[2] in "tTwW":
            # Of two names for one place, the first.
            functions.setdefault(int(fields[0], 16), (int(fields[1], 16), fields[3]))
    parts = defaultdict(lambda: [0, 0, 0])
    rest = [len(elf), until[-1], 0]
    for address, (size, name) in functions.items():
        start = next((offset + address - base for base, offset, held in places if base <= address < base + held), None)
        if start is not None:
            cost = until[start + size] - until[start]
            for sums, sign in (parts[part(name, depth)], 1), (rest, -1):
                sums[0] += sign * size
                sums[1] += sign * cost
                sums[2] += 1
    parts["(constants, strings)"] = [*rest[:2], 0]
    print(f"{'bytes':>8} {'packed':>8} {'functions':>9}")
    for name, (size, cost, count) in sorted(parts.items(), key=lambda item: -item[1][1]):
        print(f"{size:8} {cost / 8:8.0f} {count:9}  {name}")
    print(f"{len(elf):8} {until[-1] / 8:8.0f} {len(functions):9}  all; packed, with the format's own {len(packed)}")


main()
