// The messages of the rig: each follows from its number, so that any octet of it can be expected
// after any cut without having been kept.
#pragma once

#include <cstdint>
#include <string>

#include "crypto/sealed_body.hpp"
#include "storage/queue_store.hpp"

namespace postern::fault {

struct Recipe {
  std::uint64_t number = 0;  // also the queue id
  std::size_t body_bytes = 0;
  bool spooled = false;
};

inline constexpr std::size_t recipients_each = 2;

class Mail {
 public:
  Mail();
  // For a spooled message `spool_octets` gets what belongs into its file.
  [[nodiscard]] storage::NewMessage make(const Recipe& recipe, Bytes& spool_octets) const;
  // Reads header, body and envelope as delivery does; what is wrong with them, or nothing.
  [[nodiscard]] std::string examine(storage::QueueStore& store, const Recipe& recipe,
                                    const storage::StoredMessage& found) const;

 private:
  crypto::QueueKey key_;
};

}  // namespace postern::fault
