"""The configured channels: which is looked at when, how each stands, and what is read in the background.

channels.py      all of them; the reasons to look at one, and the monitor
state.py         one configured channel: is it read, and if not, why
finding.py       from its address to Telegram's id
looking.py       a task for each, that looks at it
backfilling.py   whose turn it is to read what came before
"""
