"""What can be seen from outside: `/status`, `/health` and the page, answered by a process that does nothing else."""

import sys
from types import ModuleType

_command_line = ModuleType("uvicorn.main")
_command_line.__dict__.update(Server=None, main=None, run=None)
sys.modules.setdefault("uvicorn.main", _command_line)
"""Instead of uvicorn's command line, which its package imports: with click and multiprocessing 25 ms and 2 MiB. We take
its server from `uvicorn.server`.
"""
