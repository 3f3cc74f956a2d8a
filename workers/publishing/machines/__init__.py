"""An origin's side of many machines: what our own workers don't get to is handed over to nodes.

Two threads of the uploader, each with a journal and connections of its own, and only with `machines.role = "origin"`:

    hand_over   claims pictures, puts their originals into the bucket and them into the queue; clears away what is left
    reconciler  takes results; brings back what our own workers have time for; finds what the queue has lost; asks who
                there is, for /status

`decommission` brings everything home where this machine is no origin any more. Beneath them: `results` (one page of
them), `cleanup` (of what claims that have ended leave), `wire` (originals in the bucket), `fleet` (the nodes, as far as
is known), `limits` (how many: pure).

The journal is the only truth of what is handed over: a row in `claims` for each, with its step. Killed anywhere:

- claimed, or the original is put and that is not recorded: it is put again, under the same token.
- The queue has it and that is not recorded, or the answer to pd_hand_over was lost: it is handed over again under the
  same key, which the queue has once. Its result may come first: it is taken whatever the claim's step is.
- A result is recorded and not confirmed: it comes again, and changes nothing, as its claim has ended.
- It is taken out of the queue and not recorded as brought back: the queue does not know it any more, which is found out
  every `machines.reconcile_seconds`; then it is handed over again.
- A claim has ended, for whatever reason: its token and key are left in the journal, in that transaction. The hand-over
  thread takes the key out of the queue, which makes the receipt of a node that has it void, and deletes the original,
  after all that it was doing itself. What was on its way to the queue by a request without an answer is rendered for
  nothing: its result finds no claim.

Never two rows: a row has its message as its key, and only a higher revision writes one. A node writes the origin's
revision, so of two that publish one message (a node, and we after it was brought back) the first writes and the second
changes nothing; whatever has happened to the message since has a higher revision, and wins whichever comes first. Never
two objects: their names are made of digest and recipe.
"""
