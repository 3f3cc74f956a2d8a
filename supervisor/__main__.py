"""`python -m supervisor`, which is what `bin/run` runs."""

import sys

from ipc.process.loading import loading
from supervisor.child import privileges
from supervisor.host import signals
from supervisor.resources import descriptors

if __name__ == "__main__":
    descriptors.fill_standard()
    privileges.hide()  # from here on it holds secrets
    stop_fd = signals.listen() if signals.is_for_root(sys.argv[1:]) else None

    with loading():
        from supervisor import cli  # after the signals: a SIGTERM during the imports is an orderly stop too

        if stop_fd is not None:
            from supervisor import logs  # the other commands write no log

            logs.catch_uncaught()
    code = cli.main(sys.argv[1:], stop_fd)
    signals.ignore()  # it is over: a signal that comes now must not spoil the exit code
    sys.exit(code)
