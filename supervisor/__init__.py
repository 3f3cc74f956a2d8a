"""The tree: child life cycle, restart policy, settings, logs, command line. Imports no worker, no client library."""

from supervisor.child import lazy_import

lazy_import.load("asyncio")  # structlog imports it, and most of our processes never need it: 25 ms and 4 MiB in each
lazy_import.load("uuid")  # structlog imports it, for what none of us asks for
lazy_import.load("inspect")  # dataclasses imports it, for classes without a docstring: with ast and dis 6 ms, 1 MiB
lazy_import.load("tokenize")  # linecache imports it, for the lines of a traceback: 1 ms
lazy_import.load("textwrap")  # traceback imports it, for groups of exceptions: 1 ms
lazy_import.load("ipaddress")  # urllib.parse imports it, for addresses of IPv6: 1 ms
lazy_import.load("locale")  # subprocess imports it, for programs whose output is text: 1 ms
lazy_import.load("platform")  # uvicorn imports it, for Windows: 2 ms
lazy_import.load("bz2")  # shutil imports it and lzma, for archives: 1 ms
lazy_import.load("lzma")
lazy_import.load("ntpath")  # pathlib imports it, for Windows
lazy_import.leave_out("rich")  # structlog imports it where it is installed: 45 ms in each for nothing
lazy_import.leave_out("pygments")  # comes with rich; apprise's Markdown imports it where it is installed
