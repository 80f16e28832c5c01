// links: postern_queue
// Stored text (kind, address and parameters, a line each): what is read back is written and read
// the same.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "relay/base/assert.hpp"
#include "relay/queue/envelope_codec.hpp"

namespace queue = postern::queue;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (input.empty()) return 0;
  const std::string_view rest = input.substr(1);
  const std::size_t line_end = rest.find('\n');
  const std::string address(rest.substr(0, line_end));
  const std::string parameters(line_end == std::string_view::npos ? "" : rest.substr(line_end + 1));
  if (input[0] == 'S') {
    const auto sender = queue::from_stored(postern::storage::StoredSender{address, parameters});
    if (!sender) return 0;
    const auto stored = queue::to_stored(*sender);
    const auto again = queue::from_stored(stored);
    POSTERN_ASSERT(again && again->reverse_path == sender->reverse_path);
    POSTERN_ASSERT(queue::to_stored(*again).parameters == stored.parameters);
    return 0;
  }
  postern::storage::StoredRecipient stored;
  stored.address = address;
  stored.parameters = parameters;
  const auto recipient = queue::from_stored(stored);
  if (!recipient) return 0;
  const auto list = queue::to_stored(std::vector{*recipient});
  const auto again = queue::from_stored(list[0]);
  POSTERN_ASSERT(again && again->mailbox == recipient->mailbox);
  POSTERN_ASSERT(again->notify == recipient->notify);
  POSTERN_ASSERT(again->original_recipient == recipient->original_recipient);
  return 0;
}
