"""A faithful Telegram on loopback, for tests: the real client, the real protocol, every fault one can think of.

    with TelegramServer() as server:
        channel = server.world.add_channel("News", "news")
        number = channel.post_photo(jpeg, caption="first")
        client = TelegramClient(StringSession(server.session_string()), server.api_id, server.api_hash)
        ...
        server.faults.rpc("upload.getFile", error="FLOOD_WAIT_2", times=1)
        assert server.requests["messages.getHistory"] < 10 and server.unexpected == []

A client needs no change: the session (`session_string`, `session_file`) names 127.0.0.1 and holds a key that the server
knows. Only where a key is exchanged, which is when one logs in or downloads from another data centre (`dc=OTHER_DC`),
the client's process must trust the server first: `telethon.crypto.rsa.add_key(server.public_key, old=False)`.

| File | |
|---|---|
| `server.py` | `TelegramServer`: what tests see |
| `world.py`, `channel.py`, `posts.py`, `media.py` | the account, its channels, their messages, the files |
| `faults.py` | rules that spoil answers, files, updates and connections |
| `hub.py`, `connection.py`, `pushing.py` | the server's loop; one client's connection; updates |
| `rpc/` | the API's methods |
| `transports.py`, `envelope.py`, `exchange.py`, `keys.py`, `srp.py`, `tl.py` | the protocol, from the wire upwards |
| `proxies.py` | SOCKS5, HTTP and MTProto proxies |
| `__main__.py` | `python -m tests.servers.telegram`: the same from a shell |

Where it is not Telegram: it never sends a message again that wasn't acknowledged, has no rate limits of its own, one
account, and broadcast channels only; a message's old file reference dies with `World.expire_references` only.

Gotchas of Telethon 1.45: `TelegramClient._config` is kept with the class, so that ports leak from one server to the
next (a server forgets it at both ends, in its own process); a session without an address connects to the real Telegram
(use `fresh_session`).
"""

from tests.servers.telegram.channel import Channel
from tests.servers.telegram.faults import Fault, Faults
from tests.servers.telegram.media import File
from tests.servers.telegram.server import TelegramServer
from tests.servers.telegram.world import CDN_DC, HOME_DC, OTHER_DC, World

__all__ = ["CDN_DC", "HOME_DC", "OTHER_DC", "Channel", "Fault", "Faults", "File", "TelegramServer", "World"]
