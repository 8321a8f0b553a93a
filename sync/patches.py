"""Deltas between bundles: the new bytes packed against the old ones (design: sync 3.5).

What comes out is the bundle byte for byte, and its own hash says whether it is.
"""

from hashlib import sha256
from typing import Final

import zstandard

from sync.errors import MalformedMessageError
from sync.limits import BUNDLE_BYTES_MAX

WINDOW_BYTES_LOG_MAX: Final = 27
"""Old and new bytes together fit into this window, or there is no delta."""
_LEVEL: Final = 19
"""Lower ones do not find what is far away in the old bytes: 80 KB in place of 400 bytes."""


def make_patch(base: bytes, content: bytes) -> bytes | None:
    """Return what makes `content` out of `base`; None where both are too long for that.

    Costs about half a second a megabyte.
    """
    window_log = max(17, (len(base) + len(content)).bit_length())
    if window_log > WINDOW_BYTES_LOG_MAX:
        return None
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL, window_log=window_log, enable_ldm=True, source_size=len(content)
    )
    compressor = zstandard.ZstdCompressor(
        dict_data=_dictionary(base), compression_params=parameters
    )
    return compressor.compress(content)


def apply_patch(base: bytes, patch: bytes, *, bundle: str) -> bytes:
    """Return the bytes of the bundle of this name.

    Raises:
        MalformedMessageError: the patch is damaged, or makes something else of this base.
    """
    try:
        if not 0 <= zstandard.frame_content_size(patch) <= BUNDLE_BYTES_MAX:
            raise MalformedMessageError("a delta says how much it unpacks to, within bounds")
        decompressor = zstandard.ZstdDecompressor(
            dict_data=_dictionary(base), max_window_size=1 << WINDOW_BYTES_LOG_MAX
        )
        content = decompressor.decompress(patch, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise MalformedMessageError(f"damaged delta: {error}") from error
    if sha256(content).hexdigest() != bundle:
        raise MalformedMessageError(f"the delta does not make bundle {bundle[:8]}")
    return content


def _dictionary(base: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
