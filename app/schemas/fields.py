"""The kinds of field that the contract is made of, with their bounds and what each refuses."""

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationInfo,
)

from app.core.passwords import SHORTEST, is_common
from app.core.security import LONGEST_ID

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_LOCAL_PART = 64
TOO_COMMON = "too many people have this password; choose one that is yours alone, such as a few words"
TOO_PERSONAL = "this is little more than your own address or name; add words that have nothing to do with you"
LATEST = datetime(2200, 1, 1, tzinfo=UTC)

MomentOrNone = TypeVar("MomentOrNone", datetime, datetime | None)

_ZONES = available_timezones()
_HTTP_URL = TypeAdapter(AnyHttpUrl)


class Input(BaseModel):
    """What a client sends: unknown fields are refused, so that a typing error is never a silent loss."""

    model_config = ConfigDict(extra="forbid")


class Output(BaseModel):
    """What a client gets: every field is always there."""

    model_config = ConfigDict(from_attributes=True)


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("the character NUL cannot be stored; take it out")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("this holds half a character, which cannot be stored; send whole ones") from None
    return text


def _moment(value: Any) -> Any:
    if isinstance(value, datetime | str):
        return value
    raise ValueError("write a time as RFC 3339 with an offset, e.g. 2031-03-01T09:00:00-05:00")


def _in_range(moment: datetime) -> datetime:
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        moment = LATEST
    if not EARLIEST <= moment < LATEST:
        raise ValueError("the time has to lie between 1970 and 2199")
    return moment


def _deliverable(address: str) -> str:
    if len(address.partition("@")[0]) > LONGEST_LOCAL_PART:
        raise ValueError(f"the part before the @ has at most {LONGEST_LOCAL_PART} characters (RFC 5321)")
    return address


def _uncommon(password: str) -> str:
    if is_common(password):
        raise ValueError(TOO_COMMON)
    return password


def _known_zone(name: str) -> str:
    if name not in _ZONES:
        raise ValueError("there is no such time zone; write an IANA name, e.g. America/Bogota")
    return name


def _web_address(address: str) -> str:
    _HTTP_URL.validate_python(address)
    return address


def after(start: str, end: MomentOrNone, earlier: ValidationInfo) -> MomentOrNone:
    """Refuse an end that is not after the field ``start``, if both are there."""
    begun = earlier.data.get(start)
    if begun is not None and end is not None and end <= begun:
        raise ValueError(f"{earlier.field_name} has to be after {start}")
    return end


Id = Annotated[int, Field(ge=1, le=LONGEST_ID, strict=True)]
Storable = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_storable)]
Name = Annotated[Storable, Field(min_length=1, max_length=255)]
RoomName = Annotated[Storable, Field(min_length=1, max_length=100)]
ShortText = Annotated[Storable, Field(max_length=255)]
Search = Annotated[Storable, Field(max_length=255)]
LongText = Annotated[Storable, Field(max_length=10_000)]
WebAddress = Annotated[Storable, Field(max_length=2_048), AfterValidator(_web_address)]
Email = Annotated[
    EmailStr,
    AfterValidator(_storable),
    AfterValidator(_deliverable),
    AfterValidator(str.lower),
    Field(max_length=254),
]
Password = Annotated[
    str,
    AfterValidator(_storable),
    Field(min_length=SHORTEST, max_length=128, json_schema_extra={"format": "password"}),
    AfterValidator(_uncommon),
]
GivenPassword = Annotated[
    str,
    AfterValidator(_storable),
    Field(max_length=128, json_schema_extra={"format": "password"}),
]
GivenSecret = Annotated[str, Field(max_length=1_000, json_schema_extra={"format": "password"})]
Timezone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_known_zone)]
Moment = Annotated[AwareDatetime, BeforeValidator(_moment), AfterValidator(_in_range)]
"""A moment with an offset on the way in, in UTC on the way out."""
Utc = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
Capacity = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
"""Places at an event, 1 to 1,000,000."""
Ignored = Annotated[
    Any,
    Field(exclude=True, deprecated=True, description="Accepted and without effect."),
]
