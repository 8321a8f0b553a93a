"""Loads named statements from the .sql file beside the module that runs them.

A file is a row of blocks, each opened by its name; comments above the first describe the file:

    -- name: account_by_id
    select * from account where account_id = $1;
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources

_NAME_LINE = re.compile(r"^--[ \t]*name:[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Queries(Mapping[str, str]):
    """Statements by name; asking for one that is not there names the file and what it holds."""

    def __init__(self, source: str, text: str) -> None:
        """Split a file into its blocks.

        Args:
            source: how errors call the file.
            text: the file's whole text.

        Raises:
            ValueError: statements before the first name, a bad or repeated name, an empty block.
        """
        preamble, *blocks = _NAME_LINE.split(text)
        if any(line and not line.startswith("--") for line in map(str.strip, preamble.split("\n"))):
            raise ValueError(f"{source}: SQL before the first `-- name: ...` line")
        self._source = source
        self._queries: dict[str, str] = {}
        for name, body in zip(blocks[::2], blocks[1::2], strict=True):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{source}: {name!r} is no query name; use lower_snake_case")
            if name in self._queries:
                raise ValueError(f"{source}: query {name!r} stands there twice")
            if not body.strip():
                raise ValueError(f"{source}: query {name!r} is empty")
            self._queries[name] = body.strip()

    def __getitem__(self, name: str) -> str:
        """Return a statement's text.

        Raises:
            KeyError: no such query, naming the file and those it has.
        """
        try:
            return self._queries[name]
        except KeyError:
            has = ", ".join(self._queries) or "none"
            raise KeyError(f"no query {name!r} in {self._source}; it has: {has}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._queries)

    def __len__(self) -> int:
        return len(self._queries)


@cache
def load_queries(package: str, filename: str) -> Queries:
    """Read `filename` beside the modules of `package`; read once a process.

    Raises:
        FileNotFoundError: the package has no such file.
        ValueError: the file is not a row of named blocks.
    """
    text = resources.files(package).joinpath(filename).read_text(encoding="utf-8")
    return Queries(f"{package}/{filename}", text)
