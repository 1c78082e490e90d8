#!/usr/bin/env python3
"""strip-sections.py IN OUT: an ELF program without its section headers and whatever else the kernel does not load."""

import os
import struct
import sys


def loaded(elf):
    """How many bytes from the beginning the kernel reads, and the program with no section table named in its header."""
    if elf[:4] != b"\x7fELF":
        sys.exit("not an ELF file")
    wide = elf[4] == 2
    order = "<" if elf[5] == 1 else ">"
    # Where the header says: program headers, the section table, sizes and counts; where a program header says offset and size.
    if wide:
        at_headers, at_sections, at_counts, word, offset, size = 32, 40, 54, "Q", 8, 32
    else:
        at_headers, at_sections, at_counts, word, offset, size = 28, 32, 42, "I", 4, 16
    headers, = struct.unpack_from(order + word, elf, at_headers)
    length, count = struct.unpack_from(order + "HH", elf, at_counts)
    end = headers + length * count
    for header in range(headers, end, length):
        start, = struct.unpack_from(order + word, elf, header + offset)
        held, = struct.unpack_from(order + word, elf, header + size)
        end = max(end, start + held if held else 0)
    elf = bytearray(elf[:end])
    struct.pack_into(order + word, elf, at_sections, 0)
    # e_shnum and e_shstrndx; the size of an entry stays, as some tools ask for it.
    struct.pack_into(order + "HH", elf, at_counts + 6, 0, 0)
    return bytes(elf)


def main():
    source, target = sys.argv[1:]
    with open(source, "rb") as file:
        elf = loaded(file.read())
    aside = target + ".new"
    with open(aside, "wb") as file:
        file.write(elf)
    os.chmod(aside, 0o755)
    os.replace(aside, target)


main()
