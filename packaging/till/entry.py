"""Where the packaged till agent starts: hands over to its command line."""

import sys

from agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
