"""What Citus refuses, or answers in another way, found in statements before any has seen them.

The rules are taken from Citus's documentation and source, they were not tried on it. A statement is
looked at part by part: each `with` query is planned by itself, what a view stands for is looked
into.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from central.database.pool import Connection
from central.database.spreading import GROUPS, REPLICATED
from tests.support.parsed import Node, below, parse, views

Key = tuple[Any, ...]

_RELATION, _SUBQUERY, _JOIN, _FUNCTION, _GROUP = "0", "1", "2", "3", "9"
_SELECT, _UPDATE, _INSERT = "1", "2", "3"

RULES: Final = {
    "moves": "changes the column its table is spread by",
    "joins": "joins spread tables, and not by the column both are spread by",
    "locks": "locks rows of more than one machine, or together with a table of the coordinator",
    "does": "has a worker do what only the coordinator can, or what must be done once",
    "looks up": "asks a table of the coordinator for each row of a spread one",
    "place": "names rows by their place on disk, which is another one on each machine",
    "key": "relies on a key that goes when its table is spread",
}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the server knows: tables by oid, the spread ones' columns, functions, operators.

    Attributes:
        tables: by oid.
        columns: number of the column a table is spread by.
        at_large: functions that are volatile or the schema's own, by oid.
        equal: operators called `=`.
        lost: tables with a unique key that goes.
    """

    tables: Mapping[int, str]
    columns: Mapping[str, int]
    at_large: Mapping[int, str]
    equal: frozenset[int]
    lost: frozenset[str]
    views: Mapping[int, Node]


async def catalogue(connection: Connection) -> Catalogue:
    """Read the catalogue of a migrated database of one machine."""
    spread_by = {table: group.column for group in GROUPS for table in group.tables}
    tables = await connection.fetch(
        "select oid::bigint, relname from pg_class where relnamespace in"
        " (current_schema()::regnamespace, 'personal'::regnamespace) and relkind in ('r', 'p')"
    )
    columns = await connection.fetch(
        "select attrelid::regclass::text as table, attname, attnum from pg_attribute"
        " where attrelid = any($1::text[]::regclass[]) and attnum > 0",
        list(spread_by),
    )
    at_large = await connection.fetch(
        "select oid::bigint, proname from pg_proc where provolatile = 'v'"
        " or pronamespace = current_schema()::regnamespace"
    )
    equal = await connection.fetch("select oid::bigint from pg_operator where oprname = '='")
    lost = await connection.fetch(
        "select distinct indrelid::regclass::text as table from pg_index i where indisunique"
        " and indrelid = any($1::text[]::regclass[]) and not exists ("
        "   select from pg_attribute a where a.attrelid = indrelid and a.attnum = any(i.indkey)"
        "   and a.attname = ($2::text[])[array_position($1, indrelid::regclass::text)])",
        list(spread_by),
        list(spread_by.values()),
    )
    return Catalogue(
        tables={row["oid"]: row["relname"] for row in tables},
        columns={
            row["table"]: row["attnum"]
            for row in columns
            if spread_by[row["table"]] == row["attname"]
        },
        at_large={row["oid"]: row["proname"] for row in at_large},
        equal=frozenset(row["oid"] for row in equal),
        lost=frozenset(row["table"] for row in lost),
        views=await views(connection),
    )


@dataclass(slots=True, eq=False)
class _Scope:
    """A query among those it stands in."""

    query: Node
    outer: "_Scope | None"

    def table(self, number: int) -> Node:
        found = self.query["rtable"][number - 1]
        assert isinstance(found, Node)
        return found


@dataclass(slots=True)
class _Part:
    """One query that Citus plans as a whole.

    Attributes:
        spread: tables that are spread, by where they stand in the query.
        apart: as of `_whole`.
        local: those of the coordinator, each with whether it stands in a query that refers to a
            spread table of an outer one.
    """

    catalogue: Catalogue
    apart: list[Node] | None = None
    spread: dict[Key, str] = field(default_factory=dict)
    local: list[tuple[str, bool]] = field(default_factory=list)
    locks: bool = False
    functions: set[str] = field(default_factory=set)
    system: set[str] = field(default_factory=set)
    same: dict[Key, Key] = field(default_factory=dict)

    def root(self, key: Key) -> Key:
        while self.same.get(key, key) != key:
            key = self.same[key]
        return key

    def unite(self, one: Key, other: Key) -> None:
        self.same[self.root(one)] = self.root(other)

    def is_given(self, key: Key) -> bool:
        """Say whether a column equals one value that is known before the query runs."""
        root = self.root(key)
        return any(
            each[0] in ("parameter", "constant") and self.root(each) == root for each in self.same
        ) or root[0] in ("parameter", "constant")

    def column(self, place: Key) -> Key:
        """Return the key of the column that a table in the query is spread by."""
        return ("column", *place, self.catalogue.columns[self.spread[place]])


async def refusals(connection: Connection, known: Catalogue, sql: str) -> set[str]:
    """Return the `RULES` a statement breaks, each with the tables or functions it is about."""
    query = await parse(connection, sql)
    queries = [query, *(each["ctequery"] for each in _all(query) if each.kind == "COMMONTABLEEXPR")]
    return {
        said
        for each in queries
        for said in chain(_judge_reading(known, each), _judge_writing(known, each))
    }


def _whole(known: Catalogue, query: Node, apart: list[Node] | None = None) -> _Part:
    """Read a query with those inside of it.

    Args:
        apart: takes those which refer to nothing outside of them, instead.
    """
    part = _Part(known, apart)
    _read(part, _Scope(query, None))
    return part


def _all(value: Node) -> Iterator[Node]:
    for each in below(value):
        yield each
        yield from _all(each)


def _read(part: _Part, scope: _Scope) -> None:
    query = scope.query
    written: set[int] = set()
    if query["commandType"] == _INSERT:
        written = {query.number("resultRelation")}
        if query["onConflict"] is not None:
            written.add(query["onConflict"].number("exclRelIndex"))
    refers = any(
        each.kind == "VAR" and each.number("varlevelsup") > 0 for each in _own_nodes(query)
    )
    for number, table in enumerate(query["rtable"] or [], start=1):
        if table["rtekind"] == _RELATION and number not in written:
            _read_relation(part, scope, number, table, refers=refers and scope.outer is not None)
        elif table["rtekind"] == _SUBQUERY:
            _read_inner(part, scope, table["subquery"])
    if query["rowMarks"] and any(each["pushedDown"] == "false" for each in query["rowMarks"]):
        part.locks = True
    _equate(part, scope, query["jointree"])
    for node in _own_nodes(query):
        _read_node(part, scope, node)


def _read_inner(part: _Part, scope: _Scope, query: Node) -> None:
    if part.apart is not None and not _refers_out(query):
        part.apart.append(query)
    else:
        _read(part, _Scope(query, scope))


def _refers_out(value: Node, depth: int = 0) -> bool:
    """Say whether a query names a column of one it stands in."""
    for each in below(value):
        if each.kind == "VAR" and each.number("varlevelsup") > depth:
            return True
        if _refers_out(each, depth + (each.kind == "QUERY")):
            return True
    return False


def _read_relation(part: _Part, scope: _Scope, number: int, table: Node, *, refers: bool) -> None:
    oid = table.number("relid")
    if oid in part.catalogue.views:
        # Never by itself: that would fetch all of it.
        _read(part, _Scope(part.catalogue.views[oid], scope))
        return
    name = part.catalogue.tables.get(oid, "")
    if name in part.catalogue.columns:
        part.spread[id(scope.query), number] = name
    elif name and name not in REPLICATED:
        part.local.append((name, refers))


def _read_node(part: _Part, scope: _Scope, node: Node) -> None:
    if node.kind == "SUBLINK":
        _read_inner(part, scope, node["subselect"])
        _equate_sublink(part, scope, node)
    for name in ("funcid", "opfuncid"):
        if node.get(name) and int(node[name]) in part.catalogue.at_large:
            part.functions.add(part.catalogue.at_large[int(node[name])])
    if node.kind == "VAR" and node.number("varattno") < 0:
        key = _key(part, scope, node)
        if key is not None and key[0] == "column" and key[1:3] in part.spread:
            part.system.add(part.spread[key[1:3]])


def _own_nodes(query: Node) -> Iterator[Node]:
    """Yield a query's nodes, those of queries inside of it left out."""
    for name, value in query.fields.items():
        if name in ("cteList", "rtable"):
            continue
        for each in [value] if isinstance(value, Node) else below(value):
            yield from _expression(each)
    for table in query["rtable"] or []:
        if table["rtekind"] == _FUNCTION:
            for each in below(table["functions"]):
                yield from _expression(each)


def _expression(node: Node) -> Iterator[Node]:
    yield node
    for each in below(node):
        if each.kind != "QUERY":
            yield from _expression(each)


def _equate(part: _Part, scope: _Scope, value: Node | None) -> None:
    """Note what a join tree and its conditions say is equal."""
    if value is None:
        return
    if value.kind in ("FROMEXPR", "JOINEXPR"):
        _equate(part, scope, value["quals"])
        for each in value.get("fromlist") or [value.get("larg"), value.get("rarg")]:
            _equate(part, scope, each)
    elif value.kind == "BOOLEXPR" and value["boolop"] == "and":
        for each in value["args"]:
            _equate(part, scope, each)
    elif value.kind == "OPEXPR" and int(value["opno"]) in part.catalogue.equal:
        one, other = (_key(part, scope, each) for each in value["args"])
        if one is not None and other is not None:
            part.unite(one, other)


def _equate_sublink(part: _Part, scope: _Scope, node: Node) -> None:
    """Note that in `x in (select y ...)` the two are equal."""
    test = node["testexpr"]
    if node["subLinkType"] != "2" or test is None or test.kind != "OPEXPR":
        return
    inner = _Scope(node["subselect"], scope)
    one = _key(part, scope, test["args"][0])
    other = _key(part, inner, node["subselect"]["targetList"][0]["expr"])
    if int(test["opno"]) in part.catalogue.equal and one is not None and other is not None:
        part.unite(one, other)


def _key(part: _Part, scope: _Scope, node: Node) -> Key | None:
    """Return what an expression is: a column of a table in the query, a value; None = other."""
    while (inside := _only(node)) is not None:
        node = inside
    if node.kind == "PARAM":
        return ("parameter", node["paramid"]) if node["paramkind"] == "0" else None
    if node.kind == "CONST":
        return ("constant", str(node["constvalue"]))
    return _column(part, scope, node) if node.kind == "VAR" else None


def _column(part: _Part, scope: _Scope, node: Node) -> Key:
    """Return the key of a column: where it really comes from."""
    for _ in range(node.number("varlevelsup")):
        if scope.outer is None:
            return ("outside", id(scope.query), node["varno"], node["varattno"])
        scope = scope.outer
    number, column = node.number("varno"), node.number("varattno")
    table = scope.table(number)
    if table["rtekind"] == _JOIN:
        return _key_of(part, scope, table["joinaliasvars"][column - 1])
    if table["rtekind"] == _GROUP:
        return _key_of(part, scope, table["groupexprs"][column - 1])
    inner = table["subquery"] if table["rtekind"] == _SUBQUERY else None
    if table["rtekind"] == _RELATION:
        inner = part.catalogue.views.get(table.number("relid"))
    if inner is not None and column > 0 and not inner["setOperations"]:
        (target,) = (each for each in inner["targetList"] if each.number("resno") == column)
        return _key_of(part, _Scope(inner, scope), target["expr"])
    return ("column", id(scope.query), number, column)


def _key_of(part: _Part, scope: _Scope, node: Node) -> Key:
    return _key(part, scope, node) or ("expression", id(node))


def _only(node: Node) -> Node | None:
    """Return the argument of what only changes an expression's type; None = it is another one."""
    if node.kind in ("RELABELTYPE", "COERCEVIAIO"):
        arg = node["arg"]
        return arg if isinstance(arg, Node) else None
    if node.kind != "FUNCEXPR":
        return None
    is_cast = node["funcformat"] in ("1", "2")
    return node["args"][0] if is_cast and node["args"] else None


# Rules


def _judge_reading(known: Catalogue, query: Node) -> Iterator[str]:
    part = _whole(known, query)
    if not _is_together(part):
        # What stands for itself is asked first, and its result joined.
        apart: list[Node] = []
        part = _whole(known, query, apart)
        for each in apart:
            yield from _judge_reading(known, each)
    if not part.spread:
        return
    tables = ", ".join(sorted(set(part.spread.values())))
    if not _is_together(part):
        yield f"joins: {tables}"
    columns = [part.column(place) for place in part.spread]
    if part.locks and (part.local or not all(part.is_given(each) for each in columns)):
        yield f"locks: {tables}"
    if part.functions:
        yield f"does: {', '.join(sorted(part.functions))}"
    for name, refers in part.local:
        if refers:
            yield f"looks up: {name}"
    for name in sorted(part.system):
        yield f"place: {name}"


def _is_together(part: _Part) -> bool:
    """Say whether all rows that are joined stand on one machine."""
    return len({part.root(part.column(place)) for place in part.spread}) <= 1


def _judge_writing(known: Catalogue, query: Node) -> Iterator[str]:
    if query["commandType"] == _SELECT:
        return
    target = query["rtable"][query.number("resultRelation") - 1]
    table = known.tables.get(target.number("relid"), "")
    column = known.columns.get(table)
    if column is None:
        return
    if query["commandType"] == _UPDATE and column in _written(query["targetList"]):
        yield f"moves: {table}"
    conflict = query["onConflict"]
    if conflict is None:
        return
    if column in _written(conflict["onConflictSet"]):
        yield f"moves: {table}"
    named = {
        each["expr"].number("varattno")
        for each in conflict["arbiterElems"] or []
        if each["expr"].kind == "VAR"
    }
    if column not in named if named else table in known.lost:
        yield f"key: {table}"


def _written(targets: list[Node] | None) -> set[int]:
    return {each.number("resno") for each in targets or [] if each["resjunk"] == "false"}
