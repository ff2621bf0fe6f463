"""The contract's messages, made from what the room knows."""

from collections.abc import Sequence

from agent.common.v1.audio_pb2 import SpeakerBasis
from agent.connector.v1 import connector_service_pb2 as pb
from agent.ops.v1 import ops_service_pb2 as ops
from kit.clock import now
from services.connector.breakers.breaker import THRESHOLD, Breaker, BreakerChange
from services.connector.notices.notice import Notice
from services.connector.provider import Basis, Heard
from services.connector.reconciliation.decision import Decision
from services.connector.registry import Installed
from services.connector.sessions.record import Record, State, Transition
from services.connector.sessions.session import Session

STATES = {
    State.IDLE: pb.SESSION_STATE_IDLE,
    State.JOINING: pb.SESSION_STATE_JOINING,
    State.LIVE: pb.SESSION_STATE_LIVE,
    State.DEGRADED: pb.SESSION_STATE_DEGRADED,
    State.RECONNECTING: pb.SESSION_STATE_RECONNECTING,
    State.LEAVING: pb.SESSION_STATE_LEAVING,
    State.ENDED: pb.SESSION_STATE_ENDED,
    State.FAILED: pb.SESSION_STATE_FAILED,
}
_SHOWN_STATES = {
    State.JOINING: "CONNECT",
    State.LIVE: "LIVE",
    State.DEGRADED: "DEGRADED",
    State.RECONNECTING: "RECONN",
    State.FAILED: "FAILED",
    State.ENDED: "ENDED",
    State.LEAVING: "ENDED",
}
_BASES = {
    Basis.OWN_TRACK: SpeakerBasis.SPEAKER_BASIS_OWN_TRACK,
    Basis.ROSTER: SpeakerBasis.SPEAKER_BASIS_ROSTER,
    Basis.GUESS: SpeakerBasis.SPEAKER_BASIS_GUESS,
}


def session_message(
    record: Record, heard: Sequence[Heard], steps: Sequence[Transition], notices: Sequence[Notice]
) -> pb.Session:
    """Return a session."""
    session = pb.Session(
        session_id=record.session_id,
        meeting_id=record.meeting_id,
        provider=record.provider,
        state=STATES[record.state],
        reason=record.reason,
        participants=[
            pb.SessionParticipant(
                participant_id=one.participant_id,
                display_name=one.display_name,
                muted=one.muted,
                loss=one.loss,
                basis=_BASES[one.basis],
                withdrawn=one.withdrawn,
            )
            for one in heard
        ],
        attempts=record.attempts,
        epoch=record.epoch,
        transitions=[_transition(step) for step in steps],
        notices=[notice_message(notice) for notice in notices],
    )
    session.update_time.FromDatetime(record.update_time)
    if record.joined_time is not None:
        session.join_time.FromDatetime(record.joined_time)
    if record.last_seen_time is not None:
        session.last_seen_time.FromDatetime(record.last_seen_time)
    return session


def notice_message(notice: Notice) -> pb.ConsentNotice:
    """Return who was told of the recording; the time of a withdrawal that was taken back is not shown."""
    message = pb.ConsentNotice(
        participant_id=notice.participant_id, display_name=notice.display_name, channel=notice.channel
    )
    if notice.told_time is not None:
        message.told_time.FromDatetime(notice.told_time)
    if notice.withdrawn and notice.withdrawn_time is not None:
        message.withdrawn_time.FromDatetime(notice.withdrawn_time)
    return message


def breaker_message(provider: str, breaker: Breaker, history: Sequence[BreakerChange]) -> pb.CircuitBreaker:
    """Return a provider's breaker."""
    message = pb.CircuitBreaker(
        provider=provider,
        state=breaker.state.value,
        failures=breaker.failures,
        threshold=THRESHOLD,
        last_error=breaker.last_error,
    )
    message.since.FromDatetime(breaker.since)
    if breaker.probe_time is not None:
        message.probe_time.FromDatetime(breaker.probe_time)
    for change in history:
        message.history.add(state=change.state.value, reason=change.reason).time.FromDatetime(change.time)
    return message


def provider_message(installed: Installed, *, default: bool) -> pb.Provider:
    """Return a kind of call that can be joined."""
    kind = installed.kind
    return pb.Provider(
        name=kind.name,
        summary=kind.summary,
        available=installed.provider is not None,
        hint=installed.hint,
        default=default,
        own_tracks=kind.capabilities.own_tracks,
        mute_signals=kind.capabilities.mute_signals,
        pull=kind.capabilities.pull,
        chat=kind.capabilities.chat,
        address_form=kind.address_form,
    )


def decision_message(decision: Decision) -> pb.Decision:
    """Return a line of the ledger."""
    message = pb.Decision(
        meeting_id=decision.meeting_id,
        session_id=decision.session_id,
        provider=decision.provider,
        desired=decision.desired,
        observed=decision.observed,
        action=decision.action.value,
        reason=decision.reason,
        source=decision.source.value,
    )
    message.time.FromDatetime(decision.time)
    return message


def session_statuses(sessions: Sequence[Session]) -> list[ops.SessionStatus]:
    """Return the sessions as operators see them."""
    moment = now()
    return [
        ops.SessionStatus(
            meeting_id=session.record.meeting_id,
            state=_SHOWN_STATES.get(session.record.state, "CONNECT"),
            provider=session.record.provider,
            tracks=len(session.participants),
            age_seconds=int((moment - session.record.create_time).total_seconds()),
            note=session.record.reason,
        )
        for session in sessions
    ]


def breaker_statuses(breakers: Sequence[Breaker]) -> list[ops.BreakerStatus]:
    """Return the breakers as operators see them."""
    moment = now()
    return [
        ops.BreakerStatus(
            name=breaker.name,
            state=breaker.state.value,
            failures=breaker.failures,
            threshold=THRESHOLD,
            since_seconds=max(0, int((moment - breaker.since).total_seconds())),
        )
        for breaker in breakers
    ]


def _transition(step: Transition) -> pb.SessionTransition:
    message = pb.SessionTransition(before=STATES[step.before], after=STATES[step.after], reason=step.reason)
    message.time.FromDatetime(step.time)
    return message
