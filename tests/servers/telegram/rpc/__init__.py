"""The methods of the API that the server has, one module a subject.

A method is a function that takes a `Call` and the request, and returns what `tl.encode` takes or raises RpcError. It is
run under the world's lock and never waits.
"""

from __future__ import annotations

from tests.servers.telegram.rpc import account, cdn, channels, files, history, login
from tests.servers.telegram.rpc.registry import METHODS, Call

__all__ = ["METHODS", "Call", "account", "cdn", "channels", "files", "history", "login"]
