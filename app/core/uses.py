"""When things were last used, gathered in memory and written now and then: no request pays for it."""

from datetime import UTC, datetime


class Uses:
    """The latest use of each thing since they were last written."""

    def __init__(self) -> None:
        """Begin with none."""
        self._latest: dict[bytes, datetime] = {}

    def note(self, thing: bytes) -> None:
        """Note that ``thing`` is being used now."""
        self._latest[thing] = datetime.now(UTC)

    def take(self) -> dict[bytes, datetime]:
        """Hand over what was noted, and forget it."""
        taken, self._latest = self._latest, {}
        return taken
