"""What can go wrong, told apart by who must act. All take one message, so that they survive a trip through Ray.

    RaydistillError
      UsageError      the caller gave something wrong; one clear line, exit code 2
      EngineError     an inference engine cannot start or has died
      SandboxError    the sandbox cannot be set up as strictly as asked
      TrainingError   training cannot start or go on

A program that crashes or a completion that is wrong is no error but data: see `actors.sandbox.host.verdict`.
"""


class RaydistillError(Exception):
    """Base of every error that is shown to a user as one line, without a traceback."""


class UsageError(RaydistillError):
    """Input or configuration that cannot be used: what came, what was expected, what to do."""


class EngineError(RaydistillError):
    """An inference engine that cannot start, or died and could not be replaced."""


class SandboxError(RaydistillError):
    """A sandbox below the required grade, or one that cannot be started."""


class TrainingError(RaydistillError):
    """Training that cannot start (no examples, no resources) or cannot go on."""
