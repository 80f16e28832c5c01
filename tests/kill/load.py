"""Clients that send without pause, whatever becomes of the relay: smtplib, each in a thread of its own."""

import random
import smtplib
import threading
import time

from relay import SENDER

PAUSE_SECONDS = 0.02  # before a client whose relay is gone tries again
MESSAGES_PER_CONNECTION_MAX = 6


class Load:
    def __init__(self, relay, ledger, seed, clients=4):
        self.relay, self.ledger = relay, ledger
        self.unexpected = []  # what no kill explains
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._send_all, args=(random.Random(seed * 1000 + number),),
                                          daemon=True) for number in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)

    def _send_all(self, chance):
        while not self._stopped.is_set():
            try:
                self._one_connection(chance)
            except (OSError, smtplib.SMTPServerDisconnected):
                time.sleep(PAUSE_SECONDS)
            except smtplib.SMTPException as error:
                self.unexpected.append(repr(error))
                time.sleep(PAUSE_SECONDS)

    def _one_connection(self, chance):
        with self.relay.connect(implicit=chance.random() < 0.5) as client:
            for _ in range(chance.randint(1, MESSAGES_PER_CONNECTION_MAX)):
                if self._stopped.is_set():
                    return
                number, content = self.ledger.new_message(chance)
                try:
                    client.sendmail(SENDER, ["anna@far.example"], content)
                except smtplib.SMTPServerDisconnected:
                    raise  # no answer: it may or may not be queued
                except smtplib.SMTPException:
                    self.ledger.answered(number, False)
                    raise
                self.ledger.answered(number, True)
