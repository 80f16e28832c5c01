"""A control socket that answers as a test wants, and the operator's command beside it."""

import json
import socket
import subprocess
import threading

from support import InteropTest, relays

COMMAND_SECONDS_MAX = 60


class ScriptedControl:
    """A control socket that answers each command with the JSON the test gives for it, and keeps what it was asked."""

    def __init__(self, path, answers):
        self.answers, self.asked = answers, []
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            with client, client.makefile("rw") as lines:
                request = json.loads(lines.readline())
                self.asked.append(request)
                lines.write(json.dumps(self.answers[request["command"]]) + "\n")

    def close(self):
        self.server.close()


def good(result):
    return {"ok": True, "result": result}


def queued(**facts):
    return {"id": "6H0N2WB2V5T4R", "user": "copier-2", "sender": "scan@office.example", "bytes": 10, "attempts": 1,
            "recipients": [{"address": "anna@far.example", "state": "waiting", "last_reply": ""}],
            "received": "2026-11-24T10:00:00Z", "next_attempt": "2026-11-24T11:11:11Z", "held": False,
            "quarantined": False, "last_error": ""} | facts


def status(**facts):
    return {"version": "1", "hostname": "relay.office.example", "started": "2026-11-24T10:00:00Z",
            "now": "2026-11-24T10:00:00Z", "listeners": [], "certificate_expires": "2027-01-10T00:00:00Z",
            "connections": 0, "queue": {"messages": 1, "bytes": 10, "quarantined": 0, "free_bytes": 10, "commits": 1},
            "relayed": 1, "delayed": 0, "failed": 0, "upstreams": [], "reload_problem": None,
            "restart_needed": []} | facts


class OperatorTest(InteropTest):
    def setUp(self):
        super().setUp()
        self.configuration = self.scratch / "postern.toml"
        self.configuration.write_text('[server]\nhostname = "relay.office.example"\nstate_directory = "state"\n'
                                      'control_socket = "control"\n')
        (self.scratch / "state").mkdir(mode=0o700)

    def postern(self, *words, code=0, **keys):
        done = subprocess.run([relays.program("postern"), "--config", self.configuration, *words], check=False,
                              capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, **keys)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def answer(self, **answers):
        control = ScriptedControl(self.scratch / "control",
                                  {name.replace("_", "-"): answer for name, answer in answers.items()})
        self.addCleanup(control.close)
        return control
