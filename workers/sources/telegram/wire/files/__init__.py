"""The bytes of files, from whichever data centre keeps them.

files.py            a part of a file: where it is, and what to ask there
data_centres.py     the connections that files come through
cdn_data_centre.py  one of the CDN, which is not trusted
cdn.py              files that Telegram has moved to its CDN: how to read them, and whether they are true
pacing.py           how requests for files wait for room in a window
window.py           how much of them is asked for at once
"""
