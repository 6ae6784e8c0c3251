"""Check-ins: tickets scanned at the door, one at a time or as they were collected without a network."""

from typing import Annotated

from pydantic import ConfigDict, Field

from app.models.enums import Verdict
from app.schemas.fields import Input, Moment, Output, Storable, Utc
from app.schemas.pages import PageQuery
from app.schemas.users import UserBrief

LARGEST_BATCH = 1_000

TicketCode = Annotated[
    Storable,
    Field(
        min_length=1,
        max_length=1_000,
        description="What the QR code says, whatever it is.",
        examples=["q0Zb2n5vTq2yJv3m1w8c7A"],
    ),
]
ClientId = Annotated[
    Storable,
    Field(
        min_length=1,
        max_length=100,
        description="The scan's name, of your making; a UUID will do. Names are your account's own.",
        examples=["0b8f7d52-6a51-4c5e-9d0e-5a3f7c1e2b44"],
    ),
]
SCANNED_AT = (
    "When it was scanned, by the device's clock. A clock cannot be right that says a time still to come, or "
    "one before the ticket was made: the nearest possible time counts instead."
)


class CheckInCreate(Input):
    """A ticket shown at the door."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ticket_code": "q0Zb2n5vTq2yJv3m1w8c7A"}]})

    ticket_code: TicketCode
    scanned_at: Moment | None = Field(None, description=f"{SCANNED_AT} Now, if left out.")


class CollectedScan(Input):
    """A scan that a device has kept to send later."""

    ticket_code: TicketCode
    scanned_at: Moment = Field(description=SCANNED_AT)
    client_id: ClientId


class CheckInBatch(Input):
    """Scans in the order in which they were made."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "scans": [
                        {
                            "ticket_code": "q0Zb2n5vTq2yJv3m1w8c7A",
                            "scanned_at": "2027-03-01T09:02:11-05:00",
                            "client_id": "0b8f7d52-6a51-4c5e-9d0e-5a3f7c1e2b44",
                        }
                    ]
                }
            ]
        }
    )

    scans: list[CollectedScan] = Field(min_length=1, max_length=LARGEST_BATCH)


class CheckInRead(Output):
    """Somebody who is in."""

    registration_id: int
    user: UserBrief
    ticket_code: str
    checked_in_at: Utc = Field(description="The time of the earliest scan.")
    first: bool = Field(description="False when the ticket was checked in before: look twice.")


class ScanResult(Output):
    """What came of one scan of a batch."""

    client_id: str
    ticket_code: str
    verdict: Verdict
    checked_in_at: Utc | None


class CheckInBatchRead(Output):
    """What came of each scan, in the order of the batch."""

    results: list[ScanResult]


class ScanRead(Output):
    """A scan as those who run the event see it."""

    id: int
    ticket_code: str
    verdict: Verdict
    registration_id: int | None = Field(description="Null for an unknown ticket, as is `user`.")
    user: UserBrief | None
    scanned_at: Utc
    received_at: Utc
    checked_in_at: Utc | None = Field(description="As it was answered; an earlier scan may have come later.")
    client_id: str | None
    scanner: UserBrief


class ScanQuery(PageQuery):
    """Which scans a list keeps."""

    verdict: Verdict | None = None
