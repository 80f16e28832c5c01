// A stored message as a stream of plain octets: header, then body, opened piece by piece.
//
// Promise: constant memory; octets are handed out only after their chunk's seal was checked, and
// the end is told only when the FINAL chunk was seen, so that a damaged message is never completed
// at an upstream. Sharp edge: one next() at a time; an answer after destruction does nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "crypto/sealed_body.hpp"
#include "relay/base/callback.hpp"
#include "relay/delivery/delivery_settings.hpp"
#include "relay/net/loop.hpp"
#include "storage/stored_message.hpp"

namespace postern::delivery {

inline constexpr std::size_t source_read_bytes = 128UZ * 1024;  // sealed octets a storage request

// Opens the header alone (for a report).
[[nodiscard]] Result<std::string> open_header(const crypto::QueueKey& queue_key,
                                              const storage::StoredMessage& message);

class MessageSource {
 public:
  MessageSource(net::Loop& home, const DeliveryServices& services,
                const storage::StoredMessage& message);
  ~MessageSource();
  MessageSource(const MessageSource&) = delete;
  MessageSource& operator=(const MessageSource&) = delete;

  // The next octets; empty: the message is complete. Answers on the home loop, never from inside
  // the call.
  void next(Callback<Result<Bytes>> done);

 private:
  void read_more();
  void opened(Result<Bytes> sealed);
  void answer(Result<Bytes> octets);

  net::Loop& home_;
  const DeliveryServices& services_;
  QueueId id_;
  Bytes envelope_;  // as octets that the key is bound to
  Bytes wrapped_key_;
  Bytes sealed_header_;
  std::optional<crypto::SealReader> reader_;
  std::uint64_t offset_ = 0;
  bool started_ = false;
  Callback<Result<Bytes>> done_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace postern::delivery
