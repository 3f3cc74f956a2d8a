"""The set-up that bin/run does before it starts the program: for real, in a copy of bin/, on a tiny program.

Needs no network: the lock file is empty or lists one wheel that the test has made itself.
"""

import base64
import hashlib
import importlib.util
import os
import resource
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.setup

BIN = Path(__file__).parents[2] / "bin"
PROGRAM = 'import os, sys\nprint(os.getcwd(), sys.prefix, *sys.argv[1:], sep="|")\n'
DEADLINE_SECONDS = 60


# Answers as the set-up's question wants it, waits for the file {gate} if there is to be one, and makes environments
# without pip, or with ours: ensurepip takes seconds of a processor.
QUICK = """#!/bin/sh
case "$2" in
-c) echo ready {version} "$0" ;;
-m) while [ ! -e {gate} ]; do sleep 0.02; done
    {python} -I -m venv --without-pip "$4" && ln -s {pip} "$4"/lib/python{version}/site-packages/pip ;;
esac
"""
PIP_HERE = importlib.util.find_spec("pip")


class Checkout:
    """A copy of bin/ that a program and a lock file stand beside."""

    def __init__(self, root: Path) -> None:
        self.root, self.venv, self.lock = root, root / ".venv", root / "requirements.lock"
        shutil.copytree(BIN, root / "bin")
        self.program("supervisor", PROGRAM)
        self.lock.write_text("# nothing\n", encoding="utf-8")
        self.python = Path(sys.executable)

    def be_quick(self, *, gate: Path = Path("/")) -> None:
        """From now on set up with the pip of the tests, and wait for the file `gate` before."""
        assert PIP_HERE is not None and PIP_HERE.origin is not None, "the tests' own environment was made with pip"
        self.python = self.root / "quick-python"
        words = {
            "version": f"{sys.version_info.major}.{sys.version_info.minor}",
            "python": sys.executable,
            "pip": Path(PIP_HERE.origin).parent,
            "gate": shlex.quote(str(gate)),
        }
        self.python.write_text(QUICK.format(**words), encoding="utf-8")
        self.python.chmod(0o755)

    def program(self, package: str, text: str) -> None:
        (self.root / package).mkdir(exist_ok=True)
        (self.root / package / "__main__.py").write_text(text, encoding="utf-8")

    def start(self, *arguments: str, command: Path | None = None, **options: str) -> subprocess.Popen[str]:
        environ = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        environ |= {"PYTHON": str(self.python), **options}
        return subprocess.Popen(
            [command or self.root / "bin/run", *arguments],
            cwd=self.root.parent,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, command: Path | None = None, **options: str) -> tuple[int, str, str]:
        process = self.start(*arguments, command=command, **options)
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
        return process.returncode, out, err

    def answer(self, *arguments: str) -> str:
        return "|".join([str(self.root.parent), str(self.venv), *arguments]) + "\n"

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.root.glob(".venv*") if path.name != ".venv.lock")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "a checkout")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """One that is set up already; its tests leave it so."""
    made = Checkout(tmp_path_factory.mktemp("ready") / "checkout")
    made.be_quick()
    code, _, err = made.run()
    assert code == 0, err
    yield made


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def processes_below(folder: Path) -> list[str]:
    """Command lines of the processes that run something of `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has gone
            continue
        if str(folder) in line:
            found.append(line)
    return found


def make_wheel(folder: Path) -> str:
    """A wheel of one module and one command, and the line that a lock file has for it."""
    name = "deskproof-1.0"
    files = {
        "deskproof.py": "def main():\n    print('proof')\n",
        f"{name}.dist-info/METADATA": "Metadata-Version: 2.1\nName: deskproof\nVersion: 1\n",
        f"{name}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{name}.dist-info/entry_points.txt": "[console_scripts]\ndeskproof = deskproof:main\n",
    }
    record = f"{name}.dist-info/RECORD"
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text)}")
    wheel = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**files, record: "\n".join([*lines, f"{record},,"])}.items():
            archive.writestr(path, text)
    return f"deskproof==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def lock_wheel(checkout: Checkout, line: str) -> None:
    checkout.lock.write_text(f"--no-index\n--find-links {checkout.root.as_uri()}\n{line}", encoding="utf-8")


# --- once, and then at once ---------------------------------------------------------------------------------


def test_sets_up_once_says_so_and_runs_where_the_user_is(checkout: Checkout) -> None:
    code, out, err = checkout.run("a", "b c", PYTHONPATH="/nowhere", PIP_TARGET="/nowhere")
    assert (code, out) == (0, checkout.answer("a", "b c")), err
    assert f"setting up {checkout.venv} once" in err
    assert checkout.leftovers() == [".venv"]
    assert checkout.run("again") == (0, checkout.answer("again"), "")


@pytest.mark.parametrize("given", ["", "/a:/b"])
def test_a_python_path_is_not_for_the_program_but_kept_for_its_commands(ready: Checkout, given: str) -> None:
    said = 'import os\nprint(os.environ["PYTHONPATH"], os.environ["PICTUREDESK_PYTHONPATH"], sep="|")\n'
    ready.program("supervisor", said)
    try:
        assert ready.run(PYTHONPATH=given) == (0, f"{ready.root}|{given}\n", "")
    finally:
        ready.program("supervisor", PROGRAM)


def test_when_all_is_there_it_starts_at_once(ready: Checkout) -> None:
    """It takes far less than a second of a processor; a set-up takes several."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ready.run()[0] == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_through_a_symbolic_link(ready: Checkout, tmp_path: Path) -> None:
    link, chain = tmp_path / "picturedesk", tmp_path / "bin" / "pd"
    chain.parent.mkdir()
    link.symlink_to(ready.root / "bin/run")
    chain.symlink_to("../picturedesk")
    assert ready.run("x", command=chain) == (0, ready.answer("x"), "")


def test_nothing_of_the_current_folder_is_imported(ready: Checkout) -> None:
    trap = ready.root.parent / "supervisor"
    trap.mkdir()
    (trap / "__main__.py").write_text("raise SystemExit(9)", encoding="utf-8")
    assert ready.run() == (0, ready.answer(), "")


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("raise SystemExit(78)", 78),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    ],
)
def test_the_exit_code_is_the_programs(ready: Checkout, program: str, code: int) -> None:
    ready.program("supervisor", program)
    try:
        assert ready.run()[0] == code
    finally:
        ready.program("supervisor", PROGRAM)


LEAD_NOWHERE = """import os, sys
sys.exit(sum(os.readlink(f"/proc/self/fd/{n}") == os.devnull for n in range(3)))
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_standard_descriptor_that_is_closed_leads_nowhere(closed: str, ready: Checkout) -> None:
    ready.program("supervisor", LEAD_NOWHERE)
    try:
        assert run_with(closed, ready) == len(closed.split())
    finally:
        ready.program("supervisor", PROGRAM)


def test_standard_descriptors_that_are_closed_in_the_set_up_lead_nowhere(checkout: Checkout) -> None:
    checkout.be_quick()
    checkout.program("supervisor", LEAD_NOWHERE)
    assert run_with("<&- >&- 2>&-", checkout) == 3
    assert (checkout.venv / "picturedesk.stamp").exists()


def run_with(closed: str, checkout: Checkout) -> int:
    """Run it with these redirections of the shell's; the exit code."""
    words = ["sh", "-c", f'exec "$@" {closed}', "sh", str(checkout.root / "bin/run")]
    done = subprocess.run(
        words,
        env={**os.environ, "PYTHON": str(checkout.python)},
        stdin=subprocess.PIPE,
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    return done.returncode


def test_a_read_only_checkout_that_is_ready_runs(ready: Checkout) -> None:
    """root may write everywhere, so it has to give up that capability first."""
    caps = "--bounding-set=-dac_override,-dac_read_search"
    command = ["setpriv", caps, ready.root / "bin/run"] if os.geteuid() == 0 else [ready.root / "bin/run"]
    paths = [path for path in (ready.root, *ready.root.rglob("*")) if not path.is_symlink()]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
    try:
        for path, mode in modes.items():
            path.chmod(mode & ~0o222)
        proof = subprocess.run([*command[:-1], "touch", ready.root / "x"], capture_output=True, check=False)
        assert proof.returncode != 0
        done = subprocess.run([*command, "x"], capture_output=True, text=True, cwd="/", check=False)
        assert (done.returncode, done.stdout) == (0, f"/|{ready.venv}|x\n"), done.stderr
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


# --- the lock file ------------------------------------------------------------------------------------------


def test_a_changed_lock_file_is_installed_with_its_hashes(checkout: Checkout) -> None:
    checkout.be_quick()
    assert checkout.run()[0] == 0
    lock_wheel(checkout, make_wheel(checkout.root))
    checkout.program("supervisor", "import deskproof\ndeskproof.main()\n")
    code, out, err = checkout.run()
    assert (code, out) == (0, "proof\n"), err
    assert checkout.leftovers() == [".venv"]
    command = subprocess.run([checkout.venv / "bin/deskproof"], capture_output=True, text=True, check=True)
    assert command.stdout == "proof\n"  # its first line names the folder where it is now


PIP = """
import sys, warnings
warnings.warn("DEPRECATION: pip will enforce something one day")
print("a network that fails", *sys.argv[1:], file=sys.stderr)
"""


def test_pips_lectures_are_left_out_and_its_errors_shown(tmp_path: Path) -> None:
    """A package with a setup.py and no wheel has pip say at length that this will end: nothing for a user."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip/__init__.py").touch()
    (tmp_path / "pip/__main__.py").write_text(PIP, encoding="utf-8")
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin/python"  # isolated from all but the pip above
    python.write_text(f'#!/bin/sh\n[ "$1" = -I ] && shift && PYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    lock = tmp_path / "requirements.lock"
    lock.write_text("pyaes==1.0\n", encoding="utf-8")
    words = f'set -euo pipefail; checkout="$0"; source {BIN}/_venv.sh; venv_new="$0"; venv_install {lock}'
    done = subprocess.run(["bash", "-c", words, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "DEPRECATION" not in done.stderr
    assert "a network that fails install" in done.stderr and "--require-hashes" in done.stderr


@pytest.mark.parametrize("hash_option", [f" --hash=sha256:{'0' * 64}", ""], ids=["wrong", "none"])
def test_a_package_without_its_hash_is_refused_and_the_old_environment_stays(
    checkout: Checkout, hash_option: str
) -> None:
    checkout.be_quick()
    assert checkout.run()[0] == 0
    before = (checkout.venv / "picturedesk.stamp").read_bytes()
    make_wheel(checkout.root)
    lock_wheel(checkout, f"deskproof==1.0{hash_option}\n")
    code, out, err = checkout.run()
    assert (code, out) == (1, "")
    assert "pip could not install what requirements.lock lists" in err
    assert "run the same command again" in err
    assert checkout.leftovers() == [".venv"]
    assert (checkout.venv / "picturedesk.stamp").read_bytes() == before


def test_a_python_that_has_gone_is_noticed(checkout: Checkout) -> None:
    checkout.be_quick()
    assert checkout.run()[0] == 0
    python = checkout.venv / "bin/python"
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    code, out, err = checkout.run()
    assert (code, out) == (0, checkout.answer()), err


# --- what goes wrong ----------------------------------------------------------------------------------------


def test_two_at_once_make_one_environment(checkout: Checkout) -> None:
    gate = checkout.root / "gate"
    checkout.be_quick(gate=gate)
    first = checkout.start("1")
    assert first.stderr is not None and "setting up" in first.stderr.readline()
    second = checkout.start("2")
    assert second.stderr is not None and "another set-up" in second.stderr.readline()
    gate.touch()
    out1, err1 = first.communicate(timeout=DEADLINE_SECONDS)
    out2, err2 = second.communicate(timeout=DEADLINE_SECONDS)
    assert (out1, out2) == (checkout.answer("1"), checkout.answer("2"))
    assert "set up in" in err1 and err2 == "", "the second one finds all done"
    assert checkout.leftovers() == [".venv"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_set_up_cleanly(checkout: Checkout, number: signal.Signals) -> None:
    process = checkout.start()
    until((checkout.root / ".venv.new/bin/python").exists)
    process.send_signal(number)
    _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == -number
    assert "set-up stopped" in err
    assert checkout.leftovers() == []
    assert processes_below(checkout.root) == []


def test_a_set_up_that_was_killed_is_started_over(checkout: Checkout) -> None:
    process = checkout.start()
    until((checkout.root / ".venv.new/bin/python").exists)
    os.kill(process.pid, signal.SIGKILL)  # the shell only: pip is still at work below it, and holds the lock
    process.communicate(timeout=DEADLINE_SECONDS)
    assert checkout.leftovers() == [".venv.new"]
    (checkout.root / ".venv.new/half").touch()
    checkout.be_quick()
    code, out, err = checkout.run()
    assert (code, out) == (0, checkout.answer()), err
    assert "setting up" in err
    assert checkout.leftovers() == [".venv"]
    assert not (checkout.venv / "half").exists()
    assert processes_below(checkout.root) == []


def test_without_a_suitable_python_the_remedy_is_named(checkout: Checkout) -> None:
    code, out, err = checkout.run(PYTHON="/bin/false")
    assert (code, out) == (1, "")
    assert "no Python 3.11 or newer" in err
    assert "apt-get install -y python3 python3-venv" in err
    assert checkout.leftovers() == []


def test_without_a_lock_file_the_remedy_is_named(checkout: Checkout) -> None:
    checkout.lock.unlink()
    code, _, err = checkout.run()
    assert code == 1
    assert "checkout -- requirements.lock" in err
