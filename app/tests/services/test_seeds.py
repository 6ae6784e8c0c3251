"""The demo data are worth looking at and keep every rule; crowds are as large as asked, and no larger."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from app.core.database import Database
from app.core.security import PasswordHasher
from app.crud import seeds as bulk
from app.models import Event, Registration, Room, Session, Speaker, TeamMember, User, session_speakers
from app.models.enums import EventStatus, RegistrationStatus, Role, TeamRole
from app.services import seeds

TODAY = datetime.now(UTC).date()
PASSWORD_HASH = PasswordHasher().hash("demo-password")


def make_demo(db: Database, today: date = TODAY, seed: int = 1) -> list[User]:
    return seeds.make_demo(db, password_hash=PASSWORD_HASH, today=today, seed=seed)


def make_crowd(db: Database, *, seed: int = 1, **wanted: int) -> dict[str, int]:
    """Make a crowd at once, and return what was added of each lot."""
    crowd = seeds.Crowd(PASSWORD_HASH, TODAY, seed)
    sizes = {"people": 0, "events": 0, "registrations": 0, **wanted}
    return {
        lot.name: lot.add(db, there, lot.wanted - there)
        for lot in crowd.lots(**sizes)
        if (there := lot.count(db)) < lot.wanted
    }


def rows(db: Database, *columns: Any) -> Sequence[Any]:
    return db.execute(select(*columns).order_by(*columns)).all()


def snapshot(db: Database) -> list[Sequence[Any]]:
    """Collect what the demo consists of, without the ids and the codes, which are new each time."""
    registrations = (
        select(Event.name, User.email, Registration.status, Registration.created_at)
        .join(Registration.event)
        .join(Registration.user)
        .order_by(Registration.id)
    )
    return [
        db.execute(select(User.email, User.full_name, User.role).order_by(User.id)).all(),
        db.execute(select(Event.name, Event.start_at, Event.end_at, Event.status).order_by(Event.id)).all(),
        db.execute(select(Session.title, Session.start_at).order_by(Session.id)).all(),
        db.execute(registrations).all(),
    ]


def test_the_demo_has_something_of_everything(db: Database) -> None:
    make_demo(db)
    counted = seeds.count_demo(db)
    assert 8 <= counted["events"] <= 12
    assert counted["sessions"] >= 60
    assert counted["speakers"] == 30
    assert counted["registrations"] > 300
    statuses = Counter(db.scalars(select(Event.status)))
    assert statuses == {
        EventStatus.PUBLISHED: 8,
        EventStatus.DRAFT: 1,
        EventStatus.CANCELLED: 1,
        EventStatus.FINISHED: 1,
    }
    left = {event.name: event.capacity_available for event in db.scalars(select(Event))}
    assert left["Taller: tu primer servicio web"] == 0
    assert left["Data & Databases Summit"] == 2
    assert db.scalar(select(func.count()).where(Registration.status == RegistrationStatus.CANCELLED)) == 47
    assert set(db.scalars(select(TeamMember.role))) == {TeamRole.MANAGER, TeamRole.STAFF}
    assert None not in db.scalars(select(Speaker.headline)).all()
    assert db.scalar(select(func.count()).select_from(Room)) == 19


def test_every_demo_session_has_a_room_and_a_speaker(db: Database) -> None:
    make_demo(db)
    spoken = select(session_speakers.c.session_id)
    bare = select(Session.title).where(Session.room_id.is_(None) | Session.id.not_in(spoken))
    assert db.scalars(bare).all() == []


def test_demo_events_lie_ahead_in_their_own_time_zones(db: Database) -> None:
    make_demo(db)
    upcoming = db.scalars(select(Event).where(Event.status != EventStatus.FINISHED)).all()
    assert min(event.start_at.date() for event in upcoming) > TODAY
    assert max(event.end_at.date() for event in upcoming) < TODAY + timedelta(days=180)
    local = {
        event.name: func.to_char(func.timezone(event.timezone, event.start_at), "HH24:MI")
        for event in upcoming
    }
    assert db.scalar(select(local["PyCon Andina"])) == "09:00"
    assert db.scalar(select(local["Andean Jazz Nights"])) == "18:00"


def test_nothing_in_the_demo_happened_in_the_future(db: Database) -> None:
    make_demo(db)
    late = select(Registration.id).where(
        (Registration.created_at > func.now())
        | (Registration.cancelled_at > func.now())
        | (Registration.checked_in_at > func.now())
    )
    assert db.scalars(late).all() == []


def test_the_same_day_and_seed_make_the_same_demo(db: Database) -> None:
    made = []
    for seed in (7, 7, 8):
        with db.begin_nested() as savepoint:
            make_demo(db, seed=seed)
            made.append(snapshot(db))
            savepoint.rollback()
        db.expunge_all()
    assert made[0] == made[1]
    assert made[0] != made[2]


@pytest.mark.parametrize("month", range(1, 13))
def test_the_demo_fits_together_on_whatever_day_it_is_made(db: Database, month: int) -> None:
    make_demo(db, today=date(2028, month, 29))
    assert seeds.count_demo(db)["sessions"] == 72


def test_the_demo_is_recognised(db: Database) -> None:
    assert not seeds.demo_is_there(db)
    accounts = make_demo(db)
    assert seeds.demo_is_there(db)
    assert {account.role for account in accounts} == set(Role)


def test_a_crowd_is_as_large_as_asked(db: Database) -> None:
    made = make_crowd(db, people=50, events=30, registrations=200)
    assert made == {"organizers": 20, "people": 50, "events": 30, "registrations": 200}
    assert db.scalar(select(func.count()).where(Registration.status == RegistrationStatus.CONFIRMED)) == 200
    assert db.scalar(select(func.sum(Event.confirmed_count))) == 200


def test_a_crowd_grows_by_what_is_missing(db: Database) -> None:
    make_crowd(db, people=10, events=10, registrations=20)
    assert make_crowd(db, people=10, events=10, registrations=20) == {}
    assert make_crowd(db, people=15, events=12, registrations=33) == {
        "people": 5,
        "events": 2,
        "registrations": 13,
    }


def test_a_crowd_is_the_same_for_the_same_seed(db: Database) -> None:
    made = []
    for seed in (7, 7, 8):
        with db.begin_nested() as savepoint:
            make_crowd(db, seed=seed, people=5, events=20)
            made.append(
                [
                    rows(db, Event.name, Event.start_at, Event.capacity_total),
                    rows(db, User.email, User.full_name),
                ]
            )
            savepoint.rollback()
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_a_crowd_takes_no_more_places_than_there_are(db: Database) -> None:
    made = make_crowd(db, people=30, events=3, registrations=1_000)
    assert 0 < made["registrations"] < 1_000
    assert db.scalar(select(func.max(Event.confirmed_count))) == 30
    assert make_crowd(db, people=30, events=3, registrations=1_000) == {"registrations": 0}


def test_without_people_or_events_nobody_registers(db: Database) -> None:
    assert make_crowd(db, registrations=10) == {"registrations": 0}
    assert make_crowd(db, events=5, registrations=10) == {"organizers": 20, "events": 5, "registrations": 0}


def test_crowd_events_can_be_found_in_both_languages(db: Database) -> None:
    make_crowd(db, events=400)
    for part in ("taller de", "workshop", "bogotá", "astronomía", "astronomy"):
        assert db.scalar(select(func.count()).where(Event.name.icontains(part))), part
    assert len(set(db.scalars(select(Event.name)))) > 200
    assert db.scalar(select(func.count()).where(Event.start_at <= func.now())) == 0


def test_crowd_tickets_look_like_all_others(db: Database) -> None:
    make_crowd(db, people=5, events=5, registrations=10)
    codes = db.scalars(select(Registration.ticket_code)).all()
    assert len(set(codes)) == 10
    assert (
        db.scalar(select(func.count()).where(~Registration.ticket_code.regexp_match("^[A-Za-z0-9_-]{22}$")))
        == 0
    )


def test_the_planner_learns_of_new_rows(db: Database) -> None:
    make_crowd(db, people=100)
    seeds.analyze(db)
    assert bulk.count_people(db, seeds.CROWD_PEOPLE) == 100
