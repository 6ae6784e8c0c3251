"""The words of events, to find those that a search means although it is written otherwise."""

from sqlalchemy import Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class EventWord(Base):
    """A word that the name or the venue of an event has, or has had; kept by triggers on ``events``."""

    __tablename__ = "event_words"
    __table_args__ = (
        Index(
            "ix_event_words_trigrams",
            "word",
            postgresql_using="gin",
            postgresql_ops={"word": "gin_trgm_ops"},
            postgresql_with={"fastupdate": "off"},
        ),
    )

    word: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
