#!/usr/bin/env python3
"""order-functions.py PROGRAM: a linker script that puts functions with much in common near each other, since gzip looks back 32 KiB and no further.

The program is one linked without the script, with its symbols. The same program gives the same script: nothing here depends on names or on
fractions."""

import struct
import sys
from collections import defaultdict

# What is compared: two instructions of MIPS and ARM, at every instruction.
PIECE, STEP = 8, 4
# How far gzip looks back, less a little; a piece that is everywhere says nothing; a short function is no better for one common piece.
WINDOW, COMMON, SHORT = 30000, 1500, 16


def functions(elf):
    """Name and code of each, in the order of their addresses."""
    if elf[:4] != b"\x7fELF":
        sys.exit("not an ELF file")
    wide = elf[4] == 2
    order = "<" if elf[5] == 1 else ">"
    at_sections, at_counts, word = (40, 58, "Q") if wide else (32, 46, "I")
    table, = struct.unpack_from(order + word, elf, at_sections)
    length, count = struct.unpack_from(order + "HH", elf, at_counts)
    # Of a section header: type, address, offset, size, link.
    section = order + ("4xI8xQQQI" if wide else "4xI4xIIII")
    sections = [struct.unpack_from(section, elf, table + length * at) for at in range(count)]
    found = {}
    for kind, _, offset, size, link in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        names = sections[link][2]
        symbol = order + ("IBxHQQ" if wide else "IIIBxH")
        for at in range(offset, offset + size, struct.calcsize(symbol)):
            if wide:
                name, info, place, value, held = struct.unpack_from(symbol, elf, at)
            else:
                name, value, held, info, place = struct.unpack_from(symbol, elf, at)
            # STT_FUNC, in one of the sections; the lowest bit of an address may say how its code is to be read.
            if info & 15 == 2 and 0 < place < count and held:
                value &= ~1
                _, address, begin, _, _ = sections[place]
                start = begin + value - address
                end = elf.index(0, names + name)
                # Of two names for one place, the first.
                found.setdefault(value, (elf[names + name : end].decode(), elf[start : start + held]))
    return [found[value] for value in sorted(found)]


def ordered(found):
    """Indices, each of what has most in common, by its length, with what is in the window then."""
    holders = defaultdict(list)
    for at, (_, code) in enumerate(found):
        for piece in {code[start : start + PIECE] for start in range(0, len(code) - PIECE + 1, STEP)}:
            holders[piece].append(at)
    shared = [[] for _ in found]
    for number, where in enumerate(holders.values()):
        if 2 <= len(where) <= COMMON:
            for at in where:
                shared[at].append((number, where))
    score = [0] * len(found)
    times = defaultdict(int)
    window, held, left, order = [], 0, list(range(len(found))), []
    while left:
        # Of equals, the first.
        best = max(left, key=lambda at: (score[at] * 1000000 // (len(found[at][1]) // STEP + SHORT), -at))
        left.remove(best)
        order.append(best)
        window.append(best)
        held += len(found[best][1])
        for number, where in shared[best]:
            times[number] += 1
            if times[number] == 1:
                for at in where:
                    score[at] += 1
        while held > WINDOW and len(window) > 1:
            gone = window.pop(0)
            held -= len(found[gone][1])
            for number, where in shared[gone]:
                times[number] -= 1
                if times[number] == 0:
                    for at in where:
                        score[at] -= 1
    return order


def main():
    with open(sys.argv[1], "rb") as file:
        found = functions(file.read())
    print("SECTIONS { .text.ordered : {")
    for at in ordered(found):
        name = found[at][0]
        # A function has a section of its own, by the compilers' habits.
        print(f'*(".text.{name}" ".text.unlikely.{name}")')
    print("} } INSERT BEFORE .text;")


main()
