"""What is said to Telegram, and what it answers. Telethon is at home here and in `login` only.

connection.py     one connection to Telegram
client.py         telethon's client, made to do nothing of itself
peers.py          from a channel's address to what Telegram knows it by
files/            the bytes of files
hints.py          what an update is a hint at
media.py          what a message is: its kind, its picture, its caption
rich_messages.py  posts made of blocks: which pictures they show, what they say
errors.py         what can go wrong, by what there is to do about it
translation.py    what an error of Telegram's means, as one of these
account.py        whose session it is, and how Telegram is reached
"""
