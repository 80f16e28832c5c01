// links: postern_firmware
// A DHCP answer (RFC 2131): whatever comes, no more than four servers of a kind and a lease that
// lasts.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "firmware/init/dhcp.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace postern::firmware;
  const auto lease = read_dhcp_reply({data, size}, 0, HardwareAddress{});
  if (lease &&
      (lease->seconds == 0 || lease->name_servers.size() > 4 || lease->time_servers.size() > 4)) {
    std::abort();
  }
  return 0;
}
