"""Roles and the features announced with them in HELLO and WELCOME (WAMP "Feature Announcement")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from autobahn.wamp.exception import ProtocolError

__all__ = (
    "DEFAULT_CLIENT_ROLES",
    "ROLE_NAME_TO_CLASS",
    "RoleBrokerFeatures",
    "RoleCalleeFeatures",
    "RoleCallerFeatures",
    "RoleDealerFeatures",
    "RoleFeatures",
    "RolePublisherFeatures",
    "RoleSubscriberFeatures",
)


class RoleFeatures:
    """The features of one role, each an attribute: True, False, or None when nothing was announced."""

    ROLE: ClassVar[str | None] = None
    FEATURES: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *values: bool | None, **features: bool | None) -> None:
        """Values in the order of ``FEATURES`` or by name; unknown names are ignored, as in a message."""
        if len(values) > len(self.FEATURES):
            raise TypeError(f"expected at most {len(self.FEATURES)} features, got {len(values)}")
        announced = dict(zip(self.FEATURES, values, strict=False))
        for name in self.FEATURES:
            value = features[name] if name in features else announced.get(name)
            if value is not None and not isinstance(value, bool):
                raise ProtocolError(
                    f'expected a bool for feature "{name}" of role "{self.ROLE}", got {type(value).__name__}'
                )
            setattr(self, name, value)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> bool | None: ...

    def announced(self) -> dict[str, bool]:
        """The features as they go on the wire."""
        values = ((name, getattr(self, name)) for name in self.FEATURES)
        return {name: value for name, value in values if value is not None}

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash((self.ROLE, tuple(getattr(self, name) for name in self.FEATURES)))

    def __repr__(self) -> str:
        announced = ", ".join(f"{name}={value}" for name, value in self.announced().items())
        return f"{self.ROLE}({announced})"

    __str__ = __repr__


class RoleBrokerFeatures(RoleFeatures):
    """Features of a broker."""

    ROLE = "broker"
    FEATURES = (
        "publisher_identification", "publication_trustlevels", "pattern_based_subscription",
        "session_meta_api", "subscription_meta_api", "subscriber_blackwhite_listing", "publisher_exclusion",
        "subscription_revocation", "event_history", "payload_transparency", "x_acknowledged_event_delivery",
        "payload_encryption_cryptobox", "event_retention", "payload_passthru_mode",
    )  # fmt: skip


class RoleSubscriberFeatures(RoleFeatures):
    """Features of a subscriber."""

    ROLE = "subscriber"
    FEATURES = (
        "publisher_identification", "publication_trustlevels", "pattern_based_subscription",
        "subscription_revocation", "event_history", "payload_transparency", "payload_encryption_cryptobox",
        "payload_passthru_mode",
    )  # fmt: skip


class RolePublisherFeatures(RoleFeatures):
    """Features of a publisher."""

    ROLE = "publisher"
    FEATURES = (
        "publisher_identification", "subscriber_blackwhite_listing", "publisher_exclusion",
        "payload_transparency", "x_acknowledged_event_delivery", "payload_encryption_cryptobox",
        "payload_passthru_mode",
    )  # fmt: skip


class RoleDealerFeatures(RoleFeatures):
    """Features of a dealer."""

    ROLE = "dealer"
    FEATURES = (
        "caller_identification", "call_trustlevels", "pattern_based_registration", "session_meta_api",
        "registration_meta_api", "shared_registration", "call_timeout", "call_canceling",
        "progressive_call_results", "registration_revocation", "payload_transparency", "testament_meta_api",
        "payload_encryption_cryptobox", "progressive_call_invocations", "payload_passthru_mode",
    )  # fmt: skip


class RoleCallerFeatures(RoleFeatures):
    """Features of a caller."""

    ROLE = "caller"
    FEATURES = (
        "caller_identification", "call_timeout", "call_canceling", "progressive_call_results",
        "payload_transparency", "payload_encryption_cryptobox", "progressive_call_invocations",
        "payload_passthru_mode",
    )  # fmt: skip


class RoleCalleeFeatures(RoleFeatures):
    """Features of a callee."""

    ROLE = "callee"
    FEATURES = (
        "caller_identification", "call_trustlevels", "pattern_based_registration", "shared_registration",
        "call_timeout", "call_canceling", "progressive_call_results", "registration_revocation",
        "payload_transparency", "payload_encryption_cryptobox", "progressive_call_invocations",
        "payload_passthru_mode",
    )  # fmt: skip


ROLE_NAME_TO_CLASS: dict[str, type[RoleFeatures]] = {
    "broker": RoleBrokerFeatures,
    "subscriber": RoleSubscriberFeatures,
    "publisher": RolePublisherFeatures,
    "dealer": RoleDealerFeatures,
    "caller": RoleCallerFeatures,
    "callee": RoleCalleeFeatures,
}

DEFAULT_CLIENT_ROLES: dict[str, RoleFeatures] = {
    "subscriber": RoleSubscriberFeatures(
        publisher_identification=True,
        publication_trustlevels=True,
        pattern_based_subscription=True,
        subscription_revocation=True,
        payload_transparency=True,
        payload_passthru_mode=True,
    ),
    "publisher": RolePublisherFeatures(
        publisher_identification=True,
        subscriber_blackwhite_listing=True,
        publisher_exclusion=True,
        payload_transparency=True,
        payload_passthru_mode=True,
    ),
    "caller": RoleCallerFeatures(
        caller_identification=True,
        call_timeout=True,
        call_canceling=True,
        progressive_call_results=True,
        progressive_call_invocations=True,
        payload_transparency=True,
        payload_passthru_mode=True,
    ),
    "callee": RoleCalleeFeatures(
        caller_identification=True,
        pattern_based_registration=True,
        shared_registration=True,
        call_trustlevels=True,
        call_timeout=True,
        call_canceling=True,
        progressive_call_results=True,
        progressive_call_invocations=True,
        registration_revocation=True,
        payload_transparency=True,
        payload_passthru_mode=True,
    ),
}
"""What our client announces: exactly what it implements."""


def roles_dict(roles: dict[str, RoleFeatures]) -> dict[str, Any]:
    """``roles`` as they stand in HELLO.Details.roles or WELCOME.Details.roles."""
    wire: dict[str, Any] = {}
    for name, features in roles.items():
        announced = features.announced()
        wire[name] = {"features": announced} if announced else {}
    return wire


def client_roles() -> dict[str, Any]:
    """HELLO.Details.roles of our client."""
    return roles_dict(DEFAULT_CLIENT_ROLES)
