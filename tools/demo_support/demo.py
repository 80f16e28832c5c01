"""The demonstration behind tools/demo: starts a relay and an upstream, submits a scan, shows what arrived.

Promise: loopback only; everything is under build/demo; with --once everything is stopped again and the exit code is 0
only if the message came over TLS with a verified certificate, after a login, with an RSA and an Ed25519 signature that
dkimpy verifies against the DNS records that `postern dkim generate` printed.
The upstream, the authority and the verifier are those of the interop tests.
"""

import email.message
import email.policy
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests" / "interop"))

import verifiers  # noqa: E402  (found by the line above)
from authority import Authority  # noqa: E402
from relay import Relay, free_port, upstream_table  # noqa: E402

DEMO = REPOSITORY / "build" / "demo"
USER, SENDER, RECIPIENT = "copier-2", "scan@office.example", "anna@far.example"
ARRIVAL_SECONDS_MAX = 30


def say(text=""):
    print(text, flush=True)


def stop_earlier():
    """Ends what an earlier run left; a process id counts only while its command line still names build/demo."""
    file = DEMO / "processes.json"
    pids = json.loads(file.read_text()) if file.exists() else []
    ours = [pid for pid in pids if _is_ours(pid)]
    for pid in ours:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 30
    while any(_is_ours(pid) for pid in ours) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in ours:
        if _is_ours(pid):
            os.kill(pid, signal.SIGKILL)
    file.unlink(missing_ok=True)
    return len(ours)


def _is_ours(pid):
    try:
        if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        return str(DEMO).encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def start_upstream(authority, password):
    """The upstream as a process of its own, so that it outlives this one: (process, port)."""
    certificate, key = authority.issue("upstream", ["localhost"])
    port = free_port()
    with open(DEMO / "upstream.log", "wb") as log:
        process = subprocess.Popen(
            ["/usr/bin/python3", "-B", REPOSITORY / "tests/interop/upstream.py", "--directory", DEMO / "received",
             "--certificate", certificate, "--private-key", key, "--port", str(port), "--password", password, "--show"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + 15
    while b"listening" not in (DEMO / "upstream.log").read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError((DEMO / "upstream.log").read_text())
        time.sleep(0.05)
    return process, port


def pdf_of_one_page():
    """A page as small as a PDF can be, with a table of offsets that is right."""
    text = b"BT /F1 24 Tf 60 760 Td (Scanned by copier-2) Tj ET"
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
               b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
               b"/Resources << /Font << /F1 5 0 R >> >> >>",
               b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
               b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    output, offsets = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        offsets.append(len(output))
        output += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return output + (b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
                     % (len(objects) + 1, table, len(objects) + 1, len(output)))


def scan_message():
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["From"] = f"Copier on the second floor <{SENDER}>"
    message["To"] = RECIPIENT
    message["Subject"] = "Scan from copier-2"
    message.set_content("The scan is attached.\n.\n.. and this text begins lines with dots, to show that they survive.\n")
    message.add_attachment(pdf_of_one_page(), maintype="application", subtype="pdf", filename="scan-0001.pdf")
    return message


def wait_for_message():
    """(envelope, octets) of the first message that the upstream took."""
    deadline = time.monotonic() + ARRIVAL_SECONDS_MAX
    while time.monotonic() < deadline:
        file = DEMO / "received" / "message-1.json"
        if file.exists():
            try:
                return json.loads(file.read_text()), (DEMO / "received" / "message-1.eml").read_bytes()
            except json.JSONDecodeError:
                pass  # it is being written
        time.sleep(0.1)
    raise RuntimeError(f"the upstream got no message within {ARRIVAL_SECONDS_MAX} s")


def show(envelope, octets, records):
    """Prints the message as the upstream received it and what can be said about it; True when all is well."""
    say(f"\nThe upstream received, over {envelope['tls_version']} with the login {envelope['user']}:")
    say(f"  envelope: from <{envelope['mail_from']}> to "
        + ", ".join(f"<{address}>" for address, _ in envelope["recipients"]))
    lines = octets.decode(errors="replace").split("\r\n")
    for line in lines[:70]:
        say("  | " + line)
    if len(lines) > 70:
        say(f"  | … {len(lines) - 70} lines more")
    verdict = verifiers.verify_with_dkimpy(octets, records)
    say()
    for algorithm in ("rsa-sha256", "ed25519-sha256"):
        found = verdict.get(algorithm, "no such signature")
        say(f"Signature {algorithm}: " + ("good, by dkimpy and the published record" if found is True else f"BAD: {found}"))
    say(f"TLS to the upstream: {envelope['tls_version']}, its certificate verified against {DEMO / 'ca' / 'ca.pem'}")
    return (verdict == {"rsa-sha256": True, "ed25519-sha256": True} and envelope["tls_version"] in ("TLSv1.2", "TLSv1.3")
            and envelope["user"] and envelope["accepted"] and not envelope["bare_newlines"])


def show_that_a_stranger_gets_nothing(upstream_port, password):
    """The same upstream, but roots that do not vouch for it: the mail must stay in the queue. True when it does."""
    stranger = Authority(DEMO / "stranger-ca", "an authority the upstream does not have")
    table = upstream_table(upstream_port, stranger.ca_file)
    with Relay(DEMO / "stranger", stranger, [table], upstream_password=password) as relay:
        relay.submit(scan_message().as_bytes(), [RECIPIENT])
        waiting = relay.wait_for_queue(lambda queue: queue and queue[0]["last_error"], "a first attempt")
    say(f"The same upstream under another CA gets nothing; the queue says: {waiting[0]['last_error']}")
    return not (DEMO / "received" / "message-2.json").exists()


def run(once):
    if stop_earlier():
        say("Stopped the demonstration that was running.")
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir(parents=True)
    processes = []

    def remember(pid):
        processes.append(pid)
        (DEMO / "processes.json").write_text(json.dumps(processes))

    say("Making a throw-away CA, certificates, a user and DKIM keys …")
    authority = Authority(DEMO / "ca")
    upstream_password, password = secrets.token_hex(12), secrets.token_hex(8)
    upstream, upstream_port = start_upstream(authority, upstream_password)
    remember(upstream.pid)
    relay = Relay(DEMO / "relay", authority, [upstream_table(upstream_port, authority.ca_file)], users=[],
                  upstream_password=upstream_password, dkim_domain="office.example")
    relay.postern("user", "add", USER, "--from", SENDER, "--password-stdin", text=password + "\n")
    say("Starting the relay …")
    relay.start()
    remember(relay.pid)
    say(f"Submitting a scan as a printer would, from {SENDER} to {RECIPIENT} …")
    relay.submit(scan_message().as_bytes(), [RECIPIENT], SENDER, user=USER, password=password)
    envelope, octets = wait_for_message()
    good = show(envelope, octets, relay.records)
    good = show_that_a_stranger_gets_nothing(upstream_port, upstream_password) and good
    if once:
        relay.stop()
        stop_earlier()
        upstream.wait()
        say("\nEverything is stopped. " + ("All is well." if good else "SOMETHING IS WRONG, see above."))
    else:
        say(f"""
It all keeps running; `tools/demo --stop` ends it.
  host       localhost
  ports      {relay.implicit_port} (TLS from the first byte), {relay.starttls_port} (STARTTLS)
  CA file    {authority.ca_file}
  user       {USER}
  password   {password}
  relay log  {DEMO / 'relay' / 'log'}
  upstream   {DEMO / 'upstream.log'} shows what it gets; messages are kept in {DEMO / 'received'}

Try it:
  swaks --server localhost --port {relay.starttls_port} --tls --tls-verify --tls-ca-path {authority.ca_file} \\
    --auth-user {USER} --auth-password {password} --from {SENDER} --to {RECIPIENT}""")
    return 0 if good else 1


def main():
    if "--stop" in sys.argv[1:]:
        say("Stopped." if stop_earlier() else "Nothing was running.")
        return 0
    try:
        return run("--once" in sys.argv[1:])
    except BaseException:
        stop_earlier()
        raise


if __name__ == "__main__":
    sys.exit(main())
