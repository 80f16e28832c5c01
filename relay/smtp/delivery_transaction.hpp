// One mail transaction with the upstream: which recipient stands where, and what came of each.
//
// Promise: every recipient has exactly one result in the end; the first one given stays. Sharp
// edge: a recipient that RCPT accepted has no result before the dot is answered.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "relay/smtp/delivery_session.hpp"
#include "relay/smtp/dot_stuffing.hpp"

namespace postern::smtp {

class DeliveryTransaction {
 public:
  // Recipients beyond recipients_max (RFC 9422) are left for a later transaction.
  DeliveryTransaction(Envelope envelope, std::optional<std::size_t> recipients_max);

  [[nodiscard]] const Envelope& envelope() const { return envelope_; }
  [[nodiscard]] std::size_t recipients() const { return recipients_; }  // those of this transaction

  // The recipient whose RCPT reply comes next.
  [[nodiscard]] std::size_t current() const { return current_; }
  void advance() { ++current_; }
  [[nodiscard]] bool all_asked() const { return current_ >= recipients_; }

  void accept_mail() { mail_accepted_ = true; }
  [[nodiscard]] bool mail_accepted() const { return mail_accepted_; }
  void accept_current();
  [[nodiscard]] std::size_t accepted() const { return accepted_; }
  // RFC 5321 §4.5.3.1.10: 552 at RCPT means "too many for now" and is written down as 452.
  void refuse_current(const Reply& reply);

  // For every recipient without a result.
  void settle(const RecipientResult& result);
  [[nodiscard]] std::vector<RecipientResult> take_results();

  DotStuffer stuffer;
  bool pipelined = false;
  std::uint64_t content_bytes = 0;

 private:
  Envelope envelope_;
  std::vector<std::optional<RecipientResult>> results_;
  std::size_t recipients_ = 0;
  std::size_t current_ = 0;
  std::size_t accepted_ = 0;
  bool mail_accepted_ = false;
};

}  // namespace postern::smtp
