"""Telegram as a source: every photo that a channel posts, whatever the line does.

    source.py      the process' life: connect, serve until the line is lost, connect again
    channels.py    the configured channels: who is looked at when, who can't be read
    watch.py       one channel: catch-up from the cursor, edits and deletions, backfill
    fetching.py    the pictures' bytes, into the spool
    line.py        one connection to Telegram
    media.py       what a message is: its kind, its picture, its caption
    answers.py     what an error means, and what there is to do about it
    address.py     how a channel may be written in the configuration
    account.py     whose session it is, and how Telegram is reached
    login.py       makes the session: what a person is asked and told
    authorization.py  a login under way: what Telegram is asked
    session.py     the session's file, written
    check.py       whether the channels can be read, for `bin/run check`

Telethon is at home in line, media, answers, authorization and session; the others speak our own words.

Live updates are wake-ups and never the source of truth: they are lost at every turn of the line. What a channel has is
what its history says, read from the journal's cursor on.
"""
