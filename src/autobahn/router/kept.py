"""An event that is kept for those who ask for it later."""

from __future__ import annotations

from autobahn.router.delivery import Publication
from autobahn.router.options import Audience, Options
from autobahn.router.peer import Peer


class KeptEvent:
    """One publication to a topic, and whom it is for."""

    __slots__ = ("audience", "details", "passthru_feature", "publication", "topic")

    def __init__(
        self, topic: str, publication: Publication, details: Options, audience: Audience | None, passthru_feature: str
    ) -> None:
        self.topic = topic
        self.publication = publication
        self.details = details
        self.audience = audience
        self.passthru_feature = passthru_feature

    def is_for(self, peer: Peer) -> bool:
        """Whether ``peer`` would have got it when it was published (had it not published it itself).

        The lists of authids and authroles hold for whoever asks.
        """
        if self.passthru_feature and not peer.announced("subscriber", self.passthru_feature):
            return False
        return self.audience is None or self.audience.admits(peer)
