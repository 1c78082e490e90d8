"""What the scenarios share: a browser, a page of LuCI's or of the stand-in's, and the house beyond it.

The environment says where: LANWARD_PAGE (the web server), LANWARD_KIND ("luci" or "stand-in"), LANWARD_RIG (the house), LANWARD_CHROMIUM. Pictures are
taken where LANWARD_GOLDEN is "rewrite".
"""

import base64
import contextlib
import json
import os
import pathlib
import sys
import time
import traceback
import urllib.error
import urllib.request

from playwright.sync_api import expect, sync_playwright

PAGE = os.environ.get("LANWARD_PAGE", "")
IS_REAL = os.environ.get("LANWARD_KIND") == "luci"
RIG = os.environ.get("LANWARD_RIG", "")
SCREENS = os.environ.get("LANWARD_GOLDEN") == "rewrite" and pathlib.Path(__file__).resolve().parents[2] / "docs/screens"
PATH = "/cgi-bin/luci/admin/services/lanward/"
WIDE = {"viewport": {"width": 1200, "height": 900}}
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}

# A page that waits for the daemon's next answer waits for its next poll.
expect.set_options(timeout=12_000)

OFF = "config lanward 'lanward'\n\nconfig lan_only 'lan_only'\n\toption enabled '0'\n"
GATED = OFF + (
    "\nconfig gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n\toption window '60'\n"
    "\nconfig witness 'imaps'\n\toption gate 'ssh'\n\toption port '993'\n"
)
# With a sequence that there is time to watch.
KNOCKED = GATED + (
    "\nconfig knock 'door'\n\toption gate 'ssh'\n\tlist open 'tcp:7000'\n\tlist open 'udp:8000'\n\tlist open 'tcp:9000'\n\toption timeout '120'\n"
)
HOSTILE = "<img src=x onerror=alert(1)>"
# What the router knows about its hosts; the names are the hosts' own.
HOSTS = {
    "02:00:00:00:77:64": {"name": "desk.lan", "ipaddrs": ["192.168.77.100"], "ip6addrs": ["fd77::100"]},
    "02:00:00:00:77:65": {"name": HOSTILE, "ipaddrs": ["192.168.77.101"], "ip6addrs": ["fd77::101"]},
}


# Nothing between us and the house.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post(url, value):
    request = urllib.request.Request(url, json.dumps(value).encode(), {"Content-Type": "application/json"})
    try:
        with DIRECT.open(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{url} {value}: {error.read().decode()}") from None


class House:
    """The house, past the page: see tests/rig/src/web/house.rs."""

    def ask(self, name, **what):
        return post(f"{RIG}/rig/{name}", what)

    def udp(self, port, **way):
        """What becomes of a packet: "answered", "arrived" or "lost"."""
        return self.ask("udp", port=port, **way)["fate"]

    def gate(self, port=22, host="internet", **way):
        """What a connection to the router from outside meets: "accepted" or something else."""
        return self.ask("tcp", port=port, **{"from": host, "to": "router"}, **way)["met"]

    def client(self, program, *arguments, host="internet"):
        """knockd's or fwknop's client on a host in the internet; HOST is the router."""
        done = self.ask("run", program=program, arguments=list(arguments), **{"from": host})
        assert done["status"] == 0, done["text"]

    def call(self, method, **arguments):
        return self.ask("bus", method=method, arguments=arguments)["reply"]

    def status(self):
        return self.call("status")

    def config(self, text=None):
        return self.ask("config", **({} if text is None else {"text": text}))["text"]

    def afresh(self, text):
        """The house as it is before each scenario."""
        self.ask("hosts", hints=HOSTS)
        self.config(text)
        for gate in self.status()["gates"]:
            self.call("gate_flush", gate=gate["name"])
        # What a scenario switched without keeping it is not in the file.
        self.call("resume")
        self.call("lan_only", enabled=False, persist=False)


house = House()


def until(holds, what, patience=12, page=None):
    """Waits for something that is not in the page; with a page, what it asks for meanwhile is answered."""
    end = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < end, f"not within {patience} s: {what}"
        page.wait_for_timeout(50) if page else time.sleep(0.05)


def to_webp(context, png):
    """Chromium itself makes the small file."""
    page = context.new_page()
    try:
        data = page.evaluate(
            """async text => {
                const image = new Image();
                image.src = 'data:image/png;base64,' + text;
                await image.decode();
                const canvas = document.createElement('canvas');
                canvas.width = image.width;
                canvas.height = image.height;
                canvas.getContext('2d').drawImage(image, 0, 0);
                return canvas.toDataURL('image/webp', 0.6).split(',')[1];
            }""",
            base64.b64encode(png).decode(),
        )
    finally:
        page.close()
    return base64.b64decode(data)


class Opened:
    """A page in a browser."""

    def __init__(self, context, page, sid):
        self.context, self.page, self.sid = context, page, sid
        self.complaints = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self.dialog)

    def dialog(self, dialog):
        self.complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def go(self, name):
        self.page.goto(f"{PAGE}{PATH}{name}")
        self.page.locator(".lanward").first.wait_for()
        return self.page

    def button(self, name, **more):
        return self.page.get_by_role("button", name=name, **more)

    def save_and_apply(self, confirm=True):
        """LuCI's own button, up to the reload at its end; or up to where somebody has to confirm, and nobody does."""
        # A choice of two, for which LuCI has no role.
        press = self.page.locator(".cbi-page-actions").get_by_text("Save & Apply", exact=True).first
        if not confirm:
            self.page.route("**/*", self.without_confirm)
            press.click()
            return
        with self.page.expect_navigation(timeout=40_000):
            press.click()
        self.page.locator(".lanward").first.wait_for()

    def apply_by(self, button):
        """A button of the page's own that saves and applies, up to the reload at its end."""
        with self.page.expect_navigation(timeout=40_000):
            button.click()
        self.page.locator(".lanward").first.wait_for()

    @staticmethod
    def without_confirm(route):
        """LuCI confirms by its own server, the stand-in over the bus."""
        body = route.request.post_data or ""
        if "admin/uci/confirm" in route.request.url or '"uci","confirm"' in body:
            route.abort()
        else:
            route.continue_()

    def picture(self, name):
        """Kept as docs/screens/NAME.webp."""
        if not SCREENS:
            return
        SCREENS.mkdir(parents=True, exist_ok=True)
        self.page.evaluate("window.scrollTo(0, 0)")
        png = self.page.screenshot(animations="disabled", scale="css")
        (SCREENS / f"{name}.webp").write_bytes(to_webp(self.context, png))


class Browser:
    """Opens pages."""

    def __init__(self, browser):
        self.browser = browser

    @contextlib.contextmanager
    def open(self, name, user="root", **options):
        """A page, logged in, and at its end no error in it."""
        context = self.browser.new_context(**{"locale": "en-US", **WIDE, **options})
        context.set_default_timeout(15_000)
        try:
            sid = self.log_in(context, user)
            opened = Opened(context, context.new_page(), sid)
            opened.go(name)
            yield opened
            assert not opened.complaints, opened.complaints
        finally:
            context.close()

    def log_in(self, context, user):
        if IS_REAL:
            # What the form of the login page sends.
            form = {"luci_username": user, "luci_password": "test"}
            context.request.post(f"{PAGE}{PATH}overview", form=form, max_redirects=0)
            found = [cookie["value"] for cookie in context.cookies() if cookie["name"].startswith("sysauth")]
            assert found, "nobody logged in"
            return found[0]
        params = ["0" * 32, "session", "login", {"username": user, "password": "test"}]
        answer = post(PAGE + "/ubus", {"jsonrpc": "2.0", "id": 1, "method": "call", "params": params})
        sid = answer["result"][1]["ubus_rpc_session"]
        context.add_init_script(f"if (location.protocol == 'http:') sessionStorage.setItem('sid', '{sid}')")
        return sid


SCENARIOS = []


def scenario(config=OFF):
    """A function that takes the browser, in a house with this configuration."""

    def take(function):
        SCENARIOS.append((function, config))
        return function

    return take


def main():
    """Runs the scenarios, or those whose names have one of the words of LANWARD_SCENARIO in them."""
    words = os.environ.get("LANWARD_SCENARIO", "").split()
    failed = 0
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=os.environ["LANWARD_CHROMIUM"], args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server"])
        for function, config in SCENARIOS:
            name = function.__name__
            if words and not any(word in name for word in words):
                continue
            began = time.monotonic()
            try:
                house.afresh(config)
                function(Browser(chromium))
                print(f"ok {name} ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception:
                failed += 1
                print(f"FAILED {name} ({time.monotonic() - began:.1f} s)\n{traceback.format_exc()}", flush=True)
        chromium.close()
    sys.exit(1 if failed else 0)
