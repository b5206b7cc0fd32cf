"""What goes wrong with stores: which faults pass, which last, and how they are put to people.

The libraries behind fsspec raise errors of their own, some of them with the answer of the store at the
end of a chain of causes. Here they are told apart by what they carry (codes, HTTP statuses, class names),
so that none of those libraries need be imported.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

# By code of S3, Google, Azure; the rest by HTTP status, then by class.
NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
BAD_CREDENTIALS = (
    "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken", "InvalidAccessKeyId",
    "InvalidClientTokenId", "SignatureDoesNotMatch", "AuthenticationFailed", "InvalidAuthenticationInfo",
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError",
    "UnauthorizedSSOTokenError", "SSOTokenLoadError", "ProfileNotFound", "RefreshError", "DefaultCredentialsError",
    "ClientAuthenticationError",
)  # fmt: skip
DENIED = ("AccessDenied", "AllAccessDisabled", "AuthorizationFailure", "AuthorizationPermissionMismatch",
          "InsufficientAccountPermissions", "AccountProblem")  # fmt: skip
THROTTLED = ("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests",
             "ServerBusy", "BandwidthLimitExceeded")  # fmt: skip
SERVER = ("InternalError", "ServiceUnavailable", "OperationAborted", "RequestTimeout", "OperationTimedOut")
TIMED_OUT = ("TimeoutError", "FSTimeoutError", "ReadTimeoutError", "ConnectTimeoutError", "ReadTimeout",
             "ConnectTimeout", "ServerTimeoutError", "SocketTimeoutError", "ConnectionTimeoutError")  # fmt: skip
NOT_REACHED = ("ConnectionRefusedError", "EndpointConnectionError", "ClientConnectorError", "gaierror",
               "ClientConnectorDNSError", "ProxyConnectionError", "ServiceRequestError", "TransportError")  # fmt: skip
BROKEN_OFF = ("ConnectionResetError", "ConnectionAbortedError", "BrokenPipeError", "ConnectionClosedError",
              "ServerDisconnectedError", "ClientOSError", "ClientPayloadError", "ContentLengthError",
              "ResponseStreamingError", "IncompleteRead", "IncompleteReadError", "ChunkedEncodingError",
              "ServiceResponseError", "HTTPClientError", "ClientConnectionError", "ConnectionError")  # fmt: skip
GARBLED = ("ResponseParserError", "FlexibleChecksumError", "ChecksumError", "ChecksumMismatch", "BadDigest",
           "IncompleteBody", "TransferEncodingError", "BadStatusLine", "BadHttpMessage", "ContentDecodingError",
           "DecodeError", "XAmzContentSHA256Mismatch", "Garbled")  # fmt: skip
CERTIFICATE = ("SSLCertVerificationError", "ClientConnectorCertificateError", "SSLError")

VANISHED = {errno.ESTALE, errno.ENOTCONN, errno.EIO, errno.ENODEV, errno.ENXIO, errno.EHOSTDOWN}


@dataclass(frozen=True)
class Fault:
    """A kind of fault: what it is, whether it lasts until somebody mends it, and how."""

    what: str
    lasts: bool
    mend: str = "run again: what is finished is kept"


NO_BUCKET_THERE = Fault("there is no such bucket", True, "create it, or name another")
_CREDENTIALS = Fault("the credentials are refused", True, "renew them (environment, profile, storage_options or block)")
_DENIED = Fault("access is denied", True, "ask for the permission, or check the credentials")
_THROTTLED = Fault("the store asks to slow down", False)
_SERVER = Fault("the store has an error of its own", False)
_TIMED_OUT = Fault("the store does not answer in time", False)
_NOT_REACHED = Fault("the store cannot be reached", False, "check the endpoint and the network, then run again")
_BROKEN_OFF = Fault("the connection breaks off", False)
_SHORT = Fault("fewer bytes come than were asked for", False)
_GARBLED = Fault("the answer is garbled", False)
_CERTIFICATE = Fault("its certificate is not trusted", True, "check the URL, or the certificates of this machine")
_REDIRECT = Fault("it redirects to where cellstrata does not follow", True, "give the address it redirects to")
_NO_RANGES = Fault("it serves whole files only, no parts", True, "download the file, and give its path")
_CLOCK = Fault("this machine's clock is wrong", True, "set it")
_STATUS = {401: _CREDENTIALS, 403: _DENIED, 408: _TIMED_OUT, 429: _THROTTLED, 500: _SERVER, 502: _SERVER,
           503: _THROTTLED, 504: _TIMED_OUT}  # fmt: skip


class StoreError(OSError):
    """A store fails for good: the place, what is wrong, and what to do. `lasting` ones need mending first."""

    def __init__(self, place: str, what: str, mend: str, lasting: bool) -> None:
        super().__init__(f"{place}: {what}; {mend}")
        self.place, self.what, self.mend, self.lasting = place, what, mend, lasting

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.place, self.what, self.mend, self.lasting)


class StoreDenied(StoreError, PermissionError):
    """The store refuses what was asked: credentials or permissions."""


class ShortRead(Exception):
    """Fewer bytes came than were asked for, and the store did not say so."""


class Garbled(Exception):
    """An answer came that is not the store's: a page of a proxy, say."""


class NoRanges(Exception):
    """A whole file came where a part was asked for."""


class RedirectRefused(Exception):
    """A server redirects from https to http."""


def fault_of(error: BaseException) -> tuple[Fault, str] | None:
    """Say which fault of a store an error is, and its code or class; None if it is none.

    FileNotFoundError is none, unless behind it stands a store that fails: fsspec's http says so of all.
    """
    links = list(_chain(error))
    for link in links:
        if isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return None
    for link in links:
        if by_code := _of_code(_code(link)) or _of_code(type(link).__name__):
            return by_code, _code(link) or type(link).__name__
    status = next((s for link in links if (s := _status(link))), None)
    if status in _STATUS:
        return _STATUS[status], str(status)
    if any(isinstance(link, FileNotFoundError) for link in links) and status in (None, 404):
        network = [_of_class(link) for link in links if not isinstance(link, FileNotFoundError)]
        return next((found for found in network if found), None)
    if any(isinstance(getattr(link, "response", None), dict) and not _code(link) for link in links):
        return _GARBLED, f"{status} without a code"  # an answer that is not S3's
    if any(isinstance(link, PermissionError) for link in links):
        return _DENIED, "403"
    if any(str(link).startswith("Forbidden: ") for link in links):  # gcsfs
        return _DENIED, "403"
    return next((found for link in links if (found := _of_class(link))), None)


def fault_of_answer(code: str, status: int) -> tuple[Fault, str] | None:
    """The same of an answer of S3."""
    found = _of_code(code) or _STATUS.get(status)
    return (found, code or str(status)) if found else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _code(error: BaseException) -> str:
    response: object = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    code: object = getattr(error, "error_code", None)  # Azure
    return str(getattr(code, "value", code) or "")


def _status(error: BaseException) -> int | None:
    response: object = getattr(error, "response", None)
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = next((s for name in ("status_code", "status", "code") if (s := getattr(error, name, None))), None)
    try:
        return int(found) if found is not None else None
    except (TypeError, ValueError):
        return None


def _of_code(code: str) -> Fault | None:
    for codes, fault in (
        (NO_BUCKET, NO_BUCKET_THERE), (BAD_CREDENTIALS, _CREDENTIALS), (DENIED, _DENIED), (THROTTLED, _THROTTLED),
        (SERVER, _SERVER), (GARBLED, _GARBLED), (CERTIFICATE, _CERTIFICATE), (("RequestTimeTooSkewed",), _CLOCK),
        (("ShortRead",), _SHORT), (("NoRanges",), _NO_RANGES),
        (("RedirectRefused", "NonHttpUrlRedirectClientError", "TooManyRedirects"), _REDIRECT),
    ):  # fmt: skip
        if code in codes:
            return fault
    return None


def _of_class(error: BaseException) -> tuple[Fault, str] | None:
    names = [kind.__name__ for kind in type(error).__mro__]
    for classes, fault in ((TIMED_OUT, _TIMED_OUT), (NOT_REACHED, _NOT_REACHED), (BROKEN_OFF, _BROKEN_OFF)):
        if found := next((name for name in names if name in classes), None):
            return fault, type(error).__name__ or found
    return None
