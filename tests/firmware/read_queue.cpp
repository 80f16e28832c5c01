// Opens a state directory as the relay does at its start and writes out every message in it:
// read_queue STATE_DIRECTORY. For each a line "ID OCTETS", then so many octets of header and body.
//
// Promise: nothing is passed over: a message that does not open, one that is quarantined, and a
// log that the store calls damaged are errors (exit code 1). Sharp edge: opening recovers, as it
// must: the directory is a copy.
#include <cstdio>

#include "crypto/random.hpp"
#include "crypto/sealed_body.hpp"
#include "storage/envelope_binding.hpp"
#include "storage/queue_store.hpp"

namespace {

using namespace postern;

constexpr std::size_t messages_max = 100'000;
constexpr std::size_t read_bytes = 256UZ * 1024;

Result<Bytes> open_message(storage::QueueStore& store, const crypto::QueueKey& queue_key,
                           QueueId id) {
  const auto message = store.load(id);
  if (!message) return std::unexpected(message.error());
  if (message->summary.quarantined)
    return fail(ErrorKind::corrupt, "read message " + id.text(), message->last_error);
  const auto key =
      queue_key.unwrap(id, storage::envelope_binding(*message), message->content.wrapped_key);
  if (!key) return std::unexpected(key.error());
  auto plain = crypto::open_small(*key, message->content.sealed_header, "header");
  if (!plain) return plain;
  crypto::SealReader reader(*key);
  for (std::uint64_t offset = 0;;) {
    const auto sealed = store.read_body(id, offset, read_bytes);
    if (!sealed) return sealed;
    if (sealed->empty()) break;
    offset += sealed->size();
    if (auto read = reader.read(*sealed, *plain); !read) return std::unexpected(read.error());
  }
  if (auto finished = reader.finish(); !finished) return std::unexpected(finished.error());
  return plain;
}

Result<> print_messages(const std::string& directory) {
  const auto store = storage::QueueStore::open(directory);
  if (!store) return std::unexpected(store.error());
  if (const auto& damage = (*store)->open_report().log_damage)
    return fail(ErrorKind::corrupt, "open " + directory, *damage);
  const auto key = crypto::QueueKey::load_or_create(directory + "/queue.key");
  if (!key) return std::unexpected(key.error());
  const auto summaries = (*store)->summaries(messages_max, QueueId());
  if (!summaries) return std::unexpected(summaries.error());
  for (const auto& summary : *summaries) {
    const auto octets = open_message(**store, *key, summary.id);
    if (!octets) return std::unexpected(octets.error());
    std::printf("%s %zu\n", summary.id.text().c_str(), octets->size());
    std::fwrite(octets->data(), 1, octets->size(), stdout);
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: read_queue STATE_DIRECTORY\n", stderr);
    return 2;
  }
  auto done = crypto::initialise();
  if (done) done = print_messages(argv[1]);
  if (!done) std::fprintf(stderr, "read_queue: %s\n", done.error().text().c_str());
  return done ? 0 : 1;
}
