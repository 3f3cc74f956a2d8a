"""Making a session.

login.py           the conversation with the person
authorization.py   the login, step by step
asker.py           asks Telegram, in a thread
answers.py         what its answers mean
descriptions.py    what the person reads of them
session.py         the session's file
"""
