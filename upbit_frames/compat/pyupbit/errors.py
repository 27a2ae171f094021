"""pyupbit's exceptions by name; each has ``name``, ``code`` and ``msg``, and ``str()`` is the message.

All of them are errors of this package too (``uf.errors.UpbitFramesError``), and what an order could
have raised is here for old ``except`` clauses only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from upbit_frames import errors as ours

__all__ = [
    "CreateAskError",
    "CreateBidError",
    "ExpiredAccessKey",
    "InValidAccessKey",
    "InsufficientFundsAsk",
    "InsufficientFundsBid",
    "InvalidQueryPayload",
    "JwtVerification",
    "NoAutorizationIP",
    "NonceUsed",
    "OutOfScope",
    "RemainingReqParsingError",
    "TooManyRequests",
    "UnderMinTotalAsk",
    "UnderMinTotalBid",
    "ValidationError",
    "WidthdrawAddressNotRegisterd",
    "error_handler",
]


class UpbitErrorMixin(ours.UpbitFramesError):
    """Root of pyupbit's errors."""

    name: Any = ""
    code: int = -1
    msg: str = ""

    def __init__(self, message: str | None = None, *, suggestion: str | None = None, **context: Any) -> None:
        text = context.get("msg", message)
        super().__init__(type(self).msg if text is None else text, suggestion=suggestion)
        self.msg = self.message
        self.name = context.get("name", type(self).name)
        self.code = context.get("code", type(self).code)
        self.context = {"name": self.name, "code": self.code, "msg": self.msg}

    def __str__(self) -> str:
        return self.msg


class UpbitError(UpbitErrorMixin):
    """The exchange refused, failed, or could not be reached; ``code`` is the HTTP status, or -1."""


class UpbitBadRequestError(UpbitError):
    """The request was wrong (400)."""

    code = 400


class UpbitUnauthorizedError(UpbitError):
    """The key was wrong (401)."""

    code = 401


class UpbitLimitError(UpbitError):
    """Too many requests."""


def _kind(base: type[UpbitError], class_name: str, name: str, msg: str, code: int | None = None) -> Any:
    attributes = {"name": name, "msg": msg, "code": base.code if code is None else code}
    return type(class_name, (base,), {**attributes, "__module__": __name__, "__doc__": f"pyupbit's {class_name}."})


_ORDER = "the order was refused: it is not complete or not possible"
_FUNDS = "the balance is too small for this order"
_SMALL = "the order is below the smallest amount allowed"
CreateAskError = _kind(UpbitBadRequestError, "CreateAskError", "create_ask_error", _ORDER)
CreateBidError = _kind(UpbitBadRequestError, "CreateBidError", "create_bid_error", _ORDER)
InsufficientFundsAsk = _kind(UpbitBadRequestError, "InsufficientFundsAsk", "insufficient_funds_ask", _FUNDS)
InsufficientFundsBid = _kind(UpbitBadRequestError, "InsufficientFundsBid", "insufficient_funds_bid", _FUNDS)
UnderMinTotalAsk = _kind(UpbitBadRequestError, "UnderMinTotalAsk", "under_min_total_ask", _SMALL)
UnderMinTotalBid = _kind(UpbitBadRequestError, "UnderMinTotalBid", "under_min_total_bid", _SMALL)
WidthdrawAddressNotRegisterd = _kind(
    UpbitBadRequestError, "WidthdrawAddressNotRegisterd", "withdraw_address_not_registerd",
    "the address is not registered for withdrawals",
)  # fmt: skip
ValidationError = _kind(UpbitBadRequestError, "ValidationError", "validation_error", "the request is not valid")
InvalidQueryPayload = _kind(
    UpbitUnauthorizedError, "InvalidQueryPayload", "invalid_query_payload", "the token does not fit the query"
)
JwtVerification = _kind(UpbitUnauthorizedError, "JwtVerification", "jwt_verification", "the token is not valid")
ExpiredAccessKey = _kind(UpbitUnauthorizedError, "ExpiredAccessKey", "expired_access_key", "the key has expired")
NonceUsed = _kind(UpbitUnauthorizedError, "NonceUsed", "nonce_used", "the nonce was used before")
NoAutorizationIP = _kind(
    UpbitUnauthorizedError, "NoAutorizationIP", "no_authorization_i_p", "the key is not allowed from this address"
)
OutOfScope = _kind(UpbitUnauthorizedError, "OutOfScope", "out_of_scope", "the key does not allow this")
InValidAccessKey = _kind(UpbitUnauthorizedError, "InValidAccessKey", "", "the key is not valid", -1)
TooManyRequests = _kind(
    UpbitLimitError, "TooManyRequests", "Too many API requests.", "too many requests, also after waiting", 429
)
RemainingReqParsingError = _kind(
    UpbitLimitError, "RemainingReqParsingError", "", "the header Remaining-Req could not be read"
)

_BY_NAME = {
    (kind.code, kind.name): kind
    for kind in (
        CreateAskError, CreateBidError, InsufficientFundsAsk, InsufficientFundsBid, UnderMinTotalAsk, UnderMinTotalBid,
        WidthdrawAddressNotRegisterd, ValidationError, InvalidQueryPayload, JwtVerification, ExpiredAccessKey,
        NonceUsed, NoAutorizationIP, OutOfScope,
    )
}  # fmt: skip


def as_pyupbit(error: ours.UpbitFramesError) -> UpbitError:
    """Return an error of a public call as one of pyupbit's names."""
    if isinstance(error, UpbitError):
        return error
    text = str(error)
    if isinstance(error, ours.RateLimited):
        limited: UpbitError = TooManyRequests(msg=text)
        return limited
    if isinstance(error, ours.InvalidMarket | ours.MarketNotFound):
        return UpbitError(name=404, code=404, msg=text)
    if isinstance(error, ours.Blocked):
        return UpbitError(name=418, code=418, msg=text)
    status = error.context.get("status")
    return UpbitError(name=status or type(error).__name__, code=-1 if status is None else int(status), msg=text)


def error_handler(func: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function that returns a response of ``requests``: refusals are raised by name."""

    @functools.wraps(func)
    def checked(*args: Any, **kwargs: Any) -> Any:
        response = func(*args, **kwargs)
        if response.ok:
            return response
        code = int(response.status_code)
        try:
            refusal = response.json().get("error") or {}
        except (ValueError, AttributeError):  # no JSON, or no object
            refusal = {}
        name = refusal.get("name", code)
        message = refusal.get("message") or response.text
        if code == 429:
            raise TooManyRequests(msg=message)
        raise _BY_NAME.get((code, name), UpbitError)(name=name, code=code, msg=message)

    return checked
