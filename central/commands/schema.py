"""`schema`: JSON Schemas of the documents people and programs write."""

import argparse
import json

from central.commands.command import Commands, add_command
from central.errors import NotFoundError


def add_schema(commands: Commands) -> None:
    """Declare the command."""
    schema = add_command(
        commands,
        "schema",
        "print the JSON Schema of a document",
        _schema,
        example="schema offer > offer.schema.json",
    )
    schema.add_argument("name", nargs="?", help="which document; without it the names are listed")


def _schema(options: argparse.Namespace) -> int:
    from loyalty.schemas import DOCUMENTS, schema_of, summary

    name: str | None = options.name
    if name is None:
        for known in DOCUMENTS:
            print(f"{known:<12} {summary(known)}")
    elif name in DOCUMENTS:
        print(json.dumps(schema_of(name), indent=2))
    else:
        raise NotFoundError(f"there is no schema {name!r}; known: {', '.join(DOCUMENTS)}")
    return 0
