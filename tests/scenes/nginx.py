"""The shipped nginx configuration (deploy/nginx.conf) in front of a server, with a certificate of its own."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
from pathlib import Path

from phonebank.processes import Group
from phonebank.whatsappapi.management.stage import free_port

from .tls import certificate_of

PROGRAM = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf"
NAME = "phonebank.example"
AROUND = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    error_log {folder}/error.log;
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


def begin(group: Group, folder: Path, port: int) -> tuple[int, ssl.SSLContext]:
    """Starts it in `group` before the server on `port`. Returns its own port and how to speak with it.

    Of the shipped file only ports and the certificate's place are changed.
    """
    pem = folder / "pem"
    pem.write_bytes(certificate_of(NAME))
    mine = free_port()
    text = re.sub(r"\n +listen \[::\].*", "", SHIPPED.read_text())
    for old, new in (
        ("listen 80;", f"listen 127.0.0.1:{free_port()};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{mine} ssl;"),
        (f"/etc/letsencrypt/live/{NAME}/fullchain.pem", str(pem)),
        (f"/etc/letsencrypt/live/{NAME}/privkey.pem", str(pem)),
        ("http://127.0.0.1:8000", f"http://127.0.0.1:{port}"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    (folder / "site.conf").write_text(text)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder))
    group.start("nginx", [str(PROGRAM), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"])
    return mine, ssl.create_default_context(cafile=pem)


def speak(port: int, context: ssl.SSLContext) -> socket.socket:
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 60), server_hostname=NAME)
