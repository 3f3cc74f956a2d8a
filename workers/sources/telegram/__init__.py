"""Telegram as a source: every photo that a channel posts, whatever the connection does.

    source.py             the process' life: connect, serve until the connection is lost, connect again
    channels.py           the configured channels: who is looked at when, who can't be read
    channel_state.py      one configured channel: is it read, and if not, why
    history.py            one channel: catch-up from the cursor, edits and deletions, backfill
    late_ids.py           ids that may be there a moment later
    omitted_ids.py        ids that an answer has left out
    downloads.py          the pictures: which is next, and what becomes of a try
    download_failures.py  those that could not be fetched: when to try again, and what to tell
    spool_writer.py       what has come, onto the disk and into the journal
    check.py              whether the channels can be read, for `bin/run check`
    wire/                 what is said to Telegram, and what it answers
    login/                makes the session

Live updates are wake-ups and never the source of truth: they are lost at every turn of the connection. What a channel has is
what its history says, read from the journal's cursor on.
"""
