"""Runs the other libraries in processes of their own, in an environment of their own.

`make bench-engine` makes `var/bench/peers` from `requirements/bench-peers.lock`. What is timed is
one call: zen's `decision.evaluate(basket)`, oscar's `applicator.apply_offers(basket, offers)`;
reading, parsing, compiling, tables and rows come before and are shown as the set-up time.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.engine.workload import PlainBasket, PlainOffer, plain_json

ENVIRONMENT = Path("var/bench/peers")
_PATIENCE_S = 1_800


class PeersMissing(Exception):
    """The peers' environment is not there, or a peer failed."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of giving the offers to a peer; the scripts tell them apart.

    Attributes:
        is_calculation: it says what the customer saves, not only which offers match.
    """

    peer: str
    name: str
    is_calculation: bool = True

    @property
    def label(self) -> str:
        """How tables and keys name it."""
        return f"{self.peer}_{self.name}"


ZEN_TABLE = Way("zen", "table")
ZEN_EXPRESSIONS = Way("zen", "expressions")
ZEN_MATCHING = Way("zen", "matching", is_calculation=False)
OSCAR_PREPARED = Way("oscar", "prepared")
OSCAR_STACKING = Way("oscar", "stacking")
OSCAR_DELIVERED = Way("oscar", "delivered")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRun:
    """What came out of one way on some baskets.

    Attributes:
        took_us: by basket, the median of the repeats.
        off: by basket, minor units by offer id.
    """

    version: str
    setup_s: float
    took_us: tuple[float, ...]
    off: tuple[dict[str, int], ...]

    @property
    def median_ms(self) -> float:
        """Median over the baskets, milliseconds."""
        return median(self.took_us) / 1e3


def is_ready() -> bool:
    """Whether the peers' environment has been made."""
    return _python().exists()


def run_peer(
    way: Way, offers: Sequence[PlainOffer], baskets: Sequence[PlainBasket], *, repeats: int
) -> PeerRun:
    """Evaluate the baskets with a peer.

    Raises:
        PeersMissing: the environment is not there, or the peer ended with an error.
    """
    if not is_ready():
        raise PeersMissing(
            "the peers are not installed: run `make bench-engine`, which installs them,"
            " or leave them out with --no-peers"
        )
    job = {**plain_json(offers, baskets), "way": way.name, "repeats": repeats}
    script = Path(__file__).with_name(f"peer_{way.peer}.py")
    done = subprocess.run(
        [str(_python()), str(script)],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    if done.returncode:
        raise PeersMissing(f"{way.peer} failed: {done.stderr.strip()[-2000:]}")
    answer = json.loads(done.stdout)
    return PeerRun(
        version=answer["version"],
        setup_s=answer["setup_s"],
        took_us=tuple(answer["took_us"]),
        off=tuple(answer["off"]),
    )


def _python() -> Path:
    place = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    return ENVIRONMENT / place
