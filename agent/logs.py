"""Structured log lines on standard error: JSON for machines, short text on a terminal.

Never a card or a name in them.
"""

import logging
import sys

import structlog


def set_up_logs() -> None:
    """Choose the form of log lines once per process."""
    # Tracebacks without the values of variables: those hold what no log may hold.
    renderers: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if sys.stderr.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
