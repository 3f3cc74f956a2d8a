"""One webhook's work on a real journal, against a real receiver, with a real catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ipc.jobs import ChangeKind
from ipc.journal import Journal
from ipc.journal.outputs import changes, webhooks
from ipc.retry import RetryPolicy
from tests.ipc.builders import Clock, open_journal
from tests.servers.receiver import SECRET, Receiver
from tests.workers.publishing.catalog.builders import deletion, entry
from workers.publishing.catalog import CatalogFault, SqliteCatalog
from workers.publishing.service.breaker import Breaker
from workers.publishing.webhooks import receiver
from workers.publishing.webhooks.events import Events
from workers.publishing.webhooks.rebuild import Rebuild
from workers.publishing.webhooks.standing import Standing
from workers.publishing.webhooks.target import Target
from workers.publishing.webhooks.works import register

CHANNEL = 7
POLICY = RetryPolicy(max_attempts=2, base_seconds=60.0)


class Rows(SqliteCatalog):
    """A real catalogue; a test says what readers see. `fails`: it does not answer."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.fails = False
        self._revision = 0

    def show(self, message_id: int, **columns: Any) -> None:
        self._revision += 1
        self.write_many([entry(self._revision, message_id, **columns)])

    def hide(self, message_id: int) -> None:
        self._revision += 1
        self.write_many([deletion(self._revision, message_id)])

    def pictures(self, **asked: Any) -> list[dict[str, Any]]:
        if self.fails:
            raise CatalogFault("the catalogue is out")
        return super().pictures(**asked)


class Bench:
    """A webhook of the settings; `clock` is the journal's and the breaker's alike."""

    def __init__(self, folder: Path, url: str, secret: str = SECRET, **table: Any) -> None:
        self.folder = folder
        self.clock = Clock()
        self.journal: Journal = open_journal(folder, self.clock)
        self.rows = Rows(folder / "catalog.db")
        self.stopping = False
        self.table = {"url": url, "secret": secret, "events": ["published", "changed", "deleted"], "kind": "events"}
        self.table |= table
        self.target: Target = self.register(self.table)[0]
        self.receiver = receiver.Receiver(self.target.url, self.target.secret, "1.2.3", 4)

    def send_to(self, url: str) -> None:
        """From the next work on. In the journal, and by its label, it is the same webhook."""
        self.receiver.close()
        self.receiver = receiver.Receiver(url, self.target.secret, "1.2.3", 4)

    def register(self, *tables: dict[str, Any]) -> list[Target]:
        return register(self.journal, {"webhooks": list(tables)})

    def standing(self) -> Standing:
        return Standing(self.target, self.journal, Breaker(failures=3, timeout_seconds=30.0), self.clock)

    def events(self) -> Events:
        return Events(
            self.target, self.journal, self.rows, self.receiver, self.standing(), POLICY, lambda: self.stopping
        )

    def rebuild(self) -> Rebuild:
        return Rebuild(self.target, self.journal, self.receiver, self.standing(), POLICY, 60.0, 600.0)

    def change(self, message_id: int, what: ChangeKind) -> None:
        """As the transaction writes it that records a row."""
        with self.journal.transaction():
            address = {"channel_id": CHANNEL, "message_id": message_id}
            self.journal.run("note_change", **address, what=what, at=int(self.clock.now))

    def publish(self, message_id: int) -> None:
        self.rows.show(message_id)
        self.change(message_id, "published")

    def figures(self) -> dict[str, Any]:
        (row,) = webhooks.figures(self.journal)
        return row

    def waiting(self) -> int:
        return int(self.figures()["waiting"])

    def changes(self) -> int:
        return len(changes.after(self.journal, 0, 10**6))

    def close(self) -> None:
        self.receiver.close()
        self.rows.close()
        self.journal.close()


def told(receiver: Receiver) -> list[tuple[int, str]]:
    """Message and event of each request."""
    return [(one.picture[1], one.type.removeprefix("picture.")) for one in receiver.requests]
