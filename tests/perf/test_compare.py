"""Goal: a regression beyond noise is found, noise is not, and unlike machines are not compared.

Method: files of results in the real format, with planted slowdowns and with seeded noise; the
command itself, by its exit code.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from perf import again
from perf.compare import BETTER, NOT_COMPARED, SAME, WORSE, compare, confirmed, grown, main
from perf.results_file import INSTRUCTIONS, MORE, in_turns, load
from tests.perf.results import benchmark, write

ROOT = Path(__file__).parents[2]
NOISE = 0.05  # of a round: another tenant of the machine


def noisy(seed: int, slower: float = 1.0, machine_speed: float = 1.0, rounds: int = 12) -> dict:
    """Rounds in turns on a machine whose speed differs from round to round."""
    random = np.random.default_rng(seed)
    machine = machine_speed * (1 + random.exponential(0.2, rounds))
    ours = machine * slower * 14_000 * (1 + random.normal(0, NOISE, rounds))
    return in_turns(ours, machine * 12_000 * (1 + random.normal(0, NOISE, rounds)))


def verdict(tmp_path: Path, before: dict, after: dict, **changed: str) -> str:
    one = write(tmp_path / "one.json", before)
    other = write(tmp_path / "other.json", after, **changed)
    (found,) = compare(load(one), load(other))
    return found.state


def timed(seed: int, **kinds: float) -> dict:
    return benchmark("perf/test_gateway.py::test_ack", [1.0], rounds=noisy(seed, **kinds))


def counted(count: float) -> dict:
    return benchmark("perf/test_instructions.py::test_count", [1.0], **{INSTRUCTIONS: count})


@pytest.mark.parametrize("seed", range(20))
def test_an_unchanged_tree_passes(tmp_path: Path, seed: int) -> None:
    """Noise, and a machine that is half as fast the second time."""
    after = timed(100 + seed, machine_speed=2.0)
    assert verdict(tmp_path, timed(seed), after) == SAME


@pytest.mark.parametrize("speed", [0.2, 5.0])
def test_a_machine_that_has_changed_is_another_one(tmp_path: Path, speed: float) -> None:
    """Its cores are nearer, or farther: no ratio to what that did to the baseline is a verdict."""
    after = timed(1, slower=1.5, machine_speed=speed)
    assert verdict(tmp_path, timed(2), after) == NOT_COMPARED


@pytest.mark.parametrize("seed", range(20))
def test_a_slower_one_is_found(tmp_path: Path, seed: int) -> None:
    """Also when the machine happens to be faster the second time; and the other way round."""
    after = timed(100 + seed, slower=1.5, machine_speed=0.5)
    assert verdict(tmp_path, timed(seed), after) == WORSE
    assert verdict(tmp_path, after, timed(seed)) == BETTER


def test_counts_find_what_times_cannot(tmp_path: Path) -> None:
    """A tenth more instructions, with whatever time; less than a hundredth is no change."""
    assert verdict(tmp_path, counted(200.0), counted(220.0)) == WORSE
    assert verdict(tmp_path, counted(200.0), counted(180.0)) == BETTER
    assert [verdict(tmp_path, counted(200.0), counted(each)) for each in (200, 201, 199)] == [
        SAME
    ] * 3


def test_wide_rounds_prove_nothing(tmp_path: Path) -> None:
    """Medians far apart, but each within what the other run shows."""
    before = benchmark("wide", [1.0], rounds=in_turns([1, 1, 1, 9, 9], [1] * 5))
    after = benchmark("wide", [1.0], rounds=in_turns([1, 1, 2, 9, 9], [1] * 5))
    change, low, _ = grown(np.array([1.0, 1, 1, 9, 9]), np.array([1.0, 1, 2, 9, 9]))
    assert change == 1.0 and low < 0
    assert verdict(tmp_path, before, after) == SAME


def test_more_may_be_better(tmp_path: Path) -> None:
    """Of a throughput, less is worse."""
    before = benchmark("rate", [1.0], rounds=in_turns([10.0] * 6, [5.0] * 6, MORE))
    after = benchmark("rate", [1.0], rounds=in_turns([6.0] * 6, [5.0] * 6, MORE))
    assert verdict(tmp_path, before, after) == WORSE
    assert verdict(tmp_path, after, before) == BETTER


def test_a_test_beside_its_baseline(tmp_path: Path) -> None:
    """`test_replay[20]` is judged by `test_replay_baseline` of the same file."""

    def run(name: str, ours: float, bare: float) -> Path:
        return write(
            tmp_path / name,
            benchmark("perf/t.py::test_replay[20]", [ours] * 5),
            benchmark("perf/t.py::test_replay_baseline", [bare] * 5),
        )

    before, slower_machine = load(run("one", 0.3, 0.1)), load(run("two", 0.6, 0.2))
    worse = load(run("three", 0.45, 0.1))
    assert [each.state for each in compare(before, slower_machine)] == [SAME, NOT_COMPARED]
    assert [each.state for each in compare(before, worse)] == [WORSE, NOT_COMPARED]


def test_unlike_machines(tmp_path: Path) -> None:
    """Their times are not compared; counts are, unless the toolchain differs."""
    assert verdict(tmp_path, timed(1), timed(2, slower=3.0), cpu="that") == NOT_COMPARED
    assert verdict(tmp_path, counted(200), counted(300), cpu="that") == WORSE
    assert verdict(tmp_path, counted(200), counted(300), numba="that") == NOT_COMPARED


def exit_code(*arguments: str | Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "perf.compare", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return done.returncode, done.stdout + done.stderr


def test_the_command(tmp_path: Path) -> None:
    """As `make bench-compare` calls it: 1 for a regression, and its line names the figure."""
    baseline = write(tmp_path / "baseline.json", counted(200.0))
    code, text = exit_code(baseline, write(tmp_path / "worse.json", counted(220.0)))
    assert code == 1 and "WORSE" in text and "+10.0%" in text and "test_count" in text


def invoked(*arguments: Path | str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(each) for each in arguments])
    return int(ended.value.code or 0)


def test_the_matcher_is_judged_by_counts_or_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A count that either side, or both, or the toolchain lacks is no pass; a part may lack it."""
    whole = write(tmp_path / "whole.json", counted(200.0), timed(1))
    uncounted = benchmark("perf/test_instructions.py::test_count", [1.0])
    without = write(tmp_path / "without.json", uncounted, timed(1))
    never = write(tmp_path / "never.json", timed(1))
    newer = write(tmp_path / "newer.json", counted(200.0), timed(1), valgrind="that", numba="that")
    assert invoked(whole, whole) == 0
    pairs = ((whole, without), (without, whole), (never, whole), (never, never), (without, without))
    for one, other in pairs:
        assert invoked(one, other) == 1
        said = capsys.readouterr().out
        assert "NOT JUDGED" in said and "valgrind" in said and "did not count" in said
        assert invoked(one, other, "--partial") == 0
    assert invoked(whole, newer) != 0


def test_a_baseline_is_checked_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It exists, is a file of results, and is not the file that the run is going to write."""
    stored = write(tmp_path / "stored.json", counted(200.0))
    main([str(stored), "--check"], standalone_mode=False)
    new = write(tmp_path / "new.json", counted(200.0))
    (tmp_path / "link.json").symlink_to(new)
    for same in (new, tmp_path / "link.json"):
        assert invoked(same, new, "--check") == 2
        assert "is what the next run replaces" in capsys.readouterr().err
    assert invoked(tmp_path / "none.json", new, "--check") == 2
    assert "make bench" in capsys.readouterr().err
    assert invoked(write(tmp_path / "empty.json"), new, "--check") == 2


@pytest.mark.parametrize("baseline", ["perf/results/benchmark.json", "nowhere.json"])
def test_make_refuses_it_at_once(tmp_path: Path, baseline: str) -> None:
    """`make bench-compare` says so in a sentence, ends with 2, and has deleted nothing."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "perf", tmp_path / "perf", ignore=shutil.ignore_patterns("results"))
    (tmp_path / "perf" / "results").mkdir()
    kept = write(tmp_path / "perf" / "results" / "benchmark.json", counted(200.0))
    command = ["make", "-o", ".venv/.installed-test", "bench-compare", f"BASELINE={baseline}"]
    command += [f"BIN={Path(sys.executable).parent}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 2 and kept.exists()
    assert baseline in done.stderr and "-m pytest" not in done.stdout


@pytest.mark.parametrize(
    ("runs", "wanted"),
    [([1.5], WORSE), ([1.5, 1.0], SAME), ([1.5, 1.5, 1.5], WORSE), ([1.5, 1.5, 1.0], SAME)],
)
def test_what_is_worse_is_worse_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: list[float], wanted: str
) -> None:
    """Only a suspect is measured again, and only until it is none."""
    files = iter(write(tmp_path / f"{n}.json", timed(n, slower=s)) for n, s in enumerate(runs, 1))
    before, after = load(write(tmp_path / "before.json", timed(99))), load(next(files))
    monkeypatch.setattr("perf.again.measure", lambda names: load(next(files)))
    (found,) = confirmed(before, compare(before, after), len(runs) - 1)
    assert found.state == wanted
    assert not list(files)


def test_measuring_again_is_quiet_unless_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """All that pytest and the measured print is shown then, and nothing of it otherwise."""
    body = "import sys\ndef test_it(benchmark):\n    sys.__stderr__.write('written')\n"
    body += "    benchmark.pedantic(int, rounds=1)\n"
    (tmp_path / "test_good.py").write_text(body)
    (tmp_path / "test_bad.py").write_text(body + "    assert False, 'because'\n")
    monkeypatch.setattr(again, "ROOT", tmp_path)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # in a worker nothing is measured
    monkeypatch.setattr(again, "AGAIN", tmp_path / "again.json")
    assert list(again.measure(["test_good.py::test_it"]).benchmarks) == ["test_good.py::test_it"]
    assert capfd.readouterr() == ("", "")
    again.measure(["test_bad.py::test_it", "test_good.py::test_it"])
    shown = capfd.readouterr()
    assert shown.out == "" and "because" in shown.err and "written" in shown.err


def test_a_suspect_that_is_not_measured_again_stays_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load(write(tmp_path / "before.json", timed(1)))
    after = load(write(tmp_path / "after.json", timed(2, slower=1.5)))
    empty = load(write(tmp_path / "empty.json"))
    monkeypatch.setattr("perf.again.measure", lambda names: empty)
    (found,) = confirmed(before, compare(before, after), 2)
    assert found.state == WORSE


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same; a benchmark that was lost; nothing to compare; no file, or another one."""
    baseline = write(tmp_path / "baseline.json", counted(200.0), timed(1))
    assert [invoked(baseline, baseline) for _ in range(3)] == [0, 0, 0]
    part = write(tmp_path / "part.json", counted(200.0))
    assert invoked(baseline, part) == 1 and "MISSING" in capsys.readouterr().out
    assert invoked(baseline, part, "--partial") == 0
    other = write(tmp_path / "other.json", counted(200.0), timed(1), cpu="that", numba="that")
    assert invoked(baseline, other) == 2 and "Nothing could be" in capsys.readouterr().err
    assert invoked(tmp_path / "none.json", part) == 2 and "make bench" in capsys.readouterr().err
    (tmp_path / "text.json").write_text("[]")
    assert invoked(tmp_path / "text.json", part) == 2 and "make bench" in capsys.readouterr().err
