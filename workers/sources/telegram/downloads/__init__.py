"""The pictures' files, from Telegram into the spool.

downloads.py      which is next, and how a try is settled
failures.py       the pictures that could not be fetched: when to try again, and what /status says
fetcher.py        one picture's way
references.py     what its file is asked for by
transfer.py       its bytes, part by part
spool_writer.py   whole files, onto the disk and into the journal
"""
