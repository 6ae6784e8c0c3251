"""Batches of applications, decided in turn: what is the same whatever is applied for."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from app import crud
from app.core.database import Database
from app.core.exceptions import IdempotencyKeyReused, NotFound, Overloaded, Problem
from app.core.security import Credential, refusal_of
from app.schemas.fields import Output
from app.schemas.idempotency import Answer, Slot
from app.schemas.registrations import Application

Entry = TypeVar("Entry")
Made = TypeVar("Made", bound=Output)


@dataclass(frozen=True, eq=False, slots=True)
class _Accepted(Generic[Entry]):
    """What is about to be written; the same object for all who sent the same key."""

    entry: Entry


@dataclass
class Hall(ABC, Generic[Entry, Made]):
    """What is known at the doors while a batch is decided; it changes as people come in.

    ``waited`` says whether for the doors that others held; if not, those are missing. ``fitting`` has the
    credentials that open an active account, and whether their scopes reach.
    """

    waited: bool
    fitting: Mapping[Credential, bool]

    @abstractmethod
    def decide(self, application: Application) -> Entry | Problem:
        """Decide on one application, knowing what was decided before it."""

    @abstractmethod
    def write(self, db: Database, entries: Sequence[Entry]) -> Sequence[Made]:
        """Write all that was accepted, and describe each in the same order."""

    @abstractmethod
    def read(self, body: bytes) -> Made:
        """Read a description again that was kept under a key."""

    def missing(self, detail: str) -> Problem:
        """Refuse whoever came to a door that is not there, or that somebody holds."""
        if self.waited:
            return NotFound(detail)
        return Overloaded("Somebody is changing this now, and not done yet. Try again in a moment.", wait=1)

    def serve(self, db: Database, applications: Sequence[Application]) -> list[Made | Problem]:
        """Decide on applications in the order of arrival, and return what came of each.

        A credential that opens no account is refused, and an idempotency key gets the answer that it got
        before, in this batch or earlier. Call this under the locks that decide: who waited for them sees
        what was kept meanwhile.
        """
        answered = crud.idempotency.map_answers(db, {entry.slot for entry in applications if entry.slot})
        known: dict[Slot, tuple[bytes, _Accepted[Entry] | Answer]] = {**answered}
        decisions = [self._judge(application, known) for application in applications]
        # Once each: the same key may have come twice.
        accepted = list(dict.fromkeys(decision for decision in decisions if isinstance(decision, _Accepted)))
        written = self.write(db, [one.entry for one in accepted]) if accepted else []
        made = dict(zip(accepted, written, strict=True))
        answers = {
            slot: (digest, Answer(status=201, body=made[before].model_dump_json().encode(), location=None))
            for slot, (digest, before) in known.items()
            if isinstance(before, _Accepted)
        }
        crud.idempotency.remember(db, answers)
        return [made[decision] if isinstance(decision, _Accepted) else decision for decision in decisions]

    def _judge(
        self, application: Application, known: dict[Slot, tuple[bytes, _Accepted[Entry] | Answer]]
    ) -> _Accepted[Entry] | Made | Problem:
        refusal = refusal_of(application.claims, self.fitting.get(application.claims))
        if refusal is not None:
            return refusal
        key, slot = application.key, application.slot
        if key is not None and slot in known:
            digest, before = known[slot]
            if digest != key.digest:
                return IdempotencyKeyReused()
            return self.read(before.body) if isinstance(before, Answer) else before
        decision = self.decide(application)
        if isinstance(decision, Problem):
            return decision
        accepted = _Accepted(decision)
        if key is not None and slot is not None:
            known[slot] = (key.digest, accepted)
        return accepted
