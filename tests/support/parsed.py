"""Statements as PostgreSQL has parsed them: which tables, columns and functions each really names.

A statement becomes the body of a function; the server keeps that as a tree, which is read here.
Nothing is guessed from its text: `using`, aliases, stars and views are resolved by the server.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from central.database.pool import Connection

_TOKEN = re.compile(r"[(){}]|(?:\\.|[^\s(){}\\])+")


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the tree: its kind as PostgreSQL calls it, and its fields."""

    kind: str
    fields: dict[str, Any]

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - nodes, lists, words
        return self.fields[name]

    def get(self, name: str) -> Any:  # noqa: ANN401 - nodes, lists, words
        """Return a field; None where this kind of node has none."""
        return self.fields.get(name)

    def number(self, name: str) -> int:
        """Return a field that is a number."""
        return int(self.fields[name])


def read_tree(text: str) -> Any:  # noqa: ANN401 - a node or a list
    """Return a `pg_node_tree` as nodes, lists and words; `<>`, nothing, is None."""
    tokens = [each.group() for each in _TOKEN.finditer(text)]
    value, _ = _value(tokens, 0)
    return value


def _value(tokens: list[str], at: int) -> tuple[Any, int]:
    token = tokens[at]
    if token == "{":
        return _node(tokens, at + 1)
    if token == "(":
        found, at = [], at + 1
        while tokens[at] != ")":
            each, at = _value(tokens, at)
            found.append(each)
        return found, at + 1
    return (None if token == "<>" else token), at + 1


def _node(tokens: list[str], at: int) -> tuple[Node, int]:
    kind, at, fields = tokens[at], at + 1, {}
    while tokens[at] != "}":
        name, at = tokens[at][1:], at + 1
        values = []
        while tokens[at] != "}" and not tokens[at].startswith(":"):
            each, at = _value(tokens, at)
            values.append(each)
        fields[name] = values[0] if len(values) == 1 else values
    return Node(kind, fields), at + 1


def below(value: Any) -> Iterator[Node]:  # noqa: ANN401 - a node, a list, a word
    """Yield the nodes right below a node, or in a list."""
    if isinstance(value, Node):
        for each in value.fields.values():
            if isinstance(each, Node):
                yield each
            else:
                yield from below(each)
    elif isinstance(value, list):
        for each in value:
            if isinstance(each, Node):
                yield each
            else:
                yield from below(each)


async def parse(connection: Connection, sql: str) -> Node:
    """Return a statement's query as PostgreSQL has analysed it.

    Args:
        connection: on a migrated database, outside a transaction; nothing stays.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"prepare parsed as {sql}")
        types = await connection.fetchval(
            "select array_to_string(parameter_types, ', ') from pg_prepared_statements"
            " where name = 'parsed'"
        )
        await connection.execute("deallocate parsed")
        await connection.execute(
            f"create function pg_temp.parsed({types}) returns void language sql begin atomic"
            f" {sql.rstrip().removesuffix(';')};\nend"
        )
        text = await connection.fetchval(
            "select prosqlbody::text from pg_proc where proname = 'parsed'"
        )
    finally:
        await transaction.rollback()
    (((query,),),) = (read_tree(text),)
    assert isinstance(query, Node), text
    return query


async def views(connection: Connection) -> dict[int, Node]:
    """Return the queries of the schema's views, by the view's oid."""
    rows = await connection.fetch(
        "select c.oid::bigint, r.ev_action::text as body from pg_rewrite r"
        " join pg_class c on c.oid = r.ev_class"
        " where c.relkind = 'v' and c.relnamespace = current_schema()::regnamespace"
    )
    found = {}
    for row in rows:
        (query,) = read_tree(row["body"])
        found[row["oid"]] = query
    return found
