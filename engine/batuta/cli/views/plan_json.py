"""A plan as JSON: the very document that `--out` saves and `apply` reads."""

import json

import msgspec

from batuta.core.plan_document import plan_bytes
from batuta.model.plan import Envelope


def view(envelope: Envelope) -> str:
    """Return the plan with its digest, keys sorted, two blanks an indent, a newline at the end."""
    document = {
        "created_at": envelope.created_at,
        "digest": envelope.digest,
        "free_bytes": [list(pair) for pair in envelope.free_bytes],
        "plan": json.loads(plan_bytes(envelope.plan)),
        "state_serial": envelope.state_serial,
        "workers": msgspec.to_builtins(envelope.workers),
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
