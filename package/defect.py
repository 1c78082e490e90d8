#!/usr/bin/env python3
"""defect.py SYMBOLS ADDRESS...: which line a defect was in, and how it came to be there, the innermost first.

SYMBOLS is dist/lanward-ARCH.sym.gz of the same build, or the program with its symbols; ADDRESS is what the log says after "a defect at". Wants Debian's
llvm: binutils' addr2line reads this machine's programs only."""

import gzip
import os
import shutil
import struct
import subprocess
import sys
import tempfile

# How LLVM traps, by the ELF header's machine, in the order of the program's bytes or the other one.
TRAPS = {8: 0x0000000D, 40: 0xE7FFDEFE, 183: 0xD4200020, 62: 0x0B0F}


def is_trap(elf, address):
    """Whether the instruction there is a trap: in another build's program it hardly ever is."""
    wide, order = elf[4] == 2, "<" if elf[5] == 1 else ">"
    trap = TRAPS.get(struct.unpack_from(order + "H", elf, 18)[0])
    if trap is None:
        return True
    at_headers, at_counts, word = (32, 54, "Q") if wide else (28, 42, "I")
    headers, = struct.unpack_from(order + word, elf, at_headers)
    length, count = struct.unpack_from(order + "HH", elf, at_counts)
    for header in range(headers, headers + length * count, length):
        kind, = struct.unpack_from(order + "I", elf, header)
        offset, start = struct.unpack_from(order + word * 2, elf, header + (8 if wide else 4))
        size, = struct.unpack_from(order + word, elf, header + (32 if wide else 16))
        if kind == 1 and start <= address < start + size - 3:
            return struct.unpack_from(order + ("H" if trap == TRAPS[62] else "I"), elf, offset + address - start)[0] == trap
    return False


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    symbolizer = next((name for name in ("llvm-symbolizer", "llvm-symbolizer-14") if shutil.which(name)), None)
    if not symbolizer:
        sys.exit("defect.py: no llvm-symbolizer; apt install llvm")
    with open(sys.argv[1], "rb") as file:
        elf = file.read()
    if elf[:2] == b"\x1f\x8b":
        elf = gzip.decompress(elf)
    if elf[:4] != b"\x7fELF":
        sys.exit(f"defect.py: {sys.argv[1]} is no program with symbols")
    with tempfile.TemporaryDirectory() as directory:
        program = os.path.join(directory, "program")
        with open(program, "wb") as file:
            file.write(elf)
        for address in sys.argv[2:]:
            if not is_trap(elf, int(address, 16)):
                print(f"{address}: no panic here; these may be another build's symbols")
            subprocess.run([symbolizer, "--obj=" + program, "--inlines", "--demangle", "--pretty-print", address], check=True)


main()
