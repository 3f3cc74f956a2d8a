"""What the kernel says of memory, in bytes."""

from __future__ import annotations

from pathlib import Path


def memory_of(pid: int) -> dict[str, int]:
    """Resident memory of a process now and at its highest; 0 where the kernel does not say."""
    fields = _proc_fields(Path(f"/proc/{pid}/status"))
    return {"rss_bytes": fields.get("VmRSS", 0), "peak_rss_bytes": fields.get("VmHWM", 0)}


def available_bytes() -> int:
    """What the machine could still give."""
    return _proc_fields(Path("/proc/meminfo")).get("MemAvailable", 0)


def _proc_fields(path: Path) -> dict[str, int]:
    """The fields of a /proc file that are given in kB, in bytes."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0].rstrip(":"): int(pair[1]) * 1024 for pair in pairs if len(pair) == 3 and pair[2] == "kB"}
