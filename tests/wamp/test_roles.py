"""Roles and features: T-FEAT-1, T-FEAT-3."""

from __future__ import annotations

import pytest

from autobahn.wamp.exception import ProtocolError
from autobahn.wamp.role import (
    DEFAULT_CLIENT_ROLES,
    ROLE_NAME_TO_CLASS,
    RoleBrokerFeatures,
    RoleCallerFeatures,
    client_roles,
    roles_dict,
)


def test_T_FEAT_1_what_our_client_announces() -> None:
    assert client_roles() == {
        "subscriber": {
            "features": {
                "publisher_identification": True,
                "publication_trustlevels": True,
                "pattern_based_subscription": True,
                "subscription_revocation": True,
                "payload_transparency": True,
                "payload_passthru_mode": True,
            }
        },
        "publisher": {
            "features": {
                "publisher_identification": True,
                "subscriber_blackwhite_listing": True,
                "publisher_exclusion": True,
                "payload_transparency": True,
                "payload_passthru_mode": True,
            }
        },
        "caller": {
            "features": {
                "caller_identification": True,
                "call_timeout": True,
                "call_canceling": True,
                "progressive_call_results": True,
                "progressive_call_invocations": True,
                "payload_transparency": True,
                "payload_passthru_mode": True,
            }
        },
        "callee": {
            "features": {
                "caller_identification": True,
                "pattern_based_registration": True,
                "shared_registration": True,
                "call_trustlevels": True,
                "call_timeout": True,
                "call_canceling": True,
                "progressive_call_results": True,
                "progressive_call_invocations": True,
                "registration_revocation": True,
                "payload_transparency": True,
                "payload_passthru_mode": True,
            }
        },
    }
    client_roles()["caller"]["features"].clear()
    assert client_roles()["caller"]["features"]


def test_T_FEAT_3_unknown_features_are_ignored() -> None:
    features = RoleCallerFeatures(call_timeout=True, teleportation=True)
    assert features.announced() == {"call_timeout": True}
    assert not hasattr(features, "teleportation")


@pytest.mark.parametrize("name", ROLE_NAME_TO_CLASS)
def test_role_classes(name: str) -> None:
    cls = ROLE_NAME_TO_CLASS[name]
    assert name == cls.ROLE
    empty = cls()
    assert all(getattr(empty, feature) is None for feature in cls.FEATURES)
    assert roles_dict({name: empty}) == {name: {}}
    everything = cls(*[True] * len(cls.FEATURES))
    assert everything == cls(**dict.fromkeys(cls.FEATURES, True)) != empty
    assert everything.announced() == dict.fromkeys(cls.FEATURES, True)
    assert hash(everything) == hash(cls(*[True] * len(cls.FEATURES)))
    with pytest.raises(TypeError):
        cls(*[True] * 99)
    with pytest.raises(ProtocolError, match="expected a bool for feature"):
        cls(**{cls.FEATURES[0]: 1})  # type: ignore[arg-type]


def test_texts() -> None:
    assert str(RoleBrokerFeatures(event_retention=True)) == "broker(event_retention=True)"
    assert set(DEFAULT_CLIENT_ROLES) == {"subscriber", "publisher", "caller", "callee"}
