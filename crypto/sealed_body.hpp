// Mail at rest: sealed with libsodium's secretstream under a key of its own, which is wrapped by
// the queue key.
//
// A sealed stream is the secretstream header (24 octets) and then chunks of seal_chunk_bytes plain
// octets (the last one shorter, tagged FINAL), each 17 octets longer when sealed. Promise: a
// flipped bit, a cut, a swapped or repeated chunk is an Error (corrupt), never wrong octets.
// Without the wrapped key nothing can read it again. The queue id and the envelope are bound into
// the key's wrapping: a key moved to another row, or beside an address that was changed, does not
// open.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "relay/base/bytes.hpp"
#include "relay/base/error.hpp"
#include "relay/base/queue_id.hpp"
#include "relay/base/secret.hpp"

namespace postern::crypto {

inline constexpr std::size_t seal_chunk_bytes = 65'536;
inline constexpr std::size_t seal_header_bytes = 24;
inline constexpr std::size_t seal_overhead_bytes = 17;  // a chunk

// The device's queue key: made at first start, a file of mode 0600 in the state directory.
class QueueKey {
 public:
  [[nodiscard]] static Result<QueueKey> load_or_create(const std::string& path);
  [[nodiscard]] static QueueKey from_octets(Secret octets);  // 32; for tests
  // A fresh message key, and it wrapped for the row.
  struct MessageKey {
    Secret key;
    Bytes wrapped;
  };
  // `envelope`: storage::envelope_binding.
  [[nodiscard]] MessageKey make_message_key(QueueId id, ByteView envelope) const;
  [[nodiscard]] Result<Secret> unwrap(QueueId id, ByteView envelope, ByteView wrapped) const;
  [[nodiscard]] QueueKey clone() const;

 private:
  explicit QueueKey(Secret key) : key_(std::move(key)) {}
  Secret key_;
};

class SealWriter {
 public:
  explicit SealWriter(const Secret& message_key);
  ~SealWriter();
  SealWriter(SealWriter&&) noexcept;
  SealWriter& operator=(SealWriter&&) noexcept;
  // Appends what is complete to `sealed` (the first call also the stream header).
  void write(ByteView plain, Bytes& sealed);
  void finish(Bytes& sealed);  // once
 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

class SealReader {
 public:
  explicit SealReader(const Secret& message_key);
  ~SealReader();
  SealReader(SealReader&&) noexcept;
  SealReader& operator=(SealReader&&) noexcept;
  // Takes sealed octets of any length, appends opened ones.
  [[nodiscard]] Result<> read(ByteView sealed, Bytes& plain);
  // After the last read: an Error unless the FINAL chunk was the last thing read.
  [[nodiscard]] Result<> finish() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// A short text (a header) sealed in one piece under the message key, with `purpose` bound in.
[[nodiscard]] Bytes seal_small(const Secret& message_key, ByteView plain, std::string_view purpose);
[[nodiscard]] Result<Bytes> open_small(const Secret& message_key, ByteView sealed,
                                       std::string_view purpose);

}  // namespace postern::crypto
