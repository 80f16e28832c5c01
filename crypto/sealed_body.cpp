// Mail at rest; the format is told in the header.
//
// The reader cannot know where the stream ends, because the FINAL chunk is just a shorter one. So
// at the end of each read() it tries the unfinished chunk: a chunk cut short does not authenticate
// and nothing changes, the FINAL one does. Sharp edge: each read() costs one such try; feed it
// kilobytes, not octets.
#include "crypto/sealed_body.hpp"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "relay/base/assert.hpp"
#include "relay/base/file.hpp"

namespace postern::crypto {

namespace {

static_assert(seal_header_bytes == crypto_secretstream_xchacha20poly1305_HEADERBYTES);
static_assert(seal_overhead_bytes == crypto_secretstream_xchacha20poly1305_ABYTES);
constexpr std::size_t key_bytes = 32;
static_assert(key_bytes == crypto_secretstream_xchacha20poly1305_KEYBYTES &&
              key_bytes == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
constexpr std::size_t nonce_bytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t tag_bytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t sealed_chunk_bytes = seal_chunk_bytes + seal_overhead_bytes;
constexpr unsigned queue_key_file_mode = 0600;

const unsigned char* in(ByteView bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
unsigned char* out(std::span<std::byte> bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}

// nonce · ciphertext · tag
Bytes seal_once(const Secret& key, ByteView plain, ByteView bound) {
  POSTERN_ASSERT(key.size() == key_bytes);
  Bytes sealed(nonce_bytes + plain.size() + tag_bytes);
  randombytes_buf(sealed.data(), nonce_bytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt(out(sealed) + nonce_bytes, nullptr, in(plain),
                                             plain.size(), in(bound), bound.size(), nullptr,
                                             out(sealed), in(key.view()));
  return sealed;
}

bool open_once(const Secret& key, ByteView sealed, ByteView bound, std::span<std::byte> plain) {
  POSTERN_ASSERT(key.size() == key_bytes);
  if (sealed.size() != nonce_bytes + plain.size() + tag_bytes) return false;
  return crypto_aead_xchacha20poly1305_ietf_decrypt(
             out(plain), nullptr, nullptr, in(sealed) + nonce_bytes, sealed.size() - nonce_bytes,
             in(bound), bound.size(), in(sealed), in(key.view())) == 0;
}

// What a message key's wrapping is bound to: its use, the row it belongs to, and whose mail goes
// where. An id's text is always of one length.
Bytes row_binding(QueueId id, ByteView envelope) {
  Bytes bound;
  append(bound, as_bytes("postern message key "));
  append(bound, as_bytes(id.text()));
  append(bound, envelope);
  return bound;
}

// One key per use, so that the stream and the small texts never share one.
Secret small_text_key(const Secret& message_key) {
  constexpr std::string_view use = "postern small text";
  Secret key = Secret::of_size(key_bytes);
  crypto_generichash(out(key.writable()), key.size(), in(as_bytes(use)), use.size(),
                     in(message_key.view()), message_key.size());
  return key;
}

std::unexpected<Error> corrupt(std::string detail) {
  return fail(ErrorKind::corrupt, "open a sealed message", std::move(detail));
}

}  // namespace

Result<QueueKey> QueueKey::load_or_create(const std::string& path) {
  auto stored = read_secret_file(path, key_bytes + 1);
  if (stored) {
    if (stored->size() != key_bytes) {
      return fail(ErrorKind::corrupt, "read the queue key " + path,
                  "it is not 32 octets long; restore it from a backup, without it the queued mail "
                  "cannot be opened");
    }
    return QueueKey(std::move(*stored));
  }
  if (stored.error().kind != ErrorKind::not_found) return std::unexpected(stored.error());
  Secret fresh = Secret::of_size(key_bytes);
  randombytes_buf(fresh.writable().data(), fresh.size());
  if (auto written = write_file_atomically(path, fresh.view(), queue_key_file_mode); !written) {
    return std::unexpected(written.error());
  }
  return QueueKey(std::move(fresh));
}

QueueKey QueueKey::from_octets(Secret octets) {
  POSTERN_ASSERT(octets.size() == key_bytes);
  return QueueKey(std::move(octets));
}

QueueKey::MessageKey QueueKey::make_message_key(QueueId id, ByteView envelope) const {
  Secret key = Secret::of_size(key_bytes);
  randombytes_buf(key.writable().data(), key.size());
  Bytes wrapped = seal_once(key_, key.view(), row_binding(id, envelope));
  return {std::move(key), std::move(wrapped)};
}

Result<Secret> QueueKey::unwrap(QueueId id, ByteView envelope, ByteView wrapped) const {
  Secret key = Secret::of_size(key_bytes);
  if (!open_once(key_, wrapped, row_binding(id, envelope), key.writable())) {
    return fail(
        ErrorKind::corrupt, "unwrap the key of message " + id.text(),
        "the key or the envelope (user, addresses) was changed since the message was taken, or the "
        "key was wrapped under another queue key");
  }
  return key;
}

QueueKey QueueKey::clone() const { return QueueKey(key_.clone()); }

struct SealWriter::Parts {
  crypto_secretstream_xchacha20poly1305_state state{};
  std::array<unsigned char, seal_header_bytes> header{};
  bool header_written = false;
  bool finished = false;
  Bytes pending;  // plain, less than a chunk between calls
  ~Parts() {
    sodium_memzero(&state, sizeof state);
    wipe(pending);
  }

  void push(ByteView plain, unsigned char tag, Bytes& sealed) {
    const std::size_t at = sealed.size();
    sealed.resize(at + plain.size() + seal_overhead_bytes);
    crypto_secretstream_xchacha20poly1305_push(&state, out(sealed) + at, nullptr, in(plain),
                                               plain.size(), nullptr, 0, tag);
  }
  void begin(Bytes& sealed) {
    if (std::exchange(header_written, true)) return;
    append(sealed, std::as_bytes(std::span(header)));
  }
};

SealWriter::SealWriter(const Secret& message_key) : parts_(std::make_unique<Parts>()) {
  POSTERN_ASSERT(message_key.size() == key_bytes);
  crypto_secretstream_xchacha20poly1305_init_push(&parts_->state, parts_->header.data(),
                                                  in(message_key.view()));
}
SealWriter::~SealWriter() = default;
SealWriter::SealWriter(SealWriter&&) noexcept = default;
SealWriter& SealWriter::operator=(SealWriter&&) noexcept = default;

void SealWriter::write(ByteView plain, Bytes& sealed) {
  POSTERN_ASSERT(!parts_->finished);
  parts_->begin(sealed);
  Bytes& pending = parts_->pending;
  while (!plain.empty()) {
    if (pending.empty() && plain.size() >= seal_chunk_bytes) {  // no copy for whole chunks
      parts_->push(plain.first(seal_chunk_bytes), 0, sealed);
      plain = plain.subspan(seal_chunk_bytes);
      continue;
    }
    // Room at once: a vector that grows leaves unwiped copies behind.
    if (pending.capacity() < seal_chunk_bytes) pending.reserve(seal_chunk_bytes);
    const std::size_t take = std::min(plain.size(), seal_chunk_bytes - pending.size());
    append(pending, plain.first(take));
    plain = plain.subspan(take);
    if (pending.size() == seal_chunk_bytes) {
      parts_->push(pending, 0, sealed);
      pending.clear();
    }
  }
}

void SealWriter::finish(Bytes& sealed) {
  POSTERN_ASSERT(!std::exchange(parts_->finished, true));
  parts_->begin(sealed);
  parts_->push(parts_->pending, crypto_secretstream_xchacha20poly1305_TAG_FINAL, sealed);
  wipe(parts_->pending);
  parts_->pending.clear();
}

struct SealReader::Parts {
  crypto_secretstream_xchacha20poly1305_state state{};
  Secret key;
  Bytes pending;  // sealed, less than a chunk between calls
  bool started = false;
  bool final_seen = false;
  bool failed = false;
  ~Parts() { sodium_memzero(&state, sizeof state); }

  // False when the chunk does not authenticate; then neither the stream's state nor `plain` has
  // changed.
  bool pull(ByteView chunk, Bytes& plain, unsigned char& tag) {
    const std::size_t at = plain.size();
    plain.resize(at + chunk.size() - seal_overhead_bytes);
    const bool good =
        crypto_secretstream_xchacha20poly1305_pull(&state, out(plain) + at, nullptr, &tag,
                                                   in(chunk), chunk.size(), nullptr, 0) == 0;
    if (!good) plain.resize(at);
    return good;
  }

  Result<> open_whole_chunks(Bytes& plain) {
    std::size_t used = 0;
    while (pending.size() - used >= sealed_chunk_bytes) {
      unsigned char tag = 0;
      if (!pull(ByteView(pending).subspan(used, sealed_chunk_bytes), plain, tag) || tag != 0) {
        return corrupt("a chunk was changed, moved or repeated");
      }
      used += sealed_chunk_bytes;
    }
    pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(used));
    return {};
  }

  Result<> read(ByteView sealed, Bytes& plain) {
    if (sealed.empty()) return {};
    if (final_seen) return corrupt("there is more after its end");
    append(pending, sealed);
    if (!started) {
      if (pending.size() < seal_header_bytes) return {};
      crypto_secretstream_xchacha20poly1305_init_pull(&state, in(pending), in(key.view()));
      pending.erase(pending.begin(), pending.begin() + seal_header_bytes);
      started = true;
    }
    if (auto opened = open_whole_chunks(plain); !opened) return opened;
    unsigned char tag = 0;
    if (pending.size() < seal_overhead_bytes || !pull(pending, plain, tag)) return {};
    if (tag != crypto_secretstream_xchacha20poly1305_TAG_FINAL) {
      return corrupt("a chunk in its middle is too short");
    }
    final_seen = true;
    pending.clear();
    return {};
  }
};

SealReader::SealReader(const Secret& message_key) : parts_(std::make_unique<Parts>()) {
  POSTERN_ASSERT(message_key.size() == key_bytes);
  parts_->key = message_key.clone();
}
SealReader::~SealReader() = default;
SealReader::SealReader(SealReader&&) noexcept = default;
SealReader& SealReader::operator=(SealReader&&) noexcept = default;

Result<> SealReader::read(ByteView sealed, Bytes& plain) {
  if (parts_->failed) return corrupt("it was found damaged before");
  auto result = parts_->read(sealed, plain);
  parts_->failed = !result.has_value();
  return result;
}

Result<> SealReader::finish() const {
  if (parts_->failed) return corrupt("it was found damaged before");
  if (!parts_->final_seen) return corrupt("its end is cut off or was changed");
  return {};
}

Bytes seal_small(const Secret& message_key, ByteView plain, std::string_view purpose) {
  return seal_once(small_text_key(message_key), plain, as_bytes(purpose));
}

Result<Bytes> open_small(const Secret& message_key, ByteView sealed, std::string_view purpose) {
  if (sealed.size() < nonce_bytes + tag_bytes) return corrupt("a sealed text is cut off");
  Bytes plain(sealed.size() - nonce_bytes - tag_bytes);
  if (!open_once(small_text_key(message_key), sealed, as_bytes(purpose), plain)) {
    return corrupt("a sealed text was changed or is not the " + std::string(purpose));
  }
  return plain;
}

}  // namespace postern::crypto
