// What makes one box different from every other, made at its first start, and the notice for the
// person who sets it up.
//
// Promise: identity, authority and keys are made on the box, once, after the kernel's random pool
// is ready; nothing of it is in the image. The authority's key belongs to root alone, so that the
// relay could not issue certificates even when it was taken over. Sharp edge: whoever holds the
// medium holds the keys.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "firmware/init/interface_settings.hpp"
#include "firmware/init/place.hpp"

namespace postern::firmware {

using FeedWatchdog = std::function<void()>;

struct Box {
  std::string identity;     // 16 hexadecimal digits
  std::string fingerprint;  // of the authority that devices import; empty when it was not made
};

// The configuration's directories become root's, however they came here (a restored backup brings
// its own), so that no relay puts a link where root writes. Before the relay runs.
void take_directories();

// The box's own directory on the data partition, made when it is missing.
[[nodiscard]] Box open_box(const FeedWatchdog& feed);

// Makes what the configuration in `directory` names no files for: the certificate that devices see
// (`address`: another name for it, may be empty) and DKIM keys. What cannot be made is told by the
// check of the configuration that follows.
void complete_configuration(const std::string& directory, const Box& box,
                            const std::string& address, const FeedWatchdog& feed);

inline constexpr char authority_is_new[] =
    "the authority's certificate is new: import POSTERN-CA.CRT at every device";

struct Renewal {
  bool written = false;
  std::string problem;      // a sentence; empty when all is well
  std::string fingerprint;  // of the authority
};
// Renews the certificate when its end is near or the address is not in it.
[[nodiscard]] Renewal renew_certificate(const std::string& directory, const std::string& address,
                                        const FeedWatchdog& feed);

// What the configuration in force gives the interface; nothing: an address by DHCP. Taken from it
// when it is new (`fresh`) and kept as root's: the file is the relay's, which has no say in this.
[[nodiscard]] std::optional<InterfaceSettings> fixed_settings(bool fresh, const FeedWatchdog& feed);
void forget_fixed_settings();

struct Notice {
  Box box;              // without an identity where the data partition cannot be opened
  std::string address;  // empty: none yet
  bool configured = false;
  bool refused = false;     // the dropped configuration has problems
  std::string trouble;      // why no mail is taken, where that is not meant; may be empty
  std::string update;       // what became of the last one; may be empty
  std::string dns_records;  // of the DKIM keys
};
[[nodiscard]] std::string notice_text(const Notice& notice);

// POSTERN.TXT and POSTERN-CA.CRT, written only when they are not so already.
void write_notice(const Place& place, const Notice& notice);

// POSTERN-STATUS.TXT: what `postern status` and the start of `postern queue list` say now.
void write_status(const Place& place, const FeedWatchdog& feed);

// What `postern dkim show` says of the configuration in force.
[[nodiscard]] std::string dns_records_of(const std::string& directory, const FeedWatchdog& feed);

// The rest of the first line that holds `label`.
[[nodiscard]] std::string value_behind(std::string_view text, std::string_view label);

}  // namespace postern::firmware
