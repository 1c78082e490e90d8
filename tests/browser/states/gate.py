"""The SSH gate."""

from canned import Held, Refused, case
from overview import gate, status

ENTRIES = [
    {"gate": "ssh", "address": "203.0.113.9", "expires": 59, "why": ["witness"]},
    {"gate": "ssh", "address": "2001:db8::7", "expires": None, "why": ["witness", "hand"]},
    {"gate": "other", "address": "192.0.2.1", "expires": 1},
]


def show(opened, gates, entries=(), **options):
    answers = {"status": status(gates=gates), "gate_list": {"entries": list(entries)}, **options.pop("answers", {})}
    page = opened("gate", answers, **options)
    page.one = lambda name: page.page.get_by_role("group", name=name)
    page.rows = lambda name: [
        row.inner_text().split("\t")[0].strip() for row in page.one(name).locator("table.lanward-entries tr").all()[1:]]
    return page


@case("what a gate is, in words")
def words(opened):
    page = show(opened, [
        gate(entries=2, admitted=3, refused=4), gate(name="shut", shut=True), gate(name="off", enabled=False),
        gate(name="knock", witnesses=[], knocks=["k"], services=["tcp:2222>192.168.1.10:22", "tcp:22>[2001:db8::10]:22"]), gate(name="none", witnesses=[]),
    ], ENTRIES)
    texts = {name: page.one(name).inner_text() for name in ("ssh", "shut", "off", "knock", "none")}
    assert "TCP port 22 of this router" in texts["ssh"] and "witness imaps" in texts["ssh"] and "3 times" in texts["ssh"] and "4 packets" in texts["ssh"]
    assert "2, with room for 4096" in texts["ssh"]
    assert "nobody gets in" in texts["shut"] and "not enabled" in texts["off"].lower()
    assert "TCP port 2222, forwarded to 192.168.1.10, port 22; TCP port 22 of the LAN host 2001:db8::10, over IPv6" in texts["knock"]
    warning = "A knock sequence is the only proof here"
    assert [name for name in texts if warning in texts[name]] == ["knock"]
    assert [name for name in texts if "but your own hand" in texts[name]] == ["none"]
    assert "knock k" in texts["knock"] and "not in this version" not in page.text()
    assert page.one("shut").get_by_role("button", name="Admit", exact=True).is_disabled()
    assert not page.one("off").get_by_role("button", name="Admit", exact=True).is_visible()


@case("what the daemon warns of is said here, too")
def warned(opened):
    page = opened("gate", {"status": status(gates=[gate()], warnings=["the firewall lets in <img src=x onerror=alert(1)>"])})
    assert page.page.get_by_role("listitem").filter(has_text="lets in <img src=x").count() == 1
    page = opened("gate", {"status": status(gates=[gate()])})
    assert not page.page.get_by_role("heading", name="Warnings").is_visible()


@case("it lists with reason and remaining time, which counts down")
def lists(opened):
    page = show(opened, [gate(entries=2)], ENTRIES)
    text = page.one("ssh").inner_text()
    assert page.rows("ssh") == ["203.0.113.9", "2001:db8::7"], page.rows("ssh")
    assert "59 s" in text and "until removed" in text and "witness, by hand" in text and "192.0.2.1" not in text
    page.tick(3)
    assert "56 s" in page.one("ssh").inner_text()


@case("it admits what is typed, and says what came of it")
def admits(opened):
    page = show(opened, [gate(entries=2)], ENTRIES, answers={"gate_admit": {"ok": True, "address": "198.51.100.4", "seconds": 600}})
    ssh = page.one("ssh")
    field, admit = ssh.get_by_label("Admit an address"), ssh.get_by_role("button", name="Admit", exact=True)
    page.asked.clear()
    page.press(admit)
    assert page.calls("gate_admit") == [] and page.focused(field), "nothing was typed"
    field.fill(" 198.51.100.4 ")
    field.press("Enter")
    page.settle()
    assert page.page.get_by_text("198.51.100.4 is listed for 600 seconds.").is_visible() and field.input_value() == ""
    ssh.get_by_label("For how long").select_option("600")
    field.fill("2001:db8::9")
    page.press(admit)
    assert page.calls("gate_admit") == [["gate_admit", "ssh", "198.51.100.4"], ["gate_admit", "ssh", "2001:db8::9", 600]]
    page.answers["gate_admit"] = {"ok": False, "error": "the list is full"}
    field.fill("192.0.2.9")
    page.press(admit)
    assert "the list is full" in ssh.inner_text() and field.input_value() == "192.0.2.9", "what was refused can be mended"
    held = page.answers["gate_admit"] = Held()
    page.asked.clear()
    page.press(admit)
    page.press(admit)
    assert len(page.calls("gate_admit")) == 1, "one press is one call"
    held.release({"ok": True})
    page.settle()


@case("my address is offered where admitting it changes anything")
def mine(opened):
    for address, words, offered in [
        ("203.0.113.77", "You are here from 203.0.113.77.", True), ("::ffff:203.0.113.77", "You are here from 203.0.113.77.", True),
        ("192.168.1.5", "not an address of the internet", False), ("127.0.0.1", "through this router itself", False),
        ("2001:db8::1:20", "a host that this router knows", False), (None, "could not be found out", False),
    ]:
        page = show(opened, [gate(), gate(name="off", enabled=False)], address=address, answers={
            "gate_admit": {"ok": True, "address": "203.0.113.77", "seconds": 60},
            "luci-rpc.getHostHints": {"AA:BB:CC:00:00:01": {"name": "laptop", "ip6addrs": ["2001:db8::1:20"]}}})
        button = page.one("ssh").get_by_role("button", name="Admit my address")
        assert words in page.text(), page.text()
        assert button.is_visible() == offered, address
        if offered:
            off = page.one("off").get_by_role("button", name="Admit my address")
            assert off.count() == 0 or not off.is_visible() or off.is_disabled()
            page.press(button)
            assert page.calls("gate_admit") == [["gate_admit", "ssh", "203.0.113.77"]]


@case("it removes one, and the focus stays in the page")
def removes(opened):
    page = show(opened, [gate(entries=2)], ENTRIES, answers={"gate_remove": {"ok": True}})
    page.answers["gate_list"] = {"entries": ENTRIES[1:]}
    page.press(page.one("ssh").get_by_role("button", name="Remove 203.0.113.9"))
    assert page.calls("gate_remove") == [["gate_remove", "ssh", "203.0.113.9"]]
    assert page.rows("ssh") == ["2001:db8::7"]
    assert page.focused(page.one("ssh").get_by_role("button", name="Remove 2001:db8::7")), "the neighbour has the focus"
    page.answers.update({"gate_list": {"entries": []}, "status": status(gates=[gate()])})
    page.page.keyboard.press("Enter")
    page.settle()
    assert page.rows("ssh") == [] and page.focused(page.one("ssh").get_by_label("Admit an address"))


@case("it asks before it removes all, and the focus comes back")
def flushes(opened):
    page = show(opened, [gate(entries=2)], ENTRIES, answers={"gate_flush": {"ok": True, "removed": 2}})
    flush, dialog = page.one("ssh").get_by_role("button", name="Remove all", exact=True), page.page.get_by_role("dialog")
    page.press(flush)
    assert dialog.is_visible() and page.focused(dialog.get_by_role("button", name="Cancel"))
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Tab")
    assert page.focused(dialog.get_by_role("button", name="Cancel")), "the keyboard stays in the dialog"
    page.page.keyboard.press("Escape")
    page.settle()
    assert not dialog.is_visible() and page.focused(flush) and page.calls("gate_flush") == []
    page.press(flush)
    page.press(dialog.get_by_role("button", name="Remove all"))
    assert not dialog.is_visible() and page.focused(flush)
    assert page.calls("gate_flush") == [["gate_flush", "ssh"]] and "2 addresses removed" in page.one("ssh").inner_text()


@case("gates come, go and change places without the others being rebuilt")
def come_and_go(opened):
    page = show(opened, [gate(entries=2), gate(name="other")], ENTRIES)
    field = page.one("ssh").get_by_label("Admit an address")
    field.fill("192.0.2.9")
    page.answers["status"] = status(gates=[gate(name="new"), gate()])
    page.answers["gate_list"] = {"entries": []}
    page.tick()
    assert page.page.get_by_role("heading", level=3).all_inner_texts()[0].startswith("new")
    assert field.input_value() == "192.0.2.9" and page.focused(field)
    page.answers["status"] = status(gates=[])
    page.tick()
    assert "there no more" in page.one("ssh").inner_text().lower() and page.focused(field), "whoever is at it keeps it"
    field.evaluate("node => node.blur()")
    page.tick()
    assert page.one("ssh").count() == 0 and "There is no gate yet" in page.text()


@case("a full list does not flood the page, and is not asked for at every turn")
def full(opened):
    entries = [{"gate": "ssh", "address": f"10.0.{at >> 8}.{at & 255}", "expires": 600} for at in range(4096)]
    page = show(opened, [gate(entries=4096, overflow=1)], entries)
    assert len(page.rows("ssh")) == 200 and "3896" in page.one("ssh").inner_text()
    page.page.get_by_label("Show addresses with").fill("10.0.15.25")
    page.settle()
    assert page.rows("ssh") == ["10.0.15.25"] + [f"10.0.15.25{last}" for last in range(6)], page.rows("ssh")
    page.asked.clear()
    page.tick(60)
    asked = [call[0] for call in page.asked]
    assert asked.count("status") == 12 and 1 <= asked.count("gate_list") <= 3, asked


@case("what one answer has no room for is counted")
def cut_off(opened):
    entries = [{"gate": "ssh", "address": f"10.0.{at >> 8}.{at & 255}", "expires": 600} for at in range(4096)]
    page = show(opened, [gate(entries=5000, size=8192), gate(name="other", entries=7)], answers={"gate_list": {"entries": entries, "more": True}})
    assert "And 4800 more that are not shown" in page.one("ssh").inner_text()
    assert "And 7 more that are not shown" in page.one("other").inner_text() and "No address is listed" not in page.text()


@case("a list that cannot be had is no empty list")
def unlisted(opened):
    page = show(opened, [gate(entries=2)], answers={"gate_list": Refused(7)})
    assert "does not answer" in page.one("ssh").inner_text() and "No address is listed" not in page.text()


@case("without the daemon the page appears, says so, and comes back")
def down(opened):
    page = show(opened, [], answers={"status": Refused(-32000)})
    alert = page.page.get_by_role("alert")
    assert "not running" in alert.inner_text() and page.page.get_by_text("There is no gate yet").filter(visible=True).count() == 0
    page.answers["status"] = status(gates=[gate(entries=2)])
    page.answers["gate_list"] = {"entries": ENTRIES}
    page.tick()
    assert page.rows("ssh") and not alert.is_visible()
    page.answers["status"] = Refused(4)
    page.tick()
    buttons = [button for button in page.one("ssh").get_by_role("button").all() if button.is_visible() and button.is_enabled()]
    assert alert.is_visible() and page.rows("ssh") and not buttons, [button.inner_text() for button in buttons]


@case("a session that reads sees everything and changes nothing")
def reads(opened):
    page = show(opened, [gate(entries=2)], ENTRIES, write=False, address="203.0.113.77")
    controls = [one for one in page.page.locator("#view").locator("button, input, select").all() if one.is_visible()]
    assert page.rows("ssh") and len(controls) > 4 and all(one.is_disabled() for one in controls)
    page.asked.clear()
    page.page.evaluate("""document.querySelectorAll('#view form').forEach(form => form.dispatchEvent(new Event('submit', { cancelable: true })));
        document.querySelectorAll('#view button').forEach(button => button.dispatchEvent(new Event('click')))""")
    page.settle()
    assert not [call for call in page.asked if call[0] not in ("status", "gate_list")], page.asked


@case("the same answer again changes nothing")
def same(opened):
    page = show(opened, [gate(entries=1), gate(name="off", enabled=False)], ENTRIES[1:2])
    page.tick()
    changed = page.changes(lambda: page.tick(30))
    assert changed == [], changed


@case("an older answer that comes later is not shown")
def stale(opened):
    page = show(opened, [gate()], answers={"gate_remove": {"ok": True}, "gate_admit": {"ok": True, "address": "192.0.2.9", "seconds": 60}})
    held = page.answers["status"] = Held()
    page.tick()
    page.answers["status"] = status(gates=[gate(admitted=7)])
    page.one("ssh").get_by_label("Admit an address").fill("192.0.2.9")
    page.press(page.one("ssh").get_by_role("button", name="Admit", exact=True))
    held.release(status(gates=[gate(admitted=6)]))
    page.settle()
    assert "7 times" in page.one("ssh").inner_text()


@case("hostile texts stay text, and other shapes break nothing")
def hostile(opened):
    evil = "<img src=x onerror=window.broken=1>%s%d"
    page = show(opened, [gate(name=evil, services=[evil], witnesses=[evil], knocks=[evil], spas=[evil], forget=evil, refuse=evil, entries=1)],
                [{"gate": evil, "address": evil, "expires": 9, "why": [evil]}], address=evil, answers={
                    "luci-rpc.getHostHints": {evil: {"name": evil, "ipaddrs": [evil.lower()]}}, "gate_flush": {"error": evil}, "gate_admit": {"error": evil}})
    page.answers["status"]["problems"] = [{"option": f"lanward.{evil}.x", "message": evil}]
    page.tick()
    page.press(page.page.get_by_role("button", name="Remove all").first)
    page.press(page.page.get_by_role("dialog").get_by_role("button", name="Remove all"))
    assert page.page.evaluate("window.broken") is None and page.page.locator("body img").count() == 0
    assert page.text().count(evil) > 5
    for answer in ({}, {"gates": "none"}, status(gates=[{"name": "bare"}]), status(gates=[{}, {"name": 4, "services": 3, "entries": "x"}])):
        page = show(opened, [], answers={"status": answer, "gate_list": {"entries": [{}]}})
        page.tick()


@case("the last row of a gate that lets nobody in leaves the focus in the page")
def last_row(opened):
    for more in ({"shut": True}, {"enabled": False}):
        page = show(opened, [gate(entries=1, **more)], ENTRIES[:1], answers={"gate_remove": {"ok": True}})
        page.answers.update({"gate_list": {"entries": []}, "status": status(gates=[gate(**more)])})
        page.press(page.one("ssh").get_by_role("button", name="Remove 203.0.113.9"))
        assert page.page.evaluate("document.getElementById('view').contains(document.activeElement)"), more


@case("the dialog's name goes with the dialog")
def named(opened):
    page = show(opened, [gate(entries=2)], ENTRIES)
    page.press(page.one("ssh").get_by_role("button", name="Remove all", exact=True))
    dialog = page.page.locator(".modal")
    assert "ssh" in dialog.get_attribute("aria-label")
    page.press(dialog.get_by_role("button", name="Cancel"))
    assert dialog.get_attribute("aria-label") is None
