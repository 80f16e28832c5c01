// Reading a sealed message back for delivery.
#include "relay/delivery/message_source.hpp"

#include <utility>

#include "storage/envelope_binding.hpp"

namespace postern::delivery {

Result<std::string> open_header(const crypto::QueueKey& queue_key,
                                const storage::StoredMessage& message) {
  const auto key = queue_key.unwrap(message.summary.id, storage::envelope_binding(message),
                                    message.content.wrapped_key);
  if (!key) return std::unexpected(key.error());
  const auto header = crypto::open_small(*key, message.content.sealed_header, "header");
  if (!header) return std::unexpected(header.error());
  return std::string(as_text(*header));
}

MessageSource::MessageSource(net::Loop& home, const DeliveryServices& services,
                             const storage::StoredMessage& message)
    : home_(home),
      services_(services),
      id_(message.summary.id),
      envelope_(storage::envelope_binding(message)),
      wrapped_key_(message.content.wrapped_key),
      sealed_header_(message.content.sealed_header) {}

MessageSource::~MessageSource() { *alive_ = false; }

void MessageSource::answer(Result<Bytes> octets) { std::exchange(done_, {})(std::move(octets)); }

void MessageSource::next(Callback<Result<Bytes>> done) {
  done_ = std::move(done);
  if (started_) {
    read_more();
    return;
  }
  started_ = true;
  Result<Bytes> header = fail(ErrorKind::corrupt, "open the message", "its key does not open");
  if (const auto key = services_.queue_key.unwrap(id_, envelope_, wrapped_key_)) {
    header = crypto::open_small(*key, sealed_header_, "header");
    reader_.emplace(*key);
  }
  static_cast<void>(home_.post([this, alive = alive_, header = std::move(header)]() mutable {
    if (*alive) answer(std::move(header));
  }));
}

void MessageSource::read_more() {
  storage::ReadBody request{id_, offset_, source_read_bytes, {}};
  request.done = [this, alive = alive_, &home = home_](Result<Bytes> sealed) {
    static_cast<void>(home.post([this, alive, sealed = std::move(sealed)]() mutable {
      if (*alive) opened(std::move(sealed));
    }));
  };
  if (services_.storage.post(std::move(request))) return;
  static_cast<void>(home_.post([this, alive = alive_] {
    if (*alive)
      answer(fail(ErrorKind::busy, "read the message", "the storage thread's mailbox is full"));
  }));
}

void MessageSource::opened(Result<Bytes> sealed) {
  if (!sealed) {
    answer(std::move(sealed));
    return;
  }
  if (sealed->empty()) {
    // Every message has a sealed stream, also an empty body: its end must have been seen.
    if (auto finished = reader_->finish(); !finished) {
      answer(std::unexpected(finished.error()));
    } else {
      answer(Bytes{});
    }
    return;
  }
  offset_ += sealed->size();
  Bytes plain;
  if (auto read = reader_->read(*sealed, plain); !read) {
    answer(std::unexpected(read.error()));
    return;
  }
  if (plain.empty()) {
    read_more();  // a chunk is not whole yet, or the body is empty
    return;
  }
  answer(std::move(plain));
}

}  // namespace postern::delivery
