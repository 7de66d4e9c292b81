"""A container that a real systemd boots: this host's own files under an overlay in memory.

Nothing that happens in it reaches the host, but for the compiled code, which is kept for the next
time. All mounts and processes are in namespaces of their own and go with the container, and the
container goes with whoever made it, however he ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ringbuf import host
from ringbuf.jit import cache_root

ROOT = Path(__file__).parents[2]
PREFIX = "/opt/shm-exchange"
SOURCE = "/opt/source"  # of this project, for the tests' own programs
PACKAGES = "/opt/packages"  # what a registry would give: there is no network
PYTHON = f"{PREFIX}/bin/python"
CACHE = "/var/cache/shm-exchange"
BOOT_SECONDS = 120
STEP_SECONDS = 300
TARGET = "systemd.unit=basic.target"  # of the host's services none is needed
SYSTEM_PYTHON = "/usr/bin/python3"  # the unit sees no home, so no interpreter in one
SCRIPT = """
set -e
mount -t tmpfs -o size=4g shmx-test "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mkdir -p "$1/root$2" "$1/root$3"
shift 3
exec "$@"
"""

DATES = """
import compileall, os, pathlib, site, sys
installed, source = pathlib.Path(site.getsitepackages()[0]), pathlib.Path(sys.argv[1])
for package in ("ringbuf", "shm_exchange", "gateways"):
    for path in (installed / package).rglob("*.py"):
        date = (source / path.relative_to(installed)).stat().st_mtime_ns
        os.utime(path, ns=(date, date))
    compileall.compile_dir(installed / package, quiet=1)
"""


def require() -> None:
    """Skip where it is not possible, and say what is missing."""
    if os.geteuid() != 0:
        pytest.skip("only root may boot a container")
    for name, package in (("systemd-nspawn", "systemd-container"), ("nsenter", "util-linux")):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not there: apt-get install {package}")
    version = "import sys; print(*sys.version_info[:2])"
    found = subprocess.run([SYSTEM_PYTHON, "-c", version], capture_output=True, text=True)
    if found.stdout.split() != [str(each) for each in sys.version_info[:2]]:
        pytest.skip(f"{SYSTEM_PYTHON} is another version than {sys.executable}")


class Container:
    """Boots at its creation."""

    def __init__(self, folder: Path, name: str) -> None:
        self._log = folder / "console"
        packages = next(path for path in sys.path if path.endswith("site-packages"))
        cache = cache_root() / "systemd"
        cache.mkdir(parents=True, exist_ok=True)
        mounts = folder / "mounts"
        mounts.mkdir()
        # The first process of a pid namespace takes all others along, and dies with this one.
        command = ["unshare", "--mount", "--propagation", "private", "--pid", "--mount-proc"]
        command += ["--fork", "--kill-child", "sh", "-c", SCRIPT, "sh"]
        command += [
            str(mounts),
            SOURCE,
            PACKAGES,
            "systemd-nspawn",
            f"--directory={mounts}/root",
            "--boot",
        ]
        command += [f"--machine={name}", "--private-network", "--register=no", "--keep-unit"]
        command += [f"--bind-ro={ROOT}:{SOURCE}", f"--bind-ro={packages}:{PACKAGES}"]
        command += [f"--bind={cache}:{CACHE}", TARGET]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=host.die_with_parent,
            )
        self._leader = 0
        self.wait_until(self._is_up, BOOT_SECONDS)

    @property
    def console(self) -> str:
        """What it said on its console."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _is_up(self) -> bool:
        assert self._process.poll() is None, self.console
        found = psutil.Process(self._process.pid).children(recursive=True)
        self._leader = next((each.pid for each in found if each.name() == "systemd"), 0)
        if not self._leader:
            return False
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def enter(self, *command: object) -> list[str]:
        """The command line of a command inside."""
        inside = ["nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--net"]
        return [*inside, "--pid", "--cgroup", "--", *map(str, command)]

    def run(
        self, *command: object, check: bool = True, seconds: float = STEP_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run it inside."""
        done = subprocess.run(
            self.enter(*command), capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done

    def write(self, path: str, text: str) -> None:
        """Make a file inside."""
        command = self.enter("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat > "$1"', "sh", path)
        subprocess.run(command, input=text, text=True, check=True, timeout=STEP_SECONDS)

    def wait_until(self, condition: object, seconds: float = STEP_SECONDS) -> None:
        """Return when the condition holds."""
        assert callable(condition)
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{condition}: {seconds} s\n{self._last_words()}"
            time.sleep(0.1)

    def _last_words(self) -> str:
        said = self.run("journalctl", "--no-pager", "--lines=60", check=False).stdout
        return said or self.console

    def make_environment(self) -> None:
        """What `python3 -m venv` makes, with everything that a wheel of ours needs."""
        self.run(SYSTEM_PYTHON, "-m", "venv", "--without-pip", PREFIX, seconds=120)
        where = self.run(PYTHON, "-c", "import site; print(site.getsitepackages()[0])").stdout
        self.write(f"{where.strip()}/there.pth", f"{PACKAGES}\n")

    def install(self, wheel: Path) -> None:
        """`pip install WHEEL`. Machine code is looked up by a source's date: they stay those of the
        sources, so that only the first installation of a text compiles it."""
        place = f"/opt/{wheel.name}"
        with wheel.open("rb") as file:
            into = self.enter("sh", "-c", 'cat > "$1"', "sh", place)
            subprocess.run(into, stdin=file, check=True, timeout=STEP_SECONDS)
        pip = (PYTHON, "-m", "pip", "install", "--no-index", "--no-deps", "--force-reinstall")
        self.run(*pip, "--no-compile", "--quiet", "--root-user-action=ignore", place)
        self.run(PYTHON, "-c", DATES, SOURCE)

    def close(self) -> None:
        """End it, and all that runs in it."""
        self._process.kill()
        self._process.wait()
