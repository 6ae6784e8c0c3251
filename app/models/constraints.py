"""What each constraint of the database means to the person whose request it refused."""

from typing import Any

from sqlalchemy.exc import IntegrityError

from app.core.exceptions import (
    AgendaConflict,
    AlreadyOnTeam,
    AlreadyRegistered,
    Conflict,
    EmailTaken,
    EventFull,
    InvalidRequest,
    NotFound,
    NotRegisteredYet,
    Problem,
    RoomNameTaken,
    RoomTaken,
    RoomTooSmall,
    SessionFull,
    SessionOutsideEvent,
    SpeakerBusy,
    UnknownSpeaker,
)

ROOM_TAKEN = "ex_sessions_room_holds_one_session"
SPEAKER_BUSY = "ex_session_speakers_speaker_is_in_one_place"
INSIDE_EVENT = "ck_sessions_inside_its_event"
SESSION_FULL = "ck_sessions_seats_within_capacity"
ROOM_TOO_SMALL = "ck_sessions_fits_in_its_room"
KEY_ENDS_BEFORE = "ck_api_keys_ends_after_it_was_made"
AGENDA_CONFLICT = "ex_seats_attendee_is_in_one_place"

CONSTRAINT_PROBLEMS: dict[str, type[Problem]] = {
    # Refusals that a race can bring about although the service looked first.
    "uq_users_email": EmailTaken,
    "ck_events_confirmed_within_capacity": EventFull,
    "uq_registrations_live": AlreadyRegistered,
    "pk_team_members": AlreadyOnTeam,
    "uq_rooms_event_id_name": RoomNameTaken,
    ROOM_TAKEN: RoomTaken,
    SPEAKER_BUSY: SpeakerBusy,
    INSIDE_EVENT: SessionOutsideEvent,
    ROOM_TOO_SMALL: RoomTooSmall,
    SESSION_FULL: SessionFull,
    AGENDA_CONFLICT: AgendaConflict,
    "ck_seats_holder_is_registered": NotRegisteredYet,
    "uq_seats_held": AlreadyRegistered,
    "uq_sessions_event_id_guid": Conflict,
    # What a request refers to has gone, or has changed, meanwhile.
    "fk_sessions_event_id_events": Conflict,
    "fk_sessions_room_id_rooms": Conflict,
    "fk_rooms_event_id_events": NotFound,
    "fk_registrations_event_id_events": NotFound,
    "fk_registrations_user_id_users": NotFound,
    "fk_team_members_event_id_events": NotFound,
    "fk_team_members_user_id_users": NotFound,
    "fk_event_speakers_event_id_events": NotFound,
    "fk_event_speakers_speaker_id_speakers": NotFound,
    "fk_session_speakers_session_id_sessions": Conflict,
    "fk_session_speakers_speaker_id_speakers": UnknownSpeaker,
    "fk_seats_session_id_sessions": Conflict,
    "fk_seats_user_id_users": NotFound,
    "fk_calendar_feeds_user_id_users": NotFound,
    "fk_events_created_by_users": NotFound,
    "fk_idempotency_keys_user_id_users": NotFound,
    "fk_scans_event_id_events": NotFound,
    "fk_scans_registration_id_registrations": Conflict,
    "fk_scans_scanned_by_users": NotFound,
    "fk_speakers_created_by_users": NotFound,
    "fk_sign_ins_user_id_users": NotFound,
    "fk_api_keys_user_id_users": NotFound,
    # What the schemas refuse first; here for whatever else writes.
    "ck_users_email_is_lower_case": InvalidRequest,
    "ck_users_role_is_known": InvalidRequest,
    "ck_events_ends_after_start": InvalidRequest,
    "ck_events_capacity_in_range": InvalidRequest,
    "ck_events_registration_closes_after_opening": InvalidRequest,
    "ck_events_has_a_name": InvalidRequest,
    "ck_events_status_is_known": InvalidRequest,
    "ck_rooms_has_a_name": InvalidRequest,
    "ck_rooms_capacity_is_positive": InvalidRequest,
    "ck_sessions_ends_after_start": InvalidRequest,
    "ck_sessions_has_a_title": InvalidRequest,
    "ck_sessions_capacity_is_positive": InvalidRequest,
    "ck_speakers_has_a_name": InvalidRequest,
    "ck_registrations_status_is_known": InvalidRequest,
    "ck_team_members_role_is_known": InvalidRequest,
    "ck_api_keys_has_a_name": InvalidRequest,
    "ck_api_keys_scopes_are_known": InvalidRequest,
    KEY_ENDS_BEFORE: InvalidRequest,
}
"""Every constraint that a client's request can meet. One that is not here is a fault of ours: a 500."""

OUR_FAULTS = frozenset(
    {
        "ck_audit_entries_action_is_known",
        "ck_audit_entries_entity_is_known",
        "ck_events_counters_follow_registrations",
        "ck_events_waitlist_not_negative",
        "ck_sessions_counter_follows_seats",
        "ck_sessions_room_is_whole",
        "pk_api_keys",
        "pk_audit_entries",
        "pk_calendar_feeds",
        "pk_event_counts",
        "pk_event_speakers",
        "ck_api_keys_digest_is_sha256",
        "pk_event_words",
        "ck_calendar_feeds_digest_is_sha256",
        "ck_idempotency_keys_digest_is_sha256",
        "ck_scans_earliest_scan_is_the_check_in",
        "ck_scans_known_ticket_has_a_registration",
        "ck_scans_verdict_is_known",
        "ck_scans_verdict_says_who_is_in",
        "ck_sign_ins_family_digest_is_sha256",
        "ck_sign_ins_times_in_order",
        "ck_sign_ins_token_digest_is_sha256",
        "pk_events",
        "pk_idempotency_keys",
        "pk_registrations",
        "pk_rooms",
        "pk_scans",
        "pk_seats",
        "pk_session_speakers",
        "pk_sessions",
        "pk_sign_ins",
        "pk_speakers",
        "pk_users",
        "uq_api_keys_key_digest",
        "uq_calendar_feeds_token_digest",
        "uq_events_id_is_live_start_at_end_at",
        "uq_registrations_ticket_code",
        "uq_rooms_id_event_id_allow_parallel_seats",
        "uq_scans_check_in",
        "uq_scans_event_id_scanned_by_client_id",
        "uq_sessions_id_during",
        "uq_sessions_id_event_id_during",
        "uq_sign_ins_family_digest",
    }
)
"""The constraints that no request can meet unless the service is wrong."""


def violated(error: IntegrityError) -> str | None:
    """Name the constraint that ``error`` is about, or None where the database does not say."""
    diagnosis: Any = getattr(error.orig, "diag", None)
    name = getattr(diagnosis, "constraint_name", None)
    return str(name) if name else None


def explain(error: IntegrityError) -> Problem | None:
    """Turn a violated constraint into the refusal it stands for, or None for a fault of ours."""
    kind = CONSTRAINT_PROBLEMS.get(violated(error) or "")
    return kind() if kind else None
