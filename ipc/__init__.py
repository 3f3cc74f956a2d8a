"""What the processes share: messages, mailboxes, the journal, the spool.

Everything here may be imported by `supervisor`, `workers` and `health`; nothing here imports them.
"""
