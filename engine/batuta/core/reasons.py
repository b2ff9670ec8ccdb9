"""The closed list of reasons for an action, each with its one sentence."""

from enum import StrEnum

from batuta.model.diagnostic import Location
from batuta.model.plan import Reason


class Why(StrEnum):
    """Why an action is in a plan. Codes are stable: scripts and policies match on them."""

    ABSENT = "destination-absent"
    SOURCE_CHANGED = "source-changed"
    SOURCE_EDITED = "source-edited"
    SCHEMA_DRIFT = "schema-drift"
    SCHEMA_EDITED = "schema-edited"
    FORMAT_EDITED = "format-edited"
    SETTINGS_EDITED = "settings-edited"
    DESTINATION_EDITED = "destination-edited"
    FACTS_EDITED = "facts-edited"
    TIER_CHANGED = "tier-changed"
    LABEL_CHANGED = "label-changed"
    RESYNC = "resync-asked"
    DESTROY = "destroy-asked"
    RELEASE = "release-asked"
    DOCUMENT_GONE = "document-gone"
    ALREADY_GONE = "already-gone"
    UNCHANGED = "unchanged"
    STATE_BEHIND = "state-behind"
    DRIFT_SKIPPED = "drift-skipped"
    WAITS = "waits-for-upstream"
    UPSTREAM = "upstream-changes"
    TAKEN_OVER = "taken-over"
    UNREADABLE = "unreadable"
    NOT_READ = "not-read"
    DESTINATION_DRIFT = "destination-drift"
    FOREIGN = "destination-foreign"
    ROLLBACK = "rollback-suspected"
    OTHER_OWNER = "other-owner"
    SOVEREIGNTY = "sovereignty"
    EGRESS = "egress"
    ENFORCEMENT = "enforcement"
    DRIFT_STOPS = "drift-stops"
    NOT_POSSIBLE = "not-possible"
    DATA_LOSS = "data-loss"
    PROTECTED = "protected"
    OVER_LIMIT = "over-limit"
    OVER_BUDGET = "over-budget"
    NO_SPACE = "no-space"


TEXT: dict[Why, str] = {
    Why.ABSENT: "Nothing is at the destination.",
    Why.SOURCE_CHANGED: "The source has another version than the dataset.",
    Why.SOURCE_EDITED: "The manifest names another source or another selection of it.",
    Why.SCHEMA_DRIFT: "The source's schema is not the one that was committed last.",
    Why.SCHEMA_EDITED: "The manifest chooses other columns.",
    Why.FORMAT_EDITED: "The manifest asks for another format.",
    Why.SETTINGS_EDITED: "The manifest asks for other format options.",
    Why.DESTINATION_EDITED: "The manifest names another destination; the old one is left as it is.",
    Why.FACTS_EDITED: "The manifest changes what the log says of the dataset.",
    Why.TIER_CHANGED: "The tier is not the one in the log.",
    Why.LABEL_CHANGED: "The label is not the one in the log.",
    Why.RESYNC: "A full re-sync was asked for.",
    Why.DESTROY: "Its deletion was asked for.",
    Why.RELEASE: "Its release was asked for.",
    Why.DOCUMENT_GONE: "Its document is no longer in the manifests.",
    Why.ALREADY_GONE: "Nothing is left at the destination.",
    Why.UNCHANGED: "Source, destination and manifest agree.",
    Why.STATE_BEHIND: "The log knows more than the state; the state is brought up to it.",
    Why.DRIFT_SKIPPED: "The source's schema changed and this sync is skipped, as chosen.",
    Why.WAITS: "It reads a dataset that this plan makes first.",
    Why.UPSTREAM: "It reads a dataset that this plan changes.",
    Why.TAKEN_OVER: "The dataset was made under another name and is taken over.",
    Why.UNREADABLE: "An end could not be read.",
    Why.NOT_READ: "The platforms were not read.",
    Why.DESTINATION_DRIFT: "The files at the destination are not those that the log names.",
    Why.FOREIGN: "The destination holds files that batuta did not write.",
    Why.ROLLBACK: "The destination's log is older than the state, or another one.",
    Why.OTHER_OWNER: "The data there is not this resource's to change.",
    Why.SOVEREIGNTY: "A tier, a label or a residency rule forbids it.",
    Why.EGRESS: "No egress policy lets a host be reached that it needs.",
    Why.ENFORCEMENT: "This machine does not give the enforcement that its tier needs.",
    Why.DRIFT_STOPS: "The source's schema changed and nobody chose what to do.",
    Why.NOT_POSSIBLE: "What the manifest asks for cannot be done with this source.",
    Why.DATA_LOSS: "It would lose data and nobody allowed that.",
    Why.PROTECTED: "The dataset is protected.",
    Why.OVER_LIMIT: "The plan exceeds a limit of the workspace.",
    Why.OVER_BUDGET: "It exceeds the budget.",
    Why.NO_SPACE: "There is not enough space at the destination.",
}


def reason(why: Why, locations: tuple[Location, ...] = ()) -> Reason:
    """Return the reason with its fixed sentence, at the manifest lines that caused it."""
    return Reason(code=why.value, text=TEXT[why], locations=locations)
