"""Seats: a place in one session, taken and given up, and the agenda that they make."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app import crud
from app.batches import Hall
from app.core.database import Database
from app.core.exceptions import (
    AgendaConflict,
    AlreadyRegistered,
    NotRegistered,
    NotRegisteredYet,
    Problem,
    RegistrationClosed,
    SessionFull,
)
from app.crud.seats import Seated, SessionDoors
from app.models import Session, User
from app.models.enums import EventStatus
from app.schemas.registrations import Application
from app.schemas.seats import SeatRead
from app.schemas.sessions import outline


def take(db: Database, applications: Sequence[Application], *, wait: bool = True) -> list[SeatRead | Problem]:
    """Decide in the order of arrival who gets a seat, and who is refused why.

    Takes any number of applications for any number of sessions, in a number of statements that depends on
    neither. Applications of one person, or under one key, are decided as if they had come one after the
    other. Returns, in the same order, the seat taken (or taken before, under the same key) or one of
    ``Unauthorized``, ``MissingScope``, ``NotFound``, ``RegistrationClosed``, ``NotRegisteredYet``,
    ``AlreadyRegistered``, ``SessionFull``, ``AgendaConflict`` and ``IdempotencyKeyReused``; without ``wait``,
    ``Overloaded`` for a session that somebody holds.
    """
    # The doors first: whoever shares one waits here, and then sees all that was done under its lock.
    doors = crud.seats.lock_doors(db, {application.wanted_id for application in applications}, wait=wait)
    fitting = crud.credentials.lock_fitting(db, {application.claims for application in applications})
    wishes = {(application.wanted_id, application.claims.uid) for application in applications}
    pairs = {(doors[session_id].event_id, user_id) for session_id, user_id in wishes if session_id in doors}
    drafts = {door.event_id for door in doors.values() if door.event_status is EventStatus.DRAFT}
    hall = _Hall(
        waited=wait,
        fitting=fitting,
        doors=doors,
        registered=crud.seats.list_registered(db, pairs),
        in_the_way=crud.seats.map_in_the_way(db, wishes),
        staff=crud.teams.list_staff(db, {pair for pair in pairs if pair[0] in drafts}),
    )
    outcomes = hall.serve(db, applications)
    _name_conflicts(db, hall.conflicts)
    return outcomes


def _name_conflicts(db: Database, conflicts: Sequence[tuple[AgendaConflict, set[int]]]) -> None:
    """Describe the sessions in the way, for all who were refused at once."""
    wanted = {session_id for _, ids in conflicts for session_id in ids}
    outlines = [(session.id, outline(session)) for session in crud.sessions.list_by_ids(db, wanted)]
    for refusal, ids in conflicts:
        refusal.members["conflicts"] = [described for key, described in outlines if key in ids]


@dataclass
class _Hall(Hall[Seated, SeatRead]):
    """The doors of sessions, and who sat down."""

    doors: Mapping[int, SessionDoors]
    registered: set[tuple[int, int]]
    in_the_way: Mapping[tuple[int, int], set[int]]
    staff: set[tuple[int, int]]
    taken: Counter[int] = field(default_factory=Counter)
    agendas: defaultdict[int, list[SessionDoors]] = field(default_factory=lambda: defaultdict(list))
    conflicts: list[tuple[AgendaConflict, set[int]]] = field(default_factory=list)

    def decide(self, application: Application) -> Seated | Problem:
        """Decide on one application, knowing what was decided before it."""
        user_id, session = application.claims.uid, self.doors.get(application.wanted_id)
        if session is None or (
            session.event_status is EventStatus.DRAFT and (session.event_id, user_id) not in self.staff
        ):
            return self.missing("There is no such session. Check the id.")
        refusal = self._refusal(session, user_id)
        if refusal is not None:
            return refusal
        self.taken[session.id] += 1
        self.agendas[user_id].append(session)
        return Seated(session.id, user_id)

    def _refusal(self, session: SessionDoors, user_id: int) -> Problem | None:
        if session.is_over or session.event_status is not EventStatus.PUBLISHED:
            return RegistrationClosed("The session is over, or its event is not on. It takes nobody now.")
        if (session.event_id, user_id) not in self.registered:
            return NotRegisteredYet()
        held = self._held_at_the_time_of(session, user_id)
        if session.id in held:
            return AlreadyRegistered(
                "You have a seat in this session already. See GET /registrations/me/agenda."
            )
        if session.free is not None and self.taken[session.id] >= session.free:
            return SessionFull()
        if held:
            self.conflicts.append((AgendaConflict(), held))
            return self.conflicts[-1][0]
        return None

    def _held_at_the_time_of(self, session: SessionDoors, user_id: int) -> set[int]:
        """Name the sessions in which somebody has a seat at that time, this one too."""
        taken_now = {
            other.id
            for other in self.agendas[user_id]
            if other.start_at < session.end_at and session.start_at < other.end_at
        }
        return taken_now | self.in_the_way.get((session.id, user_id), set())

    def write(self, db: Database, entries: Sequence[Seated]) -> list[SeatRead]:
        """Write the seats and describe each."""
        return [SeatRead.model_validate(row) for row in crud.seats.add_all(db, entries)]

    def read(self, body: bytes) -> SeatRead:
        """Read a seat that was taken before."""
        return SeatRead.model_validate_json(body)


def give_up(db: Database, actor: User, session_id: int) -> None:
    """Give a seat up; it is free at once.

    Raises:
        NotRegistered: there is no seat to give up.

    """
    seat = crud.seats.lock_held(db, session_id, actor.id)
    if seat is None:
        raise NotRegistered("You have no seat in this session, so there is nothing to give up.")
    crud.seats.mark_given_up(db, seat)


def list_agenda(db: Database, actor: User) -> Sequence[Session]:
    """Return the sessions in which ``actor`` has a seat, in time order."""
    return crud.seats.list_agenda(db, actor.id)
