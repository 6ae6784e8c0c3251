"""What to fill a database with: demo data worth looking at, and crowds of any size."""

import random
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from app import crud
from app.core.database import Database
from app.crud import seeds as bulk
from app.crud.seeds import analyze
from app.models import Event, Registration, Room, Session, Speaker, TeamMember, User
from app.models.enums import EventStatus, RegistrationStatus, Role, TeamRole
from app.models.registration import new_ticket_code

__all__ = [
    "ADMIN",
    "DEMO",
    "ROWS_AT_ONCE",
    "Crowd",
    "Lot",
    "analyze",
    "count_demo",
    "demo_is_there",
    "make_demo",
]

# Under a name reserved for examples: nobody real has an address there.
DEMO = "demo.example.com"
ADMIN = f"admin@{DEMO}"
ATTENDEES = 80
SLOT = timedelta(minutes=75)
TALK = timedelta(minutes=60)
SALES = timedelta(days=29)

CROWD_PEOPLE = bulk.Series("person", "crowd.example.com", Role.ATTENDEE)
CROWD_ORGANIZERS = bulk.Series("organizer", "crowd.example.com", Role.ORGANIZER)
ORGANIZERS = 20
ROWS_AT_ONCE = 10_000


@cache
def _content() -> dict[str, Any]:
    with Path(__file__).with_name("demo.toml").open("rb") as file:
        return tomllib.load(file)


# Demo data ---------------------------------------------------------------------------------------------


def demo_is_there(db: Database) -> bool:
    """Tell whether the demo data have been made."""
    return crud.users.get_by_email(db, ADMIN) is not None


def count_demo(db: Database) -> dict[str, int]:
    """Count the demo data, each kind by its name."""
    return bulk.count_of_domain(db, DEMO)


def make_demo(db: Database, *, password_hash: str, today: date, seed: int) -> list[User]:
    """Make the demo data, the same for the same day and seed, and return whom to sign in as."""
    chance = random.Random(seed)  # noqa: S311  # demo data keep no secret
    content = _content()
    sign_up = partial(User, password_hash=password_hash)
    admin = sign_up(email=ADMIN, full_name="Alma Quintero", role=Role.ADMIN)
    owners = {
        entry["name"]: sign_up(email=_address(entry["name"]), full_name=entry["name"], role=Role.ORGANIZER)
        for entry in content["organizers"]
    }
    team = {
        TeamRole.MANAGER: sign_up(email=f"manager@{DEMO}", full_name="Inés Valdivia"),
        TeamRole.STAFF: sign_up(email=f"staff@{DEMO}", full_name="Bruno Acosta"),
    }
    everybody = [" ".join(pair) for pair in product(*content["names"].values())]
    attendees = [
        sign_up(email=_address(name), full_name=name) for name in chance.sample(everybody, ATTENDEES)
    ]
    bulk.add(db, [admin, *owners.values(), *team.values(), *attendees])
    speakers = {
        entry["name"]: Speaker(
            full_name=entry["name"],
            headline=entry["headline"],
            company=entry["company"],
            created_by=owners[organizer["name"]].id,
        )
        for organizer in content["organizers"]
        for entry in organizer["speakers"]
    }
    bulk.add(db, list(speakers.values()))
    for entry in content["events"]:
        event = _demo_event(db, entry, owners[entry["organizer"]], speakers, today)
        if entry.get("team"):
            bulk.add(
                db, [TeamMember(event_id=event.id, user_id=user.id, role=role) for role, user in team.items()]
            )
        bulk.add(db, _demo_registrations(entry, event, attendees, today, chance))
    return [admin, *owners.values(), *team.values(), attendees[0]]


def _demo_event(
    db: Database, entry: Mapping[str, Any], owner: User, speakers: Mapping[str, Speaker], today: date
) -> Event:
    talks = list(_timetable(entry, today))
    announced = min(today, talks[0].start_at.date()) - timedelta(days=31)
    event = Event(
        **{name: entry[name] for name in ("name", "description", "venue", "timezone")},
        start_at=talks[0].start_at,
        end_at=talks[-1].start_at + TALK,
        capacity_total=entry["capacity"],
        status=EventStatus(entry.get("status", "PUBLISHED")),
        created_by=owner.id,
        created_at=datetime.combine(announced, time(), UTC),
        updated_at=datetime.combine(announced, time(), UTC),
    )
    crud.save(db, event)
    rooms = {
        name: Room(event_id=event.id, name=name, capacity=seats) for name, seats in entry["rooms"].items()
    }
    bulk.add(db, list(rooms.values()))
    for talk in talks:
        session = Session(
            event_id=event.id,
            title=talk.title,
            start_at=talk.start_at,
            end_at=talk.start_at + TALK,
            **event.window,
            **Room.copies(rooms[talk.room]),
        )
        bulk.add_talk(db, session, [speakers[name] for name in talk.speakers])
    return event


@dataclass(frozen=True)
class _Talk:
    title: str
    speakers: Sequence[str]
    room: str
    start_at: datetime


def _timetable(entry: Mapping[str, Any], today: date) -> Iterator[_Talk]:
    """Lay the talks out over the days, side by side in the rooms, one slot after the other."""
    rooms, days = list(entry["rooms"]), entry.get("days", 1)
    a_day = -(-len(entry["talks"]) // days)
    first = today + timedelta(days=entry["in_days"])
    opens = time.fromisoformat(entry.get("opens", "09:00"))
    for place, (title, *names) in enumerate(entry["talks"]):
        day, turn = divmod(place, a_day)
        slot, room = divmod(turn, len(rooms))
        morning = datetime.combine(first + timedelta(days=day), opens, ZoneInfo(entry["timezone"]))
        # In UTC, where an hour is an hour on every day of the year.
        yield _Talk(title, names, rooms[room], morning.astimezone(UTC) + slot * SLOT)


def _demo_registrations(
    entry: Mapping[str, Any], event: Event, attendees: Sequence[User], today: date, chance: random.Random
) -> list[Registration]:
    confirmed, cancelled = entry.get("confirmed", 0), entry.get("cancelled", 0)
    people = chance.sample(attendees, confirmed + cancelled)
    leaving = set(chance.sample(range(len(people)), cancelled))
    sold_out = min(datetime.combine(today, time(), UTC), event.start_at)
    registrations = []
    for place, person in enumerate(people):
        created_at = sold_out - SALES + place * (SALES - timedelta(days=1)) / len(people)
        registration = Registration(
            event_id=event.id,
            user_id=person.id,
            status=RegistrationStatus.CONFIRMED,
            ticket_code=new_ticket_code(),
            created_at=created_at,
        )
        if place in leaving:
            registration.status = RegistrationStatus.CANCELLED
            registration.cancelled_at = created_at + timedelta(hours=5)
        elif event.status is EventStatus.FINISHED and chance.random() < 0.9:  # noqa: PLR2004  # most came
            registration.checked_in_at = event.start_at + timedelta(minutes=place)
        registrations.append(registration)
    return registrations


def _address(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return f"{plain.lower().replace(' ', '.')}@{DEMO}"


# Crowds ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lot:
    """So many rows of one kind in all, made some at a time, each time in a transaction of its own."""

    name: str
    wanted: int
    count: Callable[[Database], int]
    add: Callable[[Database, int, int], int]
    """Make up to so many (third) where there are some already (second), and return how many it made."""


@dataclass(frozen=True)
class Crowd:
    """People, events and registrations in any number, the same for the same day and seed."""

    password_hash: str
    today: date
    seed: int

    def lots(self, *, people: int, events: int, registrations: int) -> list[Lot]:
        """Plan what has to be made, in the order it has to be made in."""
        per_event = partial(self._add_registrations, wanted=registrations)
        lots = [
            self._accounts("organizers", ORGANIZERS if events else 0, CROWD_ORGANIZERS),
            self._accounts("people", people, CROWD_PEOPLE),
            Lot("events", events, lambda db: bulk.count_events(db, _organizers(db)), self._add_events),
            Lot(
                "registrations",
                registrations,
                lambda db: bulk.count_registrations(db, _organizers(db)),
                per_event,
            ),
        ]
        return [lot for lot in lots if lot.wanted]

    def _accounts(self, name: str, wanted: int, series: bulk.Series) -> Lot:
        def add(db: Database, there: int, rows: int) -> int:
            numbers = range(there + 1, there + rows + 1)
            return bulk.add_people(db, series, numbers, self._recipe, self.password_hash)

        return Lot(name, wanted, lambda db: bulk.count_people(db, series), add)

    def _add_events(self, db: Database, there: int, rows: int) -> int:
        numbers = range(there + 1, there + rows + 1)
        return bulk.add_events(db, _organizers(db), numbers, self._recipe, self.today)

    def _add_registrations(self, db: Database, _: int, rows: int, *, wanted: int) -> int:
        owners = _organizers(db)
        per_event = -(-wanted // max(1, bulk.count_open_events(db, owners)))
        return bulk.add_registrations(db, CROWD_PEOPLE, owners, rows, per_event)

    @property
    def _recipe(self) -> bulk.Recipe:
        crowd, names = _content()["crowd"], _content()["names"]
        cities, timezones = zip(*crowd["cities"], strict=True)
        return bulk.Recipe(
            seed=self.seed,
            first_names=names["first"],
            last_names=names["last"],
            **{name: words for name, words in crowd.items() if name != "cities"},
            cities=list(cities),
            timezones=list(timezones),
        )


def _organizers(db: Database) -> list[int]:
    return bulk.list_people(db, CROWD_ORGANIZERS)
