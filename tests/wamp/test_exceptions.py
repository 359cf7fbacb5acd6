"""The documented exceptions: T-ERR-1."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from autobahn.wamp import exception as e
from autobahn.wamp.exception import ApplicationError

CONSTANTS = {
    "AUTHENTICATION_FAILED": "wamp.error.authentication_failed",
    "AUTHORIZATION_FAILED": "wamp.error.authorization_failed",
    "CANCELED": "wamp.error.canceled",
    "CLOSE_REALM": "wamp.error.close_realm",
    "ENC_DECRYPT_ERROR": "wamp.error.encryption.decrypt_error",
    "ENC_NO_PAYLOAD_CODEC": "wamp.error.no_payload_codec",
    "ENC_TRUSTED_URI_MISMATCH": "wamp.error.encryption.trusted_uri_mismatch",
    "GOODBYE_AND_OUT": "wamp.error.goodbye_and_out",
    "INVALID_ARGUMENT": "wamp.error.invalid_argument",
    "INVALID_PAYLOAD": "wamp.error.invalid_payload",
    "INVALID_URI": "wamp.error.invalid_uri",
    "NOT_AUTHORIZED": "wamp.error.not_authorized",
    "NO_AUTH_METHOD": "wamp.error.no_auth_method",
    "NO_ELIGIBLE_CALLEE": "wamp.error.no_eligible_callee",
    "NO_SUCH_PRINCIPAL": "wamp.error.no_such_principal",
    "NO_SUCH_PROCEDURE": "wamp.error.no_such_procedure",
    "NO_SUCH_REALM": "wamp.error.no_such_realm",
    "NO_SUCH_REGISTRATION": "wamp.error.no_such_registration",
    "NO_SUCH_ROLE": "wamp.error.no_such_role",
    "NO_SUCH_SESSION": "wamp.error.no_such_session",
    "NO_SUCH_SUBSCRIPTION": "wamp.error.no_such_subscription",
    "PAYLOAD_SIZE_EXCEEDED": "wamp.error.payload_size_exceeded",
    "PROCEDURE_ALREADY_EXISTS": "wamp.error.procedure_already_exists",
    "PROCEDURE_EXISTS_INVOCATION_POLICY_CONFLICT": ("wamp.error.procedure_exists_with_different_invocation_policy"),
    "SYSTEM_SHUTDOWN": "wamp.error.system_shutdown",
    "TIMEOUT": "wamp.error.timeout",
    "TYPE_CHECK_ERROR": "wamp.error.type_check_error",
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_T_ERR_1_constants(name: str) -> None:
    assert getattr(ApplicationError, name) == CONSTANTS[name]


def test_T_ERR_2_every_error_of_ours_is_seen_by_a_test() -> None:
    """Each URI that stands in the source stands in a test as well."""
    root = Path(__file__).parent.parent.parent
    source = "".join(path.read_text() for path in (root / "src").rglob("*.py"))
    tests = "".join(path.read_text() for path in (root / "tests").rglob("*.py") if path != Path(__file__))
    uris = set(re.findall(r'"wamp\.(?:error|close)\.([a-z_.]+)"', source))
    assert len(uris) > 30
    words_of_others = {"not_auth_method", "no_auth_method", "no_eligible_callee"}  # bondy's and crossbar's
    unseen = {uri for uri in uris if uri not in tests and uri.rpartition(".")[2].upper() not in tests}
    assert unseen <= words_of_others


def test_bases() -> None:
    for cls in (
        e.SessionNotReady,
        e.SerializationError,
        e.InvalidUriError,
        e.ProtocolError,
        e.TransportLost,
        ApplicationError,
    ):
        assert issubclass(cls, e.Error)
    assert issubclass(e.Error, RuntimeError)
    assert issubclass(e.TypeCheckError, ApplicationError)
    assert e.RequestLost.__bases__ == (e.TransportLost, ApplicationError)
    for plain in (e.NotAuthorized, e.InvalidUri, e.InvalidPayload):
        assert plain.__bases__ == (Exception,)


def test_a_lost_request() -> None:
    for exc in (e.RequestLost("gone"), pickle.loads(pickle.dumps(e.RequestLost("gone")))):
        assert (exc.error, exc.args, str(exc)) == ("wamp.close.transport_lost", ("gone",), "gone")
    assert str(e.RequestLost()) == "wamp.close.transport_lost"


def test_application_error() -> None:
    exc = ApplicationError("com.my.error", "one", 2, detail="x", callee=7, callee_authid="joe", forward_for=[{}])
    assert (exc.error, exc.args, exc.kwargs) == ("com.my.error", ("one", 2), {"detail": "x"})
    assert (exc.callee, exc.callee_authid, exc.callee_authrole, exc.enc_algo) == (7, "joe", None, None)
    assert exc.forward_for == [{}]
    assert exc.error_message() == "com.my.error: one 2"


def test_text_of_an_application_error() -> None:
    assert str(ApplicationError("com.my.error", "one", 2, k="v")) == (
        "ApplicationError(error=<com.my.error>, args=['one', 2], kwargs={'k': 'v'}, enc_algo=None, callee=None, "
        "callee_authid=None, callee_authrole=None, forward_for=None)"
    )


def test_type_check_error() -> None:
    exc = e.TypeCheckError("wrong", k=1)
    assert (exc.error, exc.args, exc.kwargs) == ("wamp.error.type_check_error", ("wrong",), {"k": 1})


@pytest.mark.parametrize("exc", [ApplicationError("a.b", 1, k=2, callee=3), e.TypeCheckError("x", k=1)])
def test_errors_can_be_pickled(exc: ApplicationError) -> None:
    back = pickle.loads(pickle.dumps(exc))
    assert (type(back), back.error, back.args, back.kwargs, back.callee) == (
        type(exc),
        exc.error,
        exc.args,
        exc.kwargs,
        exc.callee,
    )
