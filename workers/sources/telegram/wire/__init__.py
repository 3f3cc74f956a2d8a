"""What is said to Telegram, and what it answers. Telethon is at home here and in `login` only.

connection.py     one connection to Telegram
client.py         telethon's client, made to do nothing of itself
peers.py          from a channel's address to what Telegram knows it by
files.py          the bytes of files, from whichever data centre keeps them
data_centres.py   the connections that files come through
cdn_data_centre.py  one of the CDN, which is not trusted
pacing.py         how requests for files wait for room in a window
cdn.py            files that Telegram has moved to its CDN: how to read them, and whether they are true
window.py         how much of them is asked for at once
hints.py          what an update is a hint at
media.py          what a message is: its kind, its picture, its caption
rich_messages.py  posts made of blocks: which pictures they show, what they say
errors.py         what can go wrong, by what there is to do about it
translation.py    what an error of Telegram's means, as one of these
account.py        whose session it is, and how Telegram is reached
"""
