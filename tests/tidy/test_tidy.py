"""Goal: the style of CONTRIBUTING.md holds where a machine can see it.

Method: every source file is parsed; each test returns the list of offenders, which must be empty.
"""

from __future__ import annotations

import ast
import re

from tests.tidy.source import KINDS, PACKAGES, ROOT, Function, Source, sources

LINES_MAX = 400
FUNCTION_LINES_MAX = 60
BANNED_FILES = re.compile(r"^(utils?|common|helpers?|types|misc|.*manager.*)\.py$")
# Positions are called `position`, `index`, `published`, `consumed`: one word for one thing.
BANNED_WORDS = {"seq", "idx", "ptr"}
BANNED_OF_RINGS = {"head", "tail", "front"}
# Written in two parts, so that this file is not its own first offender.
UNFINISHED = re.compile(
    r"\bTO" r"DO\b|\bFIX" r"ME\b|\bXX" r"X\b|NotImplemented" r"Error|mark\.(sk" r"ip|xf" r"ail)"
)
SWALLOWED = re.compile(r"except( Exception)?:\s*(#[^\n]*\n\s*)?pass\b")
COMPILED_BY = {"kernel", "cold_kernel", "intrinsic"}
SYSTEM_CALLS = "ringbuf/syscalls.py"  # the one kernel module that exists to touch the outside
OUTSIDE = {"os", "socket", "time", "subprocess", "threading", "select", "asyncio", "logging"}

EVERYTHING = (*PACKAGES, "perf", "tests")


def is_compiled(function: Function) -> bool:
    """Whether a decorator says that numba compiles it."""
    return any(
        isinstance(node, ast.Name) and node.id in COMPILED_BY
        for decorator in function.decorator_list
        for node in ast.walk(decorator)
    )


def modules() -> list[Source]:
    """The packages' modules; an `__init__` only describes its folder."""
    return [each for each in sources() if not each.path.endswith("__init__.py")]


def test_every_module_says_what_kind_it_is() -> None:
    """The first word of its docstring is one of the four kinds."""
    assert [each.path for each in modules() if each.kind not in KINDS] == []


def test_the_kinds_are_not_mixed() -> None:
    """Kernels and declarations touch nothing outside; declarations and shells compile nothing."""
    offenders = []
    for each in modules():
        imported = {name.split(".")[0] for _, name in each.imports()}
        pure = each.kind in ("Kernel", "Declaration") and each.path != SYSTEM_CALLS
        if pure and imported & OUTSIDE:
            offenders.append(f"{each.path} imports {sorted(imported & OUTSIDE)}")
        if each.kind in ("Declaration", "Shell"):
            compiled = [function.name for function in each.functions() if is_compiled(function)]
            offenders += [f"{each.path} compiles {name}" for name in compiled]
    assert not offenders, "\n".join(offenders)


def test_files_and_functions_are_short() -> None:
    """At most 400 lines and 60 lines."""
    offenders = [
        f"{each.path}: {len(each.text.splitlines())} lines"
        for each in sources(*PACKAGES, "perf")
        if len(each.text.splitlines()) > LINES_MAX
    ]
    for each in sources(*EVERYTHING):
        for function in each.functions():
            length = (function.end_lineno or function.lineno) - function.lineno + 1
            if length > FUNCTION_LINES_MAX:
                offenders.append(f"{each.path}:{function.lineno} {function.name}: {length} lines")
    assert not offenders, "\n".join(offenders)


def test_names_say_what_things_are() -> None:
    """No file that could hold anything, no second word for a position."""
    offenders = [
        each.path
        for each in sources(*EVERYTHING)
        if BANNED_FILES.match(each.path.rsplit("/", 1)[-1])
    ]
    for each in sources(*PACKAGES):
        banned = BANNED_WORDS | (BANNED_OF_RINGS if each.path.startswith("ringbuf/") else set())
        for line, name in each.names():
            if banned & set(name.lower().split("_")):
                offenders.append(f"{each.path}:{line} {name}")
    assert not offenders, "\n".join(offenders)


def test_nothing_is_left_unfinished() -> None:
    """No reminder, no stub, no test that does not run, no swallowed error."""
    offenders = [
        f"{each.path}:{number} {line.strip()}"
        for each in sources(*EVERYTHING)
        for number, line in enumerate(each.text.splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    offenders += [each.path for each in sources(*EVERYTHING) if SWALLOWED.search(each.text)]
    assert not offenders, "\n".join(offenders)


def test_what_is_not_compiled_is_annotated() -> None:
    """mypy checks what is annotated: that must be everything outside kernels and pumps."""
    offenders = []
    for each in modules():
        if each.kind not in ("Shell", "Declaration"):
            continue
        for function in each.functions():
            arguments = [
                argument
                for argument in (*function.args.posonlyargs, *function.args.args)
                if argument.arg not in ("self", "cls")
            ] + function.args.kwonlyargs
            bare = [argument.arg for argument in arguments if argument.annotation is None]
            if bare or function.returns is None:
                offenders.append(f"{each.path}:{function.lineno} {function.name} {bare}")
    assert not offenders, "\n".join(offenders)


def test_public_functions_and_modules_are_explained() -> None:
    """A docstring for every file, class and function whose name has no underscore."""
    offenders = [each.path for each in sources(*EVERYTHING) if not ast.get_docstring(each.tree)]
    for each in sources():
        for node in each.tree.body:
            if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
                continue
            if ast.get_docstring(node) is None:
                offenders.append(f"{each.path}:{node.lineno} {node.name}")
    assert not offenders, "\n".join(offenders)


def test_every_test_checks_something() -> None:
    """An assertion, an expected error or a benchmark in each test, or in what it calls."""
    checks = re.compile(r"\bassert|\braises\b|\bbenchmark\b")
    bodies = [
        (each.path, function, ast.get_source_segment(each.text, function) or "")
        for each in sources("tests", "perf")
        for function in each.functions()
    ]
    checking = {
        function.name
        for _, function, text in bodies
        if checks.search(text) and not function.name.startswith("test_")
    }
    offenders = [
        f"{path}:{function.lineno} {function.name}"
        for path, function, text in bodies
        if function.name.startswith("test_")
        and not checks.search(text)
        and not checking & set(re.findall(r"\w+(?=\()", text))
    ]
    assert not offenders, "\n".join(offenders)


def test_test_files_have_distinct_names() -> None:
    """pytest imports each as a module of its own at the top: two `test_layout` would collide."""
    names = [each.path.rsplit("/", 1)[-1] for each in sources("tests")]
    twice = {name for name in names if names.count(name) > 1} - {"conftest.py", "__main__.py"}
    assert twice == set()


def test_no_module_is_dead() -> None:
    """Each is imported by another one, started by command line, or promised to users."""
    used = {name for each in sources(*PACKAGES, "perf") for _, name in each.imports()}
    started = re.compile(rf"""["']((?:{"|".join(PACKAGES)})(?:\.\w+)+)["']""")
    for each in sources(*PACKAGES, "perf"):
        used |= set(started.findall(each.text))
    for name in ("pyproject.toml", "setup.py", "Makefile", "README.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        used |= {each.module for each in modules() if re.search(rf"\b{each.module}\b", text)}
        used |= {each.module for each in modules() if each.path in text}
    offenders = [
        each.path
        for each in modules()
        if each.module not in used and not each.path.endswith("__main__.py")
    ]
    assert not offenders, "\n".join(offenders)


def test_the_repository_has_what_everybody_looks_for() -> None:
    """Standard files at the top."""
    wanted = "README.md LICENSE CHANGELOG.md CONTRIBUTING.md Makefile pyproject.toml setup.py"
    assert [name for name in wanted.split() if not (ROOT / name).is_file()] == []
