"""Goal: the report is whole, well-formed, needs nothing else, and does not flatter.

Method: files of results in the real format; the page is parsed as XML.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np
import pytest

from perf import charts, report
from perf.budgets import BUDGETS, Bound
from perf.reasons import REASONS
from perf.results_file import DISTRIBUTIONS, ResultsError, curve, in_turns, load
from tests.perf.results import benchmark, write

ROOT = Path(__file__).parents[2]
PERCENTILES = {"50": 14_872.0, "90": 15_364.9, "99": 21_466.1, "99.9": 42_713.7, "100": 99_999.0}
RING = "perf/test_ring.py::test_round_trip"
REPLAY = "perf/test_journal.py::test_replay"


def everything(folder: Path) -> Path:
    """Each kind of result: percentiles, rounds in turns, sizes, and names that XML must escape."""
    turns = in_turns([15e3, 16e3, 15.5e3], [12e3, 13e3, 12.5e3])
    return write(
        folder / "benchmark.json",
        benchmark(RING, [0.001] * 40, ratio=2.132, budget=1.5, met=False),
        benchmark(f"{REPLAY}[20]", [0.36, 0.37, 0.38], events_per_second=3_436_535),
        benchmark(f"{REPLAY}[1000]", [0.03, 0.04, 0.05], events_per_second=32_143_569),
        benchmark(
            "perf/test_gateway.py::test_acknowledgement[yield]",
            [0.8],
            best_round_ns=PERCENTILES,
            median_ratio=1.1,
            tail_ratio=1.5,
            met=True,
            rounds=turns,
        ),
        benchmark("perf/test_gone.py::test_<odd>&[a-b]", [1.0], note="a < b & c"),
        cpu="Fast <9000> & more",
        load_average=25.0,
    )


def parsed(folder: Path) -> tuple[ElementTree.Element, str]:
    results = everything(folder)
    found = load(results)
    text = report.page(found, {"ring": '<svg xmlns="http://www.w3.org/2000/svg"><g id="p"/></svg>'})
    return ElementTree.fromstring(text), text


def text_of(element: ElementTree.Element) -> str:
    return " ".join(element.itertext())


def test_every_benchmark_is_in_it(tmp_path: Path) -> None:
    """With its figures, what it includes, the machine, and the picture that its test drew."""
    page, _ = parsed(tmp_path)
    text = text_of(page)
    for name in load(tmp_path / "benchmark.json").benchmarks:
        assert name.partition("::")[2] in text
    assert "Not included: recorder" in text and "A record into a queue" in text
    assert "Fast <9000> & more" in text and "a < b & c" in text
    assert "99.9: 42.71 k" in text and page.find(".//*[@id='p']") is not None


def test_it_needs_nothing_else(tmp_path: Path) -> None:
    """No script, no style sheet, no address."""
    page, text = parsed(tmp_path)
    assert not re.findall(r"\b(?:src|href)=", text) and page.find(".//script") is None
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}


def test_unmet_budgets_are_marked(tmp_path: Path) -> None:
    """One row each, with the figure; what was not measured does not count as met."""
    page, _ = parsed(tmp_path)
    rows = {each[0].text: each for each in page.findall(".//tr") if each[0].tag == "td"}
    states = {n: (row.get("class"), row[3].text) for n, row in rows.items() if len(row) == 5}
    assert states["round trip through two rings, two cores"] == ("unmet", "UNMET")
    assert states["journal replay, smallest groups"] == ("unmet", "UNMET")
    assert states["journal replay, groups of 1,000"] == ("met", "met")
    assert states["TCP order to answer, polling, 99 %"] == ("met", "met")
    assert states["one order gateway, pipelined"] == ("not measured", "not measured")
    assert "2.132" in text_of(rows["round trip through two rings, two cores"])
    assert len([each for each in BUDGETS if each.path in rows]) == len(BUDGETS)


def test_an_unmet_budget_has_its_reason(tmp_path: Path) -> None:
    """Beside the figure, in the page and in the tables of the manual; a met one has none."""
    results = load(everything(tmp_path))
    rows = {path: (state, reason) for path, _, _, state, reason in report.budget_rows(results)}
    path = "round trip through two rings, two cores"
    assert rows[path] == (report.UNMET, REASONS[path]) and REASONS[path]
    assert all(not reason for state, reason in rows.values() if state != report.UNMET)
    assert REASONS[path] in report.page(results, {}) and REASONS[path] in report.markdown(results)
    assert set(REASONS) <= {each.path for each in BUDGETS}


def test_a_reason_has_the_figures_of_its_run(tmp_path: Path) -> None:
    """Of arrays that this run measured; a run that did not measure them has no such reason."""
    budget = next(each for each in BUDGETS if each.figure == "bytes_per_order_at_10_million")
    arrays = {"orders": 64.0, "session_links": 9.5, "in no array": 0.062}
    noted = {budget.figure: 73.6, "bytes_by_array_at_10_million": arrays}
    old = load(write(tmp_path / "old.json", benchmark(budget.test, [1.0], **{budget.figure: 72.1})))
    new = load(write(tmp_path / "new.json", benchmark(budget.test, [1.0], **noted)))
    reasons = [dict((row[0], row[4]) for row in report.budget_rows(each)) for each in (old, new)]
    assert reasons[0][budget.path] == ""
    assert "orders: 64, session_links: 9.5, in no array: 0.062." in reasons[1][budget.path]
    assert report.judge(budget, old)[0] == report.UNMET and "{" not in report.markdown(new)


def test_what_reasons_stand_for_is_noted() -> None:
    """A renamed figure would leave its reason unsaid for ever."""
    sources = {each.path: each.test.partition("::")[0] for each in BUDGETS}
    for path, reason in REASONS.items():
        for _, name, _, _ in Formatter().parse(reason):
            if name is not None:
                assert f"{name}=" in (ROOT / sources[path]).read_text(encoding="utf-8"), path


def test_a_busy_machine_is_said(tmp_path: Path) -> None:
    """A reader of figures from a machine with other work must know."""
    warnings = [text_of(each) for each in parsed(tmp_path)[0].findall(".//p[@class='warning']")]
    assert warnings == ["Other work was running: the load was 25.0 at the start."]


def test_pictures(tmp_path: Path) -> None:
    """Percentile curves, rounds, sizes, histograms: as many points as there are figures."""
    page, _ = parsed(tmp_path)
    titles = [
        each.findall("{*}text")[0].text for each in page.findall(".//{*}svg") if len(each) > 1
    ]
    assert sorted(filter(None, titles)) == [
        *("ns, by share of samples", "round by round", "rounds", "rounds", "rounds"),
        "test_replay, by its parameter",
    ]
    curve = ElementTree.fromstring(charts.percentile_curves("title", {"one": {50: 1, 99: 10}}))
    assert len(curve.findall("{*}circle")) == 2


def test_a_curve_is_drawn_and_tabled(tmp_path: Path) -> None:
    """Every point of every line, and a dash of nothing where a line has no point."""
    lines = {"ours": {1: 100.0, 16: 120.0, 4: 110.0}, "bare": {1: 90.0}}
    stages = [{"stage": "in", "all": 10}, {"stage": "out", "all": 20}]
    entry = benchmark("perf/test_x.py::test_x", [1.0], stages=stages, **curve("by readers", lines))
    found = load(write(tmp_path / "r.json", entry))
    page = ElementTree.fromstring(report.page(found, {}))
    drawn = [each for each in page.findall(".//{*}svg") if each[0].text == "by readers"]
    assert len(drawn) == 1 and len(drawn[0].findall("{*}circle")) == 4
    rows = [[each.text for each in row] for row in page.findall(".//tr")]
    assert ["1", "100", "90"] in rows and ["16", "120", None] in rows and ["out", "20"] in rows
    text = report.markdown(found)
    assert "| 4 | 110 |  |" in text and "| in | 10 |" in text and "{" not in text


def test_a_distribution_is_drawn(tmp_path: Path) -> None:
    """A bar for each bucket, within its picture; its counts are no figures of the tables."""
    found = {"ours": [[1, 1], [16_384, 9], [9_000_000_000, 600_000]], "echo": [[16_384, 1]]}
    pictures = {"orders by ns": found, "one bucket": {"ours": [[16_384, 1]]}}
    entry = benchmark("perf/test_x.py::test_x", [1.0], note=7, **{DISTRIBUTIONS: pictures})
    results = load(write(tmp_path / "r.json", entry))
    page = ElementTree.fromstring(report.page(results, {}))
    drawn = {each[0].text: each for each in page.findall(".//{*}svg")}
    assert list(drawn) == ["orders by ns", "one bucket"]
    bars = [each.findall("{*}rect") for each in drawn.values()]
    assert [len(each) for each in bars] == [4, 1]
    assert len({each.get("fill") for each in bars[0]}) == 2
    _, _, width, height = map(float, drawn["orders by ns"].get("viewBox", "").split())
    for each in sum(bars, []):
        x, y, wide, high = (float(each.get(key, "")) for key in ("x", "y", "width", "height"))
        assert 0 <= x < x + wide <= width and 0 <= y < y + high <= height
    assert DISTRIBUTIONS not in report.markdown(results) and "16384" not in text_of(page)


def test_every_line_is_drawn_within_its_picture(tmp_path: Path) -> None:
    """Of each kind of chart, with values that lie far apart, are equal, are 0 or below."""
    turns = in_turns([0.0, 1e-9, 5e3], [7.0, 7.0, 7.0])
    nested = {"2 k/s": PERCENTILES, "600 k/s": {"50": 0, "max": 9e9}}
    lines = {"ours": {0.5: 1e-7, 64: 3e9}, "same": {0.5: 5, 64: 5}, "one": {4: 0}}
    wanted = ("ns, by share of samples", "echo_ns, by share of samples", "by readers")
    extra = {"ours_ns": PERCENTILES, "echo_ns": nested, "budget_ns": {"50": 1, "99": 2}}
    found = load(
        write(
            tmp_path / "r.json",
            benchmark("perf/test_x.py::test_a", [1.0], **extra, rounds=turns),
            benchmark("perf/test_x.py::test_b", [1.0], **curve("by readers", lines)),
            benchmark("perf/test_x.py::test_c", [1.0, 1.0, 1.0, 1.0]),
            benchmark("perf/test_x.py::test_d[10]", [1.0], messages_per_second=1),
            benchmark("perf/test_x.py::test_d[1000]", [1.0], messages_per_second=1e9),
        )
    )
    page = ElementTree.fromstring(report.page(found, {}))
    drawn = {each[0].text: each for each in page.findall(".//{*}svg")}
    assert set(drawn) == {*wanted, "round by round", "rounds", "test_d, by its parameter"}
    counts = {title: len(each.findall("{*}polyline")) for title, each in drawn.items()}
    assert [counts[title] for title in (*wanted, "round by round", "rounds")] == [1, 2, 3, 2, 0]
    assert drawn["rounds"].findall("{*}rect")
    for each in drawn.values():
        _, _, width, height = map(float, each.get("viewBox", "").split())
        for line in each.findall("{*}polyline"):
            for point in line.get("points", "").split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= width and 0 <= y <= height, (each[0].text, point)


@pytest.mark.parametrize("bound", [Bound.AT_MOST, Bound.BELOW, Bound.AT_LEAST])
def test_the_worst_of_several_counts(tmp_path: Path, bound: Bound) -> None:
    """On either side of a limit, and just at it."""
    budget = next(each for each in BUDGETS if each.bound == bound and each.test)
    better = 0.5 if bound != Bound.AT_LEAST else 2.0

    def judged(*figures: float) -> str:
        key, _, inner = budget.figure.partition("/")
        extras: list[dict[str, Any]] = [{key: {inner: f} if inner else f} for f in figures]
        entries = [benchmark(f"{budget.test}{i}", [], **e) for i, e in enumerate(extras)]
        return report.judge(budget, load(write(tmp_path / "r.json", *entries)))[0]

    limit = budget.limit
    assert judged(limit * better, limit * better) == report.MET
    assert judged(limit * better, limit / better) == report.UNMET
    assert judged(limit) == (report.UNMET if bound == Bound.BELOW else report.MET)
    assert judged() == report.NOT_MEASURED


def test_names_of_percentiles() -> None:
    """As ours and the C programs write them; what is no percentile makes no curve."""
    names = ("50", "99.9", "100", "p50", "p99_9", "max", "p99_9_ns", "best_ns", "")
    assert [report._percent(each) for each in names] == [50, 99.9, 100, 50, 99.9, 100, -1, -1, -1]


def test_every_budget_names_a_test_that_exists() -> None:
    """A renamed test would leave its budget unmeasured for ever."""
    missing = []
    for each in BUDGETS:
        path, _, function = each.test.partition("[")[0].partition("::")
        if each.test and f"def {function}(" not in (ROOT / path).read_text(encoding="utf-8"):
            missing.append(each.test)
    assert missing == []


def test_every_test_that_judges_has_its_budget() -> None:
    """What says of itself whether it is met stands in the table, where an unmet one is seen."""
    judging = {
        each.relative_to(ROOT).as_posix()
        for each in (ROOT / "perf").glob("test_*.py")
        if re.search(r"\bmet=", each.read_text(encoding="utf-8"))
    }
    assert "perf/test_flood.py" in judging
    assert judging <= {each.test.partition("::")[0] for each in BUDGETS}


def test_a_flooded_tail_is_divided(tmp_path: Path) -> None:
    """Between the exchange and the process, in the reason beside what is not met."""
    budget = next(each for each in BUDGETS if each.test.startswith("perf/test_flood.py"))
    noted = {"flood_core_share": 0.083, "control_core_share": 0.082, budget.figure: 2.3}
    parts = {"tail_by_the_exchange": 0.93, "tail_by_the_process": 2.46}
    entry = benchmark(budget.test, [1.0], **noted, **parts)
    rows = report.budget_rows(load(write(tmp_path / "r.json", entry)))
    ((state, reason),) = [row[3:] for row in rows if row[0] == budget.path]
    assert state == report.UNMET and "the exchange it is 0.93 times" in reason and "2.46" in reason


def test_steps_hold_every_value() -> None:
    """No curve leaves its picture, and no step divides by nothing."""
    for low, high in ((1, 1), (0.9, 1.1), (170, 64_296), (3e-4, 9e9)):
        steps = charts._steps(low, high)
        assert steps[0] <= low and steps[-1] >= high and len(steps) >= 2
        assert list(np.unique(steps)) == steps


def test_the_table_for_the_manual(tmp_path: Path) -> None:
    """Budgets and benchmarks as Markdown, with the machine above them."""
    text = report.markdown(load(everything(tmp_path)))
    assert "Fast <9000> & more" in text.splitlines()[0]
    assert "two cores | at most 1.5 × bare C | 2.132 × bare C | UNMET |" in text
    assert "| `test_journal.py::test_replay[20]` | events_per_second 3.437 M;" in text


def test_the_tables_go_into_the_manual(tmp_path: Path) -> None:
    """Between the marks and nowhere else, again and again; the manual itself has these marks."""
    tables = report.markdown(load(everything(tmp_path)))
    manual = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    once = report.inserted(manual, tables)
    assert once.count(tables) == 1 and report.inserted(once, tables) == once
    assert once.partition("<!-- results")[0] == manual.partition("<!-- results")[0]
    assert once.partition("of results -->")[2] == manual.partition("of results -->")[2]
    with pytest.raises(ResultsError, match="has no lines"):
        report.inserted("no marks", tables)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page beside the results; without results, one sentence."""
    results = everything(tmp_path)
    assert report.main([str(results)], standalone_mode=False) is None
    assert ElementTree.parse(tmp_path / "benchmark.html").getroot().tag == "html"
    with pytest.raises(SystemExit) as ended:
        report.main([str(tmp_path / "none.json")], standalone_mode=False)
    assert ended.value.code == 2 and "make bench" in capsys.readouterr().err
