"""The overview."""

import json

from canned import SOURCE, Held, Refused, case

HINTS = {"AA:BB:CC:00:00:01": {"name": "laptop", "ipaddrs": ["192.168.1.20"], "ip6addrs": ["2001:db8::1:20"]}}


def mode(**more):
    return {
        "enabled": True, "observe": False, "enforced": True, "paused_seconds": 0, "level": "strict", "ports": ["1024-65535"], "hosts": [],
        "source_devices": ["br-lan"], "dest_devices": ["wan"], "dropped_packets": 7, "dropped_bytes": 900, "inbound_dropped_packets": 2,
        "flows_cut": 3, "out_of_hours": False, **more,
    }


def gate(**more):
    return {
        "name": "ssh", "enabled": True, "shut": False, "services": ["tcp:22"], "witnesses": ["imaps"], "knocks": [], "spas": [], "window": 60,
        "forget": "first_fin", "refuse": "zone", "prefix6": "128", "entries": 0, "size": 4096, "admitted": 0, "refused": 0, "overflow": 0, **more,
    }


def status(lan_only=None, gates=(), **more):
    return {
        "version": "1", "uptime": 5, "applied": True, "problems": [], "warnings": [], "lan_only": mode(**(lan_only or {})), "gates": list(gates),
        **more,
    }


def show(opened, answer, **options):
    answers = {"status": answer, "gate_list": {"entries": []}, **options.pop("answers", {})}
    page = opened("overview", answers, **options)
    page.switch = page.page.get_by_role("switch")
    page.state = page.page.locator("#lanward-state strong")
    return page


def with_form(opened, answer=None, lan_only=None, **options):
    section = {".type": "lan_only", "enabled": "1", **(lan_only or {})}
    return show(opened, answer or status(), uci={"globals": {".type": "lanward"}, "lan_only": section}, **options)


@case("each state has its words")
def states(opened):
    problem = [{"option": "lanward.lan_only.level", "message": "'x' is not a level"}]
    for more, lan_only, word, checked in [
        ({}, {}, "On", "true"),
        ({}, {"enabled": False, "enforced": False}, "Off", "false"),
        ({}, {"enforced": False, "paused_seconds": 90}, "Paused", "true"),
        ({}, {"observe": True, "enforced": False}, "Observing", "true"),
        ({}, {"observe": True, "enabled": False, "enforced": False}, "Observing", "false"),
        ({"applied": False}, {"enforced": False}, "On, but not in force", "true"),
        ({}, {"enforced": False, "out_of_hours": True}, "On, but not at this hour", "true"),
        ({}, {"enforced": False, "dest_devices": []}, "On, but without a device", "true"),
        ({}, {"enforced": False, "source_devices": []}, "On, but without a device", "true"),
        ({"applied": False}, {"enforced": False, "dest_devices": []}, "On, but not in force", "true"),
        ({"applied": False, "problems": problem}, {}, "On", "true"),
    ]:
        page = show(opened, status(lan_only, **more))
        assert page.state.inner_text() == word, page.state.inner_text()
        assert page.switch.get_attribute("aria-checked") == checked
        assert page.button("Resume now").is_visible() == (word == "Paused")
        assert page.page.get_by_text("2 minutes left").count() == (word == "Paused")
        assert page.page.get_by_text("'x' is not a level").count() == ("problems" in more)
        assert page.page.get_by_role("alert").filter(visible=True).count() == 0


@case("the switch turns to what it is not, says what it ended, and can be undone")
def switch(opened):
    page = show(opened, status({"enabled": False, "enforced": False}), answers={"lan_only": mode(flows_cut=3)})
    assert all(page.button(name).is_disabled() for name in ("15 minutes", "1 hour", "4 hours")), "nothing to pause"
    assert not page.button("Undo").is_visible()
    page.asked.clear()
    page.answers["status"] = status()
    page.press(page.switch)
    assert page.asked[:2] == [["lan_only", True, True], ["status"]], page.asked
    assert page.state.inner_text() == "On"
    assert page.page.get_by_text("3 live sessions ended.").is_visible()
    assert page.switch.get_attribute("aria-busy") is None and page.focused(page.switch)
    page.asked.clear()
    page.answers["status"] = status({"enabled": False, "enforced": False})
    page.button("Undo").focus()
    page.press(page.button("Undo"))
    assert page.asked[0] == ["lan_only", False, True]
    assert page.state.inner_text() == "Off" and not page.button("Undo").is_visible() and page.focused(page.switch)
    page.answers["lan_only"] = {"error": "it could not be saved", "flows_cut": 0}
    page.press(page.switch)
    said = page.page.get_by_text("it could not be saved")
    assert said.is_visible() and "lanward-wrong" in said.get_attribute("class") and not page.button("Undo").is_visible()


@case("one press is one call")
def one_press(opened):
    page = show(opened, status())
    page.asked.clear()
    held = page.answers["lan_only"] = Held()
    page.press(page.switch)
    assert page.switch.get_attribute("aria-busy") == "true"
    page.press(page.switch)
    page.page.keyboard.press("Space")
    page.settle()
    assert page.calls("lan_only") == [["lan_only", False, True]]
    held.release(mode(enabled=False))
    page.settle()
    assert page.switch.get_attribute("aria-busy") is None
    page.answers["lan_only"] = mode()
    page.page.keyboard.press("Space")
    page.settle()
    assert len(page.calls("lan_only")) == 1, "the keyboard is enough"


@case("pauses and resumes")
def pause(opened):
    page = show(opened, status(), answers={"pause": mode(), "resume": mode()})
    page.asked.clear()
    for name in ("15 minutes", "1 hour", "4 hours"):
        page.press(page.button(name))
    page.answers["status"] = status({"paused_seconds": 60, "enforced": False})
    page.tick(5)
    left = page.page.get_by_text("seconds left")
    assert left.inner_text() == "60 seconds left"
    page.tick(2)
    assert left.inner_text() == "58 seconds left", left.inner_text()
    page.button("Resume now").focus()
    page.answers["status"] = status()
    page.press(page.button("Resume now"))
    assert page.calls("pause", "resume") == [["pause", 15], ["pause", 60], ["pause", 240], ["resume"]]
    assert page.focused(page.switch), "the focus stays in the page"


@case("without the daemon the page appears, says so, and comes back")
def down(opened):
    for refused in (Refused(-32000), Refused(4)):
        page = with_form(opened, refused)
        alert = page.page.get_by_role("alert")
        assert "not running" in alert.inner_text() and "below" not in alert.inner_text(), "nothing is known yet"
        assert not page.switch.is_visible()
        page.answers["status"] = status(gates=[gate()])
        page.tick()
        assert page.switch.is_enabled() and not alert.is_visible()
        page.answers["status"] = refused
        page.tick()
        assert "below" in alert.inner_text() and page.switch.is_disabled() and page.button("Check this router").is_disabled()
        assert all(page.button(name).is_disabled() for name in ("15 minutes", "1 hour", "4 hours"))
        assert page.page.locator(".cbi-button-save").is_enabled(), "the configuration is not the daemon's"


@case("a daemon that does not answer is waited for 20 seconds")
def patience(opened):
    page = show(opened, status())
    if SOURCE:
        # LuCI leaves the waiting to the browser, whose clock is the real one.
        return
    page.answers["status"] = Held()
    page.tick(26)
    assert "does not answer" in page.page.get_by_role("alert").inner_text()


@case("without the right it says what to do")
def denied(opened):
    page = show(opened, Refused(-32002))
    assert "log out and in again" in page.page.get_by_role("alert").inner_text()


@case("a session that is over asks for a login")
def expired(opened):
    page = show(opened, status())
    page.answers.update({"status": Refused(-32002), "session.access": Refused(-32002)})
    page.tick()
    assert page.page.locator(".modal").inner_text().startswith("Session expired")


@case("a session that reads sees everything and changes nothing")
def reads(opened):
    page = with_form(opened, status({"paused_seconds": 100, "enforced": False}, [gate(entries=1)]), {"host": ["192.168.1.20"]}, write=False,
                     answers={"luci-rpc.getHostHints": HINTS, "check": {"checks": []}})
    controls = page.page.locator("#view").locator("button, input, select, textarea, .cbi-dropdown")
    enabled = [one.inner_text() for one in controls.all() if one.is_visible() and one.is_enabled() and one.get_attribute("disabled") is None]
    assert enabled == ["Check this router"], enabled
    assert page.page.get_by_text("This session may look").is_visible()
    assert "ssh" in page.text() and page.page.get_by_text("laptop").first.is_visible()
    page.press(page.button("Check this router"))
    page.asked.clear()
    page.page.evaluate("document.querySelectorAll('#view button').forEach(button => button.dispatchEvent(new Event('click')))")
    page.settle()
    changing = {"lan_only", "pause", "resume", "reload", "uci.set", "uci.add", "uci.delete", "uci.apply"}
    assert not [call for call in page.asked if call[0] in changing], page.asked


@case("before it is turned on it says what that would end")
def preview(opened):
    flows = [
        {"source": "192.168.1.20", "source_port": 50000, "dest": "198.51.100.9", "dest_port": 50443, "direction": "out"},
        {"source": "2001:db8::5", "source_port": 50001, "dest": "2001:db8:9::1", "dest_port": 3478, "direction": "in"},
    ]
    page = show(opened, status({"enabled": False, "enforced": False}), answers={"preview": {"count": 70, "flows": flows}, "luci-rpc.getHostHints": HINTS})
    assert page.page.get_by_text("Turning it on now would end 70 live sessions.").is_visible()
    page.press(page.page.locator("summary", has_text="Which connections"))
    text = page.text()
    assert "laptop (192.168.1.20) to 198.51.100.9:50443" in text, text
    assert "2001:db8::5 to [2001:db8:9::1]:3478" in text and "68 more" in text
    page.answers["preview"] = {"count": 1, "flows": flows[:1]}
    assert page.changes(lambda: page.tick(15)), "it is looked at again"
    assert page.page.get_by_text("Turning it on now would end 1 live session.").is_visible()
    page.answers.update({"status": status(), "lan_only": mode()})
    page.press(page.switch)
    assert not page.page.get_by_text("would end").is_visible(), "on: nothing to look ahead to"


@case("a daemon that cannot look ahead is not asked again, and nothing is said of it")
def no_preview(opened):
    page = show(opened, status({"enabled": False, "enforced": False}))
    assert ["preview"] in page.asked and page.page.get_by_text("would end").filter(visible=True).count() == 0
    page.asked.clear()
    page.tick(31)
    assert page.calls("preview") == []


@case("the same answer again changes nothing, and time goes on")
def same(opened):
    page = with_form(opened, status({"profiles": ["chrome-remote-desktop"]}, [gate(entries=1)], warnings=["w"]))
    page.tick()
    changed = page.changes(lambda: page.tick(30))
    assert changed == [], changed
    page.answers["status"] = status({"profiles": ["chrome-remote-desktop"], "dropped_packets": 8}, [gate(entries=1)], warnings=["w"])
    changed = page.changes(lambda: page.tick(5))
    assert len(set(changed)) == 1, changed
    page.answers["status"] = status({"paused_seconds": 300, "enforced": False})
    page.tick()
    changed = page.changes(lambda: page.tick(1))
    assert len(set(changed)) <= 1, changed


@case("an older answer that comes later is not shown")
def stale(opened):
    page = show(opened, status())
    held = page.answers["status"] = Held()
    page.tick()
    page.answers.update({"status": status({"enabled": False, "enforced": False}), "lan_only": mode()})
    page.press(page.switch)
    assert page.state.inner_text() == "Off"
    held.release(status())
    page.settle()
    assert page.state.inner_text() == "Off"


@case("the diagnosis names what is not right, errors first")
def diagnosis(opened):
    page = show(opened, status())
    held = page.answers["check"] = Held()
    page.press(page.button("Check this router"))
    page.press(page.button("Check this router"))
    assert len(page.calls("check")) == 1
    held.release({"checks": [
        {"name": "clock", "ok": True, "severity": "info", "message": "right"},
        {"name": "upnp", "ok": False, "severity": "warning", "message": "runs"},
        {"name": "fw4", "ok": False, "severity": "error", "message": "is not there"},
    ]})
    page.settle()
    text = page.text()
    assert "2 things to look at." in text and "Error fw4 is not there\nWarning upnp runs" in text, text
    page.answers["check"] = Refused(7)
    page.press(page.button("Check this router"))
    assert "does not answer" in page.text()


@case("an answer of another shape breaks nothing")
def shapes(opened):
    bare = {"gates": "none", "problems": 3, "warnings": None, "version": 7}
    assert show(opened, bare).state.inner_text() == "Off"
    for answer in [
        {}, {"lan_only": []}, {"lan_only": None},
        status({"ports": "x", "dropped_packets": "9", "profiles": {"a": 1}, "hosts": 4, "level": 5}, [{"name": "bare"}]),
        status({"enabled": False}, applied="no", uptime="x"),
    ]:
        page = show(opened, answer, answers={"preview": {"count": "x", "flows": "y"}, "luci-rpc.getHostHints": {"AA": {}, "BB": None}, "check": {"checks": 3}})
        page.press(page.button("Check this router"))
        page.tick()


@case("without the profiles the page works, and says what is missing")
def no_profiles(opened):
    for answer in (Refused(4), {"data": "{"}, {"data": "[]"}, {"data": "null"}):
        page = with_form(opened, answers={"file.read": answer})
        assert page.state.inner_text() == "On" and page.page.get_by_role("radio").count() >= 5


@case("hostile texts stay text")
def hostile(opened):
    def evil(at):
        return f"<img src=x onerror=window.broken={at}>%s%d<script>window.broken=1</script>"

    page = with_form(opened, status(
        {"level": evil(1), "ports": [evil(2)], "hosts": [evil(3)], "source_devices": [evil(4)], "dest_devices": [evil(5)], "profiles": [evil(6)],
         "enabled": False, "enforced": False},
        [gate(name=evil(7), services=[evil(8)], witnesses=[evil(9)])],
        problems=[{"option": evil(10), "message": evil(11)}], warnings=[evil(12)], version=evil(13),
    ), {"level": evil(14), "host": [evil(15)]}, answers={
        "preview": {"count": 1, "flows": [{"source": evil(16), "dest": evil(17), "dest_port": evil(18), "direction": evil(19)}]},
        "check": {"checks": [{"name": evil(20), "ok": False, "severity": evil(21), "message": evil(22)}]},
        "lan_only": {"error": evil(23)},
        "luci-rpc.getHostHints": {evil(24): {"name": evil(25), "ipaddrs": [evil(26)]}},
        "file.read": {"data": json.dumps({"levels": [{"id": "strict", "from": evil(27), "breaks": {"en": evil(28)}}], "applications": [
            {"id": "chrome-remote-desktop", "name": evil(29), "stops": [{"en": evil(30)}], "does_not_stop": [{"en": evil(31)}], "needed": {"en": evil(32)},
             "sources": [{"title": evil(33), "ref": evil(34)}], "strength": {"strict": evil(35)}, "checked_on": evil(36)}],
            "measurement": {"what": {"en": evil(37)}}})},
    })
    page.press(page.switch)
    page.press(page.button("Check this router"))
    page.page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    page.tick()
    assert page.page.evaluate("window.broken") is None
    assert page.page.locator("#view img, #view script").count() == 0
    shown = page.page.locator("#view").text_content()
    for at in (7, 10, 11, 12, 13, 16, 17, 20, 22, 25, 29, 31):
        assert f"window.broken={at}>%s%d" in shown, f"text {at} is not shown as it is"


@case("level and hosts are saved as they are chosen, and no more than that")
def form(opened):
    page = with_form(opened, lan_only={"level": "seed"}, answers={"luci-rpc.getHostHints": HINTS})
    save = page.page.locator(".cbi-button-save")
    page.asked.clear()
    page.press(save)
    assert page.calls("uci.set", "uci.delete", "uci.add") == [], "nothing was changed"
    page.press(page.page.get_by_role("radio", name="Strict", exact=True))
    page.press(page.page.get_by_role("checkbox", name="laptop"))
    page.press(save)
    assert page.calls("uci.set", "uci.delete", "uci.add") == [["uci.set", "lanward", "lan_only", {"level": "strict", "host": ["aa:bb:cc:00:00:01"]}]]
    assert page.page.locator("[data-indicator=uci-changes]").inner_text().lower() == "unsaved changes: 2"
    assert page.page.get_by_role("radio", name="Strict", exact=True).is_checked() and page.page.get_by_role("checkbox", name="laptop").is_checked()
    page.press(page.page.get_by_role("checkbox", name="laptop"))
    page.press(page.page.get_by_role("radio", name="Automatic"))
    page.press(save)
    (call,) = page.calls("uci.set", "uci.delete", "uci.add")
    assert call[:3] == ["uci.delete", "lanward", "lan_only"] and sorted(call[3]) == ["host", "level"]


@case("a host that is none is not saved, and the form says so")
def wrong_host(opened):
    page = with_form(opened, allowed=["contains an invalid input value"])
    field = page.page.get_by_label("Another host")
    for text in ("laptop", "192.168.1.256", "aa:bb:cc:00:00", "1.2.3"):
        field.fill(text)
        page.asked.clear()
        page.press(page.page.locator(".cbi-button-save"))
        assert page.calls("uci.set") == []
        dialog = page.page.locator(".modal")
        assert dialog.is_visible() and "no IPv4 address" in dialog.inner_text()
        page.press(dialog.get_by_role("button", name="Dismiss"))
    for text in ("192.168.1.77", "2001:db8::7", "AA:BB:CC:00:00:07"):
        field.fill(text)
        field.press("Enter")
        page.settle()
        assert page.page.get_by_role("checkbox", name=text).is_checked() and page.focused(field)
    page.press(page.page.locator(".cbi-button-save"))
    assert page.calls("uci.set")[0][3] == {"host": ["192.168.1.77", "2001:db8::7", "AA:BB:CC:00:00:07"]}


@case("a configuration that cannot be read is an error at the form, and the rest works")
def unreadable(opened):
    page = show(opened, status(), answers={"uci.get": Refused(6)})
    said = page.page.get_by_role("alert").filter(visible=True).inner_text()
    assert "cannot be read" in said and said.endswith("Permission denied"), "without LuCI's list of where it was thrown"
    assert page.switch.is_enabled()


@case("what is not done any more cannot be undone twice")
def undone_once(opened):
    page = show(opened, status({"enabled": False, "enforced": False}), answers={"lan_only": mode()})
    page.answers["status"] = status()
    page.press(page.switch)
    assert page.button("Undo").is_visible()
    held = page.answers["lan_only"] = Held()
    page.press(page.switch)
    assert not page.button("Undo").is_visible(), "the switch is on its way already"
    held.release(mode())
    page.settle()


@case("the focus stays in the page, whatever goes")
def focus(opened):
    flow = {"source": "192.168.1.20", "source_port": 50000, "dest": "198.51.100.9", "dest_port": 50443, "direction": "out"}
    off = status({"enabled": False, "enforced": False})
    for before, after, control in [
        (status(), {"status": Refused(-32000)}, lambda page: page.switch),
        (status(), {"status": off}, lambda page: page.button("15 minutes")),
        (status(problems=[{"option": "a", "message": "b"}]), {"status": status()}, lambda page: page.page.get_by_text("Mend them in Settings")),
        (off, {"preview": {"count": 0, "flows": []}}, lambda page: page.page.locator("summary", has_text="Which connections")),
    ]:
        page = show(opened, before, answers={"preview": {"count": 1, "flows": [flow]}})
        control(page).focus()
        page.answers.update(after)
        page.tick(15)
        assert page.page.evaluate("document.getElementById('view').contains(document.activeElement)")


@case("outside its hours turning it on would end nothing, and nothing else is said")
def no_hours(opened):
    page = show(opened, status({"enabled": False, "enforced": False}), answers={"preview": {"count": 3, "flows": []}})
    foretold = page.page.get_by_text("would end").filter(visible=True)
    assert foretold.count() == 1
    page.answers["status"] = status({"enabled": False, "enforced": False, "out_of_hours": True})
    page.tick(15)
    assert foretold.count() == 0
    page.answers["status"] = status({"enabled": False, "enforced": False})
    page.tick(15)
    assert foretold.count() == 1


@case("a pause that is refused has ended nothing")
def refused_pause(opened):
    page = show(opened, status(), answers={"pause": {**mode(flows_cut=3), "error": "there is nothing to pause"}})
    page.press(page.button("15 minutes"))
    assert page.page.get_by_text("there is nothing to pause", exact=True).is_visible()


@case("what is said again is news again")
def again(opened):
    page = show(opened, status(), answers={"pause": {"error": "the same"}})
    page.press(page.button("15 minutes"))
    changed = page.changes(lambda: page.press(page.button("15 minutes")))
    assert any("childList" in change and "the same" in change for change in changed), changed


@case("while it observes there is nothing to pause, and a pause that runs is told and can be ended")
def observes(opened):
    page = show(opened, status({"observe": True, "enforced": False}), answers={"resume": mode()})
    assert page.button("15 minutes").is_disabled() and not page.button("Resume now").is_visible()
    page.answers["status"] = status({"observe": True, "enforced": False, "paused_seconds": 60})
    page.tick()
    assert "nothing is counted" in page.text("#lanward-state") and "60 seconds left" in page.text()
    page.press(page.button("Resume now"))
    assert ["resume"] in page.asked


@case("the form is the section's that the daemon takes, and what is not touched is not written")
def sections(opened):
    for sections in [
        {"lan_only": {".type": "lan_only", "level": "seed"}, "other": {".type": "lan_only", "level": "strict"}},
        {"lan_only": {".type": "lan_only", "level": "seed", "host": "192.168.1.20"}},
        {"globals": {".type": "lanward"}},
    ]:
        page = show(opened, status(), uci=sections)
        page.asked.clear()
        page.press(page.page.locator(".cbi-button-save"))
        assert page.calls("uci.set", "uci.delete", "uci.add") == [], sections
    page.press(page.page.get_by_role("radio", name="Recommended"))
    page.press(page.page.locator(".cbi-button-save"))
    assert page.calls("uci.add") == [["uci.add", "lanward", "lan_only", "lan_only", {"level": "recommended"}]]
