"""The scanner wapiti against the running product: nothing of medium or higher, or this fails (`make audit`).

Everything runs on a throw-away database with the demonstration's data, served as in production: https, its cookies and
its headers. The scanner logs in by the form, follows every link and attacks every form and parameter it meets.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
WAPITI = ROOT / ".venv-audit/bin/wapiti"
DIST = ROOT / "dist"
PASSWORD = token_urlsafe(16)  # of an account that lives for minutes
# All that need no other machine, and none that looks for other products' holes.
ACTIVE = "crlf,csrf,exec,file,htaccess,ldap,methods,permanentxss,redirect,sql,timesql,upload,xss"
PASSIVE = "cookieflags,csp,http_headers,https_redirect,inconsistent_redirection,information_disclosure,"
PASSIVE += "stacktrace_disclosure,unsecure_password"
# What would end the scan: logging out, this account's other logins, the account itself, its password and second factor.
# And what takes away the very things that other pages show: the scanner would run out of pages to attack.
AWAY = [
    "whatsappapi/*/delete/*",
    "whatsappapi/*/erase/*",
    "accounts/logout/*",
    "accounts/password/*",
    "accounts/mfa/*",
    "whatsappapi/account/*",
    "accounts/link/*",
]
CRAWL = int(os.environ.get("AUDIT_CRAWL", "90"))  # seconds
ATTACK = int(os.environ.get("AUDIT_ATTACK", "15"))  # seconds a module
PATIENCE = 1800  # seconds for all of it; a busy machine answers late
FEWEST = 30  # pages that only somebody who is logged in sees; a scan of the login form would prove nothing
MEDIUM = 2
# Of these modules no finding is taken, however low; but of the cookie that is removed with its last message, without
# flags, which a browser keeps nothing of.
STRICT = {"cookieflags", "csp", "http_headers"}
REMOVED = "'messages' set at"
PEOPLE = 12  # each has a page of their own, and one is as good as a hundred


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    os.environ |= {"DJANGO_SETTINGS_MODULE": "phonebank.config.settings", "LOG_LEVEL": "ERROR"}
    sys.path.insert(0, str(ROOT))
    from phonebank.config.launch import throwaway

    with throwaway():
        import django

        django.setup()
        report, stayed = scan()
    sys.exit(judge(report, stayed, (DIST / "wapiti-web.log").read_text().count("Internal Server Error: ")))


def scan() -> tuple[dict[str, Any], bool]:
    """The scanner's report, and whether it was logged in to the end."""
    from django.contrib.sessions.models import Session
    from django.core.management import call_command

    from phonebank.processes import PARENT, phonebank
    from phonebank.whatsappapi.management import journey, stage

    call_command("migrate", verbosity=0)
    place = stage.Stage(stage.free_port(), stage.free_port())
    inside, outside = stage.free_port(), stage.free_port()
    https = f"https://127.0.0.1:{outside}"
    DIST.mkdir(exist_ok=True)
    try:
        place.start()
        user, sandbox = stage.demo_user(), journey.Sandbox(place.sandbox)
        furnish(user, sandbox)
        production = {"PUBLIC_URL": https, "API_RATE": "100000"}  # the limit a minute would only slow the scanner
        production[PARENT] = str(place.group.read)
        with (DIST / "wapiti-web.log").open("w") as log, subprocess.Popen(  # noqa: S603
            phonebank("web", "--port", str(inside)), env=os.environ | production, pass_fds=[place.group.read],
            stderr=log,
        ) as web:  # fmt: skip
            try:
                stage.wait_for(f"http://127.0.0.1:{inside}/healthz", place.group)
                with encrypted(outside, inside):
                    report = wapiti(https, user.email)
            finally:
                web.terminate()
        kept = [one.get_decoded().get("_auth_user_id") for one in Session.objects.all()]
        return report, str(user.pk) in kept
    finally:
        place.group.stop()


def furnish(user: Any, sandbox: Any) -> None:
    """Numbers, people, a campaign that is under way, an answer, and a password for the scanner."""
    from phonebank.whatsappapi.management import journey
    from phonebank.whatsappapi.models import ContactList
    from phonebank.whatsappapi.services import campaigns, contacts

    linked = journey.connect_numbers(user, sandbox, print)
    named = {"list_name": "Spring opening", "filename": "spring.csv", "consent_source": ""}
    few = b"\n".join(journey.audience().splitlines()[: PEOPLE + 1])
    contacts.import_csv(actor=user, data=few, **named)
    people = ContactList.objects.get(user=user)
    launched = campaigns.create_campaign(
        actor=user, name="Spring opening", contact_list=people, body=journey.BODY, wa_sessions=linked
    )
    campaigns.launch(actor=user, campaign=launched)
    answer = {"from": "+12125550100", "text": "Lovely, see you on Saturday!"}
    sandbox.call("POST", f"/sandbox/sessions/{linked[0].wasender_id}/inbound", answer)
    user.set_password(PASSWORD)
    user.save()


def wapiti(https: str, email: str) -> dict[str, Any]:
    out = DIST / "wapiti.json"
    out.unlink(missing_ok=True)
    login = ["--form-url", f"{https}/accounts/login/", "--form-user", email, "--form-password", PASSWORD]
    login += ["-s", f"{https}/whatsappapi/"]
    login += ["-H", "X-Forwarded-Proto: https"]  # what a proxy says; ours passes bytes on and no more
    away = [part for one in AWAY for part in ("-x", f"{https}/{one}")]
    bounds = ["--max-scan-time", str(CRAWL), "--max-attack-time", str(ATTACK), "--max-links-per-page", "60"]
    bounds += ["--max-files-per-dir", "12", "--tasks", "4", "-t", "20"]
    report = ["-f", "json", "-o", str(out), "-dr", "1", "--no-bugreport", "-v", "1"]
    with tempfile.TemporaryDirectory() as folder:
        stores = ["--store-session", folder, "--store-config", folder]
        command = [str(WAPITI), "-u", f"{https}/", "--scope", "domain", "-m", f"{ACTIVE},{PASSIVE}", "-l", "1"]
        command += [*login, *away, *bounds, *report, *stores]
        subprocess.run(command, check=True, cwd=folder, timeout=PATIENCE)  # noqa: S603
    return json.loads(out.read_text())


def judge(report: dict[str, Any], stayed: bool, errors: int) -> int:
    """Prints what was found and what was looked at; 1 when either is not good enough."""
    seen = report["infos"]["crawled_pages"]
    pages = {urlsplit(one["request"]["url"]).path for one in seen if one["response"]["status_code"] == 200}
    mine = {one for one in pages if one.startswith("/whatsappapi/")}
    found = [
        f"{kind}: {one['method']} {one['path']} {one['info']}"
        for group in ("vulnerabilities", "anomalies")
        for kind, ones in report[group].items()
        for one in ones
        if one["level"] >= MEDIUM or (one["module"] in STRICT and REMOVED not in one["info"])
    ]
    print("\n".join(found[:50]))
    lower = sum(map(len, [*report["vulnerabilities"].values(), *report["anomalies"].values()])) - len(found)
    if len(mine) < FEWEST:
        print(f"FAILED: fewer than {FEWEST} pages behind the login.")
    if errors:
        print(f"FAILED: {errors} errors of ours; see dist/wapiti-web.log.")
    if not stayed:
        print("FAILED: the scanner was logged out on its way.")
    print(
        f"{len(found)} of medium or higher or about headers, cookies and policy; {lower} lower ones; "
        f"{errors} errors of ours; {len(seen)} addresses and forms crawled, {len(mine)} pages behind the login"
    )
    return int(bool(found or errors) or len(mine) < FEWEST or not stayed)


# --- https ------------------------------------------------------------------------------------------------------------
@contextmanager
def encrypted(outside: int, inside: int) -> Iterator[None]:
    """Ends TLS at one port and passes what comes on to another, both of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate(Path(folder)))
    ready, loops = threading.Event(), list[asyncio.AbstractEventLoop]()
    done = asyncio.Event()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", inside)
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

    async def listen() -> None:
        loops.append(asyncio.get_running_loop())
        server = await asyncio.start_server(meet, "127.0.0.1", outside, ssl=context)
        ready.set()
        await done.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(listen()), daemon=True)
    thread.start()
    if not ready.wait(10):
        raise RuntimeError(f"Port {outside} cannot be listened at.")
    try:
        yield
    finally:
        loops[0].call_soon_threadsafe(done.set)
        thread.join(10)


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


def certificate(folder: Path) -> Path:
    """Key and certificate of 127.0.0.1 for a day, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, form, plain) + made.public_bytes(pem))
    return path


if __name__ == "__main__":
    main()
