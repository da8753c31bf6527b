# SPDX-License-Identifier: Apache-2.0
"""The linking exchange: two devices that share a short code learn each other's keys. Layer: security, pure.

Specification: docs/specs/link.md. Rules:

- One guess. Whatever goes wrong, the exchange is BURNT and its code with it.
- The joiner shows first that it knows the code, then the opener does; neither says who it is before the other
  one has shown that. The relay between them learns neither names nor keys nor the code.
- Both then sign all that was said with the identity that they revealed.
- The link is made when both people said yes. Each becomes the other's own device only if both said so.

    NEW --start--> GREETING --Hello--> CONFIRMING --Confirm--> REVEALING --Reveal--> PROVING --Proof--> DECIDING
    DECIDING --both said yes--> COMPLETE    DECIDING --one said no--> DECLINED    anything else --> BURNT

Call ``start()`` and send what it returns; give each message of the room to ``receive()`` and send what that
returns. Once ``result`` is set, ask the person and call ``decide()`` or ``decline()``. When ``receive()`` raises,
send what ``abort()`` returns and close the room. ``outcome`` is set when the link is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from p2p_handoff.errors import (
    CancelledError,
    HandoffError,
    LinkCodeError,
    LocalProtocolError,
    RejectedError,
    RemoteProtocolError,
    VersionError,
)
from p2p_handoff.limits import LINK_CODE_LIFETIME, MAX_TITLE
from p2p_handoff.security.link_keys import SecureLine, hello_transcript, identity_transcript
from p2p_handoff.security.link_terms import (
    FINAL_STATES,
    AbortReason,
    LinkKind,
    LinkOutcome,
    LinkParameters,
    LinkResult,
    LinkState,
    Role,
)
from p2p_handoff.security.link_wire import (
    Abort,
    Confirm,
    Decision,
    Decline,
    Hello,
    LinkMessage,
    Proof,
    Reveal,
    Sealed,
    decode_clear,
    encode,
)
from p2p_handoff.security.pake import Pake
from p2p_handoff.security.versions import common_version

_NEW_CODE: Final = "make a new code and try again"
_PROOF_CONTEXT: Final = {Role.OPENER: b"link proof opener", Role.JOINER: b"link proof joiner"}
_FINAL_ERRORS: Final = (LinkCodeError, VersionError, CancelledError, RejectedError)
"""What ``receive()`` raises as it is; everything else becomes a LinkCodeError."""


class LinkExchange:
    """One side of one linking exchange.

    Args:
        parameters: Code, room and who this device is.

    Raises:
        LocalProtocolError: The display name is too long.
    """

    def __init__(self, parameters: LinkParameters) -> None:
        if len(parameters.name) > MAX_TITLE:
            raise LocalProtocolError(f"a display name has more than {MAX_TITLE} characters")
        self._parameters = parameters
        self._role = parameters.role
        self._peer_role = parameters.role.other
        self._state = LinkState.NEW
        self._pake: Pake | None = None
        self._hello = b""
        self._line: SecureLine | None = None
        self._peer: Reveal | None = None
        self._result: LinkResult | None = None
        self._decisions: dict[Role, Decision] = {}
        self._last_word: AbortReason | None = None

    @property
    def state(self) -> LinkState:
        """What the exchange waits for."""
        return self._state

    @property
    def role(self) -> Role:
        """Which side this is."""
        return self._role

    @property
    def expires_at(self) -> float:
        """When the code dies, on the clock of ``started_at``."""
        return self._parameters.started_at + LINK_CODE_LIFETIME

    @property
    def result(self) -> LinkResult | None:
        """Who the other side is, once that is proved. Next: ``decide()`` or ``decline()``."""
        return self._result

    @property
    def outcome(self) -> LinkOutcome | None:
        """The link, once both sides agreed."""
        if self._state is not LinkState.COMPLETE or self._result is None:
            return None
        mine, theirs = self._decisions[self._role], self._decisions[self._peer_role]
        ended = max(mine.ended_yours, theirs.ended_mine)
        return LinkOutcome(self._result.peer, self._result.peer_name, mine.kind, theirs.kind, ended)

    def start(self) -> list[bytes]:
        """The first message. Next: ``receive()`` for each one that arrives."""
        if self._state is not LinkState.NEW:
            raise LocalProtocolError("a linking exchange was started twice")
        parameters = self._parameters
        self._pake = Pake(self._role, parameters.code.secret, parameters.room, parameters.entropy)
        self._hello = encode(Hello(self._role, parameters.purpose, parameters.versions, self._pake.message))
        self._state = LinkState.GREETING
        return [self._hello]

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """Take one message of the room.

        Args:
            data: The message.
            now: Current time in seconds.

        Returns:
            Messages to send.

        Raises:
            LinkCodeError: The code does not match, has expired, or something else is wrong: it is burnt.
            VersionError: No version in common; burnt.
            CancelledError: The person at the other side stopped it; burnt.
            RejectedError: The person at the other side said no.
            LocalProtocolError: ``start()`` was not called.
        """
        if self._state is LinkState.NEW:
            raise LocalProtocolError("a linking exchange was given a message before it was started")
        if self._state in FINAL_STATES:
            raise LinkCodeError("the code is used up", advice=_NEW_CODE)
        try:
            self._check_age(now)
            return self._dispatch(self._read(data))
        except _FINAL_ERRORS:
            self._burn(AbortReason.FAILED)
            raise
        except HandoffError as error:
            self._burn(AbortReason.FAILED)
            raise LinkCodeError(f"the link was not made: {error.what}", advice=_NEW_CODE) from error

    def decide(self, kind: LinkKind) -> list[bytes]:
        """The person at this side says yes, and whose device the other one is.

        Raises:
            LocalProtocolError: Nothing is to be decided, or it was already.
        """
        line = self._deciding()
        ended, peer = self._parameters.ended, self._peer_reveal().identity.device
        decision = Decision(kind, ended(self._parameters.identity.device), ended(peer))
        self._decisions[self._role] = decision
        messages = [line.seal(decision)]
        self._complete_if_agreed()
        return messages

    def decline(self) -> list[bytes]:
        """The person at this side says no. Next: close the room.

        Raises:
            LocalProtocolError: Nothing is to be decided, or it was already.
        """
        messages = [self._deciding().seal(Decline())]
        self._finish(LinkState.DECLINED)
        return messages

    def abort(self, reason: AbortReason = AbortReason.CANCELLED) -> list[bytes]:
        """Give up, or say that this side has: burns the code.

        Args:
            reason: Why, if the exchange is still going; after an error of ``receive()`` the reason is known.

        Returns:
            What tells the other side; nothing if it knows or if the link is made.
        """
        self._burn(reason)
        last_word, self._last_word = self._last_word, None
        return [encode(Abort(last_word))] if last_word else []

    def _burn(self, reason: AbortReason) -> None:
        if self._state not in FINAL_STATES:
            self._last_word = reason
            self._finish(LinkState.BURNT)

    def _finish(self, state: LinkState) -> None:
        self._state = state
        self._pake = None
        self._line = None

    def _deciding(self) -> SecureLine:
        if self._state is not LinkState.DECIDING or self._line is None or self._role in self._decisions:
            raise LocalProtocolError("there is nothing to decide in this linking exchange")
        return self._line

    def _complete_if_agreed(self) -> None:
        if len(self._decisions) == len(Role):
            self._finish(LinkState.COMPLETE)

    def _check_age(self, now: float) -> None:
        if now >= self.expires_at:
            self._burn(AbortReason.EXPIRED)
            raise LinkCodeError("the code has expired", advice=_NEW_CODE)

    def _read(self, data: bytes) -> LinkMessage:
        message = decode_clear(data)
        if not isinstance(message, Sealed):
            return message
        if self._line is None:
            raise RemoteProtocolError("an encrypted message came before there was a key")
        return self._line.open(message)

    def _dispatch(self, message: LinkMessage) -> list[bytes]:
        if isinstance(message, Abort):
            self._finish(LinkState.BURNT)
            raise _abort_error(message.reason)
        transition = self._TRANSITIONS.get((self._state, type(message)))
        if transition is None:
            raise RemoteProtocolError(f"a {type(message).__name__} came out of turn")
        self._state, handler = transition
        return handler(self, message)

    def _greeted(self, hello: Hello) -> list[bytes]:
        if hello.role is self._role:
            raise RemoteProtocolError("both sides say that they are the " + self._role.value)
        try:
            common_version(self._parameters.versions, hello.versions)
        except VersionError:
            self._burn(AbortReason.VERSION)
            raise
        if hello.purpose is not self._parameters.purpose:
            raise LinkCodeError(f"the other side uses this code to {hello.purpose.value}", advice=_NEW_CODE)
        assert self._pake is not None
        hellos = {self._role: self._hello, self._peer_role: encode(hello)}
        transcript = hello_transcript(self._parameters.room, hellos[Role.OPENER], hellos[Role.JOINER])
        self._line = SecureLine(self._role, self._pake.finish(hello.pake), transcript)
        self._pake = None
        return [self._confirmation()] if self._role is Role.JOINER else []

    def _confirmed(self, confirm: Confirm) -> list[bytes]:
        line = self._secure_line()
        line.keys.check(self._peer_role, line.transcript, confirm.mac)
        return [self._confirmation(), line.seal(self._own_reveal())] if self._role is Role.OPENER else []

    def _revealed(self, reveal: Reveal) -> list[bytes]:
        reveal.identity.check()
        if reveal.identity.device == self._parameters.identity.device:
            raise LinkCodeError("a device cannot be linked with itself")
        self._peer = reveal
        line = self._secure_line()
        return [line.seal(self._own_reveal()), line.seal(self._own_proof())] if self._role is Role.JOINER else []

    def _proved(self, proof: Proof) -> list[bytes]:
        line, peer, transcript = self._secure_line(), self._peer_reveal(), self._identities()
        line.keys.check(self._peer_role, transcript, proof.mac)
        peer.identity.verify(_PROOF_CONTEXT[self._peer_role], proof.signature, transcript)
        self._result = LinkResult(peer.identity, peer.name, line.keys.verification(transcript))
        return [line.seal(self._own_proof())] if self._role is Role.OPENER else []

    def _decided(self, decision: Decision) -> list[bytes]:
        if self._peer_role in self._decisions:
            raise RemoteProtocolError("a second decision came")
        self._decisions[self._peer_role] = decision
        self._complete_if_agreed()
        return []

    def _declined(self, _decline: Decline) -> list[bytes]:
        self._finish(LinkState.DECLINED)
        raise RejectedError("the person at the other device declined the link")

    def _confirmation(self) -> bytes:
        line = self._secure_line()
        return encode(Confirm(line.keys.mac(self._role, line.transcript)))

    def _own_reveal(self) -> Reveal:
        return Reveal(self._parameters.identity.public, self._parameters.name)

    def _own_proof(self) -> Proof:
        transcript = self._identities()
        signature = self._parameters.identity.sign(_PROOF_CONTEXT[self._role], transcript)
        return Proof(self._secure_line().keys.mac(self._role, transcript), signature)

    def _identities(self) -> bytes:
        reveals = {self._role: encode(self._own_reveal()), self._peer_role: encode(self._peer_reveal())}
        return identity_transcript(self._secure_line().transcript, reveals[Role.OPENER], reveals[Role.JOINER])

    def _secure_line(self) -> SecureLine:
        assert self._line is not None
        return self._line

    def _peer_reveal(self) -> Reveal:
        assert self._peer is not None
        return self._peer

    _TRANSITIONS: ClassVar[dict[tuple[LinkState, type[LinkMessage]], tuple[LinkState, Callable[..., list[bytes]]]]] = {
        (LinkState.GREETING, Hello): (LinkState.CONFIRMING, _greeted),
        (LinkState.CONFIRMING, Confirm): (LinkState.REVEALING, _confirmed),
        (LinkState.REVEALING, Reveal): (LinkState.PROVING, _revealed),
        (LinkState.PROVING, Proof): (LinkState.DECIDING, _proved),
        (LinkState.DECIDING, Decision): (LinkState.DECIDING, _decided),
        (LinkState.DECIDING, Decline): (LinkState.DECLINED, _declined),
    }
    """What each state waits for; any other message burns the code."""


def _abort_error(reason: AbortReason) -> HandoffError:
    match reason:
        case AbortReason.CANCELLED:
            return CancelledError("the other side stopped the linking", advice=_NEW_CODE)
        case AbortReason.EXPIRED:
            return LinkCodeError("the code has expired", advice=_NEW_CODE)
        case AbortReason.VERSION:
            return VersionError("the other side speaks no version of linking that this one does")
        case AbortReason.FAILED:
            return LinkCodeError("the code does not match, or was tampered with", advice=_NEW_CODE)
