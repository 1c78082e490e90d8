#!/usr/bin/env python3
"""Good manners of every page: axe, 360 pixels, dark and light, two languages, sessions that only read, names that are markup, the keyboard."""

import contextlib
import json
import pathlib
import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from run import HOSTILE, KNOCKED, PHONE, WIDE, PAGE, house, main, post, scenario, until

PAGES = ["overview", "gate", "attempts", "relay", "settings"]
PROFILES = pathlib.Path(__file__).resolve().parents[2] / "files/usr/share/lanward/profiles.json"
# What LuCI's forms bring and no page changes: the heading without a word over a table's buttons.
LUCIS = re.compile(r'^<th class="th cbi-section-table-cell cbi-section-actions"[^>]*></th>')
# LuCI's own words: its own catalogue has them.
LUCIS_WORDS = ["This section contains no values yet"]
# Also with something in every list.
BUSY = KNOCKED + (
    "\nconfig gate 'web'\n\toption enabled '1'\n\tlist service 'tcp:8080'\n"
    "\nconfig relay 'office'\n\toption host 'relay.example.net'\n\toption remote_port '3389'\n\toption target '192.168.77.100:3389'\n"
    "\nconfig spa 'laptop'\n\toption gate 'ssh'\n\toption key_file '/etc/lanward/no-such.key'\n"
)


def violations(opened):
    """What axe finds in the page's own part; LuCI's frame is LuCI's."""
    found = Axe().run(opened.page, context="#view").response["violations"]
    wrong = [(one["id"], one["help"], [node["html"][:160] for node in one["nodes"] if not LUCIS.search(node["html"])]) for one in found]
    return [one for one in wrong if one[2]]


def opened_details(opened):
    for summary in opened.page.locator(".lanward summary:visible").all():
        summary.click()


def busy():
    house.call("gate_admit", gate="ssh", address="203.0.113.9", seconds=600)
    house.call("gate_admit", gate="ssh", address="2001:db8:9:abcd:1234:5678:9abc:def0", seconds=600)
    house.call("lan_only", enabled=True, persist=False)


@scenario(BUSY)
def axe_finds_nothing_in_either_theme(browser):
    busy()
    found = {}
    for scheme, screen in [("light", WIDE), ("dark", PHONE)]:
        for page in PAGES:
            with browser.open(page, color_scheme=scheme, **screen) as opened:
                opened_details(opened)
                found[scheme, page] = violations(opened)
    assert not any(found.values()), {place: list for place, list in found.items() if list}


@scenario(BUSY)
def nothing_is_wider_than_a_phone(browser):
    busy()
    for locale in ["en-US", "ja-JP"]:
        for page in PAGES:
            with browser.open(page, locale=locale, color_scheme="dark", **PHONE) as opened:
                # Attempts of years are in tests/browser/states/attempts.py only.
                if locale == "ja-JP" and page != "attempts":
                    opened.picture(f"{page}-phone-ja")
                opened_details(opened)
                wide = opened.page.evaluate("[ document.documentElement.scrollWidth, window.innerWidth ]")
                assert wide[0] <= 360 and wide[1] <= 360, (locale, page, wide)


@scenario(BUSY)
def both_themes_are_themes(browser):
    """The page's text is light on dark or dark on light, as the browser asks for."""
    for page in PAGES:
        seen = []
        for scheme in ["light", "dark"]:
            with browser.open(page, color_scheme=scheme) as opened:
                colour = opened.page.locator(".lanward h2, .cbi-map h2").first.evaluate("node => getComputedStyle(node).color")
                seen.append(sum(int(part) for part in re.findall(r"\d+", colour)[:3]))
        assert seen[0] < 384 < seen[1], (page, seen)


@scenario(BUSY)
def japanese_is_whole(browser):
    busy()
    for page in PAGES:
        with browser.open(page, locale="ja-JP") as opened:
            opened_details(opened)
            assert opened.page.locator("html").get_attribute("lang").startswith("ja")
            # Sentences without a Japanese letter, the daemon's among them: it warns of a gate here.
            texts = opened.page.evaluate(
                """() => [ ...document.querySelectorAll('#view *') ].filter(node => node.children.length == 0 && node.checkVisibility()
                    && !node.closest('code') && /[a-z]{3,} [a-z]{2,} [a-z]{2,}/i.test(node.textContent)
                    && !/[\\u3040-\\u30ff\\u4e00-\\u9fff]/.test(node.textContent)).map(node => node.textContent)"""
            )
            assert page in ("attempts", "relay", "settings") or "ゲート「web」" in opened.page.locator("#view").inner_text()
            # Names of products and of who wrote about them.
            others = PROFILES.read_text()
            left = [text for text in texts if text not in others and text.strip() not in LUCIS_WORDS]
            assert not left, (page, left)


@scenario(BUSY)
def whoever_only_reads_sees_everything_and_changes_nothing(browser):
    busy()
    for page in PAGES:
        with browser.open(page, user="reader") as opened:
            expect(opened.page.get_by_text(re.compile("This session may look"))).to_be_visible()
            for control in opened.page.locator(".lanward :is(button, input, select, textarea):visible").all():
                name = control.inner_text() or control.get_attribute("aria-label") or control.get_attribute("id")
                # To ask for a diagnosis, to search, and to open what is set changes nothing.
                harmless = name in ("Check this router", "Edit", "Test") or "filter" in (control.get_attribute("id") or "") \
                    or "lanward-look" in (control.get_attribute("class") or "")
                assert harmless or control.is_disabled(), (page, name)
            expect(opened.button("Save & Apply")).to_have_count(0) if page in ("gate", "attempts", "relay") else None
            for method, arguments in [("lan_only", {"enabled": False}), ("gate_flush", {"gate": "ssh"}), ("spa_keygen", {"name": "mine"}), ("spa_revoke", {"name": "laptop"}), ("ledger_erase", {}),
                                      ("relay_keygen", {"name": "office"}), ("relay_restart", {"name": "office"}), ("relay_check", {"name": "office"})]:
                answer = raw(opened, "lanward", method, arguments)
                assert answer["error"]["code"] == -32002, answer
            answer = raw(opened, "uci", "set", {"config": "lanward", "section": "lan_only", "values": {"enabled": "0"}})
            assert "error" in answer or answer["result"][0] == 6, answer
    assert house.status()["lan_only"]["enabled"]


def raw(opened, thing, method, arguments):
    """A call past the page, with its session."""
    params = [opened.sid, thing, method, arguments]
    return post(f"{PAGE}/ubus", {"jsonrpc": "2.0", "id": 1, "method": "call", "params": params})


@scenario(BUSY)
def a_hostile_name_stays_text(browser):
    with browser.open("overview") as opened:
        expect(opened.page.get_by_text(HOSTILE).first).to_be_visible()
        assert opened.page.locator("#view img").count() == 0
        # A dialog, if one came, is a complaint at the page's end.
    with browser.open("settings") as opened:
        opened.page.get_by_role("link", name="LAN only").or_(opened.page.get_by_role("tab", name="LAN only")).first.click()
        hosts = opened.page.locator('[id="cbid.lanward.lan_only.host"]')
        hosts.locator(".cbi-dropdown").first.click()
        expect(hosts.get_by_text(HOSTILE).first).to_be_visible()
        assert opened.page.locator("#view img").count() == 0


@scenario(BUSY)
def the_keyboard_is_enough(browser):
    with browser.open("overview") as opened:
        switch = opened.page.get_by_role("switch")
        reach(opened, switch)
        opened.page.keyboard.press("Space")
        expect(switch).to_have_attribute("aria-checked", "true")
        expect(switch).to_be_focused()
        reach(opened, opened.button("15 minutes"))
        opened.page.keyboard.press("Enter")
        expect(opened.button("Resume now")).to_be_visible()
        expect(opened.button("15 minutes")).to_be_focused()
        reach(opened, opened.button("Resume now"))
        opened.page.keyboard.press("Enter")
        expect(opened.button("Resume now")).to_be_hidden()
        expect(switch).to_be_focused()
    with browser.open("gate") as opened:
        opened.page.get_by_label("Admit an address").first.focus()
        opened.page.keyboard.type("203.0.113.9")
        opened.page.keyboard.press("Enter")
        remove = opened.button("Remove 203.0.113.9")
        expect(remove).to_be_visible()
        remove.focus()
        opened.page.keyboard.press("Enter")
        expect(remove).to_have_count(0)
        assert opened.page.evaluate("document.getElementById('view').contains(document.activeElement)"), "the focus fell out of the page"


def reach(opened, control):
    """By Tab alone, from where the keyboard is."""
    for _ in range(80):
        if control.evaluate("node => node === document.activeElement"):
            return
        opened.page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not come to {control}")


@scenario(BUSY)
def nothing_is_asked_of_the_internet(browser):
    for page in PAGES:
        asked = []
        with browser.open(page) as opened:
            opened.page.on("request", lambda request: asked.append(request.url))
            opened.go(page)
            opened.button("Check this router").click() if page == "overview" else None
        strangers = [url for url in asked if not url.startswith((PAGE, "data:"))]
        assert not strangers, strangers


@scenario(BUSY)
def nothing_that_is_read_is_rebuilt(browser):
    """Polls later the nodes are the same, but for texts that changed."""
    busy()
    with contextlib.ExitStack() as stack:
        pages = {page: stack.enter_context(browser.open(page)) for page in PAGES}
        answers = dict.fromkeys(PAGES, 0)
        for page, opened in pages.items():
            opened.page.evaluate(
                """() => {
                    window.rebuilt = [];
                    new MutationObserver(list => list.forEach(one => [ ...one.addedNodes, ...one.removedNodes ]
                        .filter(node => node.nodeType == 1).forEach(node => window.rebuilt.push(node.outerHTML.slice(0, 120)))))
                        .observe(document.querySelector('.lanward'), { childList: true, subtree: true });
                }"""
            )

            def count(response, page=page):
                answers[page] += "/ubus" in response.url

            opened.page.on("response", count)
        last = list(pages.values())[-1].page
        until(lambda: min(answers.values()) >= 2, "every page has asked twice", patience=30, page=last)
        for page, opened in pages.items():
            assert not opened.page.evaluate("window.rebuilt"), (page, opened.page.evaluate("window.rebuilt"))


if __name__ == "__main__":
    main()
