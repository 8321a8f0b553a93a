"""Connects to PostgreSQL: one pool a process and traffic class, with bounds on every statement."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qs

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from asyncpg.pool import PoolConnectionProxy

from central.errors import ConfigurationError, DatabaseUnavailableError

if TYPE_CHECKING:
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:  # generic in their stubs alone
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection | PoolConnectionProxy


@dataclass(frozen=True, slots=True)
class Pools:
    """A pool for each traffic class and for what goes on behind: none can use up another's.

    Each works under a role of its own (`central.database.parts`), where the database has them.
    """

    till: Pool
    app: Pool
    office: Pool
    processing: Pool
    personal: Pool
    outreach: Pool

    @classmethod
    def shared(cls, pool: Pool) -> "Pools":
        """Return one pool for all, for commands and tests."""
        return cls(pool, pool, pool, pool, pool, pool)


POSTGRES_MAJOR_MIN = 15
CONNECTIONS_MAX = 8
"""Of a pool that is opened without saying how many."""
CONNECT_S_MAX = 10
STATEMENT_MS_MAX = 30_000
LOCK_WAIT_MS_MAX = 10_000
IDLE_IN_TRANSACTION_MS_MAX = 10_000
COMMAND_S_MAX = 60
"""How long to wait for an answer to one command; longer than the server takes to give up on it."""

_SETTINGS = {
    "application_name": "tillside-central",
    "statement_timeout": str(STATEMENT_MS_MAX),
    "lock_timeout": str(LOCK_WAIT_MS_MAX),
    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS_MAX),
    "timezone": "UTC",
    "jit": "off",  # compiling costs more than the short statements of this service take
    # A machine that vanished says nothing. The server misses it in 15 s, and with its sessions the
    # locks they held end; what the server had sent it must be given up for lost in that time, too.
    # On a Unix socket, where nobody can vanish alone, PostgreSQL passes over them.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "15000",
}


async def open_pool(dsn: str, *, connections_max: int = CONNECTIONS_MAX, role: str = "") -> Pool:
    """Connect, and make sure that this PostgreSQL fits.

    `json` and `jsonb` come and go as text.

    Args:
        dsn: `postgresql://user:password@host:port/database`; of several hosts (`a,b`) the one that
            takes writes is used.
        connections_max: of this pool; the server's `max_connections` bounds the sum of all.
        role: which the connections work under (`central.database.parts`); empty = the DSN's user.

    Raises:
        ConfigurationError: the DSN cannot be read.
        DatabaseUnavailableError: nobody answers, we are refused, or the server is too old, not in
            UTF-8 or read-only; says what to do and never shows the password.
    """
    if not dsn.startswith(("postgresql://", "postgres://")):
        raise ConfigurationError(
            "the database's address has to look like postgresql://user:password@host:port/database",
        )
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=min(2, connections_max),
            max_size=connections_max,
            timeout=CONNECT_S_MAX,
            command_timeout=COMMAND_S_MAX,
            server_settings={**_SETTINGS, **({"role": role} if role else {})},
            target_session_attrs=SessionAttribute.read_write,
            reset=_send_nothing,
        )
    except ValueError:  # its message and its cause may hold parts of the password
        raise ConfigurationError(
            "the database's address cannot be read: it has to look like "
            "postgresql://user:password@host:port/database, with special characters in user and "
            "password percent-encoded",
        ) from None
    except (OSError, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
        raise DatabaseUnavailableError(_explain(error, _target(dsn))) from error
    try:
        async with pool.acquire() as connection:
            _require_fit(connection, _target(dsn))
    except DatabaseUnavailableError:
        await pool.close()
        raise
    return pool


def connections_max_of(pool: Pool) -> int:
    """Return how many connections a pool has at most; what stands in for one knows no bound."""
    return pool.get_max_size() if isinstance(pool, asyncpg.Pool) else CONNECTIONS_MAX


async def _send_nothing(_: Connection) -> None:
    """Take a connection back as it is; what is open on it has been rolled back by then.

    asyncpg would send four statements after each use, a round trip more than the use itself. Nobody
    here leaves anything in a session; who has to, undoes it (`Connection.reset`).
    """


def _require_fit(connection: Connection, target: str) -> None:
    version = connection.get_server_version()
    if version.major < POSTGRES_MAJOR_MIN:
        raise DatabaseUnavailableError(
            f"{target} is PostgreSQL {version.major}; {POSTGRES_MAJOR_MIN} or newer is needed",
        )
    encoding = connection.get_settings().server_encoding
    if encoding != "UTF8":
        raise DatabaseUnavailableError(
            f"the database at {target} is encoded in {encoding}; create one with "
            "`createdb --template=template0 --encoding=UTF8`",
        )


def _explain(error: Exception, target: str) -> str:
    match error:
        case TimeoutError():
            return f"{target} does not answer in {CONNECT_S_MAX} s: check network and firewall"
        case OSError() if error.errno is not None:
            return (
                f"nobody answers at {target} ({error.strerror or error}): check that PostgreSQL "
                "runs there and that host and port are right"
            )
        case asyncpg.InvalidAuthorizationSpecificationError():
            return f"{target} refuses this user: check user, password and pg_hba.conf ({error})"
        case asyncpg.InvalidCatalogNameError():
            return f"{target}: {error}; create it with `createdb` or correct the address"
        case asyncpg.TooManyConnectionsError():
            return f"{target} has no connection left: raise max_connections or lower the pools"
        case asyncpg.CannotConnectNowError():
            return f"{target} is starting or stopping ({error}): try again"
        case asyncpg.TargetServerAttributeNotMatched():
            return f"{target} takes no writes: give the address of the primary"
    return f"{target} refuses the connection: {error}"


def _target(dsn: str) -> str:
    """Return host, port and database: what may be shown of a DSN."""
    address, _, options = dsn.partition("://")[2].rpartition("@")[2].partition("?")
    host = parse_qs(options).get("host", [""])[0]
    return f"{address} in {host}" if host else address
