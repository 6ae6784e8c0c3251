"""Rows in bulk, made by the server itself, so that a million of them takes minutes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Integer,
    Interval,
    Text,
    case,
    cast,
    func,
    literal,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import array, insert

from app.core.database import Database
from app.models import Base, Event, Registration, Session, Speaker, User, session_speakers
from app.models.enums import EventStatus, RegistrationStatus, Role

CAPACITIES = (20, 40, 60, 100, 150, 250, 400, 800, 2_000, 10_000)
HOURS_LONG = (2, 3, 4, 8, 10, 26, 34, 56)
DAYS_AHEAD = 730
DRAFT_ONE_IN = 50


@dataclass(frozen=True)
class Series:
    """Accounts that differ in their number only."""

    prefix: str
    domain: str
    role: Role

    @property
    def members(self) -> ColumnElement[bool]:
        """Match the accounts of the series."""
        return User.email.like(f"{self.prefix}-%@{self.domain}")

    def address(self, number: ColumnElement[int]) -> ColumnElement[str]:
        """Write the address of the account with that number."""
        return literal(f"{self.prefix}-") + cast(number, Text) + f"@{self.domain}"


@dataclass(frozen=True)
class Recipe:
    """What people and events are called, in Spanish and in English, and the seed of every choice."""

    seed: int

    first_names: list[str]
    last_names: list[str]
    es_kinds: list[str]
    es_topics: list[str]
    en_kinds: list[str]
    en_topics: list[str]
    venues: list[str]
    cities: list[str]
    timezones: list[str]


def add(db: Database, rows: Sequence[Base]) -> None:
    """Write new rows, which get their ids in the order given."""
    db.add_all(rows)
    db.flush()


def add_talk(db: Database, session: Session, speakers: Sequence[Speaker]) -> None:
    """Write a session and put its speakers on it."""
    add(db, [session])
    links = [
        {"session_id": session.id, "speaker_id": speaker.id, "during": session.during} for speaker in speakers
    ]
    db.execute(insert(session_speakers), links)


def count_of_domain(db: Database, domain: str) -> dict[str, int]:
    """Count the accounts whose addresses end in ``domain``, and what hangs on them."""
    people = select(User.id).where(User.email.endswith(f"@{domain}", autoescape=True))
    events = select(Event.id).where(Event.created_by.in_(people))
    counted = {
        "accounts": people,
        "events": events,
        "sessions": select(Session.id).where(Session.event_id.in_(events)),
        "speakers": select(Speaker.id).where(Speaker.created_by.in_(people)),
        "registrations": select(Registration.id).where(Registration.event_id.in_(events)),
    }
    return {
        name: db.scalar(select(func.count()).select_from(query.subquery())) or 0
        for name, query in counted.items()
    }


def count_people(db: Database, series: Series) -> int:
    """Count the accounts of a series."""
    return db.scalar(select(func.count()).where(series.members)) or 0


def list_people(db: Database, series: Series) -> list[int]:
    """Return the ids of the accounts of a series."""
    return list(db.scalars(select(User.id).where(series.members).order_by(User.id)))


def count_events(db: Database, owners: Sequence[int]) -> int:
    """Count the events of some accounts, whatever has become of them."""
    return db.scalar(select(func.count()).where(Event.created_by.in_(owners))) or 0


def count_open_events(db: Database, owners: Sequence[int]) -> int:
    """Count the events of some accounts at which places can be had."""
    return db.scalar(select(func.count()).where(*_open(owners))) or 0


def count_registrations(db: Database, owners: Sequence[int]) -> int:
    """Count the confirmed places at the events of some accounts."""
    return db.scalar(select(func.sum(Event.confirmed_count)).where(Event.created_by.in_(owners))) or 0


def add_people(db: Database, series: Series, numbers: range, recipe: Recipe, password_hash: str) -> int:
    """Make the accounts of those numbers and return how many there were not yet."""
    number = _each(numbers)
    pick = _Picker(number, recipe.seed)
    people = select(
        series.address(number),
        pick.text(recipe.first_names, 1) + " " + pick.text(recipe.last_names, 2),
        literal(password_hash),
        literal(series.role.value),
    )
    made = insert(User).from_select(["email", "full_name", "password_hash", "role"], people)
    return db.connection().execute(made.on_conflict_do_nothing()).rowcount


def add_events(db: Database, owners: Sequence[int], numbers: range, recipe: Recipe, today: date) -> int:
    """Make the events of those numbers, over the two years after ``today``, and return how many."""
    number = _each(numbers)
    pick = _Picker(number, recipe.seed)
    city, zone = pick.text(recipe.cities, 3), pick.text(recipe.timezones, 3)
    es_topic, en_topic = pick.text(recipe.es_topics, 4), pick.text(recipe.en_topics, 4)
    day, hour = 1 + pick.below(DAYS_AHEAD, 6), 8 + pick.below(12, 7)
    local_start = cast(literal(datetime.combine(today, time())), DateTime) + _interval(day, hour)
    start_at: ColumnElement[datetime] = func.timezone(zone, local_start, type_=DateTime(timezone=True))
    in_spanish = number % 2 == 0
    title = case(
        (in_spanish, pick.text(recipe.es_kinds, 5) + " " + es_topic + ", " + city),
        else_=en_topic + " " + pick.text(recipe.en_kinds, 5) + " " + city,
    )
    columns: dict[str, ColumnElement[Any]] = {
        "name": title + " " + func.to_char(local_start, "YYYY", type_=Text),
        "description": case(
            (in_spanish, literal("Un encuentro sobre ") + func.lower(es_topic) + " en " + city + "."),
            else_=literal("People who care about ") + func.lower(en_topic) + " meet in " + city + ".",
        ),
        "venue": pick.text(recipe.venues, 8) + " " + city,
        "start_at": start_at,
        "end_at": start_at + _interval(literal(0), pick.number(HOURS_LONG, 9)),
        "timezone": zone,
        "capacity_total": pick.number(CAPACITIES, 10),
        "status": case(
            (pick.below(DRAFT_ONE_IN, 11) == 0, EventStatus.DRAFT.value), else_=EventStatus.PUBLISHED.value
        ),
        "created_by": pick.number(owners, 12),
    }
    made = insert(Event).from_select(list(columns), select(*columns.values()))
    return db.connection().execute(made).rowcount


def add_registrations(db: Database, series: Series, owners: Sequence[int], rows: int, per_event: int) -> int:
    """Fill up to ``rows`` places at the events of ``owners``, and return how many.

    No event gets more than ``per_event``, nor more than its capacity. It takes neighbours from the
    series, each event from another place in it.
    """
    people = count_people(db, series)
    goal = func.least(Event.capacity_total, per_event, people)
    short = (
        select(Event.id, Event.confirmed_count, goal.label("goal"))
        .where(*_open(owners), Event.confirmed_count < goal)
        .order_by(Event.id)
        .limit(rows)
        .cte("short")
    )
    places = func.generate_series(short.c.confirmed_count + 1, short.c.goal)
    free = places.table_valued("nth").render_derived().lateral()
    number = 1 + (_Picker(short.c.id, 0).below(people, 0) + free.c.nth) % people
    # Limited before the accounts are looked up, so that the planner expects no more than that.
    seat = select(short.c.id.label("event_id"), number.label("number")).join_from(short, free, true())
    seats = seat.limit(rows).cte("seats")
    random_bytes = func.encode(func.uuid_send(func.gen_random_uuid()), "base64")
    chosen = select(
        seats.c.event_id,
        User.id,
        literal(RegistrationStatus.CONFIRMED.value),
        # Like the codes that the service makes: 22 URL-safe characters.
        func.translate(func.rtrim(random_bytes, "="), "+/", "-_"),
    ).join(seats, User.email == series.address(seats.c.number))
    columns = ["event_id", "user_id", "status", "ticket_code"]
    made = insert(Registration).from_select(columns, chosen)
    return db.connection().execute(made.on_conflict_do_nothing()).rowcount


def analyze(db: Database) -> None:
    """Let the planner know of the new rows at once."""
    db.execute(text("ANALYZE users, events, registrations"))


class _Picker:
    """Choose for each number as if by chance, and the same each time."""

    def __init__(self, number: ColumnElement[int], seed: int) -> None:
        self._number = cast(number, BigInteger)
        self._seed = seed

    def below(self, bound: int, salt: int) -> ColumnElement[int]:
        mixed = func.hashint8extended(self._number, self._seed * 100 + salt)
        return cast(func.abs(mixed % bound), Integer)

    def text(self, words: Sequence[str], salt: int) -> ColumnElement[str]:
        return array(words, type_=Text)[1 + self.below(len(words), salt)]

    def number(self, numbers: Sequence[int], salt: int) -> ColumnElement[int]:
        return array(numbers, type_=Integer)[1 + self.below(len(numbers), salt)]


def _each(numbers: range) -> ColumnElement[int]:
    return func.generate_series(numbers.start, numbers.stop - 1).column_valued("number")


def _open(owners: Sequence[int]) -> tuple[ColumnElement[bool], ...]:
    published = Event.status == EventStatus.PUBLISHED
    return published, Event.deleted_at.is_(None), Event.created_by.in_(owners)


def _interval(days: ColumnElement[int], hours: ColumnElement[int]) -> ColumnElement[Any]:
    return func.make_interval(0, 0, 0, days, hours, type_=Interval)
