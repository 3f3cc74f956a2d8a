"""Credentials: files that each hold the value of one setting, in the folder that $CREDENTIALS_DIRECTORY names.

systemd makes that folder for a unit with LoadCredential=, in memory, for its user alone; a container can point the
variable at its secrets (/run/secrets). So a secret is in no environment, which every child process inherits and
/proc shows, and in no file that is copied along with the configuration.

A credential is named like its setting (`telegram.api_hash`). systemd puts the unit's name for a whole folder before
the name of each of its files: `picturedesk_telegram.api_hash` is the same. Other files in the folder may belong to
another program and are ignored.
"""

from collections.abc import Container, Iterator, Mapping
from pathlib import Path

VARIABLE = "CREDENTIALS_DIRECTORY"
PREFIX = "picturedesk_"


def found(environ: Mapping[str, str], sections: Container[str], faults: list[str]) -> Iterator[tuple[Path, str]]:
    """Each credential of ours: its file, and the setting that it names, known or not."""
    folder = environ.get(VARIABLE)
    if not folder:
        return
    try:
        files = sorted(Path(folder).iterdir())
    except OSError as error:
        faults.append(f"{VARIABLE}: {folder} can't be read: {error.strerror}")
        return
    for file in files:
        name = file.name.removeprefix(PREFIX)
        if name != file.name or name.partition(".")[0] in sections:
            yield file, name


def read(file: Path, faults: list[str]) -> str:
    """The text of one credential, without the line end that an editor or `echo` puts after it."""
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        faults.append(f"credential {file}: can't be read: {error.strerror}")
    except UnicodeDecodeError:
        faults.append(f"credential {file}: is not UTF-8 text")
    return ""
