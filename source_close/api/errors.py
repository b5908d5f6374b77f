"""The errors that a stream ends with, and their texts."""

import logging

import requests
from airbyte_cdk import AirbyteTracedException, FailureType, models
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

LOGGER = logging.getLogger("airbyte.source-close")
# The plan or the user's role does not include what is requested.
FORBIDDEN = {requests.codes.payment_required, requests.codes.forbidden}
# The same, or the API does not have it.
NOT_OFFERED = {*FORBIDDEN, requests.codes.not_found}
_MAX_QUOTE = 300


class UnusableResponseError(requests.RequestException):
    """A response that is not what was requested, although its status is no error.

    Args:
        text: what is wrong with it.
        status: its row in the error table of the manifest.
    """

    def __init__(self, text: str, status: int = requests.codes.ok) -> None:
        super().__init__(text)
        self.status = status


class CloseApiError(AirbyteTracedException):
    """The stream can't be read further.

    Args:
        stream: the stream's name.
        text: what happened, what it means and what to do; the key is removed from it.
        failure_type: whose fault it is, for Airbyte.
        status: its row in the error table, as a rule Close's HTTP status; 0 without a response.
    """

    def __init__(
        self,
        stream: str,
        text: str,
        failure_type: FailureType = FailureType.transient_error,
        status: int = 0,
    ) -> None:
        self.text = filter_secrets(text)
        message = f"Stream {stream}: {self.text}"
        super().__init__(
            message, message, failure_type, stream_descriptor=models.StreamDescriptor(stream)
        )
        self.status = status


def describe(outcome: requests.Response | Exception) -> str:
    """Return e.g. ``answered 403: «{"error": "No"}»`` or ``failed: timed out``, without the key."""
    if isinstance(outcome, Exception):
        return f"failed: {_quote(_text_of_error(outcome))}"
    quote = _quote(outcome.content.decode(errors="replace"))
    return f"answered {outcome.status_code}" + (f": «{quote}»" if quote else " without a text")


# The key is removed before the cut, which could leave half of it.
def _quote(text: str) -> str:
    return filter_secrets(" ".join(text.split()))[:_MAX_QUOTE]


# The text of the first cause: libraries nest errors. What urllib3 puts before it is no text for a
# user: ``<urllib3.connection.HTTPSConnection object at 0x7f…>: Connection refused``.
def _text_of_error(error: BaseException) -> str:
    while error.__context__ is not None and not isinstance(error, UnusableResponseError):
        error = error.__context__
    text = str(error) or type(error).__name__
    return text.rsplit(">: ", 1)[-1]
