"""Where posts and their pictures come from: Telegram, or an export.

A source takes messages into the journal through `ipc.intake`, fetches their pictures while `backpressure` allows it,
and has `settle` record how each fetch ended. `reporting` tells /status how the source stands.
"""
