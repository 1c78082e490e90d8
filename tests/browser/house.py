#!/usr/bin/env python3
"""The pages against the daemon in a house: what is pressed here happens there, to packets, and what happens there is seen here."""

import base64
import datetime
import hashlib
import os
import re
import tempfile
import time

from playwright.sync_api import expect

from run import GATED, KNOCKED, OFF, house, main, scenario, until

PORT = 50000


def switch(opened):
    return opened.page.get_by_role("switch", name="LAN-only Remote Desktop")


def state(opened):
    return opened.page.locator("#lanward-state strong")


def on(opened):
    switch(opened).click()
    expect(switch(opened)).to_have_attribute("aria-checked", "true")
    expect(state(opened)).to_have_text("On")


@scenario()
def the_switch_drops_packets(browser):
    with browser.open("overview") as opened:
        expect(state(opened)).to_have_text("Off")
        assert (house.udp(PORT), house.udp(PORT, family=6)) == ("answered", "answered")
        on(opened)
        assert (house.udp(PORT), house.udp(PORT, family=6)) == ("lost", "lost")
        assert house.udp(443) == "answered"
        # The counters move by themselves.
        dropped = opened.page.get_by_role("row", name="Dropped outbound")
        expect(dropped).to_contain_text("2 packets")
        opened.picture("overview")
        assert "option enabled '1'" in house.config()
        opened.button("Undo").click()
        expect(state(opened)).to_have_text("Off")
        assert house.udp(PORT) == "answered"
        assert "option enabled '1'" not in house.config()


@scenario()
def a_live_session_is_foretold_and_ended(browser):
    # What other packets left in conntrack is ended before.
    house.call("lan_only", enabled=True, persist=False)
    house.call("lan_only", enabled=False, persist=False)
    with browser.open("overview") as opened:
        house.ask("flow", do="start", port=PORT)
        try:
            opened.page.reload()
            # A daemon that foretells nothing says nothing.
            if house.ask("bus", method="preview")["status"] == 0:
                expect(opened.page.get_by_text("Turning it on now would end 1 live session.")).to_be_visible()
                opened.page.get_by_text("Which connections").click()
                expect(opened.page.get_by_text(f"203.0.113.9:{PORT}")).to_be_visible()
            assert house.ask("flow")["goes_on"]
            on(opened)
            expect(opened.page.get_by_text("1 live session ended.")).to_be_visible()
            assert not house.ask("flow")["goes_on"]
            switch(opened).click()
            expect(state(opened)).to_have_text("Off")
            until(lambda: house.ask("flow")["goes_on"], "the session lives again")
        finally:
            house.ask("flow", do="stop")


@scenario()
def a_pause_counts_down_and_lets_through(browser):
    with browser.open("overview") as opened:
        on(opened)
        assert house.udp(PORT) == "lost"
        opened.button("15 minutes").click()
        expect(state(opened)).to_have_text("Paused")
        expect(opened.page.get_by_text("15 minutes left")).to_be_visible()
        assert house.udp(PORT) == "answered"
        opened.button("Resume now").click()
        expect(state(opened)).to_have_text("On")
        expect(opened.button("Resume now")).to_be_hidden()
        assert house.udp(PORT) == "lost"


@scenario()
def a_lost_table_comes_back(browser):
    with browser.open("overview") as opened:
        on(opened)
        assert not house.ask("table", do="delete")["there"] or house.udp(PORT) == "lost"
        until(lambda: house.ask("table")["there"] and house.status()["lan_only"]["enforced"], "the table is back")
        assert house.udp(PORT) == "lost"
        expect(state(opened)).to_have_text("On")
        # Without the daemon nobody puts it back, and the page does not say that all is well.
        house.ask("daemon", do="kill")
        try:
            house.ask("table", do="delete")
            expect(opened.page.get_by_role("alert").filter(has_text="The daemon is not running")).to_be_visible()
            expect(switch(opened)).to_be_disabled()
            assert house.udp(PORT) == "answered"
        finally:
            house.ask("daemon", do="start")
        expect(switch(opened)).to_be_enabled()
        expect(state(opened)).to_have_text("On")
        expect(opened.page.get_by_role("alert").filter(has_text="The daemon")).to_be_hidden()
        assert house.udp(PORT) == "lost"


@scenario()
def a_dead_daemon_is_named_when_the_page_opens(browser):
    house.ask("daemon", do="kill")
    try:
        for page in ["overview", "gate"]:
            with browser.open(page) as opened:
                expect(opened.page.get_by_role("alert").filter(has_text="The daemon is not running")).to_be_visible()
    finally:
        house.ask("daemon", do="start")


@scenario()
def a_chosen_host_is_kept_in_and_the_others_are_not(browser):
    with browser.open("overview") as opened:
        on(opened)
        assert house.udp(PORT, **{"from": "lan2"}) == "lost"
        box = opened.page.get_by_role("checkbox", name=re.compile("desk"))
        box.check()
        expect(opened.page.get_by_text("It holds for 1 host only.")).to_be_visible()
        opened.save_and_apply()
        expect(opened.page.get_by_role("checkbox", name=re.compile("desk"))).to_be_checked()
        until(lambda: house.status()["lan_only"]["hosts"] == ["02:00:00:00:77:64"], "the daemon has the host")
        assert (house.udp(PORT), house.udp(PORT, family=6)) == ("lost", "lost")
        assert (house.udp(PORT, **{"from": "lan2"}), house.udp(PORT, family=6, **{"from": "lan2"})) == ("answered", "answered")
        expect(opened.page.get_by_role("row", name=re.compile("^Hosts"))).to_contain_text("desk")


@scenario()
def what_nobody_confirms_is_taken_back(browser):
    with browser.open("overview") as opened:
        before = house.config()
        opened.page.get_by_role("checkbox", name=re.compile("desk")).check()
        opened.save_and_apply(confirm=False)
        kept = ["02:00:00:00:77:64"]
        until(lambda: house.status()["lan_only"]["hosts"] == kept, "the daemon has the host", page=opened.page)
        assert house.config() != before
        opened.page.wait_for_timeout(2500)
        assert house.ask("expire", sid=opened.sid)["done"]
        until(lambda: house.status()["lan_only"]["hosts"] == [], "the daemon has what was before")
        assert house.config() == before


@scenario()
def what_the_package_knows_is_shown(browser):
    """The levels with what was measured, and the applications' limits: from a file that the session must be allowed to read."""
    with browser.open("overview") as opened:
        expect(opened.page.get_by_text(re.compile(r"\d+ of \d+ attempts from outside still connected")).first).to_be_visible()
        opened.page.get_by_text("Every application").click()
        expect(opened.page.get_by_text("Chrome Remote Desktop", exact=True).last).to_be_visible()


@scenario()
def the_diagnosis_is_shown(browser):
    with browser.open("overview") as opened:
        opened.button("Check this router").click()
        expect(opened.page.get_by_text(re.compile(r"\d+ things? to look at|Nothing was found"))).to_be_visible()
        wrong = [check for check in house.call("check")["checks"] if not check["ok"]]
        for check in wrong:
            expect(opened.page.get_by_text(check["message"]).first).to_be_visible()


@scenario("config lan_only 'lan_only'\n\toption enabled 'perhaps'\n")
def a_mistake_in_the_file_is_named(browser):
    with browser.open("overview") as opened:
        expect(opened.page.get_by_role("heading", name="Problems")).to_be_visible()
        expect(opened.page.get_by_text(re.compile(r"lan_only\.enabled"))).to_be_visible()


@scenario(GATED)
def a_gate_lets_in_whom_the_page_admits(browser):
    with browser.open("gate") as opened:
        assert house.gate() != "accepted"
        opened.page.get_by_label("Admit an address").fill("203.0.113.9")
        opened.button("Admit", exact=True).click()
        row = opened.page.get_by_role("row").filter(has_text="203.0.113.9")
        expect(row).to_be_visible()
        # It goes down by itself.
        left = row.get_by_text(re.compile(r"^\d+ s$"))
        before = int(left.inner_text().split()[0])
        assert 30 < before <= 60, before
        expect(left).not_to_have_text(f"{before} s")
        assert int(left.inner_text().split()[0]) < before
        assert house.gate() == "accepted"
        assert house.gate(host="internet2") != "accepted"
        opened.picture("gate")
        # The connection's end may have shut it already.
        house.call("gate_admit", gate="ssh", address="203.0.113.9", seconds=600)
        opened.button("Remove 203.0.113.9").click()
        expect(row).to_be_hidden()
        assert house.gate() != "accepted"
        refused = opened.page.get_by_role("row", name=re.compile("^Refused"))
        expect(refused).to_contain_text(re.compile(r"[1-9]\d* packets?"))


@scenario(GATED)
def a_witness_opens_the_gate(browser):
    with browser.open("gate") as opened:
        assert house.gate() != "accepted"
        house.ask("mail", **{"from": "internet"})
        expect(opened.page.get_by_role("row").filter(has_text="203.0.113.9")).to_be_visible()
        assert house.gate() == "accepted"


@scenario(GATED)
def the_list_is_emptied_after_a_question(browser):
    for address in ["203.0.113.9", "2001:db8:9::9"]:
        house.call("gate_admit", gate="ssh", address=address, seconds=600)
    with browser.open("gate") as opened:
        rows = opened.page.get_by_role("row").filter(has_text=re.compile("203.0.113.9|2001:db8:9::9"))
        expect(rows).to_have_count(2)
        everything = opened.button("Remove all", exact=True)
        everything.first.click()
        opened.button("Cancel").click()
        expect(rows).to_have_count(2)
        assert house.gate() == "accepted"
        house.call("gate_admit", gate="ssh", address="203.0.113.9", seconds=600)
        everything.first.click()
        everything.last.click()
        expect(opened.page.get_by_text(re.compile("[12] address(es)? removed."))).to_be_visible()
        expect(rows).to_have_count(0)
        assert house.gate() != "accepted"


@scenario(GATED)
def my_address_is_offered(browser):
    with browser.open("gate") as opened:
        # From where the browser is, there is nothing to admit.
        expect(opened.page.get_by_text("You are here through this router itself (127.0.0.1)")).to_be_visible()
        opened.page.route("**/lanward/address", lambda route: route.fulfill(json={"address": "203.0.113.9"}))
        opened.page.reload()
        opened.button("Admit my address (203.0.113.9)").click()
        expect(opened.page.get_by_role("row").filter(has_text="203.0.113.9")).to_be_visible()
        assert house.gate() == "accepted"


@scenario(KNOCKED)
def a_knock_is_watched_as_it_arrives(browser):
    with browser.open("gate") as opened:
        assert house.gate() != "accepted"
        opened.button("Test").click()
        said = opened.page.locator(".lanward-panel").get_by_role("status")
        done = opened.page.locator(".lanward-panel li[data-state=done]")
        expect(said).to_have_text("Waiting for the first step.")
        for at, (port, words) in enumerate([("7000", "step 1 of 3"), ("8000:udp", "step 2 of 3"), ("4444", "wrong port")]):
            house.client("knock", "HOST", port)
            expect(said).to_contain_text(f"203.0.113.9: {words}")
            expect(done).to_have_count([1, 2, 0][at])
        assert house.gate() != "accepted"
        # What the page says.
        command = opened.page.get_by_text(re.compile("^knock HOST")).inner_text()
        house.client(*command.split())
        expect(said).to_contain_text("203.0.113.9: OPEN SESAME. The gate ssh is open to it.")
        expect(done).to_have_count(3)
        expect(opened.page.get_by_role("row").filter(has_text="203.0.113.9")).to_contain_text("knock")
        opened.picture("knock")
        assert house.gate() == "accepted" and house.gate(host="internet2") != "accepted"


@scenario(KNOCKED.replace("config witness 'imaps'\n\toption gate 'ssh'\n\toption port '993'\n", ""))
def a_lone_knock_is_acknowledged_in_the_configuration(browser):
    def warned():
        return any("knock" in warning for warning in house.status()["warnings"])

    with browser.open("gate") as opened:
        assert warned(), house.status()["warnings"]
        opened.apply_by(opened.button("I know"))
        expect(opened.page.get_by_text("the only proof here, and you know it")).to_be_visible()
        assert "option knock_alone '1'" in house.config()
        until(lambda: not warned(), "nobody warns of it")
        opened.apply_by(opened.button("Warn me again"))
        until(warned, "it is warned of again")
        assert "knock_alone" not in house.config()


@scenario(GATED)
def a_key_is_made_used_and_revoked(browser):
    with browser.open("gate") as opened, tempfile.TemporaryDirectory() as directory:
        opened.button("Make a key").click()
        opened.page.get_by_label("Name, such as").fill("laptop")
        opened.page.get_by_label("router's name").fill("198.51.100.2")
        opened.button("Make the key").click()
        lines = opened.page.get_by_label("Lines for ~/.fwknoprc").input_value()
        said = opened.page.get_by_text(re.compile("^fwknop -n")).inner_text()
        expect(opened.page.get_by_role("img", name="QR code of the key laptop")).to_be_visible()
        opened.picture("key")
        opened.apply_by(opened.button("I have it: save and apply"))
        row = opened.page.get_by_role("table", name="Keys").get_by_role("row").filter(has_text="laptop")
        expect(row).to_contain_text("ready")
        secret = re.search(r"^HMAC_KEY_BASE64\s+(\S+)", lines, re.M).group(1)
        assert secret not in opened.page.content() and "config spa 'laptop'" in house.config()
        rc = os.path.join(directory, "fwknoprc")
        with open(os.open(rc, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(lines + "\n")

        def packet(host):
            house.client(*said.split(), "--rc-file", rc, "--no-save-args", host=host)

        assert house.gate() != "accepted"
        packet("internet")
        until(lambda: house.gate() == "accepted", "the key opens the gate", page=opened.page)
        assert house.gate(host="internet2") != "accepted"
        expect(row.get_by_role("cell").nth(4)).to_have_text("1")
        expect(row).to_contain_text("203.0.113.9, ")
        opened.button("Revoke laptop").click()
        opened.apply_by(opened.button("Revoke", exact=True))
        expect(row).to_have_count(0)
        assert "laptop" not in house.config()
        packet("internet2")
        opened.page.wait_for_timeout(1000)
        assert house.gate(host="internet2") != "accepted"
        # Its name is free again: the file is gone.
        opened.button("Make a key").click()
        opened.page.get_by_label("Name, such as").fill("laptop")
        opened.button("Make the key").click()
        assert opened.page.get_by_label("Lines for ~/.fwknoprc").input_value() not in ("", lines)
        house.call("spa_revoke", name="laptop")


@scenario()
def attempts_are_counted_shown_and_erased(browser):
    # It is about one day, and begins another where that is nearly over (UTC).
    left = 86400 - time.time() % 86400
    time.sleep(left + 1 if left < 180 else 0)
    house.call("ledger_erase")
    today = datetime.date.today()
    for back in range(60, 0, -1):
        date = today - datetime.timedelta(back)
        many = 70000 if back == 3 else 0
        hours = [100 + many // 24] * 24
        source = ["203.0.113.99", [[13, 30000], [16, many - 30000]], [[17, 1900, many]]]
        day = {"date": str(date), "hours": hours, "ports": [[6, 23, 1200 + back], [6, 445, 300]] + [[17, 1900, many]] * (many > 0), "sources": [source] * (many > 0)}
        assert house.call("ledger_import", days=[day])["ok"], day
    with browser.open("attempts") as opened:
        days = opened.page.locator(".cbi-section", has=opened.page.get_by_role("heading", name="By day and port"))
        bars = days.locator(".lanward-svg").get_by_role("option")
        # The day that stands out is chosen by itself, and explained.
        expect(days.locator("[aria-selected=true]")).to_have_attribute("aria-label", re.compile("outlier day.*UDP 1900 .SSDP. 70,000"))
        expect(opened.page.get_by_text(re.compile("An outlier day: [0-9,]+, where 2,400 is usual around that day"))).to_be_visible()
        assert bars.count() in (30, 31)
        opened.page.get_by_role("option", name="203.0.113.99: 70,000 attempts").click()
        expect(opened.page.get_by_role("img", name=re.compile("Attempts by hour: 203.0.113.99 on "))).to_be_visible()
        opened.page.get_by_label("Days shown").select_option("400")
        expect(bars.nth(58)).to_be_attached()
        # Somebody tries, and is seen.
        live = opened.page.get_by_role("table", name="Just now")
        expect(live).to_be_hidden()
        assert house.gate(port=23) != "accepted"
        expect(live).to_contain_text("TCP 23 (telnet)")
        expect(live).to_contain_text("203.0.113.9")
        opened.button("Erase everything").click()
        opened.page.get_by_role("dialog").get_by_role("button", name="Erase everything").click()
        expect(opened.page.get_by_text("Everything is erased.")).to_be_visible()
        expect(opened.page.get_by_text("Nothing has been counted yet")).to_be_visible()
        assert house.call("history", by="port")["rows"] == []


def tab(opened, name):
    opened.page.locator("ul.cbi-tabmenu").get_by_text(name, exact=True).click()


@scenario()
def a_wrong_setting_is_refused_and_a_right_one_reaches_the_daemon(browser):
    with browser.open("settings") as opened:
        tab(opened, "LAN only")
        until_ = opened.page.get_by_label("Until", exact=True)
        until_.fill("25:00")
        until_.blur()
        before = house.config()
        opened.page.locator(".cbi-page-actions").get_by_text("Save & Apply", exact=True).first.click()
        # What is wrong, and what would be right.
        expect(opened.page.get_by_text(re.compile("HH:MM|07:00")).last).to_be_visible()
        expect(until_).to_have_class(re.compile("cbi-input-invalid"))
        assert house.config() == before
        opened.page.reload()
        # LuCI's refusal is an error that nobody catches, and may be heard late; with the page that had it all of it is heard.
        opened.complaints.clear()
        tab(opened, "LAN only")
        opened.page.get_by_label("Level", exact=True).select_option("recommended")
        opened.page.get_by_label("Until", exact=True).fill("23:59")
        opened.picture("settings")
        opened.save_and_apply()
        until(lambda: house.status()["lan_only"]["ports"] == ["32768-65535"], "the daemon has the level")
        assert "option level 'recommended'" in house.config() and "option stop '23:59'" in house.config(), house.config()
        assert house.status()["problems"] == []


def fingerprint(key):
    return "SHA256:" + base64.b64encode(hashlib.sha256(base64.b64decode(key.split()[1])).digest()).decode().rstrip("=")


@scenario()
def a_relay_is_set_up_by_the_page_and_watched(browser):
    there = house.ask("relay", do="start")
    house.config(
        f"{OFF}\nconfig relay 'office'\n\toption enabled '1'\n\toption host '{there['host']}'\n\toption user '{there['user']}'\n\toption remote_port '3389'\n"
        f"\toption target '{there['target']}'\n\toption key '{there['key']}'\n\toption check '5'\n\toption retry '1'\n\toption retry_max '2'\n"
    )
    with browser.open("relay") as opened:
        box = opened.page.get_by_role("group", name=re.compile("^office"))
        badge = box.locator(".lanward-badge")

        def is_called(word):
            expect(badge).to_have_text(re.compile(f"^{word}", re.IGNORECASE), timeout=40_000)

        opened.button("Make the router's key").click()
        expect(box.get_by_text("The key is made.")).to_be_visible()
        lines, script = box.get_by_role("textbox", name="Line for authorized_keys, OpenSSH"), box.get_by_role("textbox", name="The script")
        expect(lines).to_have_value(re.compile("ssh-ed25519 AAAA"))
        # As somebody copies it.
        house.ask("relay", do="authorize", lines=lines.input_value(), script=script.input_value())
        is_called("stopped")
        expect(box.get_by_text("for the first time")).to_be_visible()
        expect(box.get_by_text(fingerprint(there["host_key"]), exact=True)).to_be_visible()
        opened.button("Confirm this key").click()
        opened.apply_by(opened.button("It is the same: save and apply"))
        assert f"option host_key '{there['host_key']}'" in house.config()
        is_called("up")
        opened.button("Test it now").click()
        expect(box.get_by_text(re.compile(r"It works: \d+ ms"))).to_be_visible()
        expect(box.get_by_role("row", name=re.compile("^Script"))).to_contain_text("there")
        opened.picture("relay")
        with browser.open("overview") as overview:
            expect(overview.page.get_by_text(f"reachable from outside: {there['host']}:3389 -> {there['target']}")).to_be_visible()
        house.ask("relay", do="down")
        is_called("down")
        house.ask("relay", do="up")
        is_called("up")
        house.ask("relay", do="anew")
        is_called("stopped")
        alarm = opened.page.get_by_role("alert").filter(has_text="another host key")
        expect(alarm).to_contain_text(fingerprint(there["host_key"]))
        expect(alarm).to_contain_text(fingerprint(house.ask("relay")["host_key"]))
        opened.button("Confirm this key").click()
        expect(opened.page.get_by_role("dialog")).to_contain_text("Replace the host key of office?")
        opened.apply_by(opened.button("It is the same: save and apply"))
        is_called("up")


if __name__ == "__main__":
    main()
