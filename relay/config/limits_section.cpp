// [limits] and [queue]: bounds on what clients may do, and the schedule of delivery attempts.
#include <fmt/format.h>

#include "relay/config/limits.hpp"
#include "relay/config/sections.hpp"

namespace postern::config {

namespace {

template <class Number>
void read_number(TableReader& table, std::string_view key, std::uint64_t min, std::uint64_t max,
                 Number& into) {
  if (const auto value = table.integer(key, min, max)) into = static_cast<Number>(value->value);
}

void read_time(TableReader& table, std::string_view key, Duration min, Duration max,
               Duration& into) {
  if (const auto value = table.duration(key, min, max)) into = value->value;
}

}  // namespace

void read_limits(TableReader& root, LoadContext& context) {
  auto table = root.table("limits");
  if (!table) return;
  Limits& limits = context.into.limits;
  read_number(*table, "message_bytes_max", message_bytes_max_min, message_bytes_max_max,
              limits.message_bytes_max);
  read_number(*table, "recipients_max", recipients_max_min, recipients_max_max,
              limits.recipients_max);
  read_number(*table, "connections_max", 1, connections_max_max, limits.connections_max);
  read_number(*table, "connections_per_address_max", 1, connections_max_max,
              limits.connections_per_address_max);
  read_number(*table, "auth_failures_max", 1, auth_failures_max_max, limits.auth_failures_max);
  read_time(*table, "idle_timeout", idle_timeout_min, idle_timeout_max, limits.idle_timeout);
  read_number(*table, "queue_bytes_max", queue_bytes_max_min, queue_bytes_max_max,
              limits.queue_bytes_max);
  if (limits.queue_bytes_max < limits.message_bytes_max) {
    const bool names_queue = table->has("queue_bytes_max");
    table->problem(
        table->place_of(names_queue ? "queue_bytes_max" : "message_bytes_max"),
        fmt::format("queue_bytes_max ({}) is less than message_bytes_max ({}); a message of "
                    "the allowed size would never fit",
                    limits.queue_bytes_max, limits.message_bytes_max));
  }
  table->finish();
}

void read_queue(TableReader& root, LoadContext& context) {
  auto table = root.table("queue");
  if (!table) return;
  queue::RetrySettings& retry = context.into.retry;
  read_time(*table, "retry_delay_min", retry_delay_smallest, retry_delay_largest,
            retry.retry_delay_min);
  read_time(*table, "retry_delay_max", retry_delay_smallest, retry_delay_largest,
            retry.retry_delay_max);
  read_time(*table, "delay_notice_after", lifetime_smallest, lifetime_largest,
            retry.delay_notice_after);
  read_time(*table, "lifetime_max", lifetime_smallest, lifetime_largest, retry.lifetime_max);
  if (retry.retry_delay_min > retry.retry_delay_max) {
    table->problem(
        table->place_of(table->has("retry_delay_min") ? "retry_delay_min" : "retry_delay_max"),
        fmt::format("retry_delay_min ({}) is longer than retry_delay_max ({})",
                    written(retry.retry_delay_min), written(retry.retry_delay_max)));
  }
  // A notice that is due after the end would never be sent: said only where the file says so
  // itself.
  if (table->has("delay_notice_after") && retry.delay_notice_after > retry.lifetime_max) {
    table->problem(
        table->place_of("delay_notice_after"),
        fmt::format("delay_notice_after ({}) is longer than lifetime_max ({}); nobody would hear "
                    "of a delay",
                    written(retry.delay_notice_after), written(retry.lifetime_max)));
  }
  table->finish();
}

}  // namespace postern::config
