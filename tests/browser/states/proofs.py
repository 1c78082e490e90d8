"""Knocks and keys (SPA) on the tab of the SSH gate."""

import contextlib
import re

from axe_playwright_python.sync_playwright import Axe
from canned import SOURCE, START, Held, Refused, case
from overview import gate, status
from playwright.sync_api import Error

EVIL = "<img src=x onerror=window.broken=1>%s%d"
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
UCI = {
    "ssh": {".type": "gate", "enabled": "1", "service": ["tcp:22"]},
    "door": {".type": "knock", "gate": "ssh", "open": ["tcp:7000", "udp:8000", "tcp:9000"], "close": ["tcp:9000 tcp:7000"]},
    "laptop": {".type": "spa", "gate": "ssh", "key_file": "/etc/lanward/laptop.key"},
}
DOOR = {"name": "door", "gate": "ssh", "open": 3, "close": 2, "timeout": 5, "seconds": 30}
LAPTOP = {
    "name": "laptop", "gate": "ssh", "port": 62201, "hmac": "sha256", "seconds": 30, "ready": True, "error": "", "accepted": 4, "rejected": 2,
    "last_accept": START - 3600, "last_address": "203.0.113.9",
}
SECRET = "c2VjcmV0IHNlY3JldCBzZWNyZXQ="
# A corner of a code, and a light row.
CODE = ["1110", "1010", "1110", "0000"]
MADE = {
    "ok": True, "key_file": "/etc/lanward/phone.key", "qr": CODE, "qr_text": f"KEY_BASE64:{SECRET}",
    "stanza": f"[phone]\nSPA_SERVER home.example.net\nKEY_BASE64 {SECRET}\nUSE_HMAC Y\n",
}
LINES = MADE["stanza"].strip().split("\n")


def event(what, stage, ago, address="203.0.113.9", sequence="open", **more):
    return {"knock": "door", "gate": "ssh", "sequence": sequence, "address": address, "event": what, "stage": stage, "of": 3, "ago_ms": ago, **more}


def show(opened, gates=None, knocks=(DOOR,), spas=(LAPTOP,), **options):
    answers = {
        "status": status(gates=[gate(knocks=["door"], spas=["laptop"])] if gates is None else gates), "gate_list": {"entries": []},
        "knock_list": {"knocks": list(knocks), "recent": []}, "spa_list": {"spas": list(spas)}, **options.pop("answers", {}),
    }
    page = opened("gate", answers, **{"uci": UCI, **options})
    page.test = page.button("Test")
    page.panel = page.page.locator(".lanward-panel")
    page.dialog = page.page.get_by_role("dialog")
    page.row = lambda name: page.page.get_by_role("table", name="Keys").get_by_role("row").filter(has_text=name)
    page.arrives = lambda *events: page.answers.update({"knock_list": {"knocks": list(knocks), "recent": list(events)}})
    page.steps = lambda at=0: [
        (one.inner_text(), one.get_attribute("data-state")) for one in page.panel.locator("ol").nth(at).locator("li").all()]
    return page


def apply_ends(page):
    """LuCI applies, confirms, and loads the page anew."""
    with contextlib.suppress(Error):
        page.tick(10)
    page.page.locator("#view > :not(.spinning, script)").first.wait_for(state="attached")


def axe(page, place="#view"):
    page.page.clock.resume()
    found = Axe().run(page.page, context=place).response["violations"]
    assert not found, [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]


@case("words once, and each knock with its sequence")
def words(opened):
    page = show(opened)
    text = page.text()
    assert text.count("A knock alone is obscurity") == 1 and "A key (SPA) is a proof" in text and "SSH's own keys stand behind both" in text
    assert "tcp:7000 udp:8000 tcp:9000" in text and "tcp:9000 tcp:7000" in text and "5 seconds" in text and "30 seconds" in text
    assert "not in this version" not in text
    page = show(opened, knocks=[{**DOOR, "seconds": 0, "timeout": 1, "close": 0}], uci={"ssh": UCI["ssh"]})
    text = page.text()
    assert "3 steps" in text and "1 second\n" in text and "until the sequence that closes" in text and "Closed by" not in text
    page = show(opened, gates=[gate()], uci={})
    assert [call for call in page.asked if call[0] in ("knock_list", "spa_list")] == [], "nobody asks for what is not there"
    assert not page.page.get_by_role("heading", name="Knocks").is_visible() and page.button("Make a key").is_visible()
    page = show(opened, gates=[], uci={})
    assert not page.page.get_by_role("heading", name="Keys").is_visible() and "There is no gate yet" in page.text()


@case("a test shows the commands, and each step as it arrives")
def test(opened):
    page = show(opened)
    page.asked.clear()
    page.tick(4)
    assert len(page.calls("knock_list")) <= 1 and not page.panel.is_visible() and page.test.get_attribute("aria-expanded") == "false"
    page.arrives(event("open", 3, 60_000))
    page.press(page.test)
    assert page.focused(page.button("End the test")) and page.button("End the test").get_attribute("aria-expanded") == "true"
    text = page.panel.inner_text()
    assert "knock HOST 7000 8000:udp 9000" in text and "lanward knock HOST 7000 8000:udp 9000" in text and "knock HOST 9000 7000" in text
    assert "from outside" in text and "never asked" in text
    said = page.panel.get_by_role("status")
    assert said.inner_text() == "Waiting for the first step.", "what came before is no news"
    page.asked.clear()
    page.tick(3)
    assert len(page.calls("knock_list")) >= 3, "every second"
    page.arrives(event("stage", 1, 400))
    page.tick(1)
    assert said.inner_text() == "203.0.113.9: step 1 of 3."
    assert page.steps() == [("✓ tcp:7000", "done"), ("udp:8000", "open"), ("tcp:9000", "open")], page.steps()
    page.arrives(event("stage", 1, 1400), event("stage", 2, 900), event("wrong", 2, 300))
    page.tick(1)
    assert said.inner_text() == "203.0.113.9: wrong port. It begins anew." and {state for _, state in page.steps()} == {"open"}
    page.arrives(event("wrong", 2, 2300), event("stage", 1, 900), event("stage", 2, 800), event("stage", 3, 700), event("open", 3, 700))
    page.tick(1)
    assert said.inner_text() == "203.0.113.9: OPEN SESAME. The gate ssh is open to it." and {state for _, state in page.steps()} == {"done"}
    page.press(page.button("End the test"))
    page.asked.clear()
    page.tick(3)
    assert len(page.calls("knock_list")) <= 1 and not page.panel.is_visible()
    page.arrives()
    page.press(page.test)
    assert page.panel.locator("ol").count() == 0 and "Waiting" in said.inner_text()


@case("addresses and sequences are kept apart, and too slow is said")
def apart(opened):
    page = show(opened)
    page.press(page.test)
    page.tick(8)
    closing = {"sequence": "close", "of": 2}
    page.arrives(event("stage", 1, 7000), event("stage", 2, 5500), event("stage", 1, 900, "2001:db8::7"),
                 event("stage", 1, 500, "198.51.100.1", **closing), event("close", 2, 200, "198.51.100.1", **closing),
                 event("stage", 1, 100, knock="other"))
    page.tick(1)
    rows = page.panel.locator("ol").all()
    words = [row.locator("xpath=..").inner_text().split("\n")[0] for row in rows]
    assert words == ["203.0.113.9: too slow. It begins anew.", "2001:db8::7: step 1 of 3.", "198.51.100.1: OPEN SESAME. The gate ssh is closed to it."], words
    assert page.steps(0)[0] == ("tcp:7000", "open") and page.steps(2) == [("✓ tcp:9000", "done"), ("✓ tcp:7000", "done")]
    assert page.panel.get_by_role("status").inner_text() == words[2]
    page.arrives(*[event("stage", 1, 500, f"10.0.0.{at}") for at in range(64)])
    page.tick(1)
    assert page.panel.locator("ol").count() == 8, "forged addresses do not flood the page"
    changed = page.changes(lambda: page.tick(2))
    assert changed == [], changed


@case("nothing that arrives is told, too, and what fails")
def quiet(opened):
    page = show(opened)
    page.press(page.test)
    page.tick(26)
    hints = page.panel.get_by_text("TCP and UDP are not the same")
    assert not hints.is_visible()
    page.tick(5)
    assert hints.is_visible() and "Nothing has arrived" in page.panel.get_by_role("status").inner_text()
    page.arrives(event("stage", 1, 100))
    page.tick(1)
    assert not hints.is_visible() and page.steps()[0][1] == "done"
    page.answers["knock_list"] = Refused(4)
    page.tick(1)
    assert "not running" in page.panel.get_by_role("status").inner_text()
    page = show(opened, answers={"knock_list": Refused(3), "spa_list": Refused(3)})
    assert page.text().count("does not know the request") == 2 and page.page.get_by_role("group", name="ssh").is_visible()


@case("a knock that goes while it is tested takes its questions with it")
def gone(opened):
    page = show(opened)
    page.press(page.test)
    page.answers.update({"knock_list": {"knocks": [], "recent": []}, "status": status(gates=[gate()])})
    page.tick(6)
    page.asked.clear()
    page.tick(3)
    assert page.calls("knock_list") == [] and page.page.evaluate("document.getElementById('view').contains(document.activeElement)")


@case("a lone knock is warned of until it is acknowledged, and again")
def acknowledged(opened):
    lone = [gate(witnesses=[], knocks=["door"])]
    warning = "A knock sequence is the only proof here"
    page = show(opened, gates=lone)
    assert page.page.get_by_text(warning).is_visible() and not page.button("Warn me again").is_visible()
    page.asked.clear()
    page.press(page.button("I know"))
    apply_ends(page)
    asked = [call for call in page.asked if call[0].startswith("uci.")]
    assert ["uci.set", "lanward", "ssh", {"knock_alone": "1"}] in asked and any(call[0] == "uci.apply" for call in asked), asked
    assert not page.page.get_by_text(warning).is_visible() and "the only proof here, and you know it" in page.text()
    page.asked.clear()
    page.press(page.button("Warn me again"))
    apply_ends(page)
    assert ["uci.delete", "lanward", "ssh", ["knock_alone"]] in page.asked and page.page.get_by_text(warning).is_visible()
    page.answers["uci.set"] = Refused(6)
    page.asked.clear()
    page.press(page.button("I know"))
    assert "cannot be saved" in page.text() and not [call for call in page.asked if call[0] == "uci.apply"]
    for more in ({}, {"spas": ["laptop"], "witnesses": []}):
        page = show(opened, gates=[gate(**{"knocks": ["door"], **more})])
        assert not page.page.get_by_text(warning).is_visible()


@case("keys are listed with what they did")
def keys(opened):
    broken = {**LAPTOP, "name": "old", "ready": False, "error": "cannot be read: not a file", "accepted": 0, "last_accept": 0}
    page = show(opened, spas=[LAPTOP, broken], uci={**UCI, "new": {".type": "spa", "gate": "ssh", "key_file": "/etc/lanward/new.key"}})
    cells = {name: [cell.inner_text() for cell in page.row(name).get_by_role("cell").all()] for name in ("laptop", "old", "new")}
    assert cells["laptop"][:6] == ["laptop", "ssh", "62201", "ready", "4", "2"] and "203.0.113.9, " in cells["laptop"][6] and "2023" in cells["laptop"][6]
    assert cells["old"][3] == "cannot be read: not a file" and cells["old"][6] == "never"
    assert "not in force" in cells["new"][3]
    page.answers["spa_list"] = Refused(7)
    page.tick()
    assert "does not answer" in page.text() and page.row("laptop").count() == 1, "what was known stays"
    page.answers["status"] = Refused(4)
    page.tick()
    assert page.button("Make a key").is_disabled() and page.button("Revoke laptop").is_disabled()


def fill(page, name="phone", **more):
    page.press(page.button("Make a key"))
    page.dialog.get_by_label("Name, such as").fill(name)
    for label, text in more.items():
        page.dialog.get_by_label(label).fill(text)
    return page.button("Make the key")


@case("a key is made, shown once, and gone with its dialog")
def makes(opened):
    page = show(opened, gates=[gate(services=["tcp:22", "tcp:2222>192.168.1.10:22"], spas=["laptop"]), gate(name="web")], answers={"spa_keygen": MADE})
    page.asked.clear()
    go = fill(page, **{"router's name": "home.example.net", "in seconds": "7200"})
    page.press(go)
    assert ["spa_keygen", "phone", "home.example.net", "tcp/22,tcp/2222"] in page.asked, page.asked
    section = {"gate": "ssh", "key_file": "/etc/lanward/phone.key", "seconds": "7200", "max_seconds": "7200"}
    assert ["uci.add", "lanward", "spa", "phone", section] in page.asked, page.asked
    assert not [call for call in page.asked if call[0] == "uci.apply"], "the key is shown first"
    dialog = page.dialog
    assert dialog.get_by_label("Lines for ~/.fwknoprc").input_value().split("\n") == LINES
    assert "shown once" in dialog.inner_text() and "fwknop -n phone" in dialog.inner_text() and "Fwknop2" in dialog.inner_text()
    assert "lanward spa HOST --access tcp/22,tcp/2222 --key-file" in dialog.inner_text()
    code = dialog.get_by_role("img", name="QR code of the key phone")
    assert code.get_attribute("viewBox") == "-4 -4 12 12" and code.bounding_box()["width"] > 100
    # Pixel for pixel: what is dark is where a row has its 1.
    dark = code.evaluate("""svg => { const [ light, dark ] = svg.children; const at = (x, y) => new DOMPoint(x + .5, y + .5);
        return [ ...Array(12).keys() ].map(y => [ ...Array(12).keys() ].map(x => +dark.isPointInFill(at(x - 4, y - 4))).join('')).concat(
            getComputedStyle(light).fill, getComputedStyle(dark).fill, String(light.isPointInFill(at(-4, -4)) && light.isPointInFill(at(7, 7)))) }""")
    empty = "0" * 12
    assert dark == [empty] * 4 + [f"0000{row}0000" for row in CODE] + [empty] * 4 + ["rgb(255, 255, 255)", "rgb(0, 0, 0)", "true"], dark
    assert page.focused(page.button("Copy"))
    page.press(page.button("Copy"))
    assert dialog.get_by_role("status").inner_text() in ("Copied.", "It is selected: copy it with Ctrl+C.")
    assert page.page.evaluate("(field => field.value.slice(field.selectionStart, field.selectionEnd))(document.activeElement)") == "\n".join(LINES)
    page.page.keyboard.press("Escape")
    assert dialog.is_visible(), "a key is not lost by a slip"
    page.asked.clear()
    page.press(page.button("I have it: save and apply"))
    markup = page.page.evaluate("document.documentElement.outerHTML")
    assert SECRET not in markup and page.page.locator("textarea, .lanward-code").count() == 0
    apply_ends(page)
    asked = [call[0] for call in page.asked]
    assert asked.index("uci.apply") < asked.index("uci.confirm"), asked


@case("what nobody needs is not written, and what is wrong is not asked for")
def asks(opened):
    page = show(opened, gates=[gate(spas=["laptop", "orphan"]), gate(name="web", services=["tcp:8080"])],
                spas=[LAPTOP, {**LAPTOP, "name": "orphan"}], answers={"spa_keygen": MADE})
    go = fill(page, "")
    page.asked.clear()
    name, seconds, host = [page.dialog.get_by_label(label) for label in ("Name, such as", "in seconds", "router's name")]
    for field, text, words in [
        (name, "", "small letters"), (name, "My-Phone", "small letters"), (name, "a" * 33, None), (name, "ssh", "taken"), (name, "laptop", "taken"),
        (name, "orphan", "taken"), (name, "lanward", "section of its own"), (seconds, "0", "from 1 to"), (seconds, "x", "from 1 to"), (host, "a b", "server"),
    ]:
        field.fill(text)
        if words is None:
            assert len(field.input_value()) == 32
            continue
        page.press(go)
        assert words in page.dialog.get_by_role("status").inner_text(), (text, page.dialog.inner_text())
        assert page.focused(field) and page.calls("spa_keygen") == []
        field.fill({name: "phone", seconds: "30", host: ""}[field])
    page.dialog.get_by_label("Gate").select_option("web")
    name.press("Enter")
    page.settle()
    assert ["spa_keygen", "phone", "tcp/8080"] in page.asked, page.asked
    assert ["uci.add", "lanward", "spa", "phone", {"gate": "web", "key_file": "/etc/lanward/phone.key"}] in page.asked, page.asked


@case("a key that cannot be made, and one whose section cannot be saved")
def fails(opened):
    page = show(opened, answers={"spa_keygen": {"error": "there is such a file"}})
    go = fill(page)
    page.asked.clear()
    page.press(go)
    assert "there is such a file" in page.dialog.inner_text() and not page.calls("uci.add")
    held = page.answers["spa_keygen"] = Held()
    page.press(go)
    page.press(go)
    assert len(page.calls("spa_keygen")) == 1, "one press is one call"
    page.answers["uci.add"] = Refused(6)
    held.release(MADE)
    page.settle()
    said = page.dialog.get_by_role("alert").inner_text()
    assert "cannot be saved" in said and "add a signed packet phone" in said and "/etc/lanward/phone.key" in said
    assert page.dialog.get_by_label("Lines for").input_value(), "what is made is shown all the same"
    page.press(page.button("Close"))
    assert page.focused(page.button("Make a key")) and SECRET not in page.page.evaluate("document.documentElement.outerHTML")
    assert not page.calls("uci.apply")
    for qr in (None, [], ["10", "1"], [1], ["1x", "00"], ["1" * 178] * 178):
        page = show(opened, answers={"spa_keygen": {**MADE, "qr": qr}})
        page.press(fill(page))
        assert page.dialog.locator("svg").count() == 0 and "Fwknop2" in page.dialog.inner_text()


@case("a key is revoked after a question")
def revokes(opened):
    page = show(opened, answers={"spa_revoke": {"ok": True}})
    page.asked.clear()
    page.press(page.button("Revoke laptop"))
    assert "Revoke the key laptop?" in page.dialog.inner_text() and page.focused(page.button("Cancel"))
    page.page.keyboard.press("Shift+Tab")
    assert page.focused(page.button("Revoke", exact=True)), "the keyboard stays in the dialog"
    page.page.keyboard.press("Escape")
    page.settle()
    assert not page.dialog.is_visible() and page.calls("spa_revoke") == [] and page.focused(page.button("Revoke laptop"))
    page.press(page.button("Revoke laptop"))
    page.answers["spa_list"] = {"spas": []}
    page.press(page.button("Revoke", exact=True))
    apply_ends(page)
    asked = [call for call in page.asked if call[0] in ("spa_revoke", "uci.delete", "uci.apply")]
    assert [call[0] for call in asked] == ["spa_revoke", "uci.delete", "uci.apply"] and asked[1][:3] == ["uci.delete", "lanward", "laptop"], asked
    assert page.row("laptop").count() == 0


@case("what is left to do is said where a step of revoking fails")
def revokes_half(opened):
    page = show(opened, answers={"spa_revoke": {"error": "its file lies elsewhere"}})
    page.press(page.button("Revoke laptop"))
    page.asked.clear()
    page.press(page.button("Revoke", exact=True))
    said = page.dialog.get_by_role("status").inner_text()
    assert "its file lies elsewhere" in said and "/etc/lanward/laptop.key" in said and page.calls("uci.delete") == []
    page.press(page.button("Remove its section"))
    apply_ends(page)
    assert [call[0] for call in page.asked if call[0] in ("spa_revoke", "uci.delete", "uci.apply")] == ["uci.delete", "uci.apply"]
    page = show(opened, answers={"spa_revoke": {"ok": True}, "uci.delete": Refused(6)})
    page.press(page.button("Revoke laptop"))
    page.press(page.button("Revoke", exact=True))
    said = page.dialog.get_by_role("status").inner_text()
    assert "The key is revoked." in said and "remove it in the settings" in said and page.calls("uci.apply") == []
    page.press(page.button("Cancel"))
    assert page.row("laptop").count() == 1


@case("a session that reads sees all of it and has no buttons")
def reads(opened):
    page = show(opened, gates=[gate(witnesses=[], knocks=["door"]), gate(name="web", spas=["laptop"])], write=False)
    assert page.row("laptop").count() == 1 and "tcp:7000 udp:8000" in page.text() and "the only proof here" in page.text()
    for name in ("Make a key", "Revoke laptop", "I know", "Warn me again"):
        assert page.button(name).count() == 0 or not page.button(name).is_visible(), name
    page.press(page.test)
    page.arrives(event("stage", 1, 10))
    page.tick(1)
    assert page.steps()[0][1] == "done", "to watch changes nothing"
    page.asked.clear()
    page.page.evaluate("document.querySelectorAll('#view button').forEach(button => button.dispatchEvent(new Event('click')))")
    page.settle()
    assert not [call for call in page.asked if call[0] not in ("status", "knock_list", "spa_list")] and not page.dialog.is_visible(), page.asked


@case("hostile names and errors stay text, and other shapes break nothing")
def hostile(opened):
    knock, spa = {**DOOR, "name": EVIL, "gate": EVIL}, {**LAPTOP, "name": EVIL, "gate": EVIL, "ready": False, "error": EVIL, "last_address": EVIL}
    page = show(opened, gates=[gate(name=EVIL, witnesses=[], knocks=[EVIL]), gate(name="x", spas=[EVIL])], knocks=[knock], spas=[spa], uci={
        EVIL: {".type": "knock", "gate": EVIL, "open": [EVIL]}}, answers={
            "spa_revoke": {"error": EVIL}, "spa_keygen": {"stanza": f"{EVIL}\n</textarea>{EVIL}", "key_file": EVIL, "qr": CODE}, "uci.add": Refused(6)})
    page.press(page.test)
    page.arrives(event("stage", 1, 10, EVIL, knock=EVIL), event("wrong", 1, 5, EVIL + "2", knock=EVIL))
    page.tick(1)
    page.press(page.page.get_by_role("button", name="Revoke"))
    page.press(page.button("Revoke", exact=True))
    assert EVIL in page.dialog.inner_text()
    page.press(page.button("Cancel"))
    page.press(fill(page))
    assert EVIL in page.dialog.inner_text() and EVIL in page.dialog.get_by_label("Lines for").input_value()
    assert page.page.evaluate("window.broken") is None and page.page.locator("body img").count() == 0
    for answers in (
        {"knock_list": {}, "spa_list": {}}, {"knock_list": {"knocks": "x", "recent": 4}, "spa_list": {"spas": "x"}},
        {"knock_list": {"knocks": [{}, None, {"name": 4}], "recent": [{}, None]}, "spa_list": {"spas": [{}, None, {"name": 4, "last_accept": "x"}]}},
        {"knock_list": {"knocks": [DOOR], "recent": [None, {"knock": "door"}, event("stage", 99, 1, of=10**9), event("x", "y", 1, of="z")]}, "spa_list": {"spas": []}},
    ):
        page = show(opened, answers=answers)
        if page.test.count() == 1:
            page.press(page.test)
        page.tick(6)


@case("the same answer again changes nothing")
def same(opened):
    page = show(opened)
    page.tick()
    changed = page.changes(lambda: page.tick(20))
    assert changed == [], changed


@case("axe, 360 pixels, both themes and both languages")
def manners(opened):
    for scheme, language, more in [("light", "en", {}), ("dark", "en", PHONE), ("dark", "ja", PHONE)][:2 if SOURCE else 3]:
        page = show(opened, gates=[gate(witnesses=[], knocks=["door"]), gate(name="web", spas=["laptop"])], answers={"spa_keygen": {
            **MADE, "stanza": f"[phone]\nHMAC_KEY_BASE64 {SECRET * 6}\n"}}, language=language, color_scheme=scheme, **more)
        lines = page.page.locator(".lanward-stanza")

        def narrow(place="document.documentElement", page=page):
            wide = page.page.evaluate(f"[ {place}.scrollWidth, window.innerWidth ]")
            assert wide[0] <= wide[1], (scheme, language, place, wide)

        def whole(place, page=page, language=language):
            texts = page.page.locator(place).locator("p, li, td, th, h3, h4, h5, label, button, .alert-message, [role=status]").all_inner_texts()
            left = [text for text in texts if re.search(r"[a-z]{3,} [a-z]{2,} [a-z]{2,}", text) and not re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", text)]
            assert language == "en" or not left, left

        page.press(page.page.locator("button[aria-expanded]"))
        page.tick(31)
        whole("#view")
        narrow()
        page.arrives(event("stage", 1, 10))
        page.tick(1)
        whole("#view")
        narrow()
        page.press(page.page.locator("button.cbi-button-remove[aria-haspopup]"))
        whole(".modal")
        narrow()
        page.page.keyboard.press("Escape")
        page.press(page.page.locator("button.cbi-button-add[aria-haspopup]"))
        whole(".modal")
        narrow()
        page.page.locator("#lanward-key-name").fill("phone")
        page.press(page.page.locator(".modal .cbi-button-positive"))
        assert lines.is_visible()
        whole(".modal")
        narrow()
        narrow("document.querySelector('.modal')")
        axe(page, ".modal")
        page.press(page.page.locator(".modal .cbi-button-apply"))
        page.page.reload()
        page.page.locator("#view > :not(.spinning, script)").first.wait_for(state="attached")
        page.page.locator("button[aria-expanded]").click()
        page.page.locator(".lanward-panel").wait_for(state="visible")
        axe(page)
