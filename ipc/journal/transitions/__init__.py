"""The state machine: every change of a job, each arrow one function. Where each is, the imports below say.

       see          record_fetched        record_rendered         record_stored, record_published
    ────────► seen ────────────────► fetched ──────────────► rendered ───────────────────────────► published
               ▲                      │   ▲                   │ │  ▲                                  │
               ├── doubt, send_back ──┘   └── render_again ───┘ │  └─── edit, write_again, withdraw ──┘
               └──────────────────── send_back ─────────────────┘

    seen, fetched, rendered ── bury; fail, when its attempts are used up ──► dead
    published ── renew ──► seen or fetched, as a new generation; restored by edit, bury and restore
    dead ── revive, revive_changed ──► the state in which it died
    any state ── change_picture ──► seen, as a new generation
    any state ── withdraw ──► rendered, as a tombstone
    published ── hide, unhide ──► rendered, since its row is written again; or to seen, if it is shown again and its
    files are gone
    seen, fetched ── block ──► dead; whatever has a row that readers see ── block ──► hidden
    published, hidden ── take_down ──► the same, without a picture
    fetched ── claim_for_machines ──► fetched, claimed: another machine renders and publishes it (below)

The state stays: relocate, edit, hide and unhide (unless published), claim, release, strike, postpone, fail (while
attempts are left). A job that is hidden goes its way like any other: its row is there, and not for readers.

Many machines. What is handed over stays `fetched`, claimed by "machines", and has a row in `claims`, until:

    record_results ── published, of this revision ──► published
                   ── published, of an older one ───► rendered, stored: the newer row is written here
                   ── dead ─────────────────────────► fetched: our own workers try it; seen, if it can't be decoded;
                                                      dead, if the same bytes could not be before
    bring_back ─────────────────────────────────────► fetched: our own workers have it
    withdraw, change_picture, hide, block ──────────► as of any other job whose row may be there, unrecorded

Whichever it is, the claim ends in the same transaction, by a trigger: its token and its key are left in
`claim_leftovers`, to be cleared away. A result of a claim that has ended changes nothing, with one exception: the row
of a dead letter that is published after all is there, so the job is published.

Promises. An arrow is one transaction, and it applies only to the job, generation and state that its caller saw: the
second caller changes nothing and gets False. The arrows of the intake (see, change_picture, relocate, edit, withdraw,
revive_changed) run in its transaction, together with the channel's cursor: a lost tail of the file (power cut,
synchronous=NORMAL) only moves the cursor back, and the repeated work is idempotent.
"""

from __future__ import annotations

from ipc.journal.transitions.failures import (
    POISON,
    REVIVED_AT_ONCE,
    bury,
    fail,
    postpone,
    revive,
    revive_changed,
    strike,
)
from ipc.journal.transitions.flow import (
    MAX_DOUBTS,
    claim,
    doubt,
    record_fetched,
    record_published,
    record_rendered,
    record_stored,
    release,
    release_claims,
    render_again,
    send_back,
    write_again,
)
from ipc.journal.transitions.hiding import block, blocked, hide, take_down, unhide
from ipc.journal.transitions.intake import change_picture, edit, relocate, see, withdraw
from ipc.journal.transitions.remote import ResultEffect, bring_back, claim_for_machines, record_results
from ipc.journal.transitions.renewing import renew, restore

__all__ = [
    "MAX_DOUBTS",
    "POISON",
    "REVIVED_AT_ONCE",
    "ResultEffect",
    "block",
    "blocked",
    "bring_back",
    "bury",
    "change_picture",
    "claim",
    "claim_for_machines",
    "doubt",
    "edit",
    "fail",
    "hide",
    "postpone",
    "record_fetched",
    "record_published",
    "record_rendered",
    "record_results",
    "record_stored",
    "release",
    "release_claims",
    "relocate",
    "render_again",
    "renew",
    "restore",
    "revive",
    "revive_changed",
    "see",
    "send_back",
    "strike",
    "take_down",
    "unhide",
    "withdraw",
    "write_again",
]
