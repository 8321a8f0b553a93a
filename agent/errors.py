"""Errors of the till agent.

AgentError
├─ ConfigurationError       somebody must change a setting; exit status 78
├─ EnrolmentError           the till is not enrolled, or could not be
└─ JournalError
   ├─ JournalUnavailableError  it cannot be written now (disk full, read-only);
   │                           the sale goes on without loyalty
   └─ JournalDamagedError      the file is not a sound journal;
                               it is set aside, never repaired silently
"""


class AgentError(Exception):
    """The agent cannot do what was asked."""


class ConfigurationError(AgentError):
    """A setting is missing or wrong."""


class EnrolmentError(AgentError):
    """The till is not enrolled."""


class JournalError(AgentError):
    """The journal failed."""


class JournalUnavailableError(JournalError):
    """The journal cannot be written now; sell without loyalty and free the disk."""


class JournalDamagedError(JournalError):
    """The journal file is damaged."""
