// minisign's format over libsodium; see the header.
#include "crypto/minisign.hpp"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "relay/base/encoding.hpp"

namespace postern::crypto {

namespace {

constexpr std::size_t key_number_bytes = 8;
constexpr std::string_view key_kind = "Ed", signature_kind = "ED";  // ED: of the BLAKE2b-512 hash
constexpr std::string_view trusted_label = "trusted comment: ";
constexpr std::size_t lines_max = 8;

const unsigned char* octets(ByteView view) {
  return reinterpret_cast<const unsigned char*>(view.data());
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty() && lines.size() < lines_max) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// "Ed" or "ED", the key's number, and what follows; nothing when the length or the kind is another.
struct Record {
  Bytes number;
  Bytes value;
};
std::optional<Record> read_record(std::string_view line, std::string_view kind,
                                  std::size_t value_bytes) {
  const auto raw = decode_base64(line);
  if (!raw || raw->size() != kind.size() + key_number_bytes + value_bytes) return std::nullopt;
  if (as_text(ByteView(*raw).first(kind.size())) != kind) return std::nullopt;
  const auto value = raw->begin() + static_cast<std::ptrdiff_t>(kind.size() + key_number_bytes);
  return Record{Bytes(raw->begin() + static_cast<std::ptrdiff_t>(kind.size()), value),
                Bytes(value, raw->end())};
}

}  // namespace

Result<> verify_minisign(std::string_view public_key, std::string_view signature,
                         ByteView message) {
  const std::string operation = "check a signature";
  const auto key_lines = lines_of(public_key), lines = lines_of(signature);
  if (key_lines.size() < 2 || lines.size() < 4 || !lines[2].starts_with(trusted_label))
    return fail(ErrorKind::invalid, operation, "it is not in minisign's format");
  const auto key = read_record(key_lines[1], key_kind, crypto_sign_PUBLICKEYBYTES);
  const auto made = read_record(lines[1], signature_kind, crypto_sign_BYTES);
  const auto whole = decode_base64(lines[3]);
  if (!key || !made || !whole || whole->size() != crypto_sign_BYTES)
    return fail(ErrorKind::invalid, operation, "it is not in minisign's format");
  if (key->number != made->number)
    return fail(ErrorKind::denied, operation, "it was made with another key than this box trusts");
  std::array<unsigned char, crypto_generichash_BYTES_MAX> hash{};
  crypto_generichash(hash.data(), hash.size(), octets(message), message.size(), nullptr, 0);
  Bytes signed_comment = made->value;
  const ByteView comment = as_bytes(lines[2].substr(trusted_label.size()));
  signed_comment.insert(signed_comment.end(), comment.begin(), comment.end());
  if (crypto_sign_verify_detached(octets(made->value), hash.data(), hash.size(),
                                  octets(key->value)) != 0 ||
      crypto_sign_verify_detached(octets(*whole), octets(signed_comment), signed_comment.size(),
                                  octets(key->value)) != 0) {
    return fail(ErrorKind::denied, operation, "it does not belong to these octets");
  }
  return {};
}

struct Sha256::State {
  crypto_hash_sha256_state state;
};

Sha256::Sha256() : state_(std::make_unique<State>()) { crypto_hash_sha256_init(&state_->state); }
Sha256::~Sha256() = default;

void Sha256::update(ByteView view) {
  crypto_hash_sha256_update(&state_->state, octets(view), view.size());
}

std::string Sha256::finish_hex() {
  std::array<std::byte, crypto_hash_sha256_BYTES> hash{};
  crypto_hash_sha256_final(&state_->state, reinterpret_cast<unsigned char*>(hash.data()));
  return encode_hex(hash);
}

}  // namespace postern::crypto
