"""`rules key` and `rules root ...`: which keys may sign rules."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from central.commands.acting import add_token_option, find_acting
from central.commands.command import (
    Commands,
    add_centre_command,
    add_centre_options,
    add_command,
    add_json_option,
    report,
)
from central.errors import BadRequestError

if TYPE_CHECKING:
    from central.config import CentralConfig


def add_keys(actions: Commands) -> None:
    """Declare the commands among the actions of `rules`."""
    key = add_command(
        actions,
        "key",
        "make a key and write it to a file; prints its public half",
        _key,
        example="rules key /media/key/release.key",
    )
    key.add_argument("file", type=Path, help="the private half; must not be there yet")
    add_json_option(key)
    root = actions.add_parser(
        "root",
        help="say which keys may sign rules",
        description="Say which keys may sign rules.",
        epilog="Example: tillside-central rules root install root-2.json",
    )
    add_centre_options(root)
    steps = root.add_subparsers(dest="step", required=True, metavar="STEP")
    make = add_command(
        steps,
        "make",
        "write the next root document, not signed yet",
        _make,
        example="rules root make root-2.json --after root-1.json --root-key KEY --release-key KEY",
    )
    make.add_argument("file", type=Path, help="the file to write")
    make.add_argument("--after", type=Path, help="the root document before; without it the first")
    make.add_argument("--root-key", action="append", required=True, help="public; repeat")
    make.add_argument("--threshold", type=int, default=1, help="so many sign (default 1)")
    make.add_argument("--release-key", action="append", required=True, help="public; repeat")
    sign = add_command(
        steps,
        "sign",
        "add a root key's signature to a root document, in its file",
        _sign,
        example="rules root sign root-2.json --key /media/key/root-1.key",
    )
    sign.add_argument("file", type=Path)
    sign.add_argument("--key", type=Path, required=True, help="a private root key")
    install = add_centre_command(
        steps,
        "install",
        "check a root document and hand it to tills",
        _install,
        example="rules root install root-2.json",
    )
    install.add_argument("file", type=Path)
    add_token_option(install)
    for command in (make, sign, install):
        add_json_option(command)


def _key(options: argparse.Namespace) -> int:
    from central.keys import KEY_BYTES
    from central.system import System
    from sync.signing import SigningKey

    key = SigningKey(System().random_bytes(KEY_BYTES))
    descriptor = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key.seed().hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    report(options, {"public": key.public.hex()}, key.public.hex())
    return 0


def _make(options: argparse.Namespace) -> int:
    from sync.roots import ReleaseKey, RootDocument, new_root, read_root, write_root

    try:
        before = read_root(options.after.read_bytes()).root() if options.after else None
        known = {each.key: each.generation for each in before.release_keys} if before else {}
        generation = max(known.values(), default=0) + 1
        document = RootDocument(
            version=before.version + 1 if before else 1,
            root_keys=tuple(options.root_key),
            threshold=options.threshold,
            release_keys=tuple(
                ReleaseKey(key=key, generation=known.get(key, generation))
                for key in options.release_key
            ),
        )
        content = write_root(new_root(document))
        read_root(content).root()
    except ValueError as error:
        raise BadRequestError("root", str(error)) from error
    options.file.write_bytes(content)
    text = f"root {document.version} in {options.file}: to be signed by {document.threshold} of it"
    report(options, {"version": document.version}, f"{text} and by the keys of the one before")
    return 0


def _sign(options: argparse.Namespace) -> int:
    from central.keys import load_rule_key
    from sync.errors import MalformedMessageError
    from sync.roots import read_root, write_root

    try:
        signed = read_root(options.file.read_bytes()).signed_by(load_rule_key(options.key))
        root = signed.root()
    except MalformedMessageError as error:
        raise BadRequestError("root", str(error)) from error
    options.file.write_bytes(write_root(signed))
    own = signed.signers(root.root_keys)
    found = {"version": root.version, "signatures": len(signed.signatures), "own": own}
    report(options, found, f"root {root.version} has {own} of its {root.threshold} signatures")
    return 0


async def _install(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.rules.releases import authorise
    from central.rules.roots import install_root
    from central.staff.persons import APPROVER
    from central.system import System

    system = System()
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        by = await authorise(connection, await find_acting(connection, options), APPROVER)
        root = await install_root(connection, options.file.read_bytes(), by=by, system=system)
    keys = ", ".join(f"{each.key[:12]} ({each.generation})" for each in root.release_keys)
    found = {"version": root.version, "release_keys": [each.key for each in root.release_keys]}
    report(options, found, f"root {root.version} is installed; releases are signed by {keys}")
    return 0
