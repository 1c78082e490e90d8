#!/usr/bin/env python3
"""po2lmo.py PO LMO: a gettext catalogue as LuCI reads it.

An .lmo file holds the translations one after the other, each filled up with zeros to a multiple of four bytes; then the
index, sorted by key: per translation four big-endian 32-bit words (hash of the key, number of plural forms, offset, length);
then the index's offset as one more word. A key is MSGID, CONTEXT 0x01 MSGID, MSGID 0x02 FORM or CONTEXT 0x01 MSGID 0x02 FORM.
The key 0 is the header's Plural-Forms. Backslash escapes other than of quotes and backslashes stay as they are written; a
translation that is the same as its key is left out, and so is one that is empty. Same input, same bytes.

Stricter than LuCI's own program: what it would skip, overwrite or find by chance is an error here. Exit status: 0 done,
1 the catalogue is wrong, 2 wrong usage.
"""

import re
import struct
import sys


class Wrong(Exception):
    """The catalogue cannot be converted."""


def signed(byte):
    return byte - 256 if byte > 127 else byte


def sfh(data):
    """Paul Hsieh's SuperFastHash of the bytes, begun with their number; the last odd byte is signed."""
    if not data:
        return 0
    mask = 0xFFFFFFFF
    value = len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        first, second = struct.unpack_from("<HH", data, at)
        value = (value + first) & mask
        value = ((value << 16) ^ (second << 11) ^ value) & mask
        value = (value + (value >> 11)) & mask
    rest = data[whole:]
    if len(rest) == 3:
        value = (value + (rest[0] | rest[1] << 8)) & mask
        value = (value ^ (value << 16)) & mask
        value = (value ^ (signed(rest[2]) << 18)) & mask
        value = (value + (value >> 11)) & mask
    elif len(rest) == 2:
        value = (value + (rest[0] | rest[1] << 8)) & mask
        value = (value ^ (value << 11)) & mask
        value = (value + (value >> 17)) & mask
    elif len(rest) == 1:
        value = (value + signed(rest[0])) & mask
        value = (value ^ (value << 10)) & mask
        value = (value + (value >> 1)) & mask
    value = (value ^ (value << 3)) & mask
    value = (value + (value >> 5)) & mask
    value = (value ^ (value << 4)) & mask
    value = (value + (value >> 17)) & mask
    value = (value ^ (value << 25)) & mask
    return (value + (value >> 6)) & mask


LINE = re.compile(r'(?:(msgctxt|msgid|msgid_plural|msgstr|msgstr\[([0-9]+)\])[ \t]+)?"((?:[^"\\]|\\.)*)"\s*')


def messages(text):
    """The catalogue's messages: {"msgctxt": …, "msgid": …, "msgid_plural": …, "msgstr": {form: …}} each."""
    message, into = {}, None
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = LINE.fullmatch(line)
        if not found:
            raise Wrong(f"line {number}: neither a comment nor a string in quotes")
        field, form, string = found.groups()
        string = re.sub(r'\\(["\\])', r"\1", string)
        if field is None:
            if into is None:
                raise Wrong(f"line {number}: a string that belongs to nothing")
            where, key = into
            where[key] += string
            continue
        if field in ("msgctxt", "msgid") and "msgstr" in message:
            yield message
            message = {}
        if field.startswith("msgstr"):
            into = (message.setdefault("msgstr", {}), int(form or 0))
        else:
            into = (message, field)
        where, key = into
        if key in where:
            raise Wrong(f"line {number}: a second {field} in one message")
        where[key] = string
    if "msgid" in message and "msgstr" not in message:
        raise Wrong("the last message has no msgstr")
    if message:
        yield message


def keys_and_values(message):
    """What a message puts into the file: (key, number of forms, translation); the header has no key."""
    if "msgid" not in message:
        raise Wrong("a msgstr without a msgid")
    forms = message["msgstr"]
    if not message["msgid"]:
        for line in forms.get(0, "").split("\\n")[:-1]:
            if line.lower().startswith("plural-forms: "):
                yield None, 0, line[len("plural-forms: "):]
                return
        return
    if not forms.get(0):
        return
    context = message["msgctxt"] + "\1" if message.get("msgctxt") else ""
    for form, value in sorted(forms.items()):
        suffix = f"\2{form}" if message.get("msgid_plural") else ""
        if value:
            yield context + message["msgid"] + suffix, max(forms) + 1, value


def convert(text):
    """The bytes of the .lmo file."""
    values, index, keys = bytearray(), [], {}
    for message in messages(text):
        for key, forms, value in keys_and_values(message):
            value = value.encode()
            hashed = 0 if key is None else sfh(key.encode())
            if hashed in keys:
                raise Wrong(f"{key!r}: has the hash of {keys[hashed]!r}, or is there twice")
            keys[hashed] = key
            if key is not None and hashed == sfh(value):
                continue
            index.append((hashed, forms, len(values), len(value)))
            values += value + bytes(-len(value) % 4)
    if not values:
        raise Wrong("nothing is translated")
    return bytes(values) + b"".join(struct.pack(">4I", *entry) for entry in sorted(index)) + struct.pack(">I", len(values))


def main(arguments):
    if len(arguments) != 2:
        print("usage: po2lmo.py PO LMO", file=sys.stderr)
        return 2
    source, target = arguments
    try:
        with open(source, encoding="utf-8", newline="") as file:
            converted = convert(file.read())
        with open(target, "wb") as file:
            file.write(converted)
    except (Wrong, OSError, UnicodeDecodeError) as error:
        print(f"{source}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
