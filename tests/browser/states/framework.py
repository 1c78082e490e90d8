"""The stand-in itself: where it must behave as LuCI does, or a case that passes says nothing. It differs on the wire in this: LuCI sends a
flag's value also where it is as it was, and its own server confirms an apply."""

import contextlib

from canned import Refused, case
from playwright.sync_api import Error

FORM = """
'use strict';
'require view';
'require form';
'require uci';

return view.extend({
    render() {
        const m = new form.Map('lanward', 'Map', 'About');
        let s = m.section(form.NamedSection, 'lan_only', 'lan_only', 'Named');
        let o;

        s.addremove = false;
        s.option(form.Flag, 'enabled', 'Enabled');
        o = s.option(form.ListValue, 'level', 'Level');
        o.value('', 'Automatic'); o.value('seed', 'Seed'); o.value('custom', 'Custom');
        o = s.option(form.DynamicList, 'port', 'Ports', 'Which');
        o.datatype = 'portrange'; o.depends('level', 'custom');
        o = s.option(form.Value, 'start', 'Start');
        o.placeholder = '22:00';
        o.validate = (id, value) => value == '' || value.length == 5 || 'A time, such as 22:00';
        o = s.option(form.MultiValue, 'weekdays', 'Days');
        [ 'mon', 'tue', 'wed' ].forEach(day => o.value(day));
        o = s.option(form.Value, 'dest', 'Dest');
        o.value('wan'); o.value('wan2', 'Second');
        s = m.section(form.GridSection, 'gate', 'Gates');
        s.addremove = true;
        s.modaltitle = id => 'Gate ' + id;
        o = s.option(form.Flag, 'enabled', 'On');
        o.editable = true;
        o = s.option(form.Value, 'window', 'Window');
        o.datatype = 'range(1, 600)'; o.placeholder = '60';
        o = s.option(form.DynamicList, 'service', 'Service');
        o.rmempty = false; o.modalonly = true;
        return m.render();
    }
});
"""
UCI = {
    "lan_only": {".type": "lan_only", "enabled": "1", "level": "custom", "port": ["50000"], "weekdays": ["mon"]},
    "ssh": {".type": "gate", "enabled": "1", "window": "60", "service": ["tcp:22"]},
}
SETS = ("uci.set", "uci.add", "uci.delete", "uci.order")


def show(opened, **options):
    page = opened("settings", options.pop("answers", {}), uci=UCI, view=FORM, **options)
    page.field = lambda name: page.page.locator(f'[id="cbi-lanward-{name}"]')
    page.save = page.page.locator(".cbi-page-actions .cbi-button-save")
    page.apply = page.page.locator(".cbi-page-actions .cbi-button-apply")
    page.asked.clear()
    return page


def view(body, requires="'require ui'; 'require rpc'; 'require dom';"):
    heads = "\n".join(head.strip() + ";" for head in requires.split(";") if head.strip())
    return f"'use strict';\n'require view';\n{heads}\nreturn view.extend({{ handleSave: null, handleSaveApply: null, handleReset: null,\nrender() {{ {body} }} }});"


@case("a bare string is markup, a string in a list is text")
def trap(opened):
    evil = "'<img class=\"ran\" src=\"x\">'"
    for made, runs in [
        (f"E('p', {{}}, {evil})", True), (f"E('p', {evil})", True), (f"E('p', {{}}, [ {evil} ])", False), (f"E('p', [ {evil} ])", False),
        (f"E('p', {{}}, [ '%s'.format({evil}) ])", False), (f"E('p', {{}}, '%s'.format({evil}))", True), (f"E('p', {{}}, '%h'.format({evil}))", False),
        (f"dom.content(E('p', {{}}, []), {evil}).parentNode", True), (f"(ui.addNotification({evil}, [ 'x' ]), E('p'))", True),
        (f"(ui.addNotification(null, E('p', {evil})), E('p'))", True), (f"(ui.showModal({evil}, []), E('p'))", True),
        (f"(ui.showModal([ {evil} ], [ {evil} ]), E('p'))", False), (f"E([ E('p'), {evil} ])", True),
    ]:
        page = opened("settings", {}, view=view(f"return {made};"), allowed=["asked for http://router.test/cgi-bin"])
        assert (page.page.locator("img.ran").count() > 0) == runs, made


@case("formats and forms of number")
def formats(opened):
    for text, wanted in {
        "'%d %s %05d %-4d|'.format(3.7, 'x', 42, 7)": "3 x 00042 7   |", "'%h'.format('<&\"')": "&#60;&#38;&#34;", "'%.2f %x'.format(1.234, 255)": "1.23 ff",
        "'%1024.1mB'.format(900)": "900 B", "'%1024.1mB'.format(2048)": "2.0 KiB", "'%1024.1mB'.format(5e9)": "4.7 GiB", "'%.1mB'.format(2500)": "2.5 KB",
        "'%t'.format(5)": "0h 0m 5s", "'%t'.format(90061)": "1d 1h 1m 1s", "'100%% %s'.format('a')": "100% a", "N_(1, '%d a', '%d as').format(1)": "1 a",
        "N_(2, '%d a', '%d as').format(2)": "2 as", "N_(0, '%d a', '%d as').format(0)": "0 as", "'%d'.format('x')": "0", "'%s'.format(null)": "null",
    }.items():
        page = opened("settings", {}, view=view(f"return E('p', {{}}, [ {text} ]);"))
        assert page.page.locator("#view p").text_content() == wanted, (text, page.page.locator("#view p").text_content())


@case("calls of one moment are one request, and what fails rejects")
def calls(opened):
    body = """
        const call = (object, method, more) => rpc.declare(Object.assign({ object, method, params: [ 'a', 'b' ], reject: true }, more));
        const say = promise => promise.then(JSON.stringify, error => error.message.split(String.fromCharCode(10))[0]);
        return Promise.all([ say(call('x', 'one')(1)), say(call('x', 'six')()), say(call('x', 'gone')()), say(call('x', 'none')()),
            say(call('x', 'one', { expect: { c: {} } })()), say(call('x', 'one', { expect: { '': {} } })()),
            say(call('x', 'six', { reject: false, expect: { list: [] } })()), say(call('x', 'one', { expect: { c: 0 }, filter: (value, given) => [ value, given ] })(4)) ])
            .then(said => E('pre', {}, [ said.join(String.fromCharCode(10)) ]));
    """
    page = opened("settings", {"x.one": {"c": 7}, "x.six": Refused(6), "x.none": None}, view=view(body))
    assert page.page.locator("#view pre").inner_text().split("\n") == [
        '{"c":7}', "RPC call to x/six failed with ubus code 6: Permission denied", "RPC call to x/gone failed with error -32000: Object not found", "0",
        "{}", '{"c":7}', "[]", '[7,{"a":4}]',
    ], page.page.locator("#view pre").inner_text()
    assert page.batches[-1] == 8 and [call for call in page.asked if call[0] == "x.one"][0] == ["x.one", 1]


@case("polling: at once what is there first, then by its seconds, never twice at a time")
def polling(opened):
    body = """
        window.ran = [ 0, 0, 0 ];
        poll.add(() => { window.ran[0]++; return Promise.resolve(); });
        poll.add(() => { window.ran[1]++; return Promise.resolve(); }, 2);
        poll.add(() => { window.ran[2]++; return new Promise(() => {}); }, 1);
        return E('p', {}, []);
    """
    page = opened("settings", {}, view=view(body, "'require poll';"))
    page.tick(11)
    ran = page.page.evaluate("window.ran")
    assert ran[0] in (2, 3) and ran[1] in (5, 6) and ran[2] == 1, ran
    page.press(page.page.locator("[data-indicator=poll-status]"))
    page.tick(11)
    assert page.page.evaluate("window.ran") == ran, "the user may stop it"


@case("a form saves what was changed, and no more")
def saves(opened):
    page = show(opened)
    page.press(page.save)
    assert page.calls(*SETS) == []
    page.press(page.field("lan_only-enabled").locator("input[type=checkbox]"))
    page.field("lan_only-level").locator("select").select_option("seed")
    page.settle()
    assert not page.field("lan_only-port").is_visible(), "it depends on the level"
    page.field("lan_only-level").locator("select").select_option("custom")
    page.settle()
    assert page.field("lan_only-port").is_visible()
    ports = page.field("lan_only-port")
    ports.locator("input[type=text]").fill("51000-52000")
    page.press(ports.locator(".cbi-button-add"))
    ports.locator(".item").first.focus()
    page.page.keyboard.press("Delete")
    days = page.field("lan_only-weekdays").locator(".cbi-dropdown")
    days.click()
    days.locator("ul.dropdown li", has_text="wed").click()
    page.page.locator("h2").first.click()
    dest = page.field("lan_only-dest").locator(".cbi-dropdown")
    dest.click()
    dest.locator("ul.dropdown li", has_text="Second").click()
    page.settle()
    page.press(page.save)
    changed = page.calls(*SETS)
    assert sorted(map(str, changed)) == sorted(map(str, [
        ["uci.delete", "lanward", "lan_only", ["enabled"]],
        ["uci.set", "lanward", "lan_only", {"port": ["51000-52000"], "weekdays": ["mon", "wed"], "dest": "wan2"}],
    ])), changed
    assert page.page.locator("[data-indicator=uci-changes]").inner_text().lower() == "unsaved changes: 4"


@case("what is wrong is marked, said, and not saved")
def wrong(opened):
    page = show(opened, allowed=["contains an invalid input value"])
    start = page.field("lan_only-start").locator("input")
    start.fill("9")
    start.press("Tab")
    page.settle()
    assert "cbi-input-invalid" in start.get_attribute("class") and start.get_attribute("data-tooltip") == "A time, such as 22:00"
    page.press(page.save)
    dialog = page.page.locator(".modal")
    assert "Option \"Start\" contains an invalid input value. A time, such as 22:00" in dialog.inner_text() and page.calls(*SETS) == []
    page.press(dialog.get_by_role("button", name="Dismiss"))
    start.fill("09:00")
    page.press(page.save)
    changed = page.calls(*SETS)
    assert changed == [["uci.set", "lanward", "lan_only", {"start": "09:00"}]], changed
    page.press(page.page.locator(".cbi-page-actions .cbi-button-reset"))


@case("a table's rows are edited in a dialog, added and deleted")
def grid(opened):
    page = show(opened)
    dialog = page.page.locator(".modal")
    row = page.page.locator("tr.cbi-section-table-row[data-sid=ssh]")
    assert "60" in row.inner_text() and row.locator("td[data-title=Window]").count() == 1
    page.press(row.get_by_role("button", name="Edit"))
    assert dialog.locator("h4").inner_text() == "Gate ssh"
    window = dialog.locator('[id="widget.cbid.lanward.ssh.window"]')
    window.fill("601")
    window.press("Tab")
    page.press(dialog.get_by_role("button", name="Save"))
    assert dialog.is_visible() and page.calls(*SETS) == [] and "value between 1 and 600" in window.get_attribute("data-tooltip")
    window.fill("90")
    window.press("Tab")
    page.press(dialog.get_by_role("button", name="Save"))
    assert not dialog.is_visible() and page.calls(*SETS) == [["uci.set", "lanward", "ssh", {"window": "90"}]]
    assert "90" in row.inner_text()
    page.page.locator(".cbi-section-create-name").fill("mail")
    page.page.locator(".cbi-section-create-name").press("Tab")
    page.press(page.page.locator(".cbi-section-create .cbi-button-add"))
    page.press(dialog.get_by_role("button", name="Dismiss"))
    assert page.page.locator("tr[data-sid=mail]").count() == 0 and page.calls(*SETS) == []
    page.page.locator(".cbi-section-create-name").fill("mail")
    page.page.locator(".cbi-section-create-name").press("Tab")
    page.press(page.page.locator(".cbi-section-create .cbi-button-add"))
    dialog.locator('[id="widget.cbid.lanward.mail.service"]').fill("tcp:993")
    dialog.locator('[id="widget.cbid.lanward.mail.service"]').press("Enter")
    page.press(dialog.get_by_role("button", name="Save"))
    assert page.calls(*SETS) == [["uci.add", "lanward", "gate", "mail", {"service": ["tcp:993"]}]]
    page.press(page.page.locator("tr[data-sid=mail]").get_by_role("button", name="Delete"))
    changed = page.calls(*SETS)
    assert [call[:3] for call in changed] == [["uci.delete", "lanward", "mail"]], changed


@case("a session that reads sees the form and cannot change it")
def reads(opened):
    page = show(opened, write=False, answers={"session.access": lambda given: {"access": given["function"] == "read"}})
    assert page.save.is_disabled() and page.page.locator(".cbi-page-actions .cbi-button-reset").is_disabled()
    inputs = page.page.locator("#view input:not([type=hidden], .cbi-dropdown *), #view select")
    assert inputs.count() > 4 and all(one.is_disabled() for one in inputs.all())
    for dropdown in page.page.locator(".cbi-dropdown").all():
        assert dropdown.get_attribute("disabled") is not None


@case("Save & Apply applies with a way back, confirms, and loads the page anew")
def applies(opened):
    page = show(opened)
    page.press(page.field("lan_only-enabled").locator("input[type=checkbox]"))
    page.press(page.apply)
    assert page.page.locator(".modal").is_visible()
    with contextlib.suppress(Error):
        # The page goes with its reload.
        page.tick(10)
    page.page.locator("#view > :not(.spinning, script)").first.wait_for(state="attached")
    asked = [call[0] for call in page.asked]
    assert asked.index("uci.delete") < asked.index("uci.apply") < asked.index("uci.confirm"), asked
    assert asked.count("uci.apply") == 1 and page.uci.changes == []


@case("what is not confirmed is rolled back, and the page says so")
def rolls_back(opened):
    page = show(opened, answers={"uci.confirm": Refused(4)})
    page.press(page.field("lan_only-enabled").locator("input[type=checkbox]"))
    page.press(page.apply)
    page.tick(95)
    assert "confirm" in page.text(".modal") or "rolled back" in page.text(".modal"), page.text(".modal")


@case("the list of unsaved changes")
def unsaved(opened):
    page = show(opened)
    page.press(page.field("lan_only-enabled").locator("input[type=checkbox]"))
    page.press(page.save)
    page.press(page.page.locator("[data-indicator=uci-changes]"))
    dialog = page.page.locator(".modal")
    assert "# /etc/config/lanward" in dialog.inner_text() and "uci del lanward.lan_only.enabled" in dialog.inner_text(), dialog.inner_text()
    page.press(dialog.get_by_role("button", name="Close"))
    assert not dialog.is_visible()


@case("the page is there in both languages")
def languages(opened):
    page = opened("settings", {}, language="ja", view=view("return E('p', {}, [ _('Overview'), N_(2, '%d minute left', '%d minutes left').format(2) ]);"))
    if page.page.locator("#tabmenu").count():
        assert page.page.locator("html").get_attribute("lang") == "ja"
        assert page.page.locator("#view p").inner_text() == "概要残り2分"
