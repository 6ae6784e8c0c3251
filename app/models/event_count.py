"""How many events all may see."""

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class EventCount(Base):
    """One of several rows whose sum is the number of public events; kept by triggers on ``events``.

    Several, so that those who make events do not wait for each other.
    """

    __tablename__ = "event_counts"

    shard: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    published: Mapped[int] = mapped_column(BigInteger)
