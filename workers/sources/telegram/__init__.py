"""Telegram as a source: every photo that a channel posts, whatever the connection does.

    source.py         the process's life: connect, serve until the connection is lost, connect again
    reconnecting.py   when to connect again
    reporting.py      what is reported to /status, and how often
    check.py          whether the channels can be read, for `bin/run check`
    channels/         the configured channels: which is looked at when
    history/          one channel's messages, into the journal
    downloads/        the pictures' files, into the spool
    wire/             what is said to Telegram, and what it answers
    login/            makes the session

Live updates are wake-ups and never the source of truth: some are lost whenever the connection is. What a channel has is
what its history says, read from the journal's cursor on.
"""
