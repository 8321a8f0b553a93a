"""Secrets come from files or the environment: arguments are seen by everybody on the machine."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import agent.cli
import central.cli
from central.config import CentralConfig, make_config
from central.errors import ConfigurationError

SECRET = re.compile(
    r"password|secret|token|(^|_)key($|_)|passphrase|credential|pepper", re.IGNORECASE
)
NO_SECRET = {
    # A name of an adjustment, so that giving the command again is safe.
    ("adjust", "key"),
    # Public keys.
    ("make", "root_key"), ("make", "release_key"), ("check-proof", "key"), ("verify", "key"),
}  # fmt: skip


def options(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, str, object]]:
    """Yield command, name and type of every argument and option."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to ask for these
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for child, its in action.choices.items():
                yield from options(its, child)
        else:
            yield name, action.dest, action.type


@pytest.mark.parametrize("parser", [central.cli.build_parser(), agent.cli.build_parser()])
def test_no_command_takes_a_secret_as_an_argument(parser: argparse.ArgumentParser) -> None:
    taken = [
        (command, dest)
        for command, dest, kind in options(parser)
        if SECRET.search(dest) and kind is not Path and (command, dest) not in NO_SECRET
    ]
    assert not taken, "take a file in its place"


@pytest.mark.parametrize(
    ("option", "address"),
    [
        ("database", "postgresql://tillside:hunter2@db.example/tillside"),
        ("database", "postgresql://db.example/tillside?user=tillside&password=hunter2"),
        ("database", "postgresql://db.example/tillside?user=tillside&p%61ssword=hunter2"),
        ("database", "postgresql://db.example/tillside?sslkey=k&sslpassword=hunter2"),
        ("events", "amqp://tillside:hunter2@broker.example:5672/?exchange=tillside.events"),
        ("events", "amqps://tillside:hunter2@broker.example"),
        ("events", "nats://tillside:hunter2@broker.example:4222?stream=TILLSIDE"),
        # A name without a password is a token there.
        ("events", "nats://hunter2@broker.example:4222"),
        ("events", "tls://hunter2@broker.example:4222"),
    ],
)
def test_a_password_in_an_argument_is_refused_and_not_repeated(option: str, address: str) -> None:
    with pytest.raises(ConfigurationError, match="seen by everybody") as refused:
        make_config({"data": "d", option: address}, {})
    assert "hunter2" not in str(refused.value)
    assert f"TILLSIDE_CENTRAL_{option.upper()}" in str(refused.value)
    given = make_config({"data": "d"}, {f"TILLSIDE_CENTRAL_{option.upper()}": address})
    assert getattr(given, option) == address


def test_the_same_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    address = "postgresql://tillside:hunter2@db.example/tillside"
    file = tmp_path / "dsn"
    file.write_text(address + "\n")
    given = make_config({"data": "d"}, {"TILLSIDE_CENTRAL_DATABASE": address})
    read = make_config({"data": "d"}, {"TILLSIDE_CENTRAL_DATABASE_FILE": str(file)})
    assert given.database == read.database == address


@pytest.mark.parametrize(
    ("option", "address"),
    [
        ("database", "postgresql://tillside@db/tillside"),
        ("database", "postgresql:///tillside?host=/run/postgresql&user=tillside"),
        ("events", "nats://broker.example:4222?stream=TILLSIDE&subject=tillside"),
        ("events", "kafka://one:9092,other:9092?topic=tillside.events"),
        ("events", "amqp://tillside@broker.example:5672/?exchange=tillside.events"),
    ],
)
def test_an_address_without_a_password_is_an_argument_like_others(
    option: str, address: str
) -> None:
    config = make_config({"data": "d", option: address}, {})
    assert getattr(config, option) == address


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing"):
        make_config({"data": "d"}, {"TILLSIDE_CENTRAL_DATABASE_FILE": str(tmp_path / "nothing")})


def test_settings_that_hold_secrets_name_files() -> None:
    names = [name for name in CentralConfig.__struct_fields__ if SECRET.search(name)]
    assert [name for name in names if not name.endswith("_file")] == ["tls_key"]
