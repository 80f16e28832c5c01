// Puts messages into a state directory as the relay does, many at once: what an appliance finds at
// its start after a weekend without its upstream. fill_queue STATE_DIRECTORY COUNT
//
// Promise: real messages, sealed under the directory's queue key, that can be delivered; all are
// due an hour from now, so that a relay is measured at its start and not at its work, but for the
// last one, which is due at once: when it leaves, the whole queue was read. Sharp edge: no relay
// may run on the directory (the lock says so).
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "crypto/random.hpp"
#include "crypto/sealed_body.hpp"
#include "relay/base/clock.hpp"
#include "storage/envelope_binding.hpp"
#include "storage/queue_store.hpp"

namespace {

using namespace postern;

constexpr std::uint64_t messages_per_commit = 1'000;
constexpr std::size_t body_bytes = 1'000;
constexpr Duration due_after = std::chrono::hours(1);

storage::NewMessage make_message(const crypto::QueueKey& queue_key, std::uint64_t number,
                                 WallTime received, WallTime due) {
  storage::NewMessage message;
  message.id = QueueId::make(received, static_cast<std::uint32_t>(number));
  message.user_name = "copier-2";
  message.sender = {"scan@office.example", ""};
  message.recipients.push_back({0, fmt::format("recipient-{}@far.example", number), "",
                                storage::RecipientState::waiting, "", false});
  const std::string header = fmt::format(
      "From: scan@office.example\r\nTo: recipient-{0}@far.example\r\nSubject: waiting {0}\r\n"
      "Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <waiting-{0}@office.example>\r\n\r\n",
      number);
  const std::string body = std::string(body_bytes, 'x') + "\r\n";
  crypto::QueueKey::MessageKey key =
      queue_key.make_message_key(message.id, storage::envelope_binding(message));
  message.content.wrapped_key = std::move(key.wrapped);
  message.content.sealed_header = crypto::seal_small(key.key, as_bytes(header), "header");
  crypto::SealWriter writer(key.key);
  writer.write(as_bytes(body), message.content.sealed_body);
  writer.finish(message.content.sealed_body);
  message.content.header_bytes = header.size();
  message.content.body_bytes = body.size();
  message.received = received;
  message.next_attempt = due;
  return message;
}

Result<> fill(const std::string& directory, std::uint64_t count) {
  auto store = storage::QueueStore::open(directory);
  if (!store) return std::unexpected(store.error());
  const auto key = crypto::QueueKey::load_or_create(directory + "/queue.key");
  if (!key) return std::unexpected(key.error());
  const WallTime now = read_clocks().wall;
  for (std::uint64_t done = 0; done < count;) {
    if (auto begun = (*store)->begin(); !begun) return begun;
    for (std::uint64_t of = 0; of < messages_per_commit && done < count; ++of) {
      ++done;
      const WallTime received = now - Duration(count - done);
      const WallTime due = done < count ? now + due_after : now;
      auto put = (*store)->insert(make_message(*key, done, received, due), std::nullopt);
      if (!put) return put;
    }
    if (auto committed = (*store)->commit(); !committed) return committed;
    (*store)->maintain();
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: fill_queue STATE_DIRECTORY COUNT\n", stderr);
    return 2;
  }
  auto done = crypto::initialise();
  if (done) done = fill(argv[1], std::strtoull(argv[2], nullptr, 10));
  if (!done) std::fprintf(stderr, "fill_queue: %s\n", done.error().text().c_str());
  return done ? 0 : 1;
}
