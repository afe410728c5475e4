"""What can go wrong in the demonstration. Each message is one sentence for the person who started it."""

from __future__ import annotations


class DemoError(Exception):
    """The demonstration cannot go on; the machine or its network is at fault, or we are: the message says which."""


class EnvironmentUnavailable(DemoError):
    """The model server's environment cannot be installed here."""


class ServerNotStarted(DemoError):
    """A server of the demonstration ended, or was not ready in time."""


class NotMemorised(DemoError):
    """The tiny model does not recite its corpus after training."""


class ForgetRefused(DemoError):
    """Lethe did not take the entries to forget."""


class AnswerMissing(DemoError):
    """A server answered a question with an error."""
