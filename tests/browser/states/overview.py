"""The overview."""

from canned import Held, Refused, case

DOWN = [Refused(-32000), Refused(4)]


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
        ({"applied": False, "problems": problem}, {}, "On", "true"),
    ]:
        page = show(opened, status(lan_only, **more))
        assert page.state.inner_text() == word, page.state.inner_text()
        assert page.switch.get_attribute("aria-checked") == checked
        assert page.button("Resume now").is_visible() == (word == "Paused")
        assert page.page.get_by_text("2 minutes left").count() == (word == "Paused")
        assert page.page.get_by_text("'x' is not a level").count() == ("problems" in more)
        assert not page.page.get_by_role("alert").is_visible()
