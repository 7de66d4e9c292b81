"""Shell: the results of `make bench` as one page that needs nothing else, or as a table.

    python -m perf.report [RESULTS.json] [--html REPORT.html | --markdown | --into MANUAL.md]

The page has the machine, the budgets, and every benchmark of the file with what it includes and
what not, which is what the head of its test says.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import click

from perf import charts, machine
from perf.budgets import BUDGETS, Bound, Budget
from perf.latency_figures import BUCKET_WIDTH
from perf.reasons import REASONS
from perf.results_file import (
    CURVES,
    DISTRIBUTIONS,
    ROUNDS,
    Benchmark,
    Results,
    ResultsError,
    load,
)

MET, UNMET, NOT_MEASURED, STATED = "met", "UNMET", "not measured", "stated"
_ROOT = Path(__file__).resolve().parent.parent
_RESULTS = Path(__file__).resolve().parent / "results"
_DRAWN = (CURVES, DISTRIBUTIONS)  # and no figures by themselves
_BEGIN, _END = "<!-- results:", "<!-- end of results -->"
_STYLE = """
body { font-family: sans-serif; max-width: 64em; margin: 2em auto; color: #222; }
table { border-collapse: collapse; margin: 0.6em 0 1.2em; }
td, th { border: 1px solid #ccc; padding: 0.25em 0.6em; text-align: left; font-size: 90%; }
.met { background: #dcf2dc; } .unmet { background: #f7d4d0; font-weight: bold; }
.not, .stated { background: #eee; } .warning { background: #fff3cd; padding: 0.5em; }
pre { white-space: pre-wrap; background: #f6f6f6; padding: 0.6em; }
"""


def judge(budget: Budget, results: Results) -> tuple[str, float | None]:
    """Whether a budget is met, and the figure that says so: the worst of several."""
    figures = [
        figure
        for name, each in results.benchmarks.items()
        if name.startswith(budget.test)
        if (figure := _figure(each.extra, budget.figure)) is not None
    ]
    if not figures:
        return NOT_MEASURED, None
    if budget.bound == Bound.STATED:
        return STATED, min(figures)
    if budget.bound == Bound.AT_LEAST:
        return (MET if min(figures) >= budget.limit else UNMET), min(figures)
    worst = max(figures)
    met = worst <= budget.limit if budget.bound == Bound.AT_MOST else worst < budget.limit
    return (MET if met else UNMET), worst


def budget_rows(results: Results) -> list[tuple[str, str, str, str, str]]:
    """Path, budget, figure, state, and of what is not met the reason if it is known, as text."""
    rows = []
    for budget in BUDGETS:
        state, figure = judge(budget, results)
        limited = budget.bound != Bound.STATED
        wanted = f"{budget.bound} {charts.number(budget.limit)} " if limited else ""
        shown = "" if figure is None else f"{charts.number(figure)} {budget.unit}"
        reason = _reason(budget, results) if state == UNMET else ""
        rows.append((budget.path, wanted + budget.unit, shown, state, reason))
    return rows


def _reason(budget: Budget, results: Results) -> str:
    """Why it is not met, with what its benchmark noted; nothing where that is not known."""
    noted: dict[str, str] = {}
    for name, each in results.benchmarks.items():
        if name.startswith(budget.test):
            noted.update({key: _shown(value) for key, value in each.extra.items()})
    try:
        return REASONS.get(budget.path, "").format_map(noted)
    except KeyError:  # it was not measured in this run
        return ""


def markdown(results: Results) -> str:
    """The machine, the budgets and every figure, for docs/performance.md."""
    found = results.machine
    lines = [
        f"{_machine_line(found)}; {results.taken[:10]}, commit {_commit(found)}.",
        *("", "| path | budget | figure | | why |", "|---|---|---|---|---|"),
        *(f"| {' | '.join(row)} |" for row in budget_rows(results)),
        *("", "| benchmark | figures |", "|---|---|"),
    ]
    for name, each in results.benchmarks.items():
        facts = "; ".join(f"{key} {value}" for key, value in _facts(each).items())
        lines.append(f"| `{name.removeprefix('perf/')}` | {facts} |")
    for name, each in results.benchmarks.items():
        tables = _row_lists(each) | {
            title: _by_size(found) for title, found in each.extra.get(CURVES, {}).items()
        }
        for title, rows in tables.items():
            lines += ["", f"`{name.removeprefix('perf/')}`: {title}", ""]
            lines += [f"| {' | '.join(rows[0])} |", "|---" * len(rows[0]) + "|"]
            lines += [f"| {' | '.join(row)} |" for row in _cells(rows)]
    return "\n".join(lines) + "\n"


def inserted(manual: str, tables: str) -> str:
    """The manual with these tables between its two marks. Raises ResultsError without them."""
    before, begin, rest = manual.partition(_BEGIN)
    mark, arrow, rest = rest.partition("-->\n")
    _, end, after = rest.partition(_END)
    if not (begin and arrow and end):
        raise ResultsError(f"the manual has no lines {_BEGIN} ... --> and {_END}; write them")
    return f"{before}{begin}{mark}{arrow}\n{tables}\n{end}{after}"


def page(results: Results, pictures: Mapping[str, str]) -> str:
    """The whole report. pictures: SVG by the subject, `takeover` of perf/test_takeover.py."""
    body = [
        "<h1>Measurements</h1>",
        f"<p>{escape(_machine_line(results.machine))}</p>",
        *_warnings(results.machine),
        "<h2>Budgets</h2>",
        _table(("path", "budget", "figure", "", "why"), budget_rows(results)),
        "<h2>Machine</h2>",
        _table(("fact", "value"), [(key, str(value)) for key, value in results.machine.items()]),
    ]
    for path in dict.fromkeys(_file_of(name) for name in results.benchmarks):
        subject = Path(path).stem.removeprefix("test_")
        body += [f"<h2>{escape(subject)}</h2>", f"<pre>{escape(_explained(path))}</pre>"]
        body += [pictures[subject]] if subject in pictures else []
        mine = [each for name, each in results.benchmarks.items() if _file_of(name) == path]
        body += _scaling(mine)
        for each in mine:
            body += _section(each)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        f"<title>Measurements, {escape(results.taken[:10])}</title><style>{_STYLE}</style></head>"
        "<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _section(each: Benchmark) -> list[str]:
    """One benchmark: what it is, its figures, its pictures."""
    parts = [f"<h3>{escape(each.name.partition('::')[2])}</h3>"]
    if "met" in each.extra:
        state = MET if each.extra["met"] else UNMET
        parts.append(f'<p><span class="{state.lower()}">budget {state}</span></p>')
    parts.append(f"<p>{escape(_explained(*each.name.split('[')[0].split('::')))}</p>")
    parts.append(_table(("figure", "value"), list(_facts(each).items())))
    for key, rows in _row_lists(each).items():
        parts += [f"<p>{escape(key)}</p>", _table(tuple(rows[0]), _cells(rows))]
    for title, lines in each.extra.get(CURVES, {}).items():
        parts.append(charts.scaling_curve(title, lines))
        rows = _by_size(lines)
        parts.append(_table(tuple(rows[0]), _cells(rows)))
    if curves := _percentile_lines(each.extra):
        parts.append(charts.percentile_curves("ns, by share of samples", curves))
    for title, found in each.extra.get(DISTRIBUTIONS, {}).items():
        parts.append(charts.distribution(title, found, BUCKET_WIDTH))
    for key, found in each.extra.items():
        if key not in _DRAWN and isinstance(found, dict) and (curves := _percentile_lines(found)):
            parts.append(charts.percentile_curves(f"{key}, by share of samples", curves))
    if rounds := each.extra.get(ROUNDS):
        both = {"ours": rounds["ours"], "baseline": rounds["baseline"]}
        parts.append(charts.round_curves("round by round", both))
    elif len(each.seconds) >= 3:
        parts.append(charts.histogram("rounds", [1e3 * s for s in each.seconds], "ms"))
    return parts


def _percentile_lines(facts: Mapping[str, Any]) -> dict[str, dict[float, float]]:
    """Those of the facts that are values by percent: one may be missing, a budget is none."""
    return {
        key: {_percent(percent): float(value) for percent, value in found.items()}
        for key, found in facts.items()
        if isinstance(found, dict) and found and not key.startswith("budget")
        if all(0 <= _percent(each) <= 100 for each in found)
    }


def _scaling(benchmarks: Iterable[Benchmark]) -> list[str]:
    """A curve for each test that was run with several sizes and notes a rate."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for each in benchmarks:
        test, _, size = each.name.removesuffix("]").partition("[")
        if not size.isdecimal() or int(size) == 0:
            continue
        for key, value in each.extra.items():
            if key.endswith("_per_second"):
                curves = found.setdefault(test.partition("::")[2], {})
                curves.setdefault(key, []).append((float(size), float(value)))
    return [
        charts.scaling_curve(f"{test}, by its parameter", curves)
        for test, curves in found.items()
        if max(map(len, curves.values())) > 1
    ]


def _facts(each: Benchmark) -> dict[str, str]:
    """What the test noted, as text, without the single rounds; the rounds of the clock."""
    apart = (ROUNDS, *_DRAWN, *_row_lists(each))
    facts = {key: _shown(value) for key, value in each.extra.items() if key not in apart}
    if len(each.seconds):
        facts["seconds, best round"] = f"{min(each.seconds):.4g} of {len(each.seconds)}"
    return facts


def _row_lists(each: Benchmark) -> dict[str, list[dict[str, Any]]]:
    """What is a table by itself: lists of rows with the same columns."""
    return {
        key: value
        for key, value in each.extra.items()
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value)
    }


def _by_size(lines: Mapping[str, list[list[float]]]) -> list[dict[str, Any]]:
    """The points of a curve as rows: size, then each line's value there."""
    sizes = sorted({size for points in lines.values() for size, _ in points})
    found = {label: dict(map(tuple, points)) for label, points in lines.items()}
    return [
        {"": charts.number(size)} | {label: each.get(size, "") for label, each in found.items()}
        for size in sizes
    ]


def _cells(rows: list[dict[str, Any]]) -> list[list[str]]:
    return [[_shown(value) for value in row.values()] for row in rows]


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, int | float):
        return charts.number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_shown(each)}" for key, each in value.items())
    if isinstance(value, list):
        return " ".join(_shown(each) for each in value)
    return str(value)


def _figure(extra: Mapping[str, Any], key: str) -> float | None:
    found: Any = extra
    for part in key.split("/"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return None if found is None else float(found)


def _percent(key: str) -> float:
    """99.9 of `99.9`, and of `p99_9` as the C programs say it; 100 of `max`; -1 of the rest."""
    if key == "max":
        return 100.0
    digits = key.removeprefix("p").replace("_", ".", 1)
    return float(digits) if digits.replace(".", "", 1).isdecimal() else -1.0


def _explained(path: str, function: str | None = None) -> str:
    """The docstring of a test file or of one of its tests, without running it."""
    source = _ROOT / path
    if not source.is_file():
        return ""
    node: Any = ast.parse(source.read_text(encoding="utf-8"))
    if function is not None:
        named = [each for each in node.body if getattr(each, "name", None) == function]
        node = named[0] if named else None
    return (ast.get_docstring(node) or "") if node is not None else ""


def _file_of(name: str) -> str:
    return name.partition("::")[0]


def _commit(found: Mapping[str, Any]) -> str:
    return str(found.get("commit", machine.UNKNOWN))[:10] + (
        " with changes" if found.get("dirty") is True else ""
    )


def _machine_line(found: Mapping[str, Any]) -> str:
    if not found:
        return "A machine that the results do not name"
    kind = "virtual machine" if found.get("hypervisor") is True else "machine"
    return (
        f"{kind} {machine.fingerprint(found)}: {found.get('cpu')}, {found.get('cores')} cores,"
        f" Linux {found.get('kernel')}, Python {found.get('python')}, numba {found.get('numba')}"
    )


def _warnings(found: Mapping[str, Any]) -> list[str]:
    texts = []
    if machine.is_quiet(found) is False:
        texts.append(f"Other work was running: the load was {found['load_average']} at the start.")
    if found.get("dirty") is True:
        texts.append("The tree differed from its commit.")
    return [f'<p class="warning">{escape(text)}</p>' for text in texts]


def _table(head: tuple[str, ...], rows: list[Any]) -> str:
    parts = ["<table><tr>", *(f"<th>{escape(each)}</th>" for each in head), "</tr>"]
    for row in rows:
        states = [each for each in row if each in (MET, UNMET, NOT_MEASURED, STATED)]
        state = states[-1] if states else ""
        parts.append(f'<tr class="{state.lower()}">' if state else "<tr>")
        parts += [f"<td>{escape(each)}</td>" for each in row]
        parts.append("</tr>")
    return "".join([*parts, "</table>"])


def _pictures(results: Path, found: Results) -> dict[str, str]:
    """What tests drew beside the file of results, of the subjects that are in it."""
    measured = {Path(_file_of(name)).stem.removeprefix("test_") for name in found.benchmarks}
    return {
        each.stem: each.read_text(encoding="utf-8")
        for each in sorted(results.parent.glob("*.svg"))
        if each.stem in measured
    }


@click.command(help="Show the results of `make bench`.")
@click.argument("results", type=click.Path(path_type=Path), default=_RESULTS / "benchmark.json")
@click.option("--html", type=click.Path(path_type=Path), help="Write the page here.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the tables.")
@click.option("--into", type=click.Path(path_type=Path), help="Put the tables into this manual.")
def main(results: Path, html: Path | None, as_markdown: bool, into: Path | None) -> None:
    """Write the page beside the results, or where it is asked for; or print the tables."""
    try:
        found = load(results)
        if into is not None:
            text = inserted(into.read_text(encoding="utf-8"), markdown(found))
            into.write_text(text, encoding="utf-8")
            click.echo(f"{into}: {len(found.benchmarks)} benchmarks")
            return
    except ResultsError as error:
        click.echo(error, err=True)
        sys.exit(2)
    if as_markdown:
        click.echo(markdown(found), nl=False)
        return
    target = html or results.with_suffix(".html")
    target.write_text(page(found, _pictures(results, found)), encoding="utf-8")
    click.echo(f"{target}: {len(found.benchmarks)} benchmarks")


if __name__ == "__main__":
    main()
