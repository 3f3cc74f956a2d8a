"""What is handed over, against a database and nodes of a few lines: whatever happens meanwhile, in whatever order.

Nothing is stuck, nothing is published twice, no original is forgotten in the bucket, and the journal never takes a row
for unseen that readers see.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ipc.intake import take, withdraw
from ipc.jobs import FailureCause, Job, State
from ipc.journal import Journal, figures, lookup, queue, transitions
from ipc.journal.machines import claims
from ipc.journal.machines.claims import Claim
from ipc.journal.outputs import takedowns
from ipc.machines.handover import Key
from ipc.machines.result import Dead, Published, Result, RowAddress, UnreadableResult
from ipc.retry import FARTHEST_SECONDS
from ipc.transport.messages import JobDone
from tests.ipc.builders import (
    CHANNEL,
    WAITING,
    Clock,
    again,
    kept_counts,
    kept_reasons,
    open_journal,
    page,
    post,
    recounted,
    recounted_counts,
    recounted_reasons,
)
from tests.lengths import length

ADDRESS = RowAddress("https://pictures.example.org/", "", 2)
MADE = JobDone(0, 0, 0, "image/jpeg", "jpg", 640, 480, [[320, 240, "webp", 30]], recipe="0a1b2c3d")


@dataclass
class Message:
    """One in the queue, with the revision that it was handed over with."""

    revision: int
    is_held: bool = False


class Database:
    """Queue, results and rows. A row is a revision, and whether readers see it."""

    def __init__(self) -> None:
        self.queue: dict[str, Message] = {}
        self.results: list[Result] = []
        self.rows: dict[int, tuple[int, bool]] = {}

    def hand_over(self, key: Key, revision: int) -> None:
        if not self.knows(str(key)):
            self.queue[str(key)] = Message(revision)

    def knows(self, key: str) -> bool:
        return key in self.queue or key in {str(one.key) for one in self.results}

    def take_back(self, keys: list[str], *, untaken_only: bool) -> set[str]:
        for key in keys:
            if key in self.queue and not (untaken_only and self.queue[key].is_held):
                del self.queue[key]
        return {key for key in keys if not self.knows(key)}

    def write(self, message_id: int, revision: int, is_public: bool) -> None:
        if revision > self.rows.get(message_id, (0, False))[0]:
            self.rows[message_id] = (revision, is_public)

    def publish(self, text: str) -> None:
        """A node does."""
        key, message = Key.read(text), self.queue.pop(text)
        self.write(key.message_id, message.revision, True)
        self.results.append(Published(key, "node", message.revision, MADE, "none", ADDRESS))

    def die(
        self, text: str, cause: FailureCause = "failure", state: State = "fetched", *, is_doubtful: bool = False
    ) -> None:
        key, message = Key.read(text), self.queue.pop(text)
        self.results.append(Dead(key, "node", message.revision, state, cause, "why", is_doubtful))

    def mumble(self, text: str) -> None:
        """A node answers in a version that its origin does not know, or with nonsense."""
        del self.queue[text]
        self.results.append(UnreadableResult(Key.read(text), "node", "why"))


class RemoteMachine(RuleBasedStateMachine):
    """An origin whose every step may be the last one before a crash."""

    @initialize(begin=st.sampled_from(["seen", "handed", "published"]))
    def begin(self, begin: str) -> None:
        """A run would seldom get as far by itself."""
        self.open()
        if begin != "seen":
            for number in (1, 2, 3):
                self.work(number)
            self.hand_over_all()
        if begin == "published":
            for key in list(self.database.queue):
                self.database.publish(key)

    def open(self) -> None:
        self.clock = Clock()
        self.journal: Journal = open_journal(None, self.clock)
        self.database = Database()
        self.origin = self.journal.machine_id()
        self.bucket: set[str] = set()
        self.captions: dict[int, int] = {}
        self.blocked: set[str] = set()
        for number in (1, 2, 3):
            self.come(number)

    def teardown(self) -> None:
        """However it stands, a healthy origin brings every picture to its end; then nothing is left anywhere."""
        if not hasattr(self, "journal"):
            return
        for _ in range(4):
            self.clock.now += 1000
            self.reconcile()
            self.find_lost_originals()
            self.put()
            self.hand_over(True)
            for key in list(self.database.queue):
                self.database.publish(key)
            self.read_results(True)
            self.clear_leftovers()
        for number in (1, 2, 3):
            self.finish(number)
        assert not self.database.queue and not self.database.results and not self.bucket
        assert not claims.is_any_left(self.journal)
        for number in (1, 2, 3):
            job = self.job(number)
            assert job.state == "published" or (job.state == "dead" and job.sha256 in self.blocked)
            if job.state == "published":
                revision, is_public = self.database.rows[number]
                assert is_public is job.is_public
                assert revision == job.revision or (revision < job.revision and not is_public)  # hidden, and once more
            else:
                assert number not in self.database.rows or not self.database.rows[number][1]
        self.journal.close()

    def finish(self, number: int) -> None:
        """Our own workers and stages do what is left."""
        self.clock.now += 2 * FARTHEST_SECONDS
        transitions.release_claims(self.journal)
        transitions.revive(self.journal, [self.job(number).id])
        for _ in range(4):
            self.work(number)

    def job(self, number: int) -> Job:
        job = lookup.known(self.journal, CHANNEL, number)
        assert job is not None
        return job

    def jobs(self) -> list[Job]:
        return [self.job(number) for number in (1, 2, 3)]

    # What happens to messages

    def come(self, number: int, picture: int = 1) -> None:
        caption = f"caption {self.captions.get(number, 0)}"
        came = page(post(number, f"f:{picture}", caption=caption), is_present=True)
        take(self.journal, came, self.clock())

    @rule(number=st.integers(1, 3))
    def edit(self, number: int) -> None:
        self.captions[number] = self.captions.get(number, 0) + 1
        self.come(number, int(self.job(number).identity[2:]))

    @rule(number=st.integers(1, 3), picture=st.integers(1, 3))
    def change_picture(self, number: int, picture: int) -> None:
        self.come(number, picture)

    @rule(number=st.integers(1, 3), is_told=st.booleans())
    def delete(self, number: int, is_told: bool) -> None:
        job = self.job(number)
        gone = withdraw(self.journal, CHANNEL, [number], self.clock(), is_told=is_told)
        if gone and is_told and job.is_handed_over:  # its objects may be stored after that
            marked = {one.sha256: one.looks for one in takedowns.of(self.journal, job.id)}
            assert marked.get(str(job.sha256)) == 2

    @rule(number=st.integers(1, 3))
    def hide(self, number: int) -> None:
        if self.job(number).deleted_at is None:
            with self.journal.transaction():
                transitions.hide(self.journal, self.job(number), "operator", self.clock())

    @rule(number=st.integers(1, 3))
    def unhide(self, number: int) -> None:
        if self.job(number).hidden_at is not None and self.job(number).deleted_at is None:
            with self.journal.transaction():
                transitions.unhide(self.journal, self.job(number), "operator", self.clock())

    @rule(number=st.integers(1, 3))
    def block(self, number: int) -> None:
        sha256 = self.job(number).sha256
        if sha256 is None:
            return
        self.blocked.add(sha256)
        with self.journal.transaction():
            self.journal.run("add_blocked", sha256=sha256, now=int(self.clock()))
            for row in self.journal.run("jobs_of_picture", sha256=sha256).fetchall():
                transitions.block(self.journal, Job.from_row(row), sha256, self.clock())

    @rule(number=st.integers(1, 3))
    def retry(self, number: int) -> None:
        transitions.revive(self.journal, [self.job(number).id])

    # What this machine does itself

    @rule(number=st.integers(1, 3))
    def work(self, number: int) -> None:
        """A step of the usual way, in which a worker of ours has the job if it is not handed over."""
        job = self.job(number)
        if job.state == "seen":
            transitions.record_fetched(self.journal, [(job, f"sha of {job.id} {job.identity}", 100, None)])
        elif job.state == "fetched" and transitions.claim(self.journal, job, "image-1"):
            done = JobDone(job.id, job.generation, 1, "image/jpeg", "jpg", 640, 480, [[320, 240, "webp", 30]])
            assert transitions.record_rendered(self.journal, done)
        elif job.state == "rendered":
            transitions.record_stored(self.journal, [job])
            job = again(self.journal, job)
            self.database.write(number, job.revision, job.is_public)
            assert transitions.record_published(self.journal, [job])

    @rule(number=st.integers(1, 3))
    def store_without_a_row(self, number: int) -> None:
        if self.job(number).state == "rendered":
            transitions.record_stored(self.journal, [self.job(number)])

    @rule()
    def replace_the_pool(self) -> None:
        transitions.release_claims(self.journal)

    # Handing over

    @rule(keep=st.integers(0, 1))
    def claim(self, keep: int) -> None:
        found = claims.to_hand_over(self.journal, keep, 9)
        assert all(job.state == "fetched" and job.claimed_by is None and job.is_public for job in found)
        assert transitions.claim_for_machines(self.journal, found) == len(found)

    @rule()
    def hand_over_all(self) -> None:
        self.claim(0)
        self.put(True)
        self.hand_over(True)

    @rule(is_recorded=st.booleans())
    def put(self, is_recorded: bool = True) -> None:
        due = claims.at_step(self.journal, "claimed", 9)
        self.bucket |= {one.token for one in due}
        if is_recorded:
            assert claims.move(self.journal, due, "put") == len(due)

    @rule(is_recorded=st.booleans())
    def hand_over(self, is_recorded: bool) -> None:
        due = claims.at_step(self.journal, "put", 9)
        for one in due:
            self.database.hand_over(self.key_of(one), self.of(one).revision)
        if is_recorded:
            assert claims.move(self.journal, due, "handed") == len(due)

    def of(self, claim: Claim) -> Job:
        job = lookup.job(self.journal, claim.job_id)
        assert job is not None
        return job

    def key_of(self, claim: Claim) -> Key:
        return claims.key_of(self.origin, claim, self.of(claim))

    @rule()
    def clear_leftovers(self) -> None:
        some = claims.leftovers(self.journal, 9)
        self.database.take_back([one.key for one in some], untaken_only=False)
        self.bucket -= {one.token for one in some}
        claims.cleared(self.journal, some)

    @rule(is_recorded=st.booleans(), untaken_only=st.booleans())
    def bring_back(self, is_recorded: bool, untaken_only: bool) -> None:
        some = {str(self.key_of(one)): one for one in claims.newest(self.journal, 2)}
        taken = self.database.take_back(list(some), untaken_only=untaken_only)
        if is_recorded:
            assert transitions.bring_back(self.journal, [some[key].number for key in taken]) == len(taken)

    @rule()
    def reconcile(self) -> None:
        handed = claims.handed_before(self.journal, self.clock() - 300, 0, 9)
        claims.move(self.journal, [one for one in handed if not self.database.knows(str(self.key_of(one)))], "put")

    @rule()
    def find_lost_originals(self) -> None:
        put = claims.at_step(self.journal, "put", 9) + claims.at_step(self.journal, "handed", 9)
        claims.move(self.journal, [one for one in put if one.token not in self.bucket], "claimed")

    @rule(is_confirmed=st.booleans())
    def read_results(self, is_confirmed: bool) -> None:
        """All in one transaction. Those that are not confirmed come again."""
        with_claim = {str(self.key_of(one)) for one in claims.newest(self.journal, 9)}
        results = list(self.database.results)
        endings = transitions.record_results(self.journal, [(one, None) for one in results])
        for one, (ending, _) in zip(results, endings, strict=True):
            assert (ending != "discarded") or str(one.key) not in with_claim
            with_claim.discard(str(one.key))
        if is_confirmed:
            self.database.results.clear()

    # What nodes do, and what befalls them

    @precondition(lambda self: self.database.queue)
    @rule(
        data=st.data(),
        what=st.sampled_from(
            ["take", "return", "publish", "publish", "refuse", "lose", "fail", "doubt", "kill", "mumble"]
        ),
    )
    def be_a_node(self, data: Any, what: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.database.queue)))
        match what:
            case "take" | "return":
                self.database.queue[key].is_held = what == "take"
            case "publish":
                self.database.publish(key)
            case "mumble":
                self.database.mumble(key)
            case "kill":
                self.database.die(key, "poison")
            case _:
                state: State = "rendered" if what == "refuse" else "seen" if what == "lose" else "fetched"
                self.database.die(key, state=state, is_doubtful=what == "doubt")

    @rule()
    def lose_the_queues(self) -> None:
        self.database.queue.clear()
        self.database.results.clear()

    @rule()
    def lose_the_bucket(self) -> None:
        self.bucket.clear()

    @rule(result=st.sampled_from(["published", "dead"]), number=st.integers(1, 3), claim=st.integers(1, 20))
    def come_from_nowhere(self, result: str, number: int, claim: int) -> None:
        """A result of a claim that nobody knows: of another journal, or of one that was restored."""
        key = Key(secrets.token_hex(6), CHANNEL, number, 1, claim)
        one = Dead(key, "x", 1, "seen", "failure", "why")
        came = one if result == "dead" else Published(key, "x", 1, MADE, "none", ADDRESS)
        assert transitions.record_results(self.journal, [(came, None)]) == [("discarded", None)]

    @rule(seconds=st.sampled_from([-10 * FARTHEST_SECONDS, -60.0, 30.0, 3600.0]))
    def set_the_clock(self, seconds: float) -> None:
        self.clock.now += seconds

    # What always holds

    @invariant()
    def each_that_is_handed_over_has_its_claim(self) -> None:
        if not hasattr(self, "journal"):
            return
        handed_over = {job.id: job.generation for job in self.jobs() if job.claimed_by == "machines"}
        found = claims.newest(self.journal, 99)
        assert {one.job_id: one.generation for one in found} == handed_over
        assert len(found) == len(handed_over)
        assert all(self.of(one).state == "fetched" for one in found)

    @invariant()
    def no_original_is_forgotten(self) -> None:
        if hasattr(self, "journal"):
            known = claims.tokens(self.journal)
            assert self.bucket <= known.keys()
            assert len(known) == claims.outstanding(self.journal) + len(claims.leftovers(self.journal, 99))

    @invariant()
    def what_readers_may_see_is_known(self) -> None:
        if hasattr(self, "journal"):
            for number, (_, is_public) in self.database.rows.items():
                job, pending = self.job(number), {one.key.message_id for one in self.database.results}
                assert not is_public or job.may_be_seen or number in pending or job.state == "dead"

    @invariant()
    def counters_are_what_a_recount_gives(self) -> None:
        if hasattr(self, "journal"):
            assert figures.states(self.journal) == recounted(self.journal)
            assert kept_counts(self.journal) == recounted_counts(self.journal)
            assert kept_reasons(self.journal) == recounted_reasons(self.journal)
            first = sum(job.published_at is not None for job in self.jobs())
            assert figures.totals(self.journal)["processed"] == first

    @invariant()
    def no_job_is_lost(self) -> None:
        if not hasattr(self, "journal"):
            return
        now, self.clock.now = self.clock.now, self.clock.now + FARTHEST_SECONDS
        due = {job.id for state in WAITING for job in queue.due(self.journal, state, 99)}
        self.clock.now = now
        for job in self.jobs():
            assert (job.id in due) is (job.state in WAITING and job.claimed_by is None)


TestWhatIsHandedOver = RemoteMachine.TestCase
TestWhatIsHandedOver.settings = settings(max_examples=length(40, 1500), stateful_step_count=40)
