// One message on its way from the session into the queue: header split off, checked and fixed up,
// body hashed and sealed as it streams, signatures made, everything committed.
//
// Promise: constant memory (the header, at most body_in_row_bytes_max of sealed body, and at most
// spool_window_bytes_max on their way to the spool); the body is never rewritten; a refusal is told
// as early as it is known. finish() ends in exactly one reply, and a 250 only after the storage
// thread said "durable". Sharp edge: destroying it before finish() answered throws the spool file
// away, but an insert already asked for may still commit: the message then arrives although the
// client heard no 250, which RFC 5321 §6.1 allows and a loss it does not.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "crypto/dkim.hpp"
#include "crypto/sealed_body.hpp"
#include "relay/base/callback.hpp"
#include "relay/message/header.hpp"
#include "relay/net/loop.hpp"
#include "relay/smtp/envelope.hpp"
#include "relay/smtp/reply.hpp"
#include "relay/submission/submission_policy.hpp"

namespace postern::submission {

// Octets handed to the storage thread and not yet written; beyond it the session stops reading.
inline constexpr std::size_t spool_window_bytes_max = 1024UZ * 1024;

struct IntakeFacts {
  std::string user_name;
  std::string client_name;
  std::string client_address;
  std::string tls_version;
  std::string tls_cipher;
};

class MessageIntake {
 public:
  struct Events {
    Callback<smtp::Reply>
        refuse;              // the content must be refused: smtp::SubmissionSession::refuse_content
    Callback<> window_open;  // more content may come again
  };
  // `home` is the worker's loop; all of this class runs there.
  MessageIntake(net::Loop& home, SubmissionServices& services, PolicySnapshot policy,
                IntakeFacts facts, const smtp::Envelope& envelope, Events events);
  ~MessageIntake();
  MessageIntake(const MessageIntake&) = delete;
  MessageIntake& operator=(const MessageIntake&) = delete;

  void append(ByteView octets);
  [[nodiscard]] bool window_full() const { return spooling_bytes_ >= spool_window_bytes_max; }
  // Everything so far, for the day's amount of bytes.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  // No more content: sign, seal, commit, answer.
  void finish(Callback<smtp::Reply> done);

 private:
  struct Signing;  // what the pool works on
  void header_complete();
  void append_body(ByteView octets);
  void move_to_spool();
  void spooled(std::size_t octets, Result<> result);
  void refuse(smtp::Reply reply);
  void answer_refusal();
  void sign();
  void commit(std::string header_octets);
  struct QueuedFacts;
  [[nodiscard]] QueuedFacts queued_facts() const;
  static void log_queued(Logger& log, const storage::MessageSummary& summary,
                         const QueuedFacts& facts);
  void answer(Result<> committed);

  net::Loop& home_;
  SubmissionServices& services_;
  PolicySnapshot policy_;
  IntakeFacts facts_;
  smtp::Envelope envelope_;
  Events events_;
  Now received_;
  QueueId id_;
  crypto::QueueKey::MessageKey key_;
  message::HeaderCollector collector_;
  message::Header header_;
  bool header_done_ = false;
  std::string from_domain_;
  crypto::DkimBodyHasher body_hasher_;
  crypto::SealWriter body_seal_;
  Bytes sealed_;  // in memory and not yet on its way to the spool
  std::optional<std::uint64_t> spool_token_;
  std::size_t spooling_bytes_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t body_bytes_ = 0;
  bool refused_ = false;
  smtp::Reply refusal_;
  std::optional<Error> spool_error_;
  Callback<smtp::Reply> done_;
  // Answers from other threads ask this before they touch `this`.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace postern::submission
