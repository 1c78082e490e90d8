"""The page in Chromium on the stand-in for LuCI, with answers of the bus that a case gives: no daemon, no root, no network.

LANWARD_LUCI_SOURCE names a checkout of LuCI: its own framework and theme then take the stand-in's place, in English. LANWARD_WWW names a directory
with the page's files in another form, such as they are packed. Pictures are taken where LANWARD_GOLDEN is "rewrite".
"""

import contextlib
import copy
import json
import mimetypes
import os
import pathlib
import traceback

from run import SCREENS, to_webp

ROOT = pathlib.Path(__file__).resolve().parents[3]
APP = ROOT / "luci-app" / "luci-app-lanward"
WWW = pathlib.Path(os.environ.get("LANWARD_WWW") or APP / "htdocs")
ORIGIN = "http://router.test"
STAND_IN = "/luci-static/stand-in/"
FILES = {
    STAND_IN + "menu.json": APP / "root/usr/share/luci/menu.d/luci-app-lanward.json",
    STAND_IN + "ja.po": APP / "po/ja/lanward.po",
}
START = 1_700_000_000
SOURCE = os.environ.get("LANWARD_LUCI_SOURCE") and pathlib.Path(os.environ["LANWARD_LUCI_SOURCE"])
# What LuCI's server puts around a view.
REAL = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<link rel="stylesheet" href="/luci-static/bootstrap/cascade.css"><link rel="stylesheet" media="only screen and (max-device-width: 854px)" href="/luci-static/bootstrap/mobile.css"><script src="/luci-static/resources/cbi.js"></script></head>
<body data-page="admin-services-lanward-NAME"><header><div id="indicators" class="pull-right"></div></header>
<div id="maincontent" class="container"><script src="/luci-static/resources/luci.js"></script><script>
L = new LuCI({ resource: '/luci-static/resources', scriptname: '/cgi-bin/luci', documentroot: '/www', media: '/luci-static/bootstrap',
    requestpath: [ 'admin', 'services', 'lanward', 'NAME' ], dispatchpath: [ 'admin', 'services', 'lanward', 'NAME' ], pollinterval: 5,
    ubuspath: '/ubus/', sessionid: '0', token: '0', nodespec: { satisfied: true, readonly: READONLY },
    apply_rollback: 90, apply_holdoff: 1, apply_timeout: 5, apply_display: 1.5 });
</script><div id="view"><script>L.require('ui').then(ui => ui.instantiateView('lanward/NAME'));</script></div></div></body></html>"""

# How far the page is: no request is under way, and what followed from the last one is done. Counts what changes, too.
WATCH = """
(() => {
    const real = window.fetch;
    window.rig = { pending: 0, changes: [], errors: [] };
    window.fetch = (...args) => {
        window.rig.pending++;
        return real(...args).finally(() => { window.rig.pending-- });
    };
    const send = XMLHttpRequest.prototype.send;
    XMLHttpRequest.prototype.send = function(...args) {
        window.rig.pending++;
        this.addEventListener('loadend', () => { window.rig.pending-- });
        return send.apply(this, args);
    };
    /* The page's own clock is in the cases' hands; this is the real one. */
    const later = window.setTimeout.bind(window);
    window.rig.rest = async () => {
        for (let quiet = 0, before = -1; quiet < 5; quiet++) {
            await new Promise(resolve => later(resolve, 2));
            if (window.rig.pending != before)
                [ quiet, before ] = [ 0, window.rig.pending ];
        }
        return window.rig.pending;
    };
    window.rig.watch = () => {
        window.rig.changes = [];
        new MutationObserver(list => list.forEach(one => {
            const now = one.type == 'attributes' ? one.target.getAttribute(one.attributeName) : one.target.data;
            if (one.type == 'childList' || now !== one.oldValue)
                window.rig.changes.push([ one.type, one.attributeName, one.target.textContent.slice(0, 80) ].join(' '));
        })).observe(document.getElementById('view'), { subtree: true, childList: true, attributes: true, attributeOldValue: true,
            characterData: true, characterDataOldValue: true });
    };
    window.addEventListener('unhandledrejection', ev => window.rig.errors.push(String(ev.reason && ev.reason.stack || ev.reason)));
    window.addEventListener('error', ev => window.rig.errors.push(ev.message));
})();
"""


class Refused:
    """An answer without data: a ubus status, or an error of the web server's (a negative number)."""

    WORDS = {-32000: "Object not found", -32002: "Access denied"}

    def __init__(self, code):
        self.code = code


class Held:
    """An answer that comes when `release` says so."""

    def __init__(self):
        self.finish = None

    def release(self, value):
        self.finish(value)


def reply(ident, value):
    if isinstance(value, Refused):
        if value.code < 0:
            return {"jsonrpc": "2.0", "id": ident, "error": {"code": value.code, "message": Refused.WORDS[value.code]}}
        return {"jsonrpc": "2.0", "id": ident, "result": [value.code]}
    return {"jsonrpc": "2.0", "id": ident, "result": [0] if value is None else [0, value]}


class Uci:
    """rpcd's object `uci`, as far as a form needs it: one file, and the changes of one session."""

    def __init__(self, config, sections, writable):
        self.config, self.sections, self.writable = config, copy.deepcopy(sections), writable
        self.changes, self.made = [], 0
        for at, (name, section) in enumerate(self.sections.items()):
            section.update({".name": name, ".index": at, ".anonymous": False})

    def call(self, method, given):
        if method == "changes":
            return {"changes": {self.config: self.changes} if self.changes else {}}
        if method in ("apply", "confirm", "revert"):
            done, self.changes = bool(self.changes), [] if method != "confirm" else self.changes
            return None if done or method == "confirm" else Refused(5)
        if given.get("config") != self.config:
            return {"values": {}} if method == "get" else Refused(4)
        if method == "get":
            return {"values": copy.deepcopy(self.sections)}
        if not self.writable:
            return Refused(6)
        name = given.get("section")
        if method == "add":
            self.made += 1
            name = given.get("name") or f"cfg{self.made:02x}"
            self.sections[name] = {".name": name, ".type": given["type"], ".index": 100 + self.made, ".anonymous": "name" not in given}
            self.changes.append(["add", name, given["type"]])
        elif name not in self.sections:
            return Refused(4)
        if method in ("add", "set"):
            self.sections[name].update(given["values"])
            self.changes += [["set", name, option, value] for option, value in given["values"].items()]
            return {"section": name} if method == "add" else None
        if method == "delete":
            options = given.get("options")
            for option in options or []:
                self.sections[name].pop(option, None)
                self.changes.append(["remove", name, option])
            if options is None:
                del self.sections[name]
                self.changes.append(["remove", name])
        return None


class Page:
    """One page of the app in a browser of its own, and what it asked."""

    def __init__(self, browser, name, answers, write=True, language="en", uci=None, address="192.168.1.5", view=None, **options):
        self.answers = {
            "luci.getFeatures": {},
            "session.access": lambda given: {"access": write if given["function"] == "write" else True},
            "luci-rpc.getHostHints": {},
            "file.read": {"data": (ROOT / "files/usr/share/lanward/profiles.json").read_text()},
        }
        self.answers.update(answers)
        self.uci = Uci("lanward", uci or {}, write)
        self.name, self.write, self.view, self.address = name, write, view, address
        self.asked, self.batches, self.foreign, self.held = [], [], [], 0
        self.context = browser.new_context(locale="ja-JP" if language == "ja" else "en-US", reduced_motion="reduce", **options)
        self.context.set_default_timeout(15_000)
        self.context.route("**/*", self.serve)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.foreign.append(f"{error}"))
        self.page.add_init_script(WATCH)
        self.page.clock.install(time=START)
        self.page.clock.pause_at(START + 1)
        self.page.goto(f"{ORIGIN}/cgi-bin/luci/admin/services/lanward/{name}")
        for _ in range(50 if SOURCE else 0):
            self.page.clock.run_for(20)
            self.page.evaluate("window.rig.rest()")
        self.page.locator("#view > :not(.spinning, script)").first.wait_for(state="attached")
        self.settle()

    def serve(self, route):
        try:
            self.fulfill(route)
        except Exception as error:
            self.foreign.append(f"{route.request.url}: {error!r}")
            route.abort()

    def fulfill(self, route):
        path = route.request.url.removeprefix(ORIGIN).split("?")[0]
        if path.startswith("/ubus"):
            return self.answer(route)
        if path.endswith("/lanward/address"):
            return route.fulfill(status=200, json={"address": self.address}) if self.address else route.fulfill(status=404)
        if path == "/cgi-bin/cgi-exec":
            # LuCI asks by it whether an apply would cut off the browser itself.
            return route.fulfill(status=403)
        if "/admin/uci/" in path:
            # LuCI's server asks rpcd in the page's stead.
            method = path.rsplit("/", 1)[1].split("_")[0]
            self.asked.append([f"uci.{method}"])
            refused = isinstance(self.answers.get(f"uci.{method}", self.uci.call(method, {})), Refused)
            return route.fulfill(status=404 if refused else 204 if method == "confirm" else 200, json={})
        if path.startswith("/cgi-bin/luci/"):
            if SOURCE:
                text = REAL.replace("NAME", self.name).replace("READONLY", "false" if self.write else "true")
                return route.fulfill(body=text, content_type="text/html")
            return route.fulfill(path=ROOT / "tests/browser/luci/index.html")
        if self.view and path.endswith(f"/view/lanward/{self.name}.js"):
            return route.fulfill(body=self.view, content_type="text/javascript")
        if path in FILES:
            return route.fulfill(path=FILES[path])
        places = [(STAND_IN, ROOT / "tests/browser/luci"), ("/luci-static/", WWW / "luci-static")]
        if SOURCE:
            places += [("/luci-static/", SOURCE / part / "htdocs/luci-static") for part in ("modules/luci-base", "themes/luci-theme-bootstrap")]
        for prefix, place in places:
            file = place / path.removeprefix(prefix)
            if path.startswith(prefix) and file.is_file():
                return route.fulfill(path=file, content_type=mimetypes.guess_type(file)[0])
        self.foreign.append(f"asked for {route.request.url}")
        return route.fulfill(status=404)

    def answer(self, route):
        body = route.request.post_data_json
        calls = body if isinstance(body, list) else [body]
        replies = []
        self.batches.append(len(calls))
        for call in calls:
            if call["method"] == "list":
                return route.fulfill(json=reply(call["id"], {}))
            _, thing, method, given = call["params"]
            self.asked.append([method if thing == "lanward" else f"{thing}.{method}", *given.values()])
            name = self.asked[-1][0]
            if thing == "uci" and name not in self.answers:
                value = self.uci.call(method, given)
            else:
                value = self.answers.get(name, Refused(3 if thing == "lanward" else -32000))
            if callable(value):
                value = value(given)
            if isinstance(value, Held):
                self.held += 1

                def finish(late, ident=call["id"]):
                    self.held -= 1
                    route.fulfill(json=[reply(ident, late)] if isinstance(body, list) else reply(ident, late))
                assert len(calls) == 1, "an answer that is held must be alone in its batch"
                value.finish = finish
                return
            replies.append(reply(call["id"], value))
        route.fulfill(json=replies if isinstance(body, list) else replies[0])

    def settle(self):
        for _ in range(4 if SOURCE else 0):
            # LuCI sends its requests with the next frame.
            self.page.clock.run_for(16)
            self.page.evaluate("window.rig.rest()")
        for _ in range(200):
            if self.page.evaluate("window.rig.rest()") <= self.held:
                return
        raise AssertionError("the page does not come to rest")

    def tick(self, seconds=5):
        """Time goes on; the page asks anew when a poll is due."""
        for _ in range(seconds):
            self.page.clock.run_for(1000)
            self.settle()

    def press(self, locator, **options):
        locator.click(**options)
        self.settle()

    def calls(self, *methods):
        """What was asked of these methods, and forgets it."""
        found = [call for call in self.asked if call[0] in methods]
        self.asked.clear()
        return found

    def changes(self, act):
        """What in the page changed while `act` ran."""
        self.page.evaluate("window.rig.watch()")
        act()
        return self.page.evaluate("window.rig.changes")

    def focused(self, locator):
        return locator.evaluate("node => node === document.activeElement")

    def button(self, name, exact=True):
        return self.page.get_by_role("button", name=name, exact=exact)

    def picture(self, name):
        """Kept as docs/screens/NAME.webp."""
        if SCREENS:
            self.page.clock.resume()
            png = self.page.screenshot(animations="disabled", scale="css")
            # Nothing but this page's own is let through in its context.
            context = self.context.browser.new_context()
            (SCREENS / f"{name}.webp").write_bytes(to_webp(context, png))
            context.close()

    def text(self, selector="#view"):
        return self.page.locator(selector).inner_text()

    def close(self):
        errors = self.page.evaluate("window.rig.errors") + self.foreign
        self.context.close()
        return errors


CASES = []


def case(name):
    def take(function):
        CASES.append((f"{function.__module__}: {name}", function))
        return function
    return take


def run(browser, wanted):
    """Runs the cases whose names have all these words in them; the number that failed."""
    failed = 0
    chosen = [(name, function) for name, function in CASES if all(word in name for word in wanted)]
    for name, function in chosen:
        pages = []

        def opened(*args, allowed=(), _pages=pages, **options):
            _pages.append((Page(browser, *args, **options), allowed))
            return _pages[-1][0]
        try:
            function(opened)
            for page, allowed in pages:
                errors = [error for error in page.close() if not any(word in error for word in allowed)]
                assert not errors, errors
        except Exception:
            failed += 1
            print(f"{name}:\n{traceback.format_exc()}", flush=True)
            for page, _ in pages:
                with contextlib.suppress(Exception):
                    print(json.dumps(page.asked[-8:]), page.foreign, page.page.evaluate("window.rig.errors"))
                    page.context.close()
    print(f"{len(chosen)} cases, " + ("all as expected" if not failed else f"{failed} failed"))
    return failed if chosen else 1
