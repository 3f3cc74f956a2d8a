"""Webhooks: addresses that are told what has changed for readers, in order and at least once.

Each has a thread of the uploader with connections and a circuit breaker of its own, so that one that fails or hangs
keeps no other waiting, and no picture.

target       one webhook of the settings as a value, its name and its label
events       a signed message for each change
rebuild      one bare POST when pictures have changed, and rest again
standing     may it be asked; how it stands, in the journal
message      a change as the body of a message; pure
answers      what an answer means; pure
receiver     the requests: the home of httpx and standardwebhooks here
check        what `bin/run check` says of them

An instance without webhooks imports neither of these libraries.
"""
