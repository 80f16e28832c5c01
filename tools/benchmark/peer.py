"""Postfix with OpenDKIM as the peer: a private instance that does what Postern does.

Needs root, as Postfix does, and the packages of `tools/install --bench`. Nothing of the machine's own Postfix is read
or changed: configuration, queue, data and passwords are in the server's directory. Settings are Debian's defaults but for
what the comparison needs and what would hold Postfix back here: no flow delay, no limits against abuse, TLS sessions to
the sink are cached.
"""

import os
import pathlib
import pwd
import shutil
import subprocess

from servers import (CONNECTIONS_MAX, DOMAIN, MESSAGE_BYTES_MAX, PASSWORD, SINK_PASSWORD, SINK_USER, USER, Server, wait_for,
                     wait_for_port)

MASTER = "/usr/lib/postfix/sbin/master"
SELECTOR = "bench"
RSA_BITS = 2048


class Postfix(Server):
    """`directory` and what is above it must be open for walking through: the daemons run as the user postfix."""

    name, title, signatures = "postfix", "Postfix", 1

    def __init__(self, directory, log_directory, authority, certificate, key, sink_port, prefix=()):
        super().__init__(directory, log_directory)
        self._prefix, self._etc = list(prefix), self.directory / "etc"
        owner = pwd.getpwnam("postfix")
        for each in ("etc", "etc/sasl", "passwords", "queue", "data"):
            (self.directory / each).mkdir(mode=0o755)
        os.chown(self.directory / "data", owner.pw_uid, owner.pw_gid)
        self._milter = self.directory / "opendkim.socket"
        self._write_opendkim()
        self._write_passwords()
        (self._etc / "main.cf").write_text(self._main(authority.ca_file, certificate, key, sink_port))
        (self._etc / "master.cf").write_text(self._master())
        _run("/usr/sbin/postfix", "-c", self._etc, "check")

    def _write_opendkim(self):
        key = self._etc / "dkim.pem"
        _run("openssl", "genrsa", "-out", key, RSA_BITS)
        key.chmod(0o600)
        (self._etc / "opendkim.conf").write_text(f"""
Mode s
Domain {DOMAIN}
Selector {SELECTOR}
KeyFile {key}
RequireSafeKeys no
Canonicalization relaxed/relaxed
SignatureAlgorithm rsa-sha256
OversignHeaders From
Socket local:{self._milter}
UMask 000
Background no
AutoRestart no
Syslog no
""")

    def _write_passwords(self):
        database = self.directory / "passwords" / "sasldb"
        _run("saslpasswd2", "-p", "-c", "-f", database, "-u", DOMAIN, USER, text=PASSWORD + "\n")
        shutil.chown(database, "postfix")
        # Debian's Postfix looks for it here, whatever main.cf says.
        (self._etc / "sasl" / "smtpd.conf").write_text(
            f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN\nsasldb_path: {database}\n")

    def _main(self, roots, certificate, key, sink_port):
        return f"""
compatibility_level = 3.6
queue_directory = {self.directory}/queue
data_directory = {self.directory}/data
maillog_file = {self.log}
maillog_file_prefixes = {self.log.parent}
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.{DOMAIN}
mydestination =
mynetworks =
alias_maps =
local_recipient_maps =
message_size_limit = {MESSAGE_BYTES_MAX}
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = {DOMAIN}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions =
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_client_connection_count_limit = 0
smtpd_peername_lookup = no
smtpd_milters = unix:{self._milter}
milter_default_action = tempfail
in_flow_delay = 0
relayhost = [localhost]:{sink_port}
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = nexthop
smtp_tls_CAfile = {roots}
smtp_tls_session_cache_database = btree:{self.directory}/data/smtp_scache
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = inline:{{ {{ [localhost]:{sink_port} = {SINK_USER}:{SINK_PASSWORD} }} }}
smtp_sasl_security_options = noanonymous
"""

    def _master(self):
        return f"""
127.0.0.1:{self.port} inet n - n - {CONNECTIONS_MAX} smtpd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
error     unix - - n - - error
retry     unix - - n - - error
smtp      unix - - n - - smtp
tlsproxy  unix - - n - 0 tlsproxy
proxymap  unix - - n - - proxymap
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
showq     unix n - n - - showq
pickup    unix n - n 60 1 pickup
flush     unix n - n 1000? 0 flush
postlog   unix-dgram n - n - 1 postlogd
"""

    def start(self):
        milter = self._spawn("/usr/sbin/opendkim", "-f", "-x", self._etc / "opendkim.conf")
        wait_for(self._milter.exists, "OpenDKIM's socket", milter, self.log)
        # "-d": stays in the foreground, so that it is ours to wait for.
        process = self._spawn(*self._prefix, MASTER, "-c", self._etc, "-d")
        wait_for_port(self.port, process, self.log)

    def waiting(self):
        queue = self.directory / "queue"
        return sum(len(files) for name in ("incoming", "active", "deferred") for _, _, files in os.walk(queue / name))


def version():
    found = subprocess.run(["/usr/sbin/postconf", "-h", "-d", "mail_version"], capture_output=True, text=True, check=True)
    return f"Postfix {found.stdout.strip()} with OpenDKIM"


def is_installed():
    needed = [MASTER, "/usr/sbin/opendkim", "/usr/sbin/saslpasswd2"]
    return all(pathlib.Path(each).exists() for each in needed)


def _run(*words, text=""):
    done = subprocess.run([str(word) for word in words], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
