"""The attempts."""

import csv
import datetime
import random

from canned import SOURCE, START, Held, Refused, case
from overview import status
from playwright.sync_api import expect
from proofs import EVIL, PHONE, axe

WIDE = {"viewport": {"width": 1200, "height": 900}}
SECTIONS = ["By month", "By day and port", "Where a day's attempts came from", "By hour"]
MONTHS, DAYS, SOURCES, HOURS = SECTIONS
LEDGER = {"enabled": True, "today": 4321, "last_commit": START - 3600, "total": 20000}
RECENT = [{"time": f"2020-04-30T16:05:{29 + at:02}", "address": f"203.0.113.{at}", "protocol": "tcp", "port": 23} for at in range(3)]
# The day that stands out, and who made it.
OUTLIER, REFLECTED = "2020-04-06", "180.188.10.20"


def spread(total, weights):
    """As many in all, in about these parts."""
    parts = [total * weight // sum(weights) for weight in weights]
    if parts:
        parts[0] += total - sum(parts)
    return parts


class History:
    """Answers as the daemon gives them, of so many days up to the end of April 2020, in the seed's figures. `most`: rows of one answer."""

    def __init__(self, days, most=10_000):
        self.most, self.end = most, datetime.date(2020, 4, 30)
        self.ports, self.totals = {}, {}
        chance = random.Random(1)
        for back in reversed(range(days)):
            date = self.end - datetime.timedelta(back)
            years = (date - datetime.date(2019, 4, 15)).days / 366
            self.ports[str(date)] = self.tried(date, chance, 1.732 ** max(years, 0))
            self.totals[str(date)] = sum(attempts for _, _, attempts in self.ports[str(date)])
        # 5 498.4 a day without the outlier, 173.2 % of a year before.
        for month, average in [("2020-04", 5498.4), ("2019-04", 3174.6)]:
            usual = [date for date in self.totals if date.startswith(month) and date != OUTLIER]
            for date, wanted in zip(usual, spread(round(average * len(usual)), [self.totals[date] for date in usual])):
                protocol, port, rest = self.ports[date][-1]
                self.ports[date][-1] = (protocol, port, rest + wanted - self.totals[date])
                self.totals[date] = wanted

    @staticmethod
    def tried(date, chance, grown):
        """The ports of a day, as the seed has them, largest first but for the rest."""
        some = chance.randrange
        many = [("tcp", 23, 200 + some(400)), ("tcp", 445, 170 + some(60)), ("tcp", 1433, 80 + some(90)), ("tcp", 80, 90 + some(60)), ("tcp", 22, 60 + some(120)),
                ("tcp", 8080, 60 + some(80)), ("udp", 5060, 70 + some(90)), ("tcp", 3389, 40 + some(20)), ("tcp", 81, some(130)), ("udp", 123, some(110))]
        many += {OUTLIER: [("udp", 1900, 92890)], "2020-04-07": [("tcp", 58742, 2600)], "2020-04-08": [("tcp", 58742, 1700), ("udp", 5353, 1450)]}.get(str(date), [])
        if chance.random() < .03:
            many.append(("tcp", 20000 + some(40000), 300 + some(1500)))
        rest = int((3175 * grown - 1300) * chance.uniform(.88, 1.12))
        many += [("tcp", 9000 + at, attempts) for at, attempts in enumerate(spread(rest // 4, [3] * 20))]
        return sorted((one for one in many if one[2]), key=lambda one: -one[2]) + [("other", 0, rest - rest // 4)]

    def __call__(self, given):
        rows = getattr(self, "by_" + given["by"])(given.get("address"))
        first, last = given.get("from", ""), given.get("to", "9999")
        rows = [row for row in rows if first[:len(next(iter(row.values())))] <= next(iter(row.values()))[:10] <= last]
        most = min(self.most, given.get("limit", self.most))
        cut = len(rows) - most
        if cut > 0 and given["by"] in ("port", "source"):
            # Of the day that fits in part the largest are given.
            same = [row for row in rows if row["date"] == rows[cut]["date"]]
            begin = rows.index(same[0])
            rows = same[:begin + len(same) - cut] + rows[begin + len(same):]
        return {"rows": rows[-most:], "more": cut > 0}

    def by_day(self, _):
        return [{"date": date, "attempts": total, "outlier": date == OUTLIER, **(
            {"why": f"{total}, where 5400 is usual around that day, and a distance of 900 from it"} if date == OUTLIER else {})} for date, total in self.totals.items()]

    def by_month(self, _):
        rows = {}
        for month in dict.fromkeys(date[:7] for date in self.totals):
            days = {date: total for date, total in self.totals.items() if date.startswith(month)}
            usual = [total for date, total in days.items() if date != OUTLIER] or [0]
            rows[month] = {"month": month, "attempts": sum(days.values()), "days": len(days), "per_day": round(sum(days.values()) / len(days), 1),
                           "per_day_without_outliers": round(sum(usual) / len(usual), 1)}
            before = rows.get(f"{int(month[:4]) - 1}{month[4:]}")
            if before:
                rows[month]["year_on_year"] = round(100 * rows[month]["per_day_without_outliers"] / before["per_day_without_outliers"], 1)
        return list(rows.values())

    def by_port(self, _):
        return [{"date": date, "protocol": protocol, "port": port, "attempts": attempts} for date, ports in self.ports.items() for protocol, port, attempts in ports]

    def by_source(self, _):
        rows = []
        for date, total in self.totals.items():
            if date <= str(self.end - datetime.timedelta(31)):
                continue
            large = [(REFLECTED, 70000), ("198.51.100.7", 9200), ("203.0.113.80", 5100), ("2001:db8:1234:5678:9abc:def0:1234:5678", 1040)] if date == OUTLIER else []
            small = spread(total - sum(attempts for _, attempts in large), range(40, 0, -1))
            rows += [{"date": date, "address": address, "attempts": attempts, "ports": [{"protocol": "udp", "port": 1900, "attempts": attempts}]} for address, attempts in large]
            rows += [{"date": date, "address": f"192.0.2.{at}", "attempts": attempts, "ports": [
                {"protocol": "tcp", "port": 23, "attempts": attempts // 2}, {"protocol": "tcp", "port": 445, "attempts": attempts // 3}]} for at, attempts in enumerate(small[:30])]
            rows.append({"date": date, "address": "other", "attempts": sum(small[30:])})
        return rows

    def by_hour(self, address):
        rows = []
        for date, total in self.totals.items():
            weights = [1] * 13 + [32, 4, 4, 32] + [1] * 7 if date == OUTLIER else [1] * 24
            total = total if not address else 70000 if date == OUTLIER else total // 40
            rows += [{"time": f"{date}T{hour:02}", "attempts": attempts} for hour, attempts in enumerate(spread(total, weights))]
        return rows


def show(opened, days=62, ledger=None, recent=RECENT, kept=None, **options):
    answers = {"status": status(ledger={**LEDGER, **(ledger or {})}), "ledger_recent": {"attempts": list(recent)}, "history": History(days) if isinstance(days, int) else days}
    page = opened("attempts", {**answers, **options.pop("answers", {})}, uci={"ledger": {".type": "ledger", **(kept or {})}}, **options)
    page.part = lambda name: page.page.locator(".cbi-section").filter(has=page.page.get_by_role("heading", name=name, exact=True))
    page.bars = lambda name: page.part(name).locator(".lanward-svg [role=option]")
    page.bar = lambda name, words: page.part(name).locator(".lanward-svg").get_by_role("option", name=words)
    page.erase = page.button("Erase everything")
    return page


@case("four charts in the seed's figures")
def seed(opened):
    page = show(opened, 800, **WIDE)
    assert page.bars(MONTHS).count() == 27 and page.bars(DAYS).count() == 31 and page.bars(SOURCES).count() == 20
    april = page.bars(MONTHS).last.get_attribute("aria-label")
    assert april.startswith("April 2020: 5,498.4 attempts a day, with outlier days 8,") and april.endswith("173.2% of a year before"), april
    assert page.bars(MONTHS).first.get_attribute("aria-label").startswith("February 2018: ") and "of a year before" not in page.bars(MONTHS).first.get_attribute("aria-label")
    sixth = page.bar(DAYS, "April 6, 2020")
    assert "(outlier day)" in sixth.get_attribute("aria-label") and "UDP 1900 (SSDP) 92,890, TCP 23 (telnet)" in sixth.get_attribute("aria-label")
    assert sixth.get_attribute("aria-selected") == "true", "it begins with the day that stands out"
    assert "TCP 58742" in page.bar(DAYS, "April 7, 2020").get_attribute("aria-label") and "UDP 5353 (mDNS) 1,450" in page.bar(DAYS, "April 8, 2020").get_attribute("aria-label")
    assert page.bars(SOURCES).first.get_attribute("aria-label") == f"{REFLECTED}: 70,000 attempts, UDP 1900 (SSDP) 70,000"
    # The largest 20; the others are counted together.
    assert "All other sources together: " in page.part(SOURCES).inner_text()
    figures = page.text(".lanward-figures")
    assert "4,321" in figures and "5,498.4" in figures and "173.2%" in figures, figures
    legend = page.part(DAYS).locator(".lanward-legend").inner_text()
    assert "TCP 1433 (SQL Server)" in legend and "TCP 445 (SMB)" in legend and "outlier day" in legend and "all other ports" not in legend, legend
    # A colour never stands alone: each style in the legend is drawn differently.
    drawn = page.part(DAYS).locator(".lanward-legend svg").evaluate_all("nodes => nodes.map(node => node.innerHTML.replace(/lanward-style-[0-9]+-[0-9a-z]+|lanward-fill-[0-9]/g, ''))")
    assert len(set(drawn)) == len(drawn) >= 8
    page.part(MONTHS).evaluate("node => window.scrollTo(0, node.getBoundingClientRect().top - 50)")
    page.picture("attempts")


@case("a month leads to its days, a day to its sources, a source to its hours")
def leads(opened):
    page = show(opened, 800, **WIDE)
    page.asked.clear()
    page.press(page.bar(MONTHS, "February 2020"))
    assert page.bars(DAYS).count() == 29 and page.page.get_by_label("Days shown").input_value() == "2020-02"
    assert page.calls("history") == [["history", "port", "2020-02-01", "2020-02-29", 2048]], "only what is needed"
    page.page.get_by_label("Days shown").select_option("31")
    page.settle()
    page.asked.clear()
    page.press(page.bar(DAYS, "April 20, 2020"))
    assert page.calls("history") == [["history", "source", "2020-04-20", "2020-04-20", 8192], ["history", "hour", "2020-04-20", "2020-04-20", 48]]
    assert page.page.get_by_label("Day", exact=True).input_value() == "2020-04-20" and "April 20, 2020: " in page.part(SOURCES).inner_text()
    assert "All sources on April 20, 2020" in page.part(HOURS).inner_text() and not page.button("All sources of this day").is_visible()
    page.press(page.part("Outlier days").get_by_role("button", name="April 6, 2020"))
    assert page.focused(page.page.get_by_role("heading", name=SOURCES)) and page.bar(DAYS, "April 6, 2020").get_attribute("aria-selected") == "true"
    page.asked.clear()
    page.press(page.bar(SOURCES, REFLECTED))
    assert page.calls("history") == [["history", "hour", OUTLIER, OUTLIER, 48, REFLECTED]]
    assert f"{REFLECTED} on April 6, 2020" in page.part(HOURS).inner_text() and page.bar(SOURCES, REFLECTED).get_attribute("aria-selected") == "true"
    hours = page.part(HOURS)
    hours.locator("[data-at='13']").hover()
    assert "13:00 to 14:00: 24," in hours.inner_text() and "about 7 a second" in hours.inner_text(), hours.inner_text()
    page.press(page.button("All sources of this day"))
    assert "All sources on April 6, 2020" in hours.inner_text() and page.focused(page.page.get_by_role("heading", name="Attempts", exact=True))
    page.page.get_by_label("Day", exact=True).fill("2020-04-11")
    page.settle()
    assert "April 11, 2020: " in page.part(SOURCES).inner_text() and page.bar(DAYS, "April 11, 2020").get_attribute("aria-selected") == "true"


@case("the keyboard is enough")
def keyboard(opened):
    page = show(opened, 62, **WIDE)
    press = page.page.keyboard.press
    assert page.part(DAYS).locator("[tabindex='0'][role=option]").count() == 1, "one stop for Tab"
    chosen = page.bar(DAYS, "April 6, 2020")
    chosen.focus()
    press("ArrowRight")
    press("ArrowRight")
    assert page.focused(page.bar(DAYS, "April 8, 2020")) and chosen.get_attribute("aria-selected") == "true"
    assert "April 8, 2020: " in page.part(DAYS).locator(".lanward-says-so").inner_text()
    press("End")
    assert page.focused(page.bar(DAYS, "April 30, 2020"))
    press("ArrowRight")
    press("Home")
    press("PageDown")
    assert page.focused(page.bar(DAYS, "April 7, 2020")), page.page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
    press("Enter")
    page.settle()
    assert page.focused(page.page.get_by_role("heading", name=SOURCES)) and "April 7, 2020: " in page.part(SOURCES).inner_text()
    page.bars(SOURCES).first.focus()
    press("ArrowDown")
    press(" ")
    page.settle()
    assert page.focused(page.page.get_by_role("heading", name=HOURS)) and "192.0.2.1 on April 7, 2020" in page.part(HOURS).inner_text()
    # What is drawn anew keeps the focus.
    page.bar(DAYS, "April 9, 2020").focus()
    page.answers.update({"history": History(63), "status": Refused(7)})
    page.tick(5)
    page.answers["status"] = status(ledger=LEDGER)
    page.tick(5)
    assert page.calls("history") and page.focused(page.bar(DAYS, "April 9, 2020"))


@case("ranges of days, and answers that come in pieces")
def ranges(opened):
    page = show(opened, History(800, most=500), **WIDE)
    chosen = page.page.get_by_label("Days shown")
    words = chosen.locator("option").all_inner_texts()
    assert words[:5] == ["the last 7 days", "the last 31 days", "the last 400 days", "April 2020", "March 2020"] and words[-1] == "February 2018", words
    whole = History(800).ports
    for value, count in [("7", 7), ("31", 31), ("400", 400), ("2019-02", 28)]:
        page.asked.clear()
        chosen.select_option(value)
        page.settle()
        assert page.bars(DAYS).count() == count, value
        asked = page.calls("history")
        assert len(asked) >= len([one for one in whole if one >= asked[0][2]][:count]) * 30 / 500
        # Not one is lost, nor counted twice.
        first = page.bars(DAYS).first.get_attribute("aria-label")
        total = sum(attempts for _, _, attempts in whole[asked[0][2]])
        assert f"{total:,} attempts" in first and "TCP 23 (telnet)" in first, (value, first, total)
    page.press(page.part(DAYS).locator("summary"))
    rows = page.part(DAYS).get_by_role("row").count() - 1
    assert rows == sum(len([1 for protocol, _, attempts in whole[f"2019-02-{day:02}"] if attempts >= 100 and protocol != "other"]) + 1 for day in range(1, 29)), rows


@case("an answer of another range that comes later is not shown")
def stale(opened):
    page = show(opened, 62, **WIDE)
    told, held = page.answers["history"], Held()
    page.answers["history"] = held
    page.page.get_by_label("Days shown").select_option("400")
    page.settle()
    page.answers["history"] = told
    page.page.get_by_label("Days shown").select_option("7")
    page.settle()
    held.release({"rows": []})
    page.settle()
    assert page.bars(DAYS).count() == 7 and "TCP 23 (telnet)" in page.bars(DAYS).last.get_attribute("aria-label")


@case("bars are cut off so that one does not hide the others, and only then")
def capped(opened):
    page = show(opened, 62, **WIDE)
    cap, rest = page.page.get_by_label("Cut bars off at 10,000"), page.page.get_by_label("With all other ports")
    part = page.part(DAYS)
    assert cap.is_checked() and part.locator(".lanward-torn").count() == 1 and part.locator("svg .lanward-strong").text_content().startswith("9")
    page.press(cap)
    assert part.locator(".lanward-torn").count() == 0 and "100K" in part.locator("svg").first.text_content()
    page.page.get_by_label("Days shown").select_option("7")
    page.settle()
    assert not cap.is_checked(), "what was chosen stays"
    page.press(rest)
    assert "all other ports" in part.locator(".lanward-legend").inner_text()
    page = show(opened, 7, **WIDE)
    assert not page.page.get_by_label("Cut bars off at 10,000").is_checked() and page.part(DAYS).locator(".lanward-torn").count() == 0
    # Where all is small there is no port with so many: then all of them are shown.
    few = [{"date": "2020-04-30", "attempts": 40, "outlier": False}]
    page = show(opened, lambda given: {"rows": few if given["by"] == "day" else [{**few[0], "protocol": "tcp", "port": 23}] if given["by"] == "port" else []})
    assert page.page.get_by_label("With all other ports").is_checked() and "40 attempts" in page.bars(DAYS).first.get_attribute("aria-label")


@case("each chart is a table and a file as well")
def tables(opened):
    page = show(opened, 62, **WIDE)
    for name, columns, last in [
        (MONTHS, "month,attempts,days,per_day,per_day_without_outliers,year_on_year", ["2020-04", None, "30", None, "5498.4", ""]),
        (DAYS, "date,protocol,port,name,attempts", ["2020-04-30", "other", "", "", None]),
        (SOURCES, "date,address,attempts,ports", [OUTLIER, None, None, None]),
        (HOURS, "time,address,attempts", [f"{OUTLIER} 23:00", "", None]),
    ]:
        part = page.part(name)
        assert part.get_by_role("row").count() == 0, "it is made when it is opened"
        page.press(part.get_by_text("The same as a table"))
        rows = part.get_by_role("row")
        with page.page.expect_download() as download:
            part.get_by_role("button", name=f"Download {name} as CSV").click()
        assert download.value.suggested_filename.startswith("lanward-") and download.value.suggested_filename.endswith(".csv")
        with open(download.value.path(), newline="") as file:
            found = list(csv.reader(file))
        assert ",".join(found[0]) == columns and len(found) == rows.count(), (found[0], len(found), rows.count())
        assert all(wanted in (None, cell) for wanted, cell in zip(last, found[-1])), found[-1]
        cells = [cell.inner_text().replace(",", "") for cell in rows.last.locator("th, td").all()]
        assert cells == [cell.replace(",", "") for cell in found[-1]], (cells, found[-1])
        assert part.get_by_role("columnheader").count() == len(found[0]) and part.get_by_role("rowheader").count() == len(found) - 1


@case("outlier days are said in words")
def outliers(opened):
    page = show(opened, 62, **WIDE)
    words = ", where 5,400 is usual around that day, and a distance of 900 from it"
    assert words in page.part("Outlier days").inner_text() and words in page.part(SOURCES).inner_text()
    assert "An outlier day: " in page.part(SOURCES).inner_text() and page.part("Outlier days").get_by_role("button").count() == 1
    page = show(opened, 20, **WIDE)
    assert not page.part("Outlier days").is_visible()
    if not SOURCE:
        page = show(opened, 62, language="ja", **WIDE)
        assert "件（前後の日は5,400件がふつうで、そこからのずれは900件ほど）" in page.text()


@case("what goes on now is a sample, asked for every five seconds")
def live(opened):
    page = show(opened, 3)
    part = page.part("Just now")
    rows = lambda: [row.inner_text().split("\t")[1] for row in part.locator("tbody tr").all()]
    assert rows() == ["203.0.113.2", "203.0.113.1", "203.0.113.0"] and "TCP 23 (telnet)" in part.inner_text() and "A sample" in part.inner_text()
    page.tick(5)
    page.asked.clear()
    changed = page.changes(lambda: page.tick(20))
    assert changed == [] and len(page.calls("ledger_recent")) == 4, changed
    again = {"time": "2020-04-30T16:06:00", "address": "192.0.2.1", "protocol": "icmp", "port": 8}
    page.answers["ledger_recent"] = {"attempts": [*RECENT[1:], again, again]}
    page.tick(5)
    assert rows() == ["192.0.2.1", "192.0.2.1", "203.0.113.2", "203.0.113.1"] and "ICMP 8 (ping)" in part.inner_text()
    page.answers["ledger_recent"] = {"attempts": []}
    page.tick(5)
    assert rows() == [] and "Nobody, so far." in part.inner_text()
    page.answers["ledger_recent"] = Refused(3)
    page.tick(5)
    assert "does not know the request" in part.inner_text() and page.bars(MONTHS).count() == 1


@case("what was counted is asked for seldom")
def seldom(opened):
    page = show(opened, 62)
    page.tick(5)
    page.asked.clear()
    changed = page.changes(lambda: page.tick(300))
    assert changed == [], changed
    asked = page.calls("history")
    assert [call[1] for call in asked] == ["month", "day", "port", "source", "hour"], asked


@case("nothing yet, and one day")
def little(opened):
    page = show(opened, 0, recent=[])
    assert "Nothing has been counted yet" in page.text() and not any(page.part(name).is_visible() for name in SECTIONS) and page.erase.is_enabled()
    page = show(opened, 1)
    assert [page.bars(name).count() for name in (MONTHS, DAYS)] == [1, 1] and "April 30, 2020. Choose a day" in page.part(DAYS).inner_text()
    # A day of which no source is kept any more.
    page = show(opened, 800)
    page.page.get_by_label("Day", exact=True).fill("2019-01-01")
    page.settle()
    assert "They are kept for 31 days." in page.part(SOURCES).inner_text() and page.bars(SOURCES).filter(visible=True).count() == 0
    page.answers["history"] = lambda given: {"rows": [], "error": "that is not kept"} if given["by"] != "day" else {"rows": []}
    page.page.get_by_label("Day", exact=True).fill("2019-01-02")
    page.settle()
    assert "that is not kept" in page.part(SOURCES).inner_text() and "that is not kept" in page.part(HOURS).inner_text()


@case("without the daemon the page appears, says so, and comes back")
def down(opened):
    page = show(opened, 62, answers={"status": Refused(-32000), "history": Refused(-32000), "ledger_recent": Refused(-32000)})
    alert = page.page.get_by_role("alert")
    assert "not running" in alert.inner_text() and page.bars(MONTHS).count() == 0 and not page.erase.is_visible()
    page.answers.update({"status": status(ledger=LEDGER), "history": History(62), "ledger_recent": {"attempts": RECENT}})
    page.tick(5)
    assert not alert.is_visible() and page.bars(DAYS).count() == 31 and page.erase.is_enabled()
    page.answers["status"] = Refused(7)
    page.tick(5)
    assert "does not answer" in alert.inner_text() and page.bars(DAYS).count() == 31 and page.erase.is_disabled()
    page = show(opened, 62, answers={"history": Refused(3)})
    assert "does not know the request" in page.text() and "Nothing has been counted" not in page.text() and not page.part(DAYS).is_visible()


@case("it says where nothing is counted, and what is kept")
def kept(opened):
    page = show(opened, 62, ledger={"enabled": False, "problem": "the file cannot be written", "last_commit": 0}, kept={"keep_days": "90", "mask_sources": "1"})
    text = page.text()
    assert "that is switched off" in text and page.bars(DAYS).count() == 31 and "the file cannot be written" in text
    assert "for 90 days" in text and "networks only (/24, /48)" in text and "Not written to flash yet" in text
    page = show(opened, 62)
    text = page.text()
    assert "that is switched off" not in text and "for 800 days" in text and "with the whole address" in text and "Last written to flash: 11/14/2023" in text


@case("it asks before it erases, and then all is gone")
def erases(opened):
    page = show(opened, 62, answers={"ledger_erase": {"ok": True}})
    dialog = page.page.get_by_role("dialog")
    page.press(page.erase)
    assert dialog.is_visible() and page.focused(dialog.get_by_role("button", name="Cancel")) and "for good" in dialog.inner_text()
    page.page.keyboard.press("Escape")
    page.settle()
    assert not dialog.is_visible() and page.focused(page.erase) and page.calls("ledger_erase") == []
    page.press(page.erase)
    page.answers.update({"history": History(0), "ledger_recent": {"attempts": []}})
    page.press(dialog.get_by_role("button", name="Erase everything"))
    assert page.calls("ledger_erase") == [["ledger_erase"]] and page.focused(page.erase)
    assert "Everything is erased." in page.text() and "Nothing has been counted yet" in page.text() and not page.part(DAYS).is_visible()
    page.answers["ledger_erase"] = {"ok": False, "error": "the flash is full"}
    page.press(page.erase)
    page.press(dialog.get_by_role("button", name="Erase everything"))
    assert "the flash is full" in page.text()


@case("a session that reads sees everything and erases nothing")
def reads(opened):
    page = show(opened, 62, write=False)
    assert "may look, but not change" in page.text() and page.bars(DAYS).count() == 31 and page.erase.is_disabled()
    page.asked.clear()
    page.page.evaluate("document.querySelectorAll('#view button').forEach(button => button.dispatchEvent(new Event('click')))")
    page.settle()
    assert not page.page.get_by_role("dialog").is_visible() and not page.calls("ledger_erase")


@case("hostile texts stay text, and other shapes break nothing")
def hostile(opened):
    day = {"date": "2020-04-30", "attempts": 500, "outlier": True, "why": EVIL}
    rows = {
        "month": [{"month": "2020-04", "attempts": 500, "days": 1, "per_day": 500, "per_day_without_outliers": 500, "year_on_year": EVIL}, {"month": EVIL}],
        "day": [day, {"date": EVIL}], "port": [{**day, "protocol": EVIL, "port": EVIL}, {**day, "protocol": EVIL, "port": 7}],
        "source": [{**day, "address": EVIL, "ports": [{"protocol": EVIL, "port": 5, "attempts": EVIL}]}, {**day, "address": "=1+1", "ports": EVIL}],
        "hour": [{"time": "2020-04-30T13", "attempts": 5}, {"time": EVIL, "attempts": 5}],
    }
    evil = dict.fromkeys(("time", "address", "protocol"), EVIL)
    page = show(opened, lambda given: {"rows": rows[given["by"]], "more": False}, recent=[evil], ledger={"problem": EVIL, "today": EVIL, "last_commit": EVIL})
    page.press(page.bars(SOURCES).first)
    for summary in page.page.locator("summary:visible").all():
        page.press(summary)
    assert page.page.evaluate("window.broken") is None and page.page.locator("body img").count() == 0
    assert page.text().count(EVIL) > 5
    with page.page.expect_download() as download:
        page.part(SOURCES).get_by_role("button", name="as CSV").click()
    text = open(download.value.path()).read()
    assert '" =1+1"' in text, "no formula"
    for answer in ({}, {"rows": EVIL}, {"rows": [None, 4, EVIL, {}, {"date": "2020-13-45"}, {"date": 5, "month": 5, "time": 5}]}, {"rows": [{"date": "2020-04-30"}], "more": EVIL}):
        page = show(opened, lambda given, answer=answer: answer, recent=[None, 3, {}], answers={"status": status(ledger=EVIL)})
        page.tick()
    page = show(opened, 3, answers={"ledger_recent": {"attempts": EVIL}, "status": {}})
    # An answer that never comes to its end.
    page = show(opened, lambda given: {"rows": [{"date": "2020-04-30", "attempts": 5, "protocol": "tcp", "port": 1}], "more": True})
    assert len([call for call in page.asked if call[:2] == ["history", "port"]]) <= 64


@case("it fits a phone, and axe finds nothing in either theme")
def manners(opened):
    for scheme, screen, language in [("light", WIDE, "en"), ("dark", PHONE, "en"), ("light", PHONE, "ja")]:
        if SOURCE and language != "en":
            continue
        page = show(opened, 40, color_scheme=scheme, language=language, **screen)
        page.press(page.bars(SOURCES if language == "en" else "その日のアクセス元").first)
        chart = page.page.locator(".lanward-svg").first
        expect(chart).to_have_attribute("viewBox", f"0 0 {chart.evaluate('node => node.parentNode.clientWidth')} 244")
        fits(page)
        for summary in page.page.locator("summary:visible").all():
            page.press(summary)
        fits(page)
        axe(page)


def fits(page):
    wide = page.page.evaluate("[ document.documentElement.scrollWidth, window.innerWidth ]")
    assert wide[0] <= wide[1] and wide[1] in (360, 1200), wide


@case("800 days fit a phone, too")
def long(opened):
    page = show(opened, 800, color_scheme="dark", **PHONE)
    fits(page)
    page.picture("attempts-phone")
    page.page.locator("#lanward-range").select_option("400")
    page.settle()
    assert page.bars(DAYS).count() == 400
    fits(page)


@case("the charts stand out from the page in both themes")
def contrast(opened):
    for scheme in ("light", "dark"):
        page = show(opened, 62, color_scheme=scheme, **WIDE)
        low = page.page.evaluate(
            """() => {
                const bright = colour => {
                    const parts = colour.match(/[0-9.]+/g).slice(0, 3).map(part => part / 255).map(part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
                    return .2126 * parts[0] + .7152 * parts[1] + .0722 * parts[2];
                };
                const page = bright(getComputedStyle(document.body).backgroundColor);
                const fills = [ ...document.querySelectorAll('#view [class*=lanward-fill-]:not(.lanward-fill-rest)') ].map(node => [ node.getAttribute('class'), getComputedStyle(node).fill ]);
                const ratio = one => (Math.max(one, page) + .05) / (Math.min(one, page) + .05);
                return [ fills.length, fills.filter(([ , fill ]) => ratio(bright(fill)) < 3) ];
            }""")
        assert low[0] > 20 and low[1] == [], (scheme, low)
