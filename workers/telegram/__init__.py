"""Telegram as a source: every photo that a channel posts, whatever the line does.

    source.py      the process' life: connect, serve until the line is lost, connect again
    channels.py    the configured channels: who is looked at when, who can't be read
    entry.py       one configured channel: is it read, and if not, why
    watch.py       one channel: catch-up from the cursor, edits and deletions, backfill
    young.py       ids that may be there a moment later
    omitted_ids.py  ids that an answer has left out
    fetching.py    the pictures: which is next, and what becomes of a try
    setbacks.py    those that could not be fetched: when to try again, and what to tell
    store.py       what has come, onto the disk and into the journal
    line.py        one connection to Telegram
    peers.py       from a channel's address to what Telegram knows it by
    client.py      telethon's client, made to do nothing of itself
    files.py       the bytes of files, from whichever data centre keeps them
    cdn.py         those that Telegram has moved to its CDN: how to read them, and whether they are true
    data_centres.py  the connections that files come through
    pace.py        how much of them is asked for at once
    media.py       what a message is: its kind, its picture, its caption
    rich_messages.py  posts made of blocks: which pictures they show, what they say
    answers.py     what an error means, and what there is to do about it
    account.py     whose session it is, and how Telegram is reached
    login.py       makes the session: what a person is asked and told
    authorization.py  a login under way: what Telegram is asked
    session.py     the session's file, written
    check.py       whether the channels can be read, for `bin/run check`

Telethon is at home in client, line, peers, files, data_centres, media, answers, authorization and session; the others
speak our own words.

Live updates are wake-ups and never the source of truth: they are lost at every turn of the line. What a channel has is
what its history says, read from the journal's cursor on.
"""
