"""What others' programs make of our metrics, queries, templates and YAML: `tools.py WHAT`, JSON or text in, JSON out (tests/rig/src/fleet.rs)."""

import json
import math
import re
import sys

NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"
LABEL = rf'{NAME}="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")


def labels_of(text):
    """The labels between the braces, unescaped."""
    unescaped = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
    found = re.findall(rf'({NAME})="((?:[^"\\\n]|\\["\\n])*)"', text or "")
    labels = {name: re.sub(r"\\.", lambda escape: unescaped[escape[0]], value) for name, value in found}
    assert len(labels) == len(found), f"a label twice: {text}"
    return labels


def exposition(text):
    """Families as the text format has them, read strictly, and beside Prometheus' own parser for Python."""
    from prometheus_client.parser import text_string_to_metric_families

    assert text.endswith("\n"), "the last line must end"
    families, current = {}, None
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            assert re.fullmatch(rf"# HELP {NAME} [^\n]+", line), line
            continue
        if line.startswith("#"):
            declared = re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge)", line)
            assert declared, line
            current, kind = declared.groups()
            assert current not in families, f"{current} twice"
            assert (kind == "counter") == current.endswith("_total"), line
            families[current] = {"type": kind, "samples": []}
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, f"not a sample: {line!r}"
        name, labels, value = sample[1], labels_of(sample[2]), float(sample[3])
        assert name == current, f"{name} under the type of {current}"
        assert math.isfinite(value) and value >= 0, line
        assert labels not in [other["labels"] for other in families[name]["samples"]], f"the same series twice: {line}"
        families[name]["samples"].append({"labels": labels, "value": value})
    assert all(family["samples"] for family in families.values()), "a type without a series"
    theirs = [(sample.name, sample.labels, sample.value) for family in text_string_to_metric_families(text) for sample in family.samples]
    ours = [(name, sample["labels"], sample["value"]) for name, family in families.items() for sample in family["samples"]]
    assert theirs == ours, (theirs, ours)
    return families


def selected(node):
    """The metrics that a query's tree asks for."""
    name = getattr(node, "name", None)
    found = {name} if type(node).__name__ == "VectorSelector" else set()
    for part in ("expr", "param", "lhs", "rhs", "vector_selector"):
        if getattr(node, part, None) is not None:
            found |= selected(getattr(node, part))
    for argument in getattr(node, "args", None) or []:
        found |= selected(argument)
    return found


def promql(text):
    """For each query its metrics. What is no PromQL fails."""
    import promql_parser

    return [sorted(selected(promql_parser.parse(query))) for query in json.loads(text)]


def netjson(text):
    """The UCI text that OpenWISP's backend renders of a configuration with these variables."""
    from netjsonconfig import OpenWrt

    given = json.loads(text)
    backend = OpenWrt(given["config"], context=given["context"])
    backend.validate()
    return backend.render()


def yaml(text):
    """YAML as JSON."""
    from yaml import safe_load

    return safe_load(text)


if __name__ == "__main__":
    json.dump(globals()[sys.argv[1]](sys.stdin.read()), sys.stdout)
