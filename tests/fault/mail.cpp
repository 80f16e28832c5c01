// The messages of the rig; see mail.hpp.
#include "tests/fault/mail.hpp"

#include <fmt/format.h>

#include <cstring>

#include "storage/envelope_binding.hpp"

namespace postern::fault {

namespace {

std::string header_of(const Recipe& recipe) {
  return fmt::format("Message-ID: <{0}@office.example>\r\nSubject: scan {0}\r\n\r\n",
                     recipe.number);
}

// Fast, and different in every octet group from one message to the next.
Bytes body_of(const Recipe& recipe) {
  Bytes body(recipe.body_bytes);
  std::uint64_t state = recipe.number * 0x9e3779b97f4a7c15U + 1;
  for (std::size_t at = 0; at < body.size(); at += sizeof state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::memcpy(body.data() + at, &state, std::min(sizeof state, body.size() - at));
  }
  return body;
}

std::string address_of(const Recipe& recipe, std::size_t index) {
  return fmt::format("recipient{}of{}@far.example", index, recipe.number);
}

}  // namespace

Mail::Mail()
    : key_(crypto::QueueKey::from_octets(
          Secret(std::string_view("the rig's queue key of 32 octets", 32)))) {}

storage::NewMessage Mail::make(const Recipe& recipe, Bytes& spool_octets) const {
  storage::NewMessage message;
  message.id = QueueId{recipe.number};
  message.user_name = "scanner";
  message.sender = {"scan@office.example", fmt::format("ENVID={}", recipe.number)};
  for (std::size_t index = 0; index < recipients_each; ++index) {
    message.recipients.push_back({static_cast<std::int64_t>(index), address_of(recipe, index),
                                  "NOTIFY=FAILURE", storage::RecipientState::waiting, "", false});
  }
  crypto::QueueKey::MessageKey key =
      key_.make_message_key(message.id, storage::envelope_binding(message));
  const std::string header = header_of(recipe);
  message.content.wrapped_key = std::move(key.wrapped);
  message.content.sealed_header = crypto::seal_small(key.key, as_bytes(header), "header");
  message.content.header_bytes = header.size();
  message.content.body_bytes = recipe.body_bytes;
  message.content.spooled = recipe.spooled;
  crypto::SealWriter writer(key.key);
  Bytes& sealed = recipe.spooled ? spool_octets : message.content.sealed_body;
  writer.write(body_of(recipe), sealed);
  writer.finish(sealed);
  message.received = WallTime(Duration(1'800'000'000'000));
  message.next_attempt = WallTime(Duration(1'800'000'060'000));
  return message;
}

std::string Mail::examine(storage::QueueStore& store, const Recipe& recipe,
                          const storage::StoredMessage& found) const {
  if (found.content.spooled != recipe.spooled) return "its body is in the wrong place";
  if (found.sender.reverse_path != "scan@office.example" ||
      found.sender.parameters != fmt::format("ENVID={}", recipe.number)) {
    return "its reverse-path is another";
  }
  if (found.recipients.size() != recipients_each) return "it has lost a recipient";
  for (std::size_t index = 0; index < recipients_each; ++index) {
    if (found.recipients[index].address != address_of(recipe, index) ||
        found.recipients[index].parameters != "NOTIFY=FAILURE") {
      return "a recipient of it is another";
    }
  }
  const auto key = key_.unwrap(QueueId{recipe.number}, storage::envelope_binding(found),
                               found.content.wrapped_key);
  if (!key) return "its key does not open: " + key.error().text();
  const auto header = crypto::open_small(*key, found.content.sealed_header, "header");
  if (!header) return "its header does not open: " + header.error().text();
  if (as_text(*header) != header_of(recipe)) return "its header is another";

  crypto::SealReader reader(*key);
  Bytes plain;
  constexpr std::size_t piece_bytes = 100'000;
  for (std::uint64_t offset = 0;;) {
    const auto piece = store.read_body(QueueId{recipe.number}, offset, piece_bytes);
    if (!piece) return "its body cannot be read: " + piece.error().text();
    if (piece->empty()) break;
    offset += piece->size();
    if (auto read = reader.read(*piece, plain); !read) {
      return "its body does not open: " + read.error().text();
    }
  }
  if (auto end = reader.finish(); !end) return "its body has no end: " + end.error().text();
  return plain == body_of(recipe) ? "" : "its body is another";
}

}  // namespace postern::fault
