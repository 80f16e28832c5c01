// Orders of the person who looks after the box, brought as a file on a medium: the box has no
// shell.
//
//   POSTERN-BACKUP.TXT   a passphrase in its first line: a backup is written beside it
//   POSTERN-RESTORE.TXT  a passphrase, and one *.backup beside it: the box becomes what that holds
//   POSTERN-ERASE.TXT    the box's identity, as POSTERN.TXT tells it: keys and data are destroyed
//
// Promise: an order is done once: its file is overwritten and removed before it is followed, and
// what came of it stands in POSTERN-…-RESULT.TXT beside it. Only that to erase stays until
// everything is gone, so that a power cut does not end it half done; what is to be revoked stands
// in its result before the first key goes. A wrong order changes nothing. Sharp edge: whoever can
// put files on the medium can give these orders; the box asks for no more than a passphrase or its
// name.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "firmware/init/box.hpp"

namespace postern::firmware {

enum class OrderResult {
  nothing,  // there was none, or it changed nothing that runs
  restart   // the box is another one now and has to start again
};

struct Orders {
  const Box& box;
  const FeedWatchdog& feed;
  // The relay must not run while its files are replaced, nor be started before this returns.
  std::function<void()> stop_relay;
};

// `place`: where the medium is mounted, for writing.
[[nodiscard]] OrderResult take_orders(const std::string& place, const Orders& orders);

// The rules alone, for their test: the identity in the first line of an order to erase.
[[nodiscard]] bool names_this_box(std::string_view order, std::string_view identity);
// The identity that an order's first line names, as it stands there.
[[nodiscard]] std::string_view named_box(std::string_view order);
// Whether a result of an order to erase is of this box, which began or ended it; and what it says
// is to be revoked.
[[nodiscard]] bool is_result_of(std::string_view result, std::string_view identity);
[[nodiscard]] std::string revocations_in(std::string_view result);

}  // namespace postern::firmware
