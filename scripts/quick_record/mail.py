"""The summary by e-mail, through the user's own SMTP server."""

import os
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import make_msgid

from scripts.quick_record.folder import MP3, REPORT, TRANSCRIPT, Folder

_CONNECT_SECONDS = 30.0


class MailFailed(Exception):
    """The server does not take the message; the message of this says why."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """Whose server it is; `tls` is "starttls", "tls" or "off"."""

    host: str
    port: int
    user: str
    password: str
    sender: str
    tls: str

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "MailServer":
        """Read SMTP_*.

        Raises:
            MailFailed: a value is missing or wrong.
        """
        user = environment.get("SMTP_USER", "")
        sender = environment.get("SMTP_FROM", "") or user
        tls = environment.get("SMTP_TLS", "starttls")
        port = environment.get("SMTP_PORT", "465" if tls == "tls" else "587")
        if not environment.get("SMTP_HOST") or not sender:
            raise MailFailed("SMTP_HOST and SMTP_FROM (or SMTP_USER) are needed")
        if tls not in ("starttls", "tls", "off") or not port.isdecimal():
            raise MailFailed("SMTP_TLS is starttls, tls or off, and SMTP_PORT a number")
        password = environment.get("SMTP_PASSWORD", "")
        if password and tls == "off":
            raise MailFailed("SMTP_TLS=off would send SMTP_PASSWORD as it is; use starttls or tls")
        return cls(environment["SMTP_HOST"], int(port), user, password, sender, tls)


def summary(folder: Folder, server: MailServer, to: Sequence[str], seconds: float) -> EmailMessage:
    """Write the message: the report if there is one, else the transcript, else how long it was and where it is."""
    message = EmailMessage()
    message["Subject"] = f"Recording: {folder.note.title}"
    message["From"] = server.sender
    message["To"] = ", ".join(to)
    message["Message-ID"] = make_msgid(domain="localhost")
    minutes, rest = divmod(round(seconds), 60)
    facts = f"{folder.note.title}\nLength {minutes} min {rest} s\nRecording {(folder.path / MP3).absolute()}\n"
    texts = [folder.path / name for name in (REPORT, TRANSCRIPT) if (folder.path / name).exists()]
    body = texts[0].read_text(encoding="utf-8") if texts else "There is no transcript: none was asked for.\n"
    message.set_content(f"{facts}\n{body}")
    for path in texts:
        message.add_attachment(path.read_text(encoding="utf-8"), filename=path.name)
    return message


def send(message: EmailMessage, server: MailServer) -> None:
    """Hand a message to the server.

    Raises:
        MailFailed: it does not take it.
    """
    context = ssl.create_default_context()
    try:
        if server.tls == "tls":
            opened: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=_CONNECT_SECONDS, context=context)
        else:
            opened = smtplib.SMTP(server.host, server.port, timeout=_CONNECT_SECONDS)
        with opened as smtp:
            if server.tls == "starttls":
                smtp.starttls(context=context)
            if server.password:
                smtp.login(server.user, server.password)
            smtp.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise MailFailed(f"{server.host} does not take the message ({type(error).__name__}: {error})") from error
