#!/usr/bin/env python3
"""Every state of the page, in Chromium, with canned answers: what is shown, what is asked, what a session that only reads may do, and that
nothing from outside becomes markup.

    target/tools/browser/bin/python tests/browser/states.py [WORD ...]

Words choose cases by their names. Needs Chromium and Playwright (tests/install-tools.sh); no root, no daemon, no network.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "states"))

from playwright.sync_api import sync_playwright  # noqa: E402

import attempts  # noqa: E402,F401
import canned  # noqa: E402
import framework  # noqa: E402,F401
import gate  # noqa: E402,F401
import overview  # noqa: E402,F401
import proofs  # noqa: E402,F401
import relay  # noqa: E402,F401


def main():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            return 1 if canned.run(browser, sys.argv[1:]) else 0
        finally:
            browser.close()


if __name__ == "__main__":
    sys.exit(main())
