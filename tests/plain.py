"""The EgressPolicy under which a store on loopback may be reached without TLS."""

import json
from typing import Any
from urllib.parse import urlsplit


def plain_policy(*endpoints: str, name: str = "plain") -> dict[str, Any]:
    """Return the document for the endpoints, applied to every dataset of the workspace."""
    hosts = [urlsplit(endpoint) for endpoint in endpoints]
    return {
        "apiVersion": "batuta.dev/v1",
        "kind": "EgressPolicy",
        "metadata": {"name": name},
        "spec": {
            "appliesTo": {"datasets": ["*"]},
            "allow": [{"host": each.hostname, "ports": [each.port]} for each in hosts],
            "requireTls": False,
        },
    }


def plain_text(*endpoints: str, name: str = "plain") -> str:
    """Return the same as the text of a manifest, to be put behind others."""
    return f"---\n{json.dumps(plain_policy(*endpoints, name=name))}\n"
