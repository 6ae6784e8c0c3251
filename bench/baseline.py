"""The same routes the classic way, on the same database, for comparison.

A session opened by a dependency that yields, the account looked up by its email, plain routes in
FastAPI's threads, and for a registration: lock, count, insert, commit, refresh. The tables come from the
service, and so do their triggers; nothing else does. The pool is larger than the service's, 10 and 20
more, and the threads are as many as FastAPI starts with.
"""

import os
import secrets
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer
from jose import JWTError, jwt
from pydantic import BaseModel, ConfigDict
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session, selectinload, sessionmaker

from app import models
from app.models.enums import EventStatus, RegistrationStatus, Role

engine = create_engine(os.environ["DATABASE_URL"], pool_size=10, max_overflow=20, pool_pre_ping=True)
new_session = sessionmaker(engine)
bearer = OAuth2PasswordBearer(tokenUrl="auth/login")


class Out(BaseModel):
    """An answer made from a row."""

    model_config = ConfigDict(from_attributes=True)


class User(Out):
    """An account."""

    id: int
    email: str
    full_name: str | None
    role: Role
    is_active: bool
    created_at: datetime


class Event(Out):
    """An event as lists show it."""

    id: int
    name: str
    description: str | None
    venue: str | None
    start_at: datetime
    end_at: datetime
    timezone: str
    capacity_total: int
    capacity_available: int
    waitlist_enabled: bool
    waitlist_count: int
    status: EventStatus
    registration_opens_at: datetime | None
    registration_closes_at: datetime | None
    created_by: int
    created_at: datetime
    updated_at: datetime


class Speaker(Out):
    """A speaker."""

    id: int
    full_name: str
    headline: str | None
    bio: str | None
    company: str | None
    photo_url: str | None
    links: list[str]


class Talk(Out):
    """A session of an event."""

    id: int
    event_id: int
    title: str
    description: str | None
    start_at: datetime
    end_at: datetime
    room: str | None
    capacity_total: int | None
    capacity_available: int | None
    speakers: list[Speaker]


class EventDetail(Event):
    """An event with its sessions."""

    sessions: list[Talk]


class EventPage(Out):
    """A page of events."""

    items: list[Event]
    total: int
    page: int
    size: int


class Registration(Out):
    """A place at an event."""

    id: int
    event_id: int
    user_id: int
    status: RegistrationStatus
    ticket_code: str
    created_at: datetime
    checked_in_at: datetime | None


def get_db() -> Iterator[Session]:
    """Open a session and close it once the answer has left."""
    db = new_session()
    try:
        yield db
    finally:
        db.close()


Db = Annotated[Session, Depends(get_db)]


def get_current_user(db: Db, token: Annotated[str, Depends(bearer)]) -> models.User:
    """Look up the account of the token by its email."""
    try:
        email = jwt.decode(token, os.environ["SECRET_KEY"], algorithms=["HS256"])["sub"]
    except JWTError:
        raise HTTPException(401) from None
    user = db.scalar(select(models.User).where(models.User.email == email))
    if user is None or not user.is_active:
        raise HTTPException(401)
    return user


CurrentUser = Annotated[models.User, Depends(get_current_user)]

app = FastAPI()
router = APIRouter(prefix="/api/v1")


@app.get("/health/ready")
def ready(db: Db) -> str:
    """Tell that the database answers."""
    db.scalar(select(1))
    return "ok"


@router.get("/users/me", response_model=User)
def read_me(user: CurrentUser) -> models.User:
    """Show the account that asks."""
    return user


@router.get("/events", response_model=EventPage)
def list_events(db: Db, page: int = 1, size: int = 10) -> dict[str, object]:
    """List published events."""
    public = select(models.Event).where(
        models.Event.status == EventStatus.PUBLISHED, models.Event.deleted_at.is_(None)
    )
    total = db.scalar(select(func.count()).select_from(public.subquery()))
    ordered = public.order_by(models.Event.start_at, models.Event.id)
    items = db.scalars(ordered.offset((page - 1) * size).limit(size)).all()
    return {"items": items, "total": total, "page": page, "size": size}


@router.get("/events/{event_id}", response_model=EventDetail)
def read_event(event_id: int, db: Db) -> models.Event:
    """Show an event with its sessions."""
    sessions = selectinload(models.Event.sessions)
    event = db.scalar(
        select(models.Event)
        .where(models.Event.id == event_id, models.Event.deleted_at.is_(None))
        .options(sessions.joinedload(models.Session.place), sessions.selectinload(models.Session.speakers))
    )
    if event is None:
        raise HTTPException(404)
    return event


@router.post("/registrations/events/{event_id}", response_model=Registration, status_code=201)
def register(event_id: int, user: CurrentUser, db: Db) -> models.Registration:
    """Take a place: lock the event, count, insert, commit."""
    event = db.scalar(select(models.Event).where(models.Event.id == event_id).with_for_update())
    if event is None or event.status is not EventStatus.PUBLISHED:
        raise HTTPException(404)
    mine = models.Registration.event_id == event_id
    live = models.Registration.status == RegistrationStatus.CONFIRMED
    twice = select(models.Registration.id).where(mine, live, models.Registration.user_id == user.id)
    if db.scalar(twice) is not None:
        raise HTTPException(409)
    taken = db.scalar(select(func.count()).select_from(models.Registration).where(mine, live)) or 0
    if taken >= event.capacity_total:
        raise HTTPException(409)
    registration = models.Registration(
        event_id=event_id,
        user_id=user.id,
        status=RegistrationStatus.CONFIRMED,
        ticket_code=secrets.token_urlsafe(16),
    )
    db.add(registration)
    db.commit()
    db.refresh(registration)
    return registration


app.include_router(router)
