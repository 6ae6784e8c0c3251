"""Requests that are served once, however often they are sent."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What a key is bound to beside the account: the method, the path, and the digest of the body."""

    key: str
    method: str
    path: str
    digest: bytes

    def slot(self, user_id: int) -> "Slot":
        """Name where the answer under this key is kept for an account."""
        return (user_id, self.method, self.path, self.key)


Slot = tuple[int, str, str, str]
"""The account, the method, the path and the key: where an answer is kept."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, to be answered again."""

    status: int
    body: bytes
    location: str | None
