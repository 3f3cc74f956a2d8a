"""The tree: child life cycle, restart policy, settings, logs, command line. Imports no worker, no client library."""

from supervisor.child import lazy_import

lazy_import.load("asyncio")  # structlog imports it, and most of our processes never need it: 25 ms and 4 MiB in each
lazy_import.load("uuid")  # structlog imports it, for what none of us asks for
lazy_import.leave_out("rich")  # structlog imports it where it is installed: 45 ms in each for nothing
lazy_import.leave_out("pygments")  # comes with rich; apprise's Markdown imports it where it is installed
