"""Types of fields that many messages have, with their bounds."""

from typing import Annotated

from msgspec import Meta

from loyalty.counters import SHARED_NAME_CHARACTERS_MAX
from sync.limits import COUNT_MAX

Incarnation = Annotated[bytes, Meta(min_length=8, max_length=8)]
Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
PublicKey = Annotated[bytes, Meta(min_length=32, max_length=32)]
Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Positive = Annotated[int, Meta(ge=1, le=COUNT_MAX)]
CounterName = Annotated[str, Meta(min_length=1, max_length=SHARED_NAME_CHARACTERS_MAX)]
