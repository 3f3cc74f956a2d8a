"""A Telegram Desktop export (result.json and the files beside it) as a source of posts.

Promises. The whole file is checked by `Export.census` before a page is taken; a malformed one is refused with its
place, the reason and what to do. Memory stays constant, however long the file. A message is never left out in silence:
it becomes a post, or it is counted as ignored, or the export is refused. A post whose file is not there is a post all
the same; `fetch` says why it can't be had.

Left to others: whether the bytes are a picture, and everything that is remembered.

    source.py       the process's life: a page, some pictures, a report
    reader.py       finds, checks and pages an export
    stream.py       reads its JSON
    messages.py     what a message means: kind, picture, times, album
    formatting.py   its text, and whom it came from
    values.py       single values of the JSON
    fetching.py     the pictures that are due, into the spool
    files.py        a picture's bytes; names.py finds its name on the disk
    turns.py        which of two readers fetches
    progress.py     how many pictures are done
    report.py       what is reported to /status
    errors.py       the refusal of an export
"""

from workers.sources.export.errors import ExportError
from workers.sources.export.fetching.files import MissingFile, fetch
from workers.sources.export.reading.reader import Census, Export

__all__ = ["Census", "Export", "ExportError", "MissingFile", "fetch"]
