"""The queue as a node's source: pictures that origins have handed over are taken, fetched, and kept under lease.

    source          the loop, and what becomes of what is in hand when it ends
    taking          messages into the journal
    keeping         leases, what was lost, what is dead, what is given back
    fetching        originals into the spool
    handover_check  whether a message can be used here, pure
    database        what the functions of deploy/machines.sql are asked, and how that stands
    report          for /status, and what the database is told of this node
    decisions       how much is taken and when, pure

The promise: a picture is in hand only as long as its receipt holds, and only what has a receipt that holds is written.
So any number of nodes may be killed, cut off or stopped for an hour: another one gets the picture when the lease is
over, and of two that have it one writes its row.
"""
