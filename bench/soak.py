"""Keeps simulated worlds of a month running for long: `python -m bench.soak --minutes 60`.

Everything else is `bench.simulate`'s.
"""

import sys

from bench.simulate.__main__ import main

MINUTES_DEFAULT = 60.0

if __name__ == "__main__":
    sys.exit(main(minutes_default=MINUTES_DEFAULT, profile_default="years"))
