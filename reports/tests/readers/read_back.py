"""Reads what drbench exported, with the programs and libraries that others read it with.

read_back.py FORMAT READERS FILE...: for each file a line of JSON on standard output, a list of what is in
it: of values [name, labels, value], of checks [group, name, outcome, message, lines]. A file that its
reader refuses ends it with a text on standard error.
"""

import contextlib
import inspect
import io
import json
import re
import subprocess
import sys
from pathlib import Path


def number(value):
    """A number in the fewest digits that read back as the same."""
    return str(value) if isinstance(value, int) else repr(float(value))


def json_of(path):
    def once(pairs):
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), f"{path}: a name twice"
        return dict(pairs)

    return json.loads(path.read_text("utf-8"), object_pairs_hook=once)


def validated(data, schema):
    import jsonschema

    jsonschema.Draft7Validator(schema).validate(data)
    return data


def prometheus(path, readers):
    from prometheus_client.parser import text_string_to_metric_families

    text = path.read_text("utf-8")
    command = [readers / "promtool" / "promtool", "check", "metrics"]
    told = subprocess.run(command, input=text, text=True, capture_output=True)
    # It also gives advice, and a status for it: there must be none.
    assert told.returncode == 0, f"promtool: {told.stdout}{told.stderr}"
    found = []
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge", family.name
        for sample in family.samples:
            assert sample.timestamp is None, "the textfile collector refuses time stamps"
            found.append([sample.name, sample.labels, number(sample.value)])
    return found


def bmf(path, _readers):
    # As bencher.dev/docs/reference/bencher-metric-format describes it.
    metric = {
        "type": "object",
        "properties": {part: {"type": "number"} for part in ("value", "lower_value", "upper_value")},
        "required": ["value"],
        "additionalProperties": False,
    }

    def named(longest, inner):
        return {
            "type": "object",
            "propertyNames": {"minLength": 1, "maxLength": longest},
            "additionalProperties": inner,
        }

    data = validated(json_of(path), named(1024, named(64, metric)))
    assert all(len(name.encode()) <= 1024 and name == name.strip() for name in data)
    return [
        [f"{benchmark} {measure}", {part: number(it) for part, it in metric.items()}, number(metric["value"])]
        for benchmark, measures in data.items()
        for measure, metric in measures.items()
    ]


def action(path, _readers):
    # As its README describes customSmallerIsBetter and customBiggerIsBetter.
    text = {"type": "string", "minLength": 1}
    entry = {
        "type": "object",
        "properties": {"name": text, "unit": text, "value": {"type": "number"}, "range": text, "extra": text},
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
    }
    data = validated(json_of(path), {"type": "array", "items": entry})
    return [[it["name"], {part: str(it[part]) for part in it}, number(it["value"])] for it in data]


def kcidb(path, _readers):
    import kcidb_io

    data = json_of(path)
    schema = kcidb_io.schema.LATEST
    schema.validate(data)
    assert schema.is_compatible_exactly(data), "not of the newest schema"
    for kind in ("checkouts", "builds", "tests"):
        ids = [it["id"] for it in data[kind]]
        assert len(ids) == len(set(ids)), f"{kind}: an id twice"
    builds = {it["id"]: it["checkout_id"] for it in data["builds"]}
    checkouts = {it["id"] for it in data["checkouts"]}
    assert set(builds.values()) == checkouts
    found = []
    for test in data["tests"]:
        assert test["build_id"] in builds
        value = test.get("number", {}).get("value")
        labels = {**test["environment"]["misc"], **test["misc"], "outcome": test["status"]}
        labels["path"] = test["path"]
        labels["comment"] = test.get("comment", "")
        labels["unit"] = test.get("number", {}).get("unit", "none")
        labels = {name: it if isinstance(it, str) else json.dumps(it) for name, it in labels.items()}
        found.append([test["id"], labels, None if value is None else number(value)])
    return found


# golang.org/design/14313-benchmark-format, and what benchstat's reader makes of it.
CONFIGURATION = re.compile(r"([^\sA-Z:][^\sA-Z:]*):[ \t]+(.*)")


def gobench(path, _readers):
    found, labels, units = [], {}, {}
    # Lines end with \n alone there, and have to fit a buffer.
    for line in path.read_bytes().decode("utf-8").split("\n"):
        assert len(line.encode()) < 64 * 1024, "a line that benchstat cannot read"
        fields = line.split()
        if line.startswith("Benchmark"):
            name, times, measured = fields[0], fields[1], fields[2:]
            assert 0 < int(times) < 2**63, times
            assert not re.search(r"-\d+$", name), f"{name} ends in a number of processors"
            parts = name.split("/")
            assert all("=" in part for part in parts[1:]), name
            assert measured and len(measured) % 2 == 0, line
            of_line = dict(labels, **dict(part.split("=", 1) for part in parts[1:]))
            for value, unit in zip(measured[::2], measured[1::2]):
                assert not {"ns", "MB"} & set(re.split("[-*/]", unit)), f"benchstat would scale {unit}"
                of_unit = {f"unit {key}": it for key, it in units.get(unit, {}).items()}
                found.append([f"{name} {unit}", {**of_line, **of_unit}, number(float(value))])
        elif fields[:1] == ["Unit"]:
            pairs = dict(field.split("=") for field in fields[2:])
            assert pairs and not set(pairs) - {"better", "assume"} and fields[1] not in units, line
            assert pairs.get("better", "lower") in ("lower", "higher"), line
            assert pairs.get("assume", "exact") == "exact", line
            units[fields[1]] = pairs
        elif matched := CONFIGURATION.fullmatch(line):
            labels[matched[1]] = matched[2]
        else:
            assert not line or line.startswith("# "), f"nothing to benchstat: {line!r}"
    return found


def criterion(path, readers):
    data = json_of(path)
    command = [readers / "critcmp" / "bin" / "critcmp", path, "--export", data["name"]]
    told = subprocess.run(command, text=True, capture_output=True)
    assert told.returncode == 0, f"critcmp: {told.stderr}"
    read = json.loads(told.stdout)
    assert set(read["benchmarks"]) == set(data["benchmarks"])
    found = []
    for name, benchmark in read["benchmarks"].items():
        estimates = benchmark["criterion_estimates_v1"]
        interval = estimates["mean"]["confidence_interval"]
        labels = {part: number(interval[part]) for part in ("lower_bound", "upper_bound")}
        assert estimates["mean"] == estimates["median"]
        found.append([name, labels, number(estimates["mean"]["point_estimate"])])
    return found


def junit(path, readers):
    import junitparser
    import xmlschema

    xmlschema.XMLSchema(str(readers / "formats" / "junit-10.xsd")).validate(str(path))
    suites = junitparser.JUnitXml.fromfile(str(path))
    found = []
    for suite in suites:
        properties = {it.name: it.value for it in suite.properties()}
        counts = {"failure": 0, "error": 0, "skipped": 0, "passed": 0}
        for case in suite:
            assert case.classname == suite.name
            results = case.result
            assert len(results) <= 1, case.name
            outcome = type(results[0]).__name__.lower() if results else "passed"
            counts[outcome] += 1
            message = results[0].message if results else ""
            lines = (case.system_out or "").split("\n")
            found.append([suite.name, case.name, outcome, message, lines, properties])
        told = [suite.failures, suite.errors, suite.skipped, suite.tests]
        assert told == [counts["failure"], counts["error"], counts["skipped"], sum(counts.values())]
    return found


def ktap(path, readers):
    sys.path.insert(0, str(readers / "kunit"))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        import kunit_parser

        # Newer ones want to be told where to print.
        more = []
        if len(inspect.signature(kunit_parser.parse_run_tests).parameters) > 1:
            import kunit_printer

            more = [kunit_printer.Printer(print=False)]
        lines = path.read_bytes().decode("utf-8").split("\n")
        read = kunit_parser.parse_run_tests(lines, *more)
    assert read.counts.errors == 0, printed.getvalue()
    outcomes = {"SUCCESS": "passed", "SKIPPED": "skipped", "FAILURE": "failure"}
    found = []
    for group in read.subtests:
        assert len(group.subtests) == group.expected_count, group.name
        for test in group.subtests:
            log = [line.strip().removeprefix("# ") for line in test.log]
            found.append([group.name, test.name, outcomes[test.status.name], "", log, {}])
    return found


READERS = {
    "prometheus": prometheus,
    "bmf": bmf,
    "github-action-benchmark": action,
    "github-action-benchmark-bigger": action,
    "kcidb": kcidb,
    "gobench": gobench,
    "criterion": criterion,
    "junit": junit,
    "ktap": ktap,
}

if __name__ == "__main__":
    reader, readers = READERS[sys.argv[1]], Path(sys.argv[2])
    for file in map(Path, sys.argv[3:]):
        try:
            print(json.dumps(reader(file, readers)))
        except Exception as error:
            sys.exit(f"{file}: {type(error).__name__}: {error}")
