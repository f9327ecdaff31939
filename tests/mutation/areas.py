"""What must be tested to the last branch: the way of a message, what the gateway tells us, who may do what, secrets."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APP = "phonebank/whatsappapi"
AREAS = {
    "send path": [f"{APP}/dispatch/**/*.py", "phonebank/gateways/outcomes.py"],
    "webhooks": [
        f"{APP}/views/webhook.py",
        f"{APP}/services/webhooks.py",
        f"{APP}/services/deliveries.py",
        f"{APP}/services/inbound.py",
        "phonebank/gateways/webhooks.py",
    ],
    "authorization": [
        f"{APP}/services/capabilities.py",
        f"{APP}/services/senders.py",
        f"{APP}/views/access.py",
        f"{APP}/api/auth.py",
        "phonebank/accounts/api_tokens.py",
        "phonebank/accounts/administrators.py",
    ],
    "secrets": [
        f"{APP}/models/fields.py",
        f"{APP}/services/key_rotation.py",
        "phonebank/accounts/ring.py",
        "phonebank/audit/chain.py",
        "phonebank/config/keys.py",
    ],
}


def files(area: str) -> list[Path]:
    """Of the area, relative to the project's folder."""
    found = [path.relative_to(ROOT) for pattern in AREAS[area] for path in sorted(ROOT.glob(pattern))]
    assert len(found) >= len(AREAS[area]), area
    return [path for path in found if path.name != "__init__.py"]


if __name__ == "__main__":  # for `coverage report --include`
    sys.stdout.write(",".join(str(path) for area in AREAS for path in files(area)))
