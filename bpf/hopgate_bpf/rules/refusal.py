"""Why the loader refuses: a closed list of reasons, each with its HTTP status and what to do next.

Decides no refusal itself. Every answer of the API that isn't 2xx, and every error of the commands, has one of these.
"""

from enum import StrEnum

from msgspec import Struct


class Reason(StrEnum):
    """A closed reason code."""

    BODY_TOO_LARGE = "body_too_large"
    BODY_SLOW = "body_slow"
    HTTP_MALFORMED = "http_malformed"
    CONTENT_TYPE = "content_type"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CALLER_UNKNOWN = "caller_unknown"
    BUSY = "busy"

    SIGNATURE_MALFORMED = "signature_malformed"
    SIGNATURE_TYPE = "signature_type"
    KEY_UNKNOWN = "key_unknown"
    KEYS_UNREADABLE = "keys_unreadable"
    SIGNATURE_INVALID = "signature_invalid"

    DOCUMENT_MALFORMED = "document_malformed"
    DOCUMENT_LIMIT = "document_limit"
    NODE_OTHER = "node_other"
    GENERATION_OLD = "generation_old"
    GENERATION_CONFLICT = "generation_conflict"

    CLASS_UNKNOWN = "class_unknown"
    CGROUPS_MALFORMED = "cgroups_malformed"
    CGROUP_UNKNOWN = "cgroup_unknown"

    LOADER_REFUSED = "loader_refused"
    LOADER_UNAVAILABLE = "loader_unavailable"
    STATE_UNREADABLE = "state_unreadable"
    STATE_UNWRITABLE = "state_unwritable"

    NOT_ENFORCED = "not_enforced"
    PROGRAM_UNKNOWN = "program_unknown"
    USER_UNKNOWN = "user_unknown"
    SECCOMP_UNAVAILABLE = "seccomp_unavailable"
    SYSTEM_CALLS = "system_calls"
    CONFIG_INVALID = "config_invalid"
    INTERNAL_ERROR = "internal_error"

    @property
    def meaning(self) -> "Meaning":
        """Status, text and next step."""
        return MEANINGS[self]


class Meaning(Struct, frozen=True):
    """What a reason stands for. ``status`` is that of the API's answer."""

    status: int
    text: str
    next_step: str


MEANINGS: dict[Reason, Meaning] = {
    Reason.BODY_TOO_LARGE: Meaning(413, "The body is larger than the limit.", "Send less; see limits."),
    Reason.BODY_SLOW: Meaning(408, "The body did not arrive in time.", "Send it again, at once."),
    Reason.HTTP_MALFORMED: Meaning(400, "The request is not well-formed HTTP.", "Correct the client."),
    Reason.CONTENT_TYPE: Meaning(415, "The body is of another type than is read here.", "Send the type named."),
    Reason.NOT_FOUND: Meaning(404, "There is nothing at this path.", "See docs/KERNEL-LOADER.md for the paths."),
    Reason.METHOD_NOT_ALLOWED: Meaning(405, "The path doesn't take this method.", "Use a method of Allow."),
    Reason.CALLER_UNKNOWN: Meaning(
        403, "The caller may not use this API.", "Name its user id in socket.uids, or its SPIFFE ID in tls.gateway."
    ),
    Reason.BUSY: Meaning(429, "Too many of this kind are under way.", "Wait until one has ended."),
    Reason.SIGNATURE_MALFORMED: Meaning(
        400, "The body is not one compact JWS as the gateway writes it.", "Push the gateway's document unchanged."
    ),
    Reason.SIGNATURE_TYPE: Meaning(
        400, "The JWS is of another type or algorithm.", "Push a hopgate-kernel+jwt, signed with EdDSA."
    ),
    Reason.KEY_UNKNOWN: Meaning(
        403, "No pinned key has the kid of the JWS.", "Add the gateway's public key to the file of pinned keys."
    ),
    Reason.KEYS_UNREADABLE: Meaning(503, "The file of pinned keys can't be used.", "Correct the file named."),
    Reason.SIGNATURE_INVALID: Meaning(
        403, "The signature is not by the pinned key.", "Find out who pushed: this document is not the gateway's."
    ),
    Reason.DOCUMENT_MALFORMED: Meaning(
        422, "The signed document is not what its schema says.", "Correct it at the path named; compile it again."
    ),
    Reason.DOCUMENT_LIMIT: Meaning(
        422, "The signed document is beyond a limit.", "Compile fewer or simpler policies for the kernel."
    ),
    Reason.NODE_OTHER: Meaning(409, "The document is for another node.", "Push each node its own document."),
    Reason.GENERATION_OLD: Meaning(
        409, "A later generation is in force.", "Push a generation greater than the one in force."
    ),
    Reason.GENERATION_CONFLICT: Meaning(
        409, "This generation is in force with other rules.", "Give new rules a new generation."
    ),
    Reason.CLASS_UNKNOWN: Meaning(
        404, "The rules in force don't name this class.", "Correct the name, or push rules that name the class."
    ),
    Reason.CGROUPS_MALFORMED: Meaning(
        422, "The body is not a list of cgroups.", 'Send {"cgroups": ["/sys/fs/cgroup/…"]}, each path once.'
    ),
    Reason.CGROUP_UNKNOWN: Meaning(422, "A path is not a cgroup (version 2) of this host.", "Correct the path named."),
    Reason.LOADER_REFUSED: Meaning(
        502, "hopgate-bpf-loader refused; what was in force still is.", "Act on what it said, then push again."
    ),
    Reason.LOADER_UNAVAILABLE: Meaning(
        503, "hopgate-bpf-loader can't be run, or didn't end in time.", "Check loader.program and its privileges."
    ),
    Reason.STATE_UNREADABLE: Meaning(
        503, "What was accepted before can't be read back.", "Restore the file named, or have rules pushed anew."
    ),
    Reason.STATE_UNWRITABLE: Meaning(503, "What was accepted can't be kept.", "Make the state directory writable."),
    Reason.NOT_ENFORCED: Meaning(
        503, "The kernel doesn't enforce the rules that were accepted.", "See hopgate-bpf status; start nothing yet."
    ),
    Reason.PROGRAM_UNKNOWN: Meaning(422, "The program to start can't be run.", "Give a path that exists."),
    Reason.USER_UNKNOWN: Meaning(422, "The user or group doesn't exist.", "Name one of this host."),
    Reason.SECCOMP_UNAVAILABLE: Meaning(
        503, "System calls can't be filtered here.", "Install libseccomp (Debian: libseccomp2)."
    ),
    Reason.SYSTEM_CALLS: Meaning(
        422, "The class's system calls can't be enforced as they are listed.", "Correct its systemCall policies."
    ),
    Reason.CONFIG_INVALID: Meaning(422, "The settings are wrong.", "Correct each line named."),
    Reason.INTERNAL_ERROR: Meaning(500, "The loader failed.", "See its log; report this."),
}


class RefusedError(Exception):
    """Something was refused, and nothing of it was applied.

    ``detail`` is for people and bounded; ``path`` says where in the document (``$.classes[0].name``), or is empty.
    """

    def __init__(self, reason: Reason, detail: str, path: str = "") -> None:
        where = f"{path}: " if path else ""
        super().__init__(f"{where}{detail}")
        self.reason = reason
        self.detail = detail
        self.path = path
