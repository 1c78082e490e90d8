#!/usr/bin/python3
"""minify.py DIRECTORY: takes comments and white space out of every .js and .css below it, as LuCI's own build does.

Nothing else changes: no name, no order, no text. Needs Debian's python3-rjsmin and python3-rcssmin. Same input, same bytes. Exit status:
0 done, 1 something is missing or wrong, 2 wrong usage.
"""

import pathlib
import sys


def main():
    if len(sys.argv) != 2:
        print("usage: minify.py DIRECTORY", file=sys.stderr)
        return 2
    try:
        import rcssmin
        import rjsmin
    except ImportError as error:
        print(f"minify.py: {error}: package/install-tools.sh installs it", file=sys.stderr)
        return 1
    for ending, minify in ((".js", rjsmin.jsmin), (".css", rcssmin.cssmin)):
        for path in sorted(pathlib.Path(sys.argv[1]).rglob(f"*{ending}")):
            small = minify(path.read_text(encoding="utf-8"))
            if not small.strip():
                print(f"minify.py: {path}: nothing is left of it", file=sys.stderr)
                return 1
            path.write_text(small, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
