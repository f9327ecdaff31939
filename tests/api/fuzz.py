"""Asks the running API what its own description allows, and what it forbids: `fuzz.py PATH/TO/schemathesis [options]`.

Starts a throw-away PostgreSQL, the sandbox and `phonebank web`, gives a user one of everything, then runs schemathesis
(an executable of its own virtual environment: it does not run on Python 3.11.7). Its exit code is ours.
WHO=viewer asks as somebody to whom one of the sessions is lent, to look at it only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

CONFIG = """
headers = {{ Authorization = "Bearer {token}" }}
generation.max-examples = {examples}
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "422", "424", "429"]
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "424"]
{operations}
"""
OPERATION = """
[[operations]]
include-path-regex = "^/api/{word}/[{{]id[}}]/"
include-method = {methods}
parameters = {{ "path.id" = "{id}" }}
"""


def main(schemathesis: str, examples: str, options: list[str]) -> int:
    from phonebank.embedded import ephemeral

    with ephemeral(fsync=False) as cluster, tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "phonebank.config.settings",
            "DATABASE_URL": cluster.url,
            "PHONEBANK_DATA": str(cluster.home / "app"),
            "API_RATE": "100000000",
            "SESSIONS_PER_HOUR": "0",
            "LOG_LEVEL": "ERROR",
        }
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        from phonebank.processes import Group, phonebank
        from phonebank.whatsappapi.management.stage import free_port, wait_for

        group, web, sandbox = Group(), free_port(), free_port()
        addresses = [f"http://127.0.0.1:{port}" for port in (web, sandbox)]
        os.environ["LOCAL_URL"] = addresses[0]
        try:
            group.start("web", phonebank("web", "--port", str(web)))
            group.start("sandbox", phonebank("sandbox", "--port", str(sandbox)))
            for address in addresses:
                wait_for(f"{address}/", group)
            token, things = furnish(addresses[1])
            config = Path(folder) / "schemathesis.toml"
            config.write_text(CONFIG.format(token=token, examples=examples, operations=operations(things)))
            command = [schemathesis, "--config-file", str(config), "run", f"{addresses[0]}/api/schema/", *options]
            return subprocess.run(command, check=False).returncode
        finally:
            group.stop()


def operations(things: dict[str, str]) -> str:
    """Most calls about one thing go to one that is there; deleting and unknown ids come in the stateful phase."""
    methods = '["GET", "PATCH", "POST"]'
    return "".join(OPERATION.format(word=word, methods=methods, id=id) for word, id in things.items())


def furnish(sandbox: str) -> tuple[str, dict[str, str]]:
    """A user's token, and the public id of one thing of each kind."""
    from django.conf import settings

    from phonebank.accounts.api_tokens import create_token
    from phonebank.accounts.models import User
    from phonebank.sandbox import DEFAULT_TOKEN
    from phonebank.whatsappapi.models import Contact
    from phonebank.whatsappapi.services import bulk, campaigns, contacts, gateways, groups, optout, sessions, sharing

    settings.LOCAL_URL = os.environ["LOCAL_URL"]
    user = User.objects.create_user("fuzz@phonebank.example", plan="enterprise")
    account = gateways.ensure_sandbox_account(owner=user, url=sandbox, token=DEFAULT_TOKEN)
    linked = [
        sessions.create_session(actor=user, account=account, phone_number=f"+1646555010{i}", log_messages=True)
        for i in range(2)
    ]
    people = "phone\n" + "\n".join(f"+12125550{100 + i}" for i in range(20))
    contacts.import_csv(
        actor=user, list_name="People", filename="people.csv", data=people.encode(), consent_source="a test"
    )
    people = user.contact_lists.get()
    campaign = campaigns.create_campaign(
        actor=user, name="Sale", contact_list=people, body="Hi {{ name|there }}", wa_sessions=linked
    )
    asking = user
    if os.environ.get("WHO") == "viewer":
        asking = User.objects.create_user("viewer@phonebank.example")
        share, link = sharing.invite(actor=user, wa_session=linked[0], email=asking.email, role="viewer")
        sharing.accept(actor=asking, share=share, token=link)
    _, token = create_token(actor=asking, name="fuzz", scope="write", days=1)
    things = {
        "sessions": linked[0],
        "groups": groups.create_group(actor=user, name="Team", wa_sessions=linked),
        "bulk-actions": bulk.start(actor=user, verb="disconnect", public_ids=[linked[1].public_id]),
        "contacts": Contact.objects.first(),
        "lists": people,
        "suppressions": optout.opt_out(user=user, phone="+12125550119", source="asked", actor=user),
        "campaigns": campaign,
    }
    return token, {word: str(thing.public_id) for word, thing in things.items()}


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.exit(main(sys.argv[1], os.environ.get("EXAMPLES", "50"), sys.argv[2:]))
