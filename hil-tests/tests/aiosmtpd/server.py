"""Takes mail by aiosmtpd, so that the product's mails meet a server and a reader that are not ours.

    server.py none                         in the clear, no account
    server.py starttls CERTIFICATE KEY     STARTTLS and an account are demanded
    server.py implicit CERTIFICATE KEY     TLS from the first byte, an account is demanded

The account is `yagura` with the password `a password`. A recipient `gone@...` is refused for good,
`later@...` for now. Lines on standard input change what happens to a mail, each answered by `ok`:
`accept`, `tempfail` (after DATA), `hang` (never an answer to DATA), `close` (the connection ends in
the middle). On standard output: `ready PORT`, then one JSON line for each mail that was taken, as
Python's own mail parser reads it. It ends with its standard input.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys
import time

from aiosmtpd.smtp import SMTP, AuthResult


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Handler:
    mode = "accept"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone@"):
            return f"550 5.1.1 <{address}>: nobody here by that name"
        if address.startswith("later@"):
            return f"451 4.7.1 <{address}>: come back in a minute"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.mode == "tempfail":
            return "452 4.3.1 the disk is full"
        if self.mode == "hang":
            await asyncio.sleep(3600)
        if self.mode == "close":
            server.transport.abort()
            return "250 never heard"
        accepted = time.time_ns() // 1_000_000
        raw = envelope.original_content
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        say(json.dumps({
            "accepted_ms": accepted,
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None,
            "login": bool(session.authenticated),
            "hello": session.host_name,
            "headers": [[name.lower(), str(value)] for name, value in mail.items()],
            "defects": [str(defect) for defect in mail.defects],
            "subject": str(mail["subject"]),
            "text": mail.get_content().replace("\r\n", "\n"),
            "parts": mail.is_multipart(),
            "longest": max(len(line) for line in raw.split(b"\r\n")),
            "ascii": raw.isascii(),
            "bare": raw.replace(b"\r\n", b"").count(b"\n"),
        }))
        return "250 2.0.0 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"yagura" and data.password == b"a password"
    # Not handled: the server is to say 535 itself.
    return AuthResult(success=good, handled=False)


async def main():
    kind, *files = sys.argv[1:]
    handler = Handler()
    context = None
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
    loop = asyncio.get_running_loop()

    def smtp():
        options = {"loop": loop, "enable_SMTPUTF8": False}
        if kind == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        if kind != "none":
            options |= {"authenticator": authenticate, "auth_required": True}
        if kind == "implicit":
            options |= {"auth_require_tls": False}
        return SMTP(handler, **options)

    server = await loop.create_server(smtp, "127.0.0.1", 0, ssl=context if kind == "implicit" else None)
    say(f"ready {server.sockets[0].getsockname()[1]}")
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        handler.mode = line.strip()
        say("ok")


asyncio.run(main())
