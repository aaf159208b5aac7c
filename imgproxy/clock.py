"""The wall clock, for what is compared with other machines' times. Deadlines are monotonic and live in ``model``."""

from datetime import UTC, datetime


def unix_seconds() -> float:
    return datetime.now(UTC).timestamp()
