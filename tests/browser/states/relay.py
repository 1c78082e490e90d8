"""The tab Relay, and the overview's line about what is reachable from outside."""

import base64
import contextlib
import pathlib
import re

from axe_playwright_python.sync_playwright import Axe
from canned import SOURCE, START, Held, Refused, case
from overview import status
from playwright.sync_api import Error

EVIL = "<img src=x onerror=window.broken=1>%s%d"
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}


def public_key(kind, *parts):
    """A public key's line: RFC 4253, 6.6. Of numbers that nobody has the other half of."""
    strings = [kind.encode(), *parts]
    blob = b"".join(len(string).to_bytes(4, "big") + string for string in strings)
    return f"{kind} {base64.b64encode(blob).decode()}"


KEY, OTHER = public_key("ssh-ed25519", bytes(range(32))), public_key("ssh-rsa", b"\1\0\1", b"\0" + bytes(range(128, 256)) * 2)
PRINT, OTHER_PRINT = "SHA256:" + "a1" * 21 + "b", "SHA256:" + "c2" * 21 + "d"
UCI = {"office": {".type": "relay", "enabled": "1", "host": "relay.example.net", "remote_port": "3389", "target": "192.168.1.20:3389"}}
OFFICE = {
    "name": "office", "state": "up", "since": START - 3600, "last_check": START - 20, "latency_ms": 45, "enabled": True, "host": "relay.example.net",
    "port": 22, "user": "relay", "remote_port": 3389, "target": "192.168.1.20:3389", "client": "Dropbear 2022.83", "script": True, "host_key": KEY,
    "fingerprint": PRINT, "key_file": "/etc/lanward/relay_ed25519", "public_key": "ssh-ed25519 AAAAC3Router lanward", "starts": 1,
}
# As it is before anything was done.
FRESH = {key: value for key, value in OFFICE.items() if key not in (
    "last_check", "latency_ms", "client", "script", "host_key", "fingerprint", "public_key")} | {
        "state": "failed", "key_error": "/etc/lanward/relay_ed25519: there is no such file: 'lanward relay keygen NAME' makes one"}
NOT_CONFIRMED = f"the relay's host key is not confirmed yet: {OTHER} ({OTHER_PRINT}); compare it with the one on the relay, and set it as host_key"
ALARM = "ALARM: the relay shows another host key than the pinned one: somebody may be in between, or it was installed anew. Nothing is sent to it until that is settled"
MUTE = "the target 192.168.1.20:3389 is down: it accepts connections and says nothing"
FIRST = {**{key: value for key, value in FRESH.items() if key != "key_error"}, "error": NOT_CONFIRMED, "public_key": OFFICE["public_key"], "offered_key": OTHER, "offered_fingerprint": OTHER_PRINT}
CHANGED = {**OFFICE, "state": "failed", "error": ALARM, "offered_key": OTHER, "offered_fingerprint": OTHER_PRINT}
FILES = {
    "script": "#!/bin/sh\n# lanward-relay\nexit 0\n", "authorized_keys": 'restrict,permitlisten="3389" ssh-ed25519 AAAAC3Router',
    "authorized_keys_dropbear": "no-pty ssh-ed25519 AAAAC3Router",
    "authorized_keys_client": 'restrict,permitopen="127.0.0.1:3389" ssh-ed25519 (the client)', "server_settings": "ClientAliveInterval 15\nClientAliveCountMax 3",
    "command": "ssh -N -L 3390:127.0.0.1:3389 relay@relay.example.net", "ssh_config": "Host office\n  HostName relay.example.net\n",
    "rdp": "full address:s:127.0.0.1:3390\nprompt for credentials:i:1\n",
}


def show(opened, *relays, problems=(), **options):
    answers = {"status": status(problems=list(problems)), "relay_list": {"relays": list(relays)}, "relay_files": FILES, **options.pop("answers", {})}
    page = opened("relay", answers, **{"uci": UCI, **options})
    page.one = lambda name="office": page.page.get_by_role("group", name=re.compile(f"^{name}"))
    page.dialog = page.page.get_by_role("dialog")
    page.fact = lambda label, name="office": page.one(name).get_by_role("row").filter(has_text=re.compile(f"^{label}")).filter(visible=True)
    page.alarm = page.page.get_by_role("alert").filter(has_text="another host key")
    page.summary = page.page.get_by_text("What the relay and the clients need")
    page.lines = lambda label: page.one().get_by_role("textbox", name=label, exact=True)
    page.say = lambda *now: page.answers.update({"relay_list": {"relays": list(now)}})
    return page


def apply_ends(page):
    """LuCI applies, confirms, and loads the page anew."""
    with contextlib.suppress(Error):
        page.tick(10)
    page.page.locator("#view > :not(.spinning, script)").first.wait_for(state="attached")


@case("each state has its words, with since, error, check and latency")
def words(opened):
    for state, badge, meaning in [
        ("idle", "not enabled", "nothing leads in by it"), ("starting", "connecting", "logs in to the relay"), ("up", "up", "gets as far as the target"),
        ("backoff", "down, to be tried again", "tried again by itself"), ("failed", "stopped", "time alone does not mend"),
    ]:
        page = show(opened, {**OFFICE, "state": state, "error": "" if state == "up" else "the line is cut"})
        assert page.one().locator(".lanward-badge").inner_text().lower() == badge
        assert meaning in page.one().inner_text()
        way = page.fact("Reachable from outside").inner_text()
        assert "relay.example.net:3389 -> 192.168.1.20:3389" in way and ("not now" in way) == (state != "up"), way
        assert page.fact("Last error").count() == (state != "up") and "2023" in page.fact("Since").inner_text()
        assert "45 ms" in page.fact("Last check").inner_text() and PRINT in page.fact("Host key").inner_text()
        assert "Dropbear 2022.83" in page.one().inner_text() and not page.alarm.is_visible()
        assert page.button("Test it now").is_disabled() == (state == "idle") == page.button("Start it over").is_disabled()
    page = show(opened, {**OFFICE, "host": "2001:db8::1", "target": "[2001:db8::20]:3389", "script": False, "starts": 7, "latency_ms": None})
    text = page.one().inner_text()
    assert "[2001:db8::1]:3389 -> [2001:db8::20]:3389" in text and "can hold the port" in text and "Sessions so far\t7" in text and " ms" not in text


@case("without a relay it says what one is for, and what it opens")
def empty(opened):
    page = show(opened, uci={})
    text = page.text()
    assert "There is no relay yet" in text and "a way in from outside" in text and "own SSH login" in text
    assert page.page.get_by_role("link", name="Add a relay in the settings").get_attribute("href").endswith("lanward/settings")
    page = show(opened, OFFICE)
    assert not page.page.get_by_text("There is no relay yet").is_visible() and "a way in from outside" in page.text()


@case("what is saved and not in force, and what is wrong with it")
def wrong(opened):
    problem = {"option": "lanward.office.target", "message": "'pc' is not a target, HOST:PORT (such as 192.168.1.20:3389)"}
    page = show(opened, problems=[problem, {"option": "lanward.ssh.window", "message": "of a gate"}])
    text = page.one().inner_text()
    assert "not in force" in text.lower() and "is not a target" in text and "of a gate" not in text and "Last check" not in text
    assert page.button("Test it now").is_disabled() and not page.summary.is_visible() and not page.button("Make the router's key").is_visible()
    page.say(OFFICE)
    page.answers["status"] = status()
    page.tick()
    assert "is not a target" not in page.text() and not page.button("Test it now").is_disabled()


@case("a first host key is compared and confirmed")
def first(opened):
    page = show(opened, FIRST)
    text = page.one().inner_text()
    assert "for the first time" in text and OTHER_PRINT in text and "Confirmed:" not in text and not page.alarm.is_visible()
    assert "ssh-keygen -lf /etc/ssh/ssh_host_rsa_key.pub" in text and "dropbearkey -y -f /etc/dropbear/dropbear_rsa_host_key" in text
    assert "not confirmed yet" in page.fact("Host key").inner_text() and NOT_CONFIRMED in text
    page.press(page.button("Confirm this key"))
    assert OTHER_PRINT in page.dialog.inner_text() and page.focused(page.button("Cancel"))
    page.page.keyboard.press("Escape")
    page.settle()
    assert not page.dialog.is_visible() and page.focused(page.button("Confirm this key"))
    page.press(page.button("Confirm this key"))
    # Another one is shown meanwhile: what was read is what is confirmed.
    page.say({**FIRST, "offered_key": KEY, "offered_fingerprint": PRINT})
    page.tick()
    assert OTHER_PRINT in page.dialog.inner_text()
    page.asked.clear()
    page.press(page.button("It is the same: save and apply"))
    apply_ends(page)
    assert ["uci.set", "lanward", "office", {"host_key": OTHER}] in page.asked and any(call[0] == "uci.apply" for call in page.asked), page.asked
    for key, name in [("ssh-ed25519 AAAA", "ed25519"), ("ecdsa-sha2-nistp256 AAAA", "ecdsa"), ("ssh-x AAAA", "ed25519")]:
        page = show(opened, {**FIRST, "offered_key": key})
        assert f"ssh_host_{name}_key.pub" in page.one().inner_text()


@case("a changed host key is an alarm, and not confirmed by a slip")
def changed(opened):
    page = show(opened, CHANGED)
    text = page.alarm.inner_text()
    assert PRINT in text and OTHER_PRINT in text and "Either it was set up anew" in text and "ssh_host_rsa_key.pub" in text
    page.press(page.button("Confirm this key"))
    assert "Replace the host key of office?" in page.dialog.inner_text() and "why the key has changed" in page.dialog.inner_text()
    page.answers["uci.set"] = Refused(6)
    page.asked.clear()
    page.press(page.button("It is the same: save and apply"))
    assert "cannot be saved" in page.dialog.get_by_role("status").inner_text() and not page.calls("uci.apply")
    page.press(page.button("Cancel"))
    page.say(OFFICE)
    page.tick()
    assert page.alarm.count() == 0 or not page.alarm.is_visible()
    assert page.page.evaluate("document.getElementById('view').contains(document.activeElement)"), "the focus stays in the page"
    page = show(opened, {**CHANGED, "offered_key": "nonsense"})
    page.press(page.button("Confirm this key"))
    page.asked.clear()
    page.press(page.button("It is the same: save and apply"))
    assert "known_hosts" in page.dialog.get_by_role("status").inner_text() and not page.calls("uci.set")


@case("a test and a new start say what came of them")
def buttons(opened):
    page = show(opened, OFFICE, answers={"relay_check": {"ok": True, "latency_ms": 61}, "relay_restart": {"ok": True}})
    said = page.one().locator(".lanward-said").first
    page.asked.clear()
    held, page.answers["relay_check"] = page.answers["relay_check"], Held()
    page.press(page.button("Test it now"))
    page.press(page.button("Test it now"))
    page.answers["relay_check"].release(held)
    page.settle()
    assert page.calls("relay_check") == [["relay_check", "office"]] and "61 ms" in said.inner_text()
    page.answers["relay_check"] = {"ok": False, "error": "the target says nothing"}
    page.press(page.button("Test it now"))
    assert said.inner_text() == "the target says nothing" and "lanward-wrong" in said.get_attribute("class")
    page.asked.clear()
    page.press(page.button("Start it over"))
    assert page.asked[0] == ["relay_restart", "office"] and "It starts over" in said.inner_text()
    page.answers["relay_restart"] = Refused(4)
    page.press(page.button("Start it over"))
    assert "no such relay any more" in said.inner_text()


@case("a key is made, and its lines are there to be copied")
def key(opened):
    page = show(opened, FRESH, answers={"relay_keygen": {"key_file": "/etc/lanward/relay_ed25519", "public_key": OFFICE["public_key"], "made": True}})
    assert page.calls("relay_files") == [], "nobody asks for what is not seen"
    page.press(page.summary)
    assert "has no key for it yet" in page.text() and "'lanward relay keygen NAME' makes one" in page.fact("Router's key").inner_text() and not page.lines("The router's public key").is_visible()
    page.press(page.summary)
    page.say(FIRST)
    page.asked.clear()
    page.press(page.button("Make the router's key"))
    page.settle()
    assert ["relay_keygen", "office"] in page.asked and ["relay_files", "office"] in page.asked, page.asked
    assert "The key is made" in page.text() and not page.button("Make the router's key").is_visible()
    assert page.lines("The router's public key").input_value() == OFFICE["public_key"]
    assert page.page.evaluate("document.getElementById('view').contains(document.activeElement)")
    page = show(opened, FRESH, answers={"relay_keygen": {"error": "there is no program for it"}})
    page.press(page.button("Make the router's key"))
    assert "there is no program for it" in page.text() and page.button("Make the router's key").is_visible()


@case("lines and files for the relay and the clients")
def files(opened):
    page = show(opened, OFFICE)
    page.press(page.summary)
    for label, name in [
        ("The script", "script"), ("Line for authorized_keys, OpenSSH", "authorized_keys"), ("Settings of the SSH server", "server_settings"),
        ("Line for authorized_keys, dropbear", "authorized_keys_dropbear"), ("Line for authorized_keys, for a client's key", "authorized_keys_client"), ("The command", "command"), ("Block for ~/.ssh/config", "ssh_config"),
        ("File for Remote Desktop", "rdp"),
    ]:
        assert page.lines(label).input_value() == FILES[name], label
    page.press(page.button("Copy: The command"))
    assert page.page.evaluate("(field => field.value.slice(field.selectionStart, field.selectionEnd))(document.activeElement)") == FILES["command"]
    for label, file, content in [
        ("The script", "lanward-relay", FILES["script"]), ("The command", "office.sh", FILES["command"]), ("Block for ~/.ssh/config", "office.conf", FILES["ssh_config"]),
        ("File for Remote Desktop", "office.rdp", FILES["rdp"].replace("\n", "\r\n")),
    ]:
        with page.page.expect_download() as waiting:
            page.press(page.button(f"Download: {label}"))
        assert waiting.value.suggested_filename == file
        assert pathlib.Path(waiting.value.path()).read_bytes().decode() == content
    page.asked.clear()
    page.tick(10)
    assert page.calls("relay_files") == [], "once is enough"
    page.answers["relay_files"] = {**{name: text for name, text in FILES.items() if name != "rdp"}, "command": "ssh elsewhere"}
    page.say({**OFFICE, "host": "other.example.net", "target": "192.168.1.20:22"})
    page.tick()
    assert page.lines("The command").input_value() == "ssh elsewhere" and not page.button("Download: File for Remote Desktop").is_visible()
    page = show(opened, OFFICE, answers={"relay_files": Refused(4)})
    page.press(page.summary)
    assert "no such relay any more" in page.text()


@case("without the daemon it says so, keeps what was known, and comes back")
def down(opened):
    page = show(opened, OFFICE, answers={"status": Refused(-32000), "relay_list": Refused(-32000)})
    assert "The daemon is not running" in page.text() and "no relay leads in" in page.text() and "There is no relay yet" not in page.text()
    page.answers.update({"status": status(), "relay_list": {"relays": [OFFICE]}})
    page.tick()
    assert page.one().is_visible() and page.page.get_by_role("alert").filter(visible=True).count() == 0
    page.answers["relay_list"] = Refused(7)
    page.tick()
    assert page.one().is_visible() and "what was known last" in page.text() and page.button("Test it now").is_disabled()
    page.answers["relay_list"] = {"relays": [OFFICE]}
    page.tick()
    assert not page.button("Test it now").is_disabled()


@case("a session that reads sees all of it and has no way to change it")
def reads(opened):
    page = show(opened, CHANGED, {**FRESH, "name": "other"}, write=False)
    assert page.alarm.is_visible() and page.page.get_by_text("This session may look").is_visible()
    for name in ("Confirm this key", "Make the router's key"):
        assert page.button(name).filter(visible=True).count() == 0, name
    for name in ("Test it now", "Start it over"):
        assert all(button.is_disabled() for button in page.button(name).all()), name
    page.press(page.summary.first)
    assert page.lines("The command").input_value() == FILES["command"], "to look changes nothing"
    page.asked.clear()
    page.page.evaluate("document.querySelectorAll('#view button').forEach(button => button.dispatchEvent(new Event('click')))")
    page.settle()
    assert not [call for call in page.asked if call[0] not in ("status", "relay_list", "relay_files")] and not page.dialog.is_visible(), page.asked


@case("hostile names and texts stay text, and other shapes break nothing")
def hostile(opened):
    evil = {key: EVIL if isinstance(value, str) else value for key, value in CHANGED.items()} | {"state": "failed", "public_key": EVIL, "offered_key": EVIL}
    page = show(opened, evil, {**evil, "name": "office", "state": EVIL}, answers={
        "relay_files": {name: f"</textarea>{EVIL}" for name in FILES}, "relay_check": {"error": EVIL}}, problems=[{"option": f"lanward.{EVIL}.x", "message": EVIL}])
    page.press(page.summary.first)
    page.press(page.summary.last)
    page.press(page.button("Test it now").first)
    page.press(page.button("Confirm this key").first)
    assert EVIL in page.dialog.inner_text()
    page.press(page.button("It is the same: save and apply"))
    page.press(page.button("Cancel"))
    assert page.page.evaluate("window.broken") is None and page.page.locator("body img").count() == 0 and EVIL in page.text()
    for reply in ({}, {"relays": "x"}, {"relays": [{}, None, 4, {"name": 4, "since": "x", "state": 7}, {"name": "a", "last_check": "x", "latency_ms": "y", "host": 5}]}):
        page = show(opened, answers={"relay_list": reply, "relay_files": {"script": 4, "rdp": None}})
        page.tick(6)


@case("a relay that goes takes its part along, and the focus stays in the page")
def goes(opened):
    page = show(opened, OFFICE, {**OFFICE, "name": "second"})
    page.one("second").get_by_role("button", name="Test it now").focus()
    page.say(OFFICE)
    page.tick()
    assert page.one("second").count() == 0 and page.page.evaluate("document.getElementById('view').contains(document.activeElement)")


@case("the same answer again changes nothing")
def same(opened):
    for relay in (OFFICE, FIRST, CHANGED):
        page = show(opened, relay)
        page.press(page.summary)
        page.tick()
        changed = page.changes(lambda page=page: page.tick(10))
        assert changed == [], changed


@case("the overview says in a line what is reachable from outside")
def overview(opened):
    short = [{"name": one, "state": state, "since": START, "error": ""} for one, state in (("office", "up"), ("spare", "backoff"))]
    long = [OFFICE, {**OFFICE, "name": "spare", "state": "backoff", "error": "the line is cut"}]
    page = opened("overview", {"status": status(relays=short), "relay_list": {"relays": long}})
    lines = [line.inner_text() for line in page.page.get_by_role("listitem").filter(has_text=re.compile("^(office|spare)")).all()]
    assert lines == ["office: reachable from outside: relay.example.net:3389 -> 192.168.1.20:3389", "spare: down, to be tried again: the line is cut"], lines
    assert page.page.locator("#view").get_by_role("link", name="Relay", exact=True).is_visible()
    page.answers["relay_list"] = Refused(7)
    page.tick()
    assert "office: up" in page.text()
    page = opened("overview", {"status": status()})
    assert page.calls("relay_list") == [] and not page.page.get_by_role("heading", name="Relays").is_visible()


@case("axe, 360 pixels, both themes and both languages")
def manners(opened):
    for scheme, language, more in [("light", "en", {}), ("dark", "en", PHONE), ("dark", "ja", PHONE)][:2 if SOURCE else 3]:
        for relays in ([], [CHANGED, {**FIRST, "name": "second"}, {**FRESH, "name": "third", "error": MUTE}]):
            page = show(opened, *relays, language=language, color_scheme=scheme, uci={} if not relays else UCI, **more)
            for relay in page.page.locator("#view summary").all():
                page.press(relay)
            for text in page.page.locator("#view").locator("p, li, td, th, h3, h4, h5, label, button, summary").all_inner_texts():
                english = re.search(r"[a-z]{3,} [a-z]{2,} [a-z]{2,}", text) and not re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", text)
                assert language == "en" or not english, text
            wide = page.page.evaluate("[ document.documentElement.scrollWidth, window.innerWidth ]")
            assert wide[0] <= wide[1], (scheme, language, wide)
            if relays:
                page.press(page.page.locator(".alert-message .btn").first)
                assert page.page.evaluate("document.querySelector('.modal').scrollWidth <= window.innerWidth")
                page.page.keyboard.press("Escape")
                page.settle()
            page.page.clock.resume()
            found = Axe().run(page.page, context="#view").response["violations"]
            assert not found, [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]
