"""Real clients as functions: each submits the octets of one message over one of the two listeners.

    send(test, relay, content, sender, recipients, implicit)

Every one verifies the relay's certificate, logs in, and fails the test when it ends with an error.
"""

import json
import os
import tempfile

from relay import PASSWORD, USER


def _file_of(relay, content):
    handle, path = tempfile.mkstemp(dir=relay.directory, suffix=".eml")
    with os.fdopen(handle, "wb") as output:
        output.write(content)
    return path


def send_by_smtplib(test, relay, content, sender, recipients, implicit):
    del test
    options = ["SMTPUTF8", "BODY=8BITMIME"] if not all(each.isascii() for each in recipients) else []
    refused = relay.submit(content, recipients, sender, implicit, options)
    if refused:
        raise AssertionError(f"refused recipients: {refused}")


def send_by_swaks(test, relay, content, sender, recipients, implicit):
    port = relay.implicit_port if implicit else relay.starttls_port
    test.run_client("swaks", "--server", "localhost", "--port", port, "--tls-on-connect" if implicit else "--tls",
                    "--tls-verify", "--tls-ca-path", relay.ca_file, "--auth", "PLAIN" if implicit else "LOGIN",
                    "--auth-user", USER, "--auth-password", PASSWORD, "--from", sender, "--to", ",".join(recipients),
                    # swaks ends the data with a CRLF of its own
                    "--data", "@" + _file_of(relay, content.removesuffix(b"\r\n")), "--suppress-data", "--helo", "copier.office.example")


def send_by_curl(test, relay, content, sender, recipients, implicit):
    url = f"smtps://localhost:{relay.implicit_port}" if implicit else f"smtp://localhost:{relay.starttls_port}"
    to = [word for each in recipients for word in ("--mail-rcpt", each)]
    test.run_client("/usr/bin/curl", "--silent", "--show-error", "--url", url + "/copier.office.example",
                    "--cacert", relay.ca_file, "--ssl-reqd", "--user", f"{USER}:{PASSWORD}", "--mail-from", sender,
                    *to, "--upload-file", _file_of(relay, content), environment=_utf8_environment())


def send_by_msmtp(test, relay, content, sender, recipients, implicit):
    port = relay.implicit_port if implicit else relay.starttls_port
    password = relay.directory / "password"
    password.write_text(PASSWORD + "\n")
    test.run_client("msmtp", "--host=localhost", f"--port={port}", "--tls=on",
                    f"--tls-starttls={'off' if implicit else 'on'}", f"--tls-trust-file={relay.ca_file}",
                    "--auth=plain", f"--user={USER}", f"--passwordeval=cat {password}", f"--from={sender}",
                    "--domain=copier.office.example", "--", *recipients,
                    # A sendmail-like program is fed lines that end as on Unix.
                    text=content.replace(b"\r\n", b"\n"))


def send_by_nodemailer(test, relay, content, sender, recipients, implicit):
    job = {"port": relay.implicit_port if implicit else relay.starttls_port, "implicit": implicit,
           "ca": str(relay.ca_file), "user": USER, "password": PASSWORD, "from": sender, "to": recipients,
           "file": _file_of(relay, content)}
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nodemailer_client.js")
    environment = dict(os.environ, NODE_PATH="/usr/share/nodejs:/usr/share/javascript")
    test.run_client("node", script, text=json.dumps(job).encode(), environment=environment)


def _utf8_environment():
    return dict(os.environ, LC_ALL="C.UTF-8")


ALL = {"smtplib": send_by_smtplib, "swaks": send_by_swaks, "curl": send_by_curl, "msmtp": send_by_msmtp,
       "nodemailer": send_by_nodemailer}
# The others cannot say SMTPUTF8 (RFC 6531) at all.
WITH_SMTPUTF8 = ("smtplib", "curl", "nodemailer")
