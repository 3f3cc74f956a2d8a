"""ipc.journal and ipc.intake against a model: whatever is done in whatever order, also by those who come too late."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ipc.intake import take, withdraw
from ipc.jobs import Job
from ipc.journal import Journal, figures, lookup, queue, renewals, transitions
from ipc.posts import RENEWAL
from ipc.retry import FARTHEST_SECONDS, RetryPolicy
from tests.ipc.builders import (
    CHANNEL,
    STATES,
    WAITING,
    Clock,
    again,
    done,
    kept_counts,
    kept_reasons,
    open_journal,
    page,
    post,
    push,
    recounted,
    recounted_counts,
    recounted_reasons,
)
from tests.ipc.tables import sql
from tests.lengths import length

POLICY = RetryPolicy(max_attempts=2, base_seconds=60)


@dataclass
class Model:
    """What is to be known of one job."""

    caption: str
    identity: str
    state: str = "seen"
    generation: int = 1
    changes: int = 0
    stored: bool = False
    attempts: int = 0
    deaths: int = 0
    claimed: bool = False
    dead_state: str | None = None
    was_published: bool = False
    deleted: bool = False
    priority: int = 0
    doubted: str | None = None
    renewal: str | None = None
    former_priority: int = 0
    hidden_by: str | None = None
    shown: bool = False
    taken_down: bool = False

    @property
    def may_be_seen(self) -> bool:
        is_on_its_way = self.state == "rendered" and self.stored and not self.deleted and self.hidden_by is None
        return self.shown or is_on_its_way

    @property
    def is_renewed(self) -> bool:
        return self.renewal == "making"

    def be_as_before(self, state: str, renewal: str) -> None:
        """It is not rendered anew after all."""
        self.state, self.stored, self.priority, self.renewal = state, True, self.former_priority, renewal
        self.generation += 1
        self.attempts, self.deaths, self.claimed, self.doubted = 0, 0, False, None

    def hide_former(self) -> None:
        """It has another picture: if it is hidden, and readers see its row with the former one, that goes first."""
        if self.hidden_by and self.shown:
            self.state, self.stored, self.taken_down = "rendered", True, True
            self.generation += 1

    @property
    def left(self) -> dict[str, Any]:
        """What stays of it when the message is deleted, or gets another picture."""
        return {
            "priority": self.former_priority if self.is_renewed else self.priority,
            "renewal": "moved" if self.renewal == "moved" else None,
            "former_priority": self.former_priority,
            "hidden_by": self.hidden_by,
            "shown": self.may_be_seen,
        }


class JournalMachine(RuleBasedStateMachine):
    """Every rule takes a snapshot of a job, new or old, as a process would hold it, and knows what must follow."""

    @initialize(begin=st.sampled_from(["empty", "published", "renewed"]))
    def begin(self, begin: str) -> None:
        self.open()
        if begin != "empty":  # or a run would seldom get as far as to render one anew
            self.publish_one(is_renewed=begin == "renewed")

    def open(self) -> None:
        self.clock = Clock()
        self.journal = open_journal(None, self.clock)
        self.models: dict[int, Model] = {}
        self.snapshots: list[Job] = []
        self.totals = {"processed": 0, "failed": 0, "retried": 0}
        self.revisions: dict[int, int] = {}

    def publish_one(self, *, is_renewed: bool) -> None:
        self.take(1, "a", "f:1", False, 1)
        job = push(self.journal, self.snapshots[-1], "published")
        model = self.models[job.id]
        model.state, model.stored, model.was_published, model.shown = "published", True, True, True
        self.totals["processed"] += 1
        self.want()
        if is_renewed:
            assert transitions.renew(self.journal, job, "fetched", was_stripped=True)
            self.begin_renewal(model, "fetched")
        self.snapshots[:] = [again(self.journal, job)]

    def teardown(self) -> None:
        """However it stands, a healthy tree brings every job to its end."""
        if not hasattr(self, "journal"):
            return
        transitions.release_claims(self.journal)
        self.clock.now += FARTHEST_SECONDS
        transitions.revive(self.journal, (job.id for job in lookup.dead(self.journal)))
        for state in WAITING:
            for job in queue.due(self.journal, state, 1000):
                if state == "rendered":
                    assert transitions.record_stored(self.journal, [job])
                    assert transitions.record_published(self.journal, [job])
                else:
                    push_on(self.journal, job)
        assert figures.states(self.journal) == {**dict.fromkeys(STATES, 0), "published": len(self.models)}
        counted = [model for model in self.models.values() if model.was_published or not model.deleted]
        assert figures.totals(self.journal)["processed"] == len(counted)
        self.journal.close()

    # The intake

    @rule(
        number=st.integers(1, 4),
        caption=st.sampled_from("ab"),
        identity=st.sampled_from(["f:1", "f:2", "g:1"]),
        is_present=st.booleans(),
        priority=st.sampled_from([0, 1]),
    )
    def take(self, number: int, caption: str, identity: str, is_present: bool, priority: int) -> None:
        came = page(post(number, identity, caption=caption), is_present=is_present, priority=priority)
        taken = take(self.journal, came, self.clock())
        job = lookup.known(self.journal, CHANNEL, number)
        assert job is not None
        model = self.models.get(job.id)
        if model is None:
            self.models[job.id] = Model(caption, identity, priority=priority)
            assert taken.new == 1
        elif model.deleted and not is_present:
            assert taken.edited == taken.new == 0
        elif model.deleted or (model.identity[0] == identity[0] and model.identity != identity):
            self.models[job.id] = Model(
                caption,
                identity,
                generation=model.generation + 1,
                changes=model.changes + 1,
                was_published=model.was_published,
                **model.left,
            )
            self.models[job.id].hide_former()
            assert taken.edited == 1
        else:
            moved, edited = model.identity != identity, model.caption != caption
            model.identity = identity
            assert taken.edited == edited
            if model.dead_state is not None and (edited or (moved and model.dead_state == "seen")):
                model.state, model.dead_state, model.attempts = model.dead_state, None, 0
                self.totals["retried"] += 1
            if edited:
                model.caption = caption
                model.changes += 1
                if model.state == "published":
                    model.state, model.attempts = "rendered", 0
                elif model.is_renewed and not model.stored:
                    model.be_as_before("rendered", "wanted")
        self.snapshots.append(again(self.journal, job))

    @rule(numbers=st.lists(st.integers(1, 5), max_size=3))
    def withdraw(self, numbers: list[int]) -> None:
        jobs = {number: job for number in numbers if (job := lookup.known(self.journal, CHANNEL, number))}
        there = [
            number for number in dict.fromkeys(numbers) if number in jobs and not self.models[jobs[number].id].deleted
        ]
        assert withdraw(self.journal, CHANNEL, numbers, self.clock()) == there
        for number in there:
            model = self.models[jobs[number].id]
            self.models[jobs[number].id] = Model(
                model.caption,
                model.identity,
                "rendered",
                generation=model.generation + 1,
                changes=model.changes + 1,
                stored=True,
                was_published=model.was_published,
                deleted=True,
                doubted=model.doubted,
                **model.left,
            )
            self.snapshots.append(again(self.journal, jobs[number]))

    # The arrows

    def pick(self, data: Any) -> tuple[Job, Model, bool]:
        """A snapshot, the model of its job, and whether the snapshot's generation is still the job's."""
        snapshot: Job = data.draw(st.sampled_from(self.snapshots))
        if data.draw(st.booleans()):
            snapshot = again(self.journal, snapshot)
            self.snapshots.append(snapshot)
        model = self.models[snapshot.id]
        return snapshot, model, snapshot.generation == model.generation

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data(), sha256=st.sampled_from(["5ha", "other"]))
    def fetch(self, data: Any, sha256: str) -> None:
        job, model, same = self.pick(data)
        applies = same and model.state == "seen"
        assert bool(transitions.record_fetched(self.journal, [(job, sha256, 100, None)])) is applies
        if applies:
            model.state, model.attempts = "fetched", 0

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def render(self, data: Any) -> None:
        job, model, same = self.pick(data)
        applies = same and model.state == "fetched"
        assert transitions.record_rendered(self.journal, done(job)) is applies
        if applies:
            model.state, model.attempts, model.deaths, model.claimed = "rendered", 0, 0, False

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def store(self, data: Any) -> None:
        job, model, same = self.pick(data)
        applies = same and model.state == "rendered"
        assert transitions.record_stored(self.journal, [job]) == [job] * applies
        model.stored |= applies

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def publish(self, data: Any) -> None:
        job, model, same = self.pick(data)
        newest = job.revision == again(self.journal, job).revision
        applies = same and newest and model.state == "rendered" and model.stored
        assert transitions.record_published(self.journal, [job]) == [job] * applies
        if applies:
            self.totals["processed"] += not (model.was_published or model.deleted)
            model.state, model.attempts = "published", 0
            model.was_published |= not model.deleted
            model.shown = not (model.deleted or model.hidden_by)
            if model.is_renewed:
                model.renewal, model.priority = "moved", model.former_priority
                self.totals["renewed"] = self.totals.get("renewed", 0) + 1

    # Hidden, and shown again

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def hide(self, data: Any) -> None:
        job, model, _ = self.pick(data)
        if model.deleted:
            return
        with self.journal.transaction():
            transitions.hide(self.journal, again(self.journal, job), "operator", self.clock())
        model.shown, model.hidden_by = model.may_be_seen, "operator"
        if model.state == "published":
            model.state = "rendered" if model.shown else "published"
            model.attempts = 0
        elif model.is_renewed and not model.stored:
            model.be_as_before("rendered", "wanted")
        elif model.shown and not (model.state == "rendered" and model.stored):
            model.state, model.stored, model.taken_down, model.doubted = "rendered", True, True, None
            model.generation += 1
            model.attempts, model.deaths, model.claimed, model.dead_state = 0, 0, False, None
            model.renewal = "moved" if model.renewal == "moved" else None

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def unhide(self, data: Any) -> None:
        job, model, _ = self.pick(data)
        if model.deleted or model.hidden_by is None:
            return
        with self.journal.transaction():
            transitions.unhide(self.journal, again(self.journal, job), None, self.clock())
        model.hidden_by = None
        if model.state == "published":
            model.state, model.attempts = "rendered", 0
        elif model.is_renewed and not model.stored:
            model.be_as_before("rendered", "wanted")
        if model.taken_down:
            model.state, model.dead_state = ("dead", "seen") if model.state == "dead" else ("seen", None)
            model.stored, model.taken_down, model.generation = False, False, model.generation + 1

    # Rendered anew

    @rule()
    def want(self) -> None:
        wanted = [
            model
            for model in self.models.values()
            if model.state == "published" and not (model.deleted or model.hidden_by) and model.renewal != "moved"
        ]
        assert sum(renewals.want(self.journal, "0a1b2c3d")) == len(wanted)
        for model in wanted:
            model.renewal = "wanted"

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data(), state=st.sampled_from(["seen", "fetched"]))
    def renew(self, data: Any, state: Literal["seen", "fetched"]) -> None:
        job, model, same = self.pick(data)
        newest = job.revision == again(self.journal, job).revision
        applies = same and newest and model.state == "published" and not model.deleted and model.renewal == "wanted"
        assert transitions.renew(self.journal, job, state, was_stripped=True) is applies
        if applies:
            self.begin_renewal(model, state)
            self.snapshots.append(again(self.journal, job))

    def begin_renewal(self, model: Model, state: str) -> None:
        model.former_priority, model.priority, model.renewal = model.priority, RENEWAL, "making"
        model.state, model.stored, model.attempts, model.deaths, model.doubted = state, False, 0, 0, None
        model.generation += 1

    @rule()
    def old_objects_are_gone(self) -> None:
        renewals.end(self.journal, renewals.due(self.journal, "moved", 1000))
        for model in self.models.values():
            model.renewal = None if model.renewal == "moved" else model.renewal

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def send_back(self, data: Any) -> None:
        job, model, same = self.pick(data)
        applies = same and model.state in ("fetched", "rendered") and not model.deleted
        assert transitions.send_back(self.journal, job) is applies
        if applies:
            model.state, model.stored, model.claimed, model.taken_down = "seen", False, False, False

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def doubt(self, data: Any) -> None:
        job, model, same = self.pick(data)
        sha256 = again(self.journal, job).sha256
        applies = same and model.state == "fetched" and model.doubted != sha256
        assert transitions.doubt(self.journal, job, "why") is applies
        if applies:
            model.state, model.attempts, model.claimed, model.doubted = "seen", 0, False, sha256
            self.totals["retried"] += 1

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def postpone(self, data: Any) -> None:
        job, model, same = self.pick(data)
        applies = same and job.state == model.state and model.state in WAITING
        assert transitions.postpone(self.journal, job, 60, "why") is applies
        model.claimed &= not applies

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def fail(self, data: Any) -> None:
        job, model, same = self.pick(data)
        outcome = transitions.fail(self.journal, job, "why", POLICY)
        if not (same and job.state == model.state and model.state in WAITING):
            assert outcome == "moved on"
        elif job.attempts < POLICY.max_attempts:
            assert outcome == "later"
            model.attempts, model.claimed = model.attempts + 1, False
            self.totals["retried"] += 1
        else:
            assert outcome == ("moved on" if model.is_renewed else "dead")
            self.died(model)

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def bury(self, data: Any) -> None:
        job, model, same = self.pick(data)
        applies = same and job.state == model.state and model.state in WAITING
        assert transitions.bury(self.journal, job, "why") is (applies and not model.is_renewed)
        if applies:
            self.died(model)

    def died(self, model: Model) -> None:
        if model.is_renewed:
            model.be_as_before("published", "failed")
            return
        model.state, model.dead_state = "dead", model.state
        model.attempts, model.claimed = model.attempts + 1, False
        self.totals["failed"] += 1

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def revive(self, data: Any) -> None:
        job, model, _ = self.pick(data)
        applies = model.state == "dead"
        assert transitions.revive(self.journal, [job.id]) == ([job.id] if applies else [])
        if applies:
            assert model.dead_state is not None
            model.state, model.dead_state, model.doubted = model.dead_state, None, None
            model.attempts, model.deaths = 0, 0
            self.totals["retried"] += 1

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data(), alone=st.booleans())
    def strike(self, data: Any, alone: bool) -> None:
        job, model, same = self.pick(data)
        applies = same and model.state == "fetched"
        assert transitions.strike(self.journal, job, "why", alone=alone) is applies
        if applies:
            model.deaths, model.claimed = model.deaths + 1, False
            self.totals["retried"] += 1

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def claim(self, data: Any) -> None:
        job, model, same = self.pick(data)
        applies = same and model.state == "fetched" and not model.claimed
        assert transitions.claim(self.journal, job, "image-1") is applies
        model.claimed |= applies

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        job, model, same = self.pick(data)
        applies = same and model.state == "fetched"
        assert transitions.release(self.journal, job) is applies
        model.claimed &= not applies

    @rule()
    def replace_the_pool(self) -> None:
        claimed = [model for model in self.models.values() if model.claimed]
        assert transitions.release_claims(self.journal) == len(claimed)
        for model in claimed:
            model.claimed = False

    @rule(seconds=st.sampled_from([-10 * FARTHEST_SECONDS, -60.0, 30.0, 3600.0]))
    def set_the_clock(self, seconds: float) -> None:
        self.clock.now += seconds

    # What always holds

    @invariant()
    def counters_are_what_a_recount_gives(self) -> None:
        if hasattr(self, "journal"):
            assert figures.states(self.journal) == recounted(self.journal)
            assert figures.totals(self.journal) == self.totals
            assert kept_counts(self.journal) == recounted_counts(self.journal)
            assert kept_reasons(self.journal) == recounted_reasons(self.journal)
            found = Counter(model.renewal for model in self.models.values() if model.renewal)
            assert renewals.counts(self.journal) == {step: found[step] for step in renewals.STEPS}

    @invariant()
    def every_job_is_where_the_model_has_it(self) -> None:
        for job_id, model in getattr(self, "models", {}).items():
            job = lookup.job(self.journal, job_id)
            assert job is not None
            found = Model(
                job.caption,
                job.identity,
                job.state,
                job.generation,
                model.changes,
                job.stored,
                job.attempts,
                job.deaths,
                job.claimed_by is not None,
                job.dead_state,
                job.published_at is not None,
                job.deleted_at is not None,
                job.priority,
                job.doubted,
                self.renewal_of(job_id),
                model.former_priority,
                job.hidden_by,
                job.shown,
                job.is_taken_down,
            )
            assert found == model
            assert job.revision >= 1000 * job.posted_at + model.changes
            assert job.revision >= self.revisions.get(job_id, 0)
            self.revisions[job_id] = job.revision

    def renewal_of(self, job_id: int) -> str | None:
        found = sql(self.journal, "SELECT step FROM renewals WHERE job = ?", job_id)
        return str(found[0]["step"]) if found else None

    @invariant()
    def no_job_is_lost(self) -> None:
        """What is neither published nor dead will come up sooner or later, or is in a worker's hand."""
        if not hasattr(self, "journal"):
            return
        now, self.clock.now = self.clock.now, self.clock.now + FARTHEST_SECONDS
        found = {state: queue.due(self.journal, state, 1000) for state in WAITING}
        due = {job.id for jobs in found.values() for job in jobs}
        self.clock.now = now
        for jobs in found.values():
            assert jobs == sorted(jobs, key=lambda job: (job.priority, job.next_at == 0, job.next_at, job.id))
        for job_id, model in self.models.items():
            assert (job_id in due) is (model.state in WAITING and not model.claimed)
            assert not model.claimed or model.state == "fetched"

    @invariant()
    def what_a_state_promises_is_there(self) -> None:
        for job_id in getattr(self, "models", {}):
            job = lookup.job(self.journal, job_id)
            assert job is not None
            stage = job.dead_state or job.state
            if job.deleted_at is not None or job.is_taken_down:  # all that it needs is its row
                assert stage in ("rendered", "published") and job.stored
                continue
            assert stage == "seen" or (job.sha256 and job.bytes)
            assert stage not in ("rendered", "published") or (job.renditions and job.mime and job.extension)
            assert stage != "published" or job.stored
            assert (job.reason is not None and job.dead_state in WAITING) or job.state != "dead"


def push_on(journal: Journal, job: Job) -> None:
    """Publish a job that is seen or fetched."""
    if job.state == "fetched":
        assert transitions.send_back(journal, job)
        job = again(journal, job)
    push(journal, job, "published")


TestJournalAgainstTheModel = JournalMachine.TestCase
TestJournalAgainstTheModel.settings = settings(max_examples=length(80, 800), stateful_step_count=40)


def test_the_model_sees_a_fault() -> None:
    """A counter that is off by one, a job that is in the wrong state: neither passes."""
    for fault in (
        "UPDATE counts SET jobs = jobs + 1",
        "UPDATE counts SET spool_bytes = 7",
        "UPDATE jobs SET claimed_by = 'x'",
    ):
        machine = JournalMachine()
        machine.open()
        machine.take(1, "a", "f:1", False, 0)
        sql(machine.journal, fault)
        try:
            machine.counters_are_what_a_recount_gives()
            machine.every_job_is_where_the_model_has_it()
        except AssertionError:
            continue
        finally:
            machine.journal.close()
        raise AssertionError(f"not seen: {fault}")
