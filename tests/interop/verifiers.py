"""Three DKIM verifiers that share no code with Postern or with each other: dkimpy, Mail::DKIM and OpenDKIM.

Each function takes the message as the upstream received it (octets, CRLF line ends, dot-unstuffed) and the TXT
records as {"selector._domainkey.domain": "v=DKIM1; ..."}, and gives {algorithm: True or a reason}. RSA (RFC 6376)
and Ed25519 (RFC 8463) are told apart; OpenDKIM knows RSA only.
"""

import logging
import pathlib
import re
import subprocess
import tempfile

import dkim

HERE = pathlib.Path(__file__).resolve().parent


def records_from_text(text):
    """The TXT records in what `postern dkim generate` prints: zone file lines, strings possibly split."""
    records = {}
    for match in re.finditer(r'(\S+\._domainkey\.[^\s"]+?)\.?\s+(?:\d+\s+)?(?:IN\s+)?TXT\s+\(?((?:\s*"[^"]*")+)', text):
        records[match[1].lower()] = "".join(re.findall(r'"([^"]*)"', match[2]))
    return records


def dkim_tables_from_text(text):
    """The [[dkim]] tables in what `postern dkim generate` prints, ready to be appended to a configuration."""
    tables, taking = [], False
    for line in text.splitlines():
        line = line.strip()
        if line == "[[dkim]]":
            taking = True
        elif taking and not re.match(r"\w+\s*=", line):
            taking = False
        if taking:
            tables.append(line)
    return "\n".join(tables) + "\n"


def verify_with_dkimpy(message, records):
    logger = logging.getLogger("dkimpy")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False

    def look_up(name, timeout=5):
        del timeout
        return records.get(name.decode().rstrip(".").lower(), "").encode()

    found = {}
    count = len(re.findall(rb"^DKIM-Signature:", _header(message), re.MULTILINE | re.IGNORECASE))
    for index in range(count):
        verifier = dkim.DKIM(message, logger=logger)
        try:
            good = verifier.verify(idx=index, dnsfunc=look_up) or "does not verify"
        except dkim.DKIMException as problem:
            good = str(problem)
        found[verifier.signature_fields[b"a"].decode()] = good
    return found


def verify_with_mail_dkim(message, records):
    with _keys_file(records) as keys:
        done = subprocess.run(["/usr/bin/perl", HERE / "verify_dkim.pl", keys.name], input=message,
                              capture_output=True, check=False, timeout=60)
    if done.returncode != 0:
        raise RuntimeError("Mail::DKIM: " + done.stderr.decode(errors="replace"))
    found = {}
    for line in done.stdout.decode().splitlines():
        algorithm, result = line.split(" ", 1)
        found[algorithm] = True if result == "pass" else result
    return found


def verify_with_opendkim(message, records):
    """opendkim's own test mode; opendkim-testmsg is the same library but can only ask the DNS."""
    rsa = {name: text for name, text in records.items() if "ed25519" not in text}
    with tempfile.TemporaryDirectory() as directory:
        scratch = pathlib.Path(directory)
        # Its key file separates name and record by a space and takes the rest of the line.
        (scratch / "keys").write_text("".join(f"{name} {text}\n" for name, text in rsa.items()))
        (scratch / "message").write_bytes(_without_ed25519(message))
        (scratch / "opendkim.conf").write_text(
            f"TestPublicKeys {scratch}/keys\nMode v\nTemporaryDirectory {scratch}\nOn-Default accept\n")
        done = subprocess.run(["/usr/sbin/opendkim", "-vv", "-x", scratch / "opendkim.conf", "-t", scratch / "message"],
                              capture_output=True, check=False, timeout=60)
    text = (done.stdout + done.stderr).decode(errors="replace")
    return {"rsa-sha256": True if re.search(r"verification \(s=\S+[^)]*\) succeeded|dkim=pass", text) else text.strip()}


def _header(message):
    return message.partition(b"\r\n\r\n")[0] + b"\r\n"


def _without_ed25519(message):
    """OpenDKIM gives one verdict a message, so it is shown only the signature that it can judge."""
    header, _, body = message.partition(b"\r\n\r\n")
    fields = re.split(rb"\r\n(?![ \t])", header)
    kept = [field for field in fields
            if not (field.lower().startswith(b"dkim-signature:") and b"ed25519" in field)]
    return b"\r\n".join(kept) + b"\r\n\r\n" + body


def _keys_file(records):
    keys = tempfile.NamedTemporaryFile("w", suffix=".keys")
    keys.writelines(f"{name}\t{text}\n" for name, text in records.items())
    keys.flush()
    return keys
