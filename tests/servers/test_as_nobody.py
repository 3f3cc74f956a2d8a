"""The servers start for a normal user too. Root, who runs the tests here, is made one."""

from __future__ import annotations

import os
import site
import subprocess
import sys
from pathlib import Path

import pytest

from tests.instance import HOME
from tests.servers import objects
from tests.servers.postgres import NOBODY

STEPS = r"""
set -e
mount --bind "$BASE" "$AT/python"
mount --bind "$CHECKOUT" "$AT/checkout"
mount --bind "$VENV" "$AT/venv"
cd "$AT/home"
exec setpriv --reuid "$USER" --regid "$USER" --clear-groups env -i PATH="$AT/python/bin:/usr/bin:/bin" \
    HOME="$AT/home" TMPDIR="$AT/home" LD_LIBRARY_PATH="$AT/python/lib" PYTHONDONTWRITEBYTECODE=1 \
    WEED="$AT/venv/${WEED#"$VENV"}" PYTHONPATH="$AT/checkout:$AT/venv/${PACKAGES#"$VENV"}" \
    "$AT/python/bin/$PYTHON" -P -c "$1"
"""
PROGRAM = """
import os
from tests.servers import objects as module
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from pathlib import Path

assert os.geteuid() != 0
module.binary = lambda: os.environ["WEED"]  # a Python that is not of the environment doesn't find it
with ObjectServer(Path("objects")) as objects, RowServer() as rows:
    with objects.bucket() as bucket:
        objects.client().put_object(Bucket=bucket, Key="a", Body=b"b")
    rows.apply_schema()
    assert rows.sql("select count(*) as rows from public.images") == [{"rows": 0}]
print("both were there for", os.geteuid())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever is not root has them started as a normal user all along")
def test_a_normal_user_starts_the_servers(tmp_path: Path) -> None:
    """As a user who can reach neither Python nor the files of root, but for what is shared."""
    folder = Path("/tmp") / f"picturedesk-nobody-{tmp_path.parent.name}-{os.getpid()}"  # tmp_path is root's alone
    for name in ("python", "checkout", "venv", "home"):
        (folder / name).mkdir(parents=True)
    os.chown(folder / "home", NOBODY, NOBODY)
    environment = {
        "PATH": os.environ["PATH"],
        "AT": str(folder),
        "BASE": sys.base_prefix,
        "CHECKOUT": str(HOME),
        "VENV": sys.prefix,
        "PACKAGES": site.getsitepackages()[0],
        "WEED": objects.binary(),
        "PYTHON": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "USER": str(NOBODY),
    }
    try:
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", STEPS, "sh", PROGRAM],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"both were there for {NOBODY}\n"
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True)
