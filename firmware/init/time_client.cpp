// SNTP over a socket, and the clock; see the header.
#include "firmware/init/time_client.hpp"

#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "firmware/init/network.hpp"
#include "firmware/init/sntp.hpp"
#include "firmware/init/system.hpp"

namespace postern::firmware {

namespace {

constexpr std::uint16_t server_port = 123;
constexpr std::chrono::seconds wait_min{15};  // RFC 4330 section 10: never more often
constexpr std::chrono::seconds wait_max{3600};
// Beyond this the clock is set, below it is slewed, so that the log's times do not jump.
constexpr std::int64_t slew_microseconds_max = 500'000;
// An answer that was under way for longer says little about now.
constexpr std::chrono::seconds way_max{2};

// How far our clock is behind `right`.
std::int64_t behind(const SntpTime& right) {
  timeval now{};
  ::gettimeofday(&now, nullptr);
  return (right.seconds - now.tv_sec) * 1'000'000 + right.microseconds - now.tv_usec;
}

// True when it was set.
bool correct_clock(const SntpTime& right, const Ipv4& server) {
  const std::int64_t offset = behind(right);
  if (std::abs(offset) <= slew_microseconds_max) {
    const timeval change{offset / 1'000'000, offset % 1'000'000};
    if (::adjtime(&change, nullptr) != 0) say_errno("the clock cannot be slewed", errno);
    return false;
  }
  const timeval now{right.seconds, static_cast<suseconds_t>(right.microseconds)};
  if (::settimeofday(&now, nullptr) != 0) {
    say_errno("the clock cannot be set", errno);
    return false;
  }
  say("the clock is set by " + text_of(server) + " to " + std::to_string(right.seconds) +
      " s after 1970; it was " + std::to_string(std::abs(offset) / 1'000'000) + " s " +
      (offset > 0 ? "behind" : "ahead"));
  return true;
}

}  // namespace

TimeClient::~TimeClient() { close(); }

void TimeClient::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void TimeClient::give_up() {
  close();
  failed_ = true;
}

void TimeClient::use(const std::vector<Ipv4>& servers) {
  if (servers == servers_) return;
  close();  // an answer would be taken for one of the new ones
  failed_ = false;
  servers_ = servers;
  turn_ = 0;
  wait_ = wait_min;
  next_ = Clock::now();
}

void TimeClient::ask() {
  close();
  const Ipv4& server = servers_[turn_];
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(server_port);
  std::memcpy(&address.sin_addr, server.data(), server.size());
  // A socket a question, with a port that the kernel chooses: one more thing a forger must guess.
  fd_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (::getrandom(&number_, sizeof number_, 0) != sizeof number_ ||
      ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return give_up();
  }
  asked_ = Clock::now();
  const auto request = sntp_request(number_);
  if (::send(fd_, request.data(), request.size(), 0) < 0) give_up();
}

void TimeClient::receive() {
  std::array<std::uint8_t, 512> buffer{};
  const ssize_t count = ::recv(fd_, buffer.data(), buffer.size(), 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count < 0) return give_up();  // nothing listens there
  const auto time =
      read_sntp_reply(std::span(buffer).first(static_cast<std::size_t>(count)), number_, built_);
  if (!time || Clock::now() - asked_ > way_max) return;
  if (correct_clock(*time, servers_[turn_])) jumped_ = true;
  close();
  wait_ = wait_min;
  next_ = Clock::now() + wait_max;
}

void TimeClient::step() {
  if (fd_ >= 0) receive();
  if (servers_.empty() || Clock::now() < next_) return;
  // Still open: the last one did not answer, and it is the next one's turn.
  if (fd_ >= 0 || failed_) turn_ = (turn_ + 1) % servers_.size();
  failed_ = false;
  ask();
  next_ = Clock::now() + wait_;
  wait_ = std::min(wait_ * 2, wait_max);
}

}  // namespace postern::firmware
