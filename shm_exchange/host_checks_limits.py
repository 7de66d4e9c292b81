"""Shell: what the process may do, as it really is: a lower limit above a unit clips it silently."""

from __future__ import annotations

import mmap
import re
import resource

from shm_exchange.footprint import shared_bytes
from shm_exchange.host_facts import (
    FAIL,
    OK,
    WARN,
    Check,
    Finding,
    Host,
    Subject,
    UnknownFactError,
    show_size,
)
from shm_exchange.process_limits import descriptors_needed, needs

_UNLIMITED = "unlimited"
_LOGIND = ("/usr/lib/systemd/systemd-logind", "/lib/systemd/systemd-logind")
_LOGIND_FOLDERS = ("/usr/lib", "/run", "/etc")  # of systemd/logind.conf.d; the last one wins
_SYSTEM_USERS = range(1000)
_ENFORCING = "/sys/fs/selinux/enforce"
_DROP_IN = "/etc/systemd/system/shm-exchange.service.d"
_RAISE = (
    f"mkdir -p {_DROP_IN} && printf '[Service]\\n{{0}}={{1}}\\n' > {_DROP_IN}/{{0}}.conf &&"
    " systemctl daemon-reload && systemctl restart shm-exchange; where that is clipped, Default{0}="
    " in /etc/systemd/system.conf, or the container's limit, is lower"
)


def _limits(host: Host, label: str) -> tuple[int | None, int | None]:
    """The soft and the hard limit; None: there is none."""
    name = f"/proc/{host.process}/limits"
    for line in host.text(name).splitlines():
        if line.startswith(label):
            soft, hard = line[len(label) :].split()[:2]
            return _number(soft), _number(hard)
    raise UnknownFactError(f"{name} has no line {label}")


def _number(word: str) -> int | None:
    return None if word == _UNLIMITED else int(word)


def _memlock(subject: Subject) -> Finding:
    """All rings could be locked into memory."""
    soft, hard = _limits(subject.host, "Max locked memory")
    needed = shared_bytes(subject.configuration)
    found = f"{_shown(soft)}, at most {_shown(hard)}; the rings take {show_size(needed)}"
    if soft is None or soft >= needed:
        return Finding(OK, found)
    return Finding(WARN, found, _RAISE.format("LimitMEMLOCK", "infinity"))


def _open_files(subject: Subject) -> Finding:
    """A gateway can hold all its clients. It raises its own limit up to the hard one."""
    soft, hard = _limits(subject.host, "Max open files")
    needed = descriptors_needed(subject.configuration)
    found = f"{soft or _UNLIMITED}, at most {hard or _UNLIMITED}; a gateway needs {needed}"
    if hard is None or hard >= needed:
        return Finding(OK, found)
    return Finding(FAIL, found, _RAISE.format("LimitNOFILE", 65_536))


def _process_limits(subject: Subject) -> Finding:
    """What `shmx run` would refuse to start with, of files, addresses and data."""
    low = []
    for need in needs(subject.configuration):
        if need.which == resource.RLIMIT_NOFILE:
            continue  # has a line of its own
        _, hard = _limits(subject.host, need.label)  # a soft one is raised by `shmx run`
        if hard is not None and hard < need.least:
            low.append(need)
    if not low:
        return Finding(OK, "files, addresses and data as large as this exchange wants them")
    found = "; ".join(
        f"{each.what}: {each.least} are needed, and a process may not" for each in low
    )
    unit = "; ".join(_RAISE.format(each.setting, "infinity") for each in low)
    shell = "; ".join(f"ulimit {each.option} unlimited" for each in low)
    return Finding(FAIL, found, f"in this shell, as root: {shell}; of the unit: {unit}")


def _core_dumps(subject: Subject) -> Finding:
    """Nobody holds the writer lock for as long as it takes to write its memory to disk."""
    soft, _ = _limits(subject.host, "Max core file size")
    if soft == 0:
        return Finding(OK, "off")
    found = f"{_shown(soft)}: the roles switch their own off, the supervisor does not"
    return Finding(WARN, found, _RAISE.format("LimitCORE", 0))


def _shown(limit: int | None) -> str:
    return _UNLIMITED if limit is None else show_size(limit)


def _remove_ipc(subject: Subject) -> Finding:
    """Shared memory stays when its user logs out. Of system users it always does."""
    host = subject.host
    user = int(host.field(f"/proc/{host.process}/status", "Uid").split()[0])
    if user in _SYSTEM_USERS:
        return Finding(OK, f"user {user} is a system user, whose shared memory stays")
    if not any(map(host.has, _LOGIND)):
        return Finding(OK, "there is no logind that could remove it")
    if _removes_ipc(host):
        found = f"the shared memory of user {user} is removed at logout (RemoveIPC=yes)"
        remedy = (
            "run it as a system user (`shmx install-unit`), or: mkdir -p"
            " /etc/systemd/logind.conf.d && printf '[Login]\\nRemoveIPC=no\\n' >"
            " /etc/systemd/logind.conf.d/ipc.conf && systemctl restart systemd-logind"
        )
        return Finding(FAIL, found, remedy)
    return Finding(OK, "RemoveIPC=no")


def _removes_ipc(host: Host) -> bool:
    """What logind is told; `yes` when nobody says."""
    files = [host.path("/etc/systemd/logind.conf")]
    dropped_in = {
        each.name: each
        for folder in _LOGIND_FOLDERS
        for each in host.path(f"{folder}/systemd/logind.conf.d").glob("*.conf")
    }
    files += [dropped_in[name] for name in sorted(dropped_in)]
    text = "\n".join(each.read_text(encoding="utf-8") for each in files if each.is_file())
    said = re.findall(r"^\s*RemoveIPC\s*=\s*(\w+)", text, re.MULTILINE)
    return not said or said[-1].lower() in ("yes", "true", "on", "1")


def _machine_code(subject: Subject) -> Finding:
    """Memory may be written and then run: numba makes machine code. Tried, not looked up."""
    enforcing = subject.host.has(_ENFORCING) and subject.host.text(_ENFORCING) == "1"
    try:
        mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError as error:
        remedy = "remove MemoryDenyWriteExecute= from the unit, or start without PR_SET_MDWE"
        if enforcing:
            remedy = "setsebool -P domain_can_mmap_files 1, and allow execmem to its domain"
        return Finding(FAIL, f"memory cannot be made executable: {error.strerror}", remedy)
    return Finding(OK, "memory can be made executable")


CHECKS: dict[str, Check] = {
    "memlock": _memlock,
    "open-files": _open_files,
    "process-limits": _process_limits,
    "core-dumps": _core_dumps,
    "remove-ipc": _remove_ipc,
    "machine-code": _machine_code,
}
