// Submits one message by nodemailer. Standard input: {"port", "implicit", "ca", "user", "password", "from", "to", "file"}.
// Promise: verifies the relay's certificate against `ca` only; exit code 0 means that every recipient was accepted.
'use strict';
const fs = require('fs');
const nodemailer = require('nodemailer');

const job = JSON.parse(fs.readFileSync(0, 'utf8'));
const transport = nodemailer.createTransport({
  // By its IPv4 address: newer Node tries only ::1 for "localhost".
  host: '127.0.0.1',
  port: job.port,
  secure: job.implicit,
  requireTLS: !job.implicit,
  auth: { user: job.user, pass: job.password },
  tls: { servername: 'localhost', ca: fs.readFileSync(job.ca) },
});
transport
  .sendMail({ envelope: { from: job.from, to: job.to }, raw: fs.readFileSync(job.file) })
  .then((sent) => {
    console.log(sent.response);
    process.exitCode = sent.rejected.length === 0 ? 0 : 1;
    transport.close();
  })
  .catch((problem) => {
    console.error(String(problem));
    process.exitCode = 1;
  });
