"""Bounds of the wire, unit in the name."""

from typing import Final

BATCH_RECORDS_MAX: Final = 500
BATCH_BYTES_MAX: Final = 1_048_576
RECORD_BYTES_MAX: Final = 3_145_728
"""Room for the longest basket with its calculation; travels alone, in a message of its own."""
COUNT_MAX: Final = 2**62
"""Of every number both databases keep; far below their largest, so that sums still fit."""
MESSAGE_BYTES_MAX: Final = 4_194_304
"""Of a message after decompression; what is larger is refused before it is unpacked."""
BUNDLE_BYTES_MAX: Final = 268_435_456
ROOT_BYTES_MAX: Final = 16_384
"""Of the text of a root document."""
PULL_BYTES_DEFAULT: Final = 262_144
"""Aim for one pull answer; the centre stops adding rows past it."""

PREVIOUS_MAX: Final = 8
"""Streams before its own that a till names in HELLO."""

ASKS_OPEN_MAX: Final = 16
"""Asks for points by courier that one till has out at once."""

COUNTERS_ASKED_MAX: Final = 100
"""Shared counters that one message asks for."""

ACCOUNT_COUNTERS_MAX: Final = 200
"""Counters one account keeps; of more, those used last."""
ACCOUNT_OFFERS_MAX: Final = 100
"""Personal offers of one account."""
ACCOUNT_SEGMENTS_MAX: Final = 200
WAITING_RECORDS_MAX: Final = 500
"""Records of one stream named one by one as not applied yet."""

BLOCKED_CARDS_MAX: Final = 250_000
"""Blocked cards that a till keeps, those blocked last; 2 MB on the wire if it has none yet."""
