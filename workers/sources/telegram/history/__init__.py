"""One channel's history, from Telegram into the journal.

history.py          catch-up from the cursor
reader.py           its messages, read in spite of what can't be read, and recorded
reconciliation.py   edits and deletions
backfill.py         what came before the channel was first seen
late_ids.py         ids that may be there a moment later
omitted_ids.py      ids that an answer has left out
"""
