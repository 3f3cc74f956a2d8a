"""A Telegram Desktop export (result.json and the files beside it) as a source of posts.

Promises. The whole file is checked by `Export.census` before a page is taken; a malformed one is refused with its
place, the reason and what to do. Memory stays constant, however long the file. A message is never left out in silence:
it becomes a post, or it is counted as ignored, or the export is refused. A post whose file is not there is a post all
the same; `fetch` says why it can't be had.

Left to others: whether the bytes are a picture, and everything that is remembered.

Inside: `reader` finds, checks and pages an export; `stream` reads its JSON; `messages` tells what a message means;
`files` brings a picture's bytes, `names` finds its name on the disk; `errors` holds the refusal that they share.
"""

from workers.sources.export.errors import ExportError
from workers.sources.export.files import MissingFile, fetch
from workers.sources.export.reader import Census, Export

__all__ = ["Census", "Export", "ExportError", "MissingFile", "fetch"]
