"""The attempts."""

import calendar
import datetime
import random
import re

from axe_playwright_python.sync_playwright import Axe
from canned import SOURCE, START, Held, Refused, case
from overview import status

EVIL = "<img src=x onerror=window.broken=1>%s%d"
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
WIDE = {"viewport": {"width": 1200, "height": 900}}
SECTIONS = ["By month", "By day and port", "Where a day's attempts came from", "By hour"]
# Kept by the seed: what a router's log of April 2020 said.
SSDP = "180.188.10.20"
LEDGER = {"enabled": True, "today": 4321, "last_commit": START - 3600, "total": 20000}
RECENT = [{"time": f"2020-04-30T16:05:{29 + at:02}", "address": f"203.0.113.{at}", "protocol": "tcp", "port": 23, "device": "wan"} for at in range(3)]


def spread(total, weights):
    """As many in all, in about these parts."""
    parts = [total * weight // sum(weights) for weight in weights]
    if parts:
        parts[0] += total - sum(parts)
    return parts


class History:
    """Answers as the daemon gives them, of so many days up to the end of April 2020, in the seed's figures."""

    def __init__(self, days, most=10_000, end="2020-04-30"):
        self.most = most
        self.end = datetime.date.fromisoformat(end)
        self.ports, self.totals = {}, {}
        rng = random.Random(1)
        for back in reversed(range(days)):
            date = self.end - datetime.timedelta(back)
            years = (date - datetime.date(2019, 4, 15)).days / 366
            self.ports[str(date)] = self.day(date, rng, 1.732 ** max(years, 0))
            self.totals[str(date)] = sum(attempts for _, _, attempts in self.ports[str(date)])
        # 5 498.4 a day without the outlier, 173.2 % of a year before.
        for month, average in [("2020-04", 5498.4), ("2019-04", 3174.6)]:
            usual = [date for date in self.totals if date.startswith(month) and self.usual(date)]
            for date, wanted in zip(usual, spread(round(average * len(usual)), [self.totals[date] for date in usual])):
                protocol, port, rest = self.ports[date][-1]
                self.ports[date][-1] = (protocol, port, rest + wanted - self.totals[date])
                self.totals[date] = wanted

    @staticmethod
    def day(date, rng, grown):
        many = [("tcp", 23, 200 + rng.randrange(400)), ("tcp", 445, 170 + rng.randrange(60)), ("tcp", 1433, 80 + rng.randrange(90)), ("tcp", 80, 90 + rng.randrange(60)),
                ("tcp", 22, 60 + rng.randrange(120)), ("tcp", 8080, 60 + rng.randrange(80)), ("udp", 5060, 70 + rng.randrange(90)), ("tcp", 3389, 40 + rng.randrange(20)),
                ("tcp", 81, rng.randrange(130)), ("udp", 123, rng.randrange(110))]
        if str(date) == "2020-04-06":
            many.insert(0, ("udp", 1900, 92890))
        if str(date) in ("2020-04-07", "2020-04-08"):
            many.insert(0, ("tcp", 58742, 2600 if date.day == 7 else 1700))
        if str(date) == "2020-04-08":
            many.insert(1, ("udp", 5353, 1450))
        if rng.random() < .03:
            many.insert(0, ("tcp", 20000 + rng.randrange(40000), 300 + rng.randrange(1500)))
        rest = int((3175 * grown - 1300) * rng.uniform(.88, 1.12))
        return [*many, *(("tcp", 9000 + at, number) for at, number in enumerate(spread(rest // 4, [3] * 20))), ("other", 0, rest - rest // 4)]

    def __call__(self, given):
        rows = getattr(self, given["by"])(given)
        rows = [row for row in rows if given.get("from", "") <= str(next(iter(row.values())))[:10] <= given.get("to", "9999")]
        cut = min(self.most, given.get("limit", self.most))
        return {"rows": rows[-cut:], "more": len(rows) > cut}

    def usual(self, date):
        return date != "2020-04-06"

    def month(self, given):
        months = {}
        for date, total in self.totals.items():
            months.setdefault(date[:7], []).append((date, total))
        rows = []
        for month, days in months.items():
            usual = [total for date, total in days if self.usual(date)]
            rows.append({"month": month, "attempts": sum(total for _, total in days), "days": len(days), "per_day": round(sum(total for _, total in days) / len(days), 1),
                         "per_day_without_outliers": round(sum(usual) / max(1, len(usual)), 1)})
            before = [row for row in rows if row["month"] == f"{int(month[:4]) - 1}{month[4:]}"]
            if before:
                rows[-1]["year_on_year"] = round(100 * rows[-1]["per_day_without_outliers"] / before[0]["per_day_without_outliers"], 1)
        return rows

    def day_row(self, date, total):
        return {"date": date, "attempts": total, "outlier": False} if self.usual(date) else {
            "date": date, "attempts": total, "outlier": True, "why": f"{total}, where 5400 is usual and 900 the usual spread"}

    def port(self, given):
        return [{"date": date, "protocol": protocol, "port": port, "attempts": attempts} for date, ports in self.ports.items() for protocol, port, attempts in ports if attempts]

    def source(self, given):
        rows = []
        for date, total in self.totals.items():
            if date < str(self.end - datetime.timedelta(30)):
                continue
            large = [] if self.usual(date) else [(SSDP, 70000), ("198.51.100.7", 9200), ("203.0.113.80", 5100), ("2001:db8:1234:5678:9abc:def0:1234:5678", 1040)]
            rest = spread(total - sum(number for _, number in large), list(range(40, 0, -1)))
            for address, attempts in large + [(f"192.0.2.{at}", number) for at, number in enumerate(rest[:30])]:
                ports = [{"protocol": "udp", "port": 1900, "attempts": attempts}] if (address, attempts) in large else [
                    {"protocol": "tcp", "port": 23, "attempts": attempts // 2}, {"protocol": "tcp", "port": 445, "attempts": attempts // 3}]
                rows.append({"date": date, "address": address, "attempts": attempts, "ports": ports})
            rows.append({"date": date, "address": "other", "attempts": sum(rest[30:])})
        return rows

    def hour(self, given):
        rows = []
        for date, total in self.totals.items():
            weights = [4] * 24
            if not self.usual(date):
                weights[13] = weights[16] = 120
                weights[14] = weights[15] = weights[12] = 20
                total = 70000 if given.get("address") == SSDP else total
            elif given.get("address"):
                total //= 40
            rows += [{"time": f"{date}T{hour:02}", "attempts": number} for hour, number in enumerate(spread(total, weights))]
        return rows


# A property's name of its own: `by` is what the daemon calls it.
History.day = staticmethod(History.day)


def by(history):
    def answer(given):
        if given["by"] == "day":
            rows = [history.day_row(date, total) for date, total in history.totals.items()]
            rows = [row for row in rows if given.get("from", "") <= row["date"] <= given.get("to", "9999")]
            cut = min(history.most, given.get("limit", history.most))
            return {"rows": rows[-cut:], "more": len(rows) > cut}
        return history(given)
    return answer


def show(opened, days=62, ledger=None, recent=RECENT, **options):
    answers = {"status": status(ledger={**LEDGER, **(ledger or {})}), "ledger_recent": {"attempts": list(recent)}, "history": by(History(days)) if isinstance(days, int) else days}
    page = opened("attempts", {**answers, **options.pop("answers", {})}, uci={"ledger": {".type": "ledger", **options.pop("kept", {})}}, **options)
    page.part = lambda name: page.page.locator(".cbi-section").filter(has=page.page.get_by_role("heading", name=name, exact=True))
    page.bars = lambda name: page.part(name).get_by_role("option")
    return page
