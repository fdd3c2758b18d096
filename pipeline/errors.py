"""Every error the pipeline raises on purpose.

PipelineError
├── ConfigError             a setting, a folder or a command line is wrong: nothing can start
├── DocumentError           this file cannot be read; `reason` says why in one word
├── ModelError
│   ├── HostFault           LM Studio is away, loading or broken: wait, the job pays nothing
│   ├── ModelSetupFault     wrong key, wrong model, refused parameter: a person has to act
│   │   └── HostRefuses     so for every request, as a look at the host has shown: wait, the job pays nothing
│   ├── RequestRefused      this request will never be answered by this model: images, template
│   │   └── SchemaRefused   the server cannot hold the answer to its schema: ask for it in another form
│   ├── ContextOverflow     this request does not fit the loaded context
│   └── OutputFault         the model answered, but not in a usable form
│       └── AnswerCutOff    the answer is longer than it may be: less has to be asked for at once
├── StorageFault            the disk is full, read-only or gone: wait, the job pays nothing
├── SessionLimit            the session used up its steps, seconds or tokens
├── JobNotFound             no job of that name in the outbox
├── TraceDamaged            a line of a job's trace cannot be read
└── ReplayDiverged          a recorded session asked something else than it did before
"""

from __future__ import annotations


class PipelineError(Exception):
    """Carry a message for a person, a hint what to do, and whether trying again may help."""

    transient = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(PipelineError):
    """Name the file and key that are wrong and what to put there."""


class DocumentError(PipelineError):
    """Say why a file cannot be read; `reason` is one stable word such as `damaged` or `encrypted`."""

    def __init__(self, message: str, *, reason: str, hint: str = "", transient: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.transient = transient


class ModelError(PipelineError):
    """Stand above everything that can go wrong between us and the model server."""


class HostFault(ModelError):
    """The host is unreachable, loading, unloaded or crashed; no fault of the job.

    `retry_after_seconds` is what the host itself asked for, where it did.
    """

    transient = True

    def __init__(self, message: str, *, hint: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class ModelSetupFault(ModelError):
    """The host refuses us: wrong key, unknown model, unsupported parameter."""


class HostRefuses(ModelSetupFault):
    """The host refuses whatever is asked, until a person acts; no fault of the job."""

    transient = True


class RequestRefused(ModelError):
    """The host is well and refuses this one request, and would refuse it again."""


class SchemaRefused(RequestRefused):
    """The host refuses the schema or the grammar made of it; without it the same may be asked."""


class ContextOverflow(ModelError):
    """The request is larger than the loaded context; sizes are in tokens where the server names them."""

    def __init__(
        self, message: str, *, hint: str = "", prompt_tokens: int | None = None, context_tokens: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.prompt_tokens = prompt_tokens
        self.context_tokens = context_tokens


class OutputFault(ModelError):
    """The answer is empty, cut off or not what the schema asks for, after the bounded retries."""

    transient = True


class AnswerCutOff(OutputFault):
    """The answer does not end within the tokens it may have, nor within twice as many."""


class StorageFault(PipelineError):
    """Nothing can be written where jobs are kept, or taken from where files are dropped; no fault of the job."""

    transient = True


class SessionLimit(PipelineError):
    """The session ran into one of its limits; `limit` names the setting."""

    def __init__(self, message: str, *, limit: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.limit = limit


class JobNotFound(PipelineError):
    """No job of that name lies in the outbox."""


class ReplayDiverged(PipelineError):
    """The session asked for something that its record does not answer; `step` is the step's key."""

    def __init__(self, message: str, *, step: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.step = step


class TraceDamaged(PipelineError):
    """A line of a trace, not the last one, cannot be read; nothing that we write looks like this."""
