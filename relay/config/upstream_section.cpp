// [[upstream]]: the mail servers that take our mail, each verified by name and chain.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "relay/base/text.hpp"
#include "relay/config/limits.hpp"
#include "relay/config/sections.hpp"

namespace postern::config {

namespace {

// Debian's bundle (package ca-certificates).
constexpr std::string_view system_roots_file = "/etc/ssl/certs/ca-certificates.crt";
constexpr std::uint16_t implicit_tls_port = 465;  // RFC 8314 §3.3
constexpr std::uint16_t submission_port = 587;    // RFC 6409 §3.1

using TlsContexts = std::map<std::string, std::shared_ptr<const crypto::TlsClientContext>>;

std::optional<std::string> read_name(TableReader& table, LoadContext& context) {
  const auto name = table.required_text("name");
  if (!name) return std::nullopt;
  const bool plain = std::ranges::all_of(name->value, [](char c) {
    return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '_';
  });
  if (!plain || name->value.size() > upstream_name_bytes_max) {
    table.problem(name->place,
                  fmt::format("name is {}; allowed are 1 to {} letters, digits, '.', '-' and '_'",
                              shown(name->value), upstream_name_bytes_max));
    return std::nullopt;
  }
  const auto [other, fresh] = context.upstream_places.emplace(name->value, name->place);
  if (!fresh) {
    table.problem(name->place, fmt::format("upstream {} is there already, at {}",
                                           shown(name->value), other->second.text()));
    return std::nullopt;
  }
  return name->value;
}

std::string read_host(TableReader& table) {
  const auto host = table.required_text("host");
  if (!host) return {};
  if (smtp::is_valid_domain(host->value, false) || IpAddress::parse(host->value)) {
    return to_lower(host->value);
  }
  table.problem(host->place,
                fmt::format("host is {}; allowed is the server's name as its certificate spells "
                            "it, such as \"smtp.provider.example\"",
                            shown(host->value)));
  return {};
}

// The roots that the upstream's certificate must lead to; null after a problem.
std::shared_ptr<const crypto::TlsClientContext> read_roots(TableReader& table, LoadContext& context,
                                                           TlsContexts& known) {
  const bool named = table.has("ca_file");
  auto file = table.text("ca_file");
  if (named && !file) return nullptr;
  if (!file) file = Placed<std::string>{std::string(system_roots_file), table.place()};
  const std::string_view key =
      named ? "ca_file" : "ca_file is left out and the system's roots (package ca-certificates)";
  if (const auto found = known.find(file->value); found != known.end()) return found->second;
  const auto pem = read_named_file(context, key, *file, roots_bytes_max);
  if (!pem) return nullptr;
  auto made = crypto::TlsClientContext::create({.roots_pem = *pem});
  if (!made) {
    table.problem(file->place, fmt::format("{} cannot be used: {}", key, made.error().text()));
    return nullptr;
  }
  known.emplace(file->value, *made);
  return std::move(*made);
}

void read_login(TableReader& table, LoadContext& context, Upstream& upstream) {
  table.refuse("password",
               "a password does not stand in this file; write it into a file of its own with mode "
               "600 and name that by password_file");
  const bool names_user = table.has("username") && !table.has("password");  // told once is enough
  const bool names_password = table.has("password_file");
  const auto user = table.text("username");
  const auto file = table.text("password_file");
  if (names_user && !names_password) {
    table.problem(
        table.place_of("username"),
        "username stands without password_file; name the file that holds the password in its "
        "first line");
  }
  if (names_password && !names_user) {
    table.problem(table.place_of("password_file"),
                  "password_file stands without username; give both or none");
  }
  if (user) upstream.user_name = user->value;
  if (!file) return;
  const auto content = read_named_secret(context, "password_file", *file, password_file_bytes_max);
  if (!content) return;
  std::string_view line = content->text();
  line = line.substr(0, line.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  // A NUL would end the password early in AUTH PLAIN (RFC 4616 §2).
  if (line.empty() || line.find('\0') != std::string_view::npos) {
    table.problem(file->place, "password_file holds no password in its first line");
    return;
  }
  upstream.password = Secret(line);
}

void read_connection(TableReader& table, Upstream& upstream) {
  static constexpr std::array<std::string_view, 2> modes = {"implicit", "starttls"};
  if (!table.has("tls"))
    table.missing("tls (\"starttls\" for port 587, \"implicit\" for port 465)");
  if (const auto mode = table.choice("tls", modes)) {
    upstream.tls = mode->value == 0 ? smtp::DeliveryTls::implicit : smtp::DeliveryTls::starttls;
  }
  upstream.port = upstream.tls == smtp::DeliveryTls::implicit ? implicit_tls_port : submission_port;
  if (const auto port = table.integer("port", 1, 65'535)) {
    upstream.port = static_cast<std::uint16_t>(port->value);
  }
  if (const auto value = table.integer("connections_max", 1, upstream_connections_largest)) {
    upstream.connections_max = static_cast<std::size_t>(value->value);
  }
  if (const auto value = table.integer("messages_per_minute_max", 1, messages_per_minute_largest)) {
    upstream.messages_per_minute_max = value->value;
  }
}

}  // namespace

void read_upstreams(TableReader& root, LoadContext& context) {
  if (!root.has("upstream")) {
    root.problem(root.place(), "there is no [[upstream]]; at least one is needed to send mail on");
  }
  TlsContexts known;
  for (TableReader& table : root.tables("upstream", upstreams_max)) {
    Upstream upstream;
    const auto name = read_name(table, context);
    upstream.host = read_host(table);
    read_connection(table, upstream);
    upstream.tls_context = read_roots(table, context, known);
    read_login(table, context, upstream);
    table.finish();
    if (!name) continue;
    upstream.name = *name;
    context.into.upstreams.push_back(std::move(upstream));
  }
}

}  // namespace postern::config
