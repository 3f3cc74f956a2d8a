"""The uploader's two stages in the caller's own thread, one step at a time: for tests and benchmarks."""

from __future__ import annotations

from ipc.files.spool import Spool
from ipc.journal import Journal
from ipc.transport.context import Context
from workers.publishing.service_report import ServiceReport
from workers.publishing.spool_sweep import SpoolSweep
from workers.uploader import Services, make_stages


class Publisher:
    """Both stages on one journal, with what the process reports and sweeps besides."""

    def __init__(self, context: Context, journal: Journal, services: Services) -> None:
        self.object_stage, self.row_stage = make_stages(
            context, services, (journal, journal), stop=lambda: context.stopping
        )
        self.report = ServiceReport(context, self.object_stage, self.row_stage, self.row_stage.schema)
        self.sweep = SpoolSweep(Spool(context.spool_path), journal)

    def publish_due(self) -> int:
        """Store, then write, what is due, and report; how many steps the jobs went on. Two: stored, and its row."""
        went_on = self.object_stage.step()
        went_on += self.row_stage.step()
        self.report.send()
        return went_on
