// [server], [[listener]] and [tls]: who we are, where devices connect and what certificate they
// see.
#include <fmt/format.h>

#include <array>
#include <set>
#include <utility>

#include "relay/base/text.hpp"
#include "relay/config/limits.hpp"
#include "relay/config/sections.hpp"
#include "relay/config/words.hpp"

namespace postern::config {

namespace {

void read_paths(TableReader& table, LoadContext& context) {
  const auto state = table.text("state_directory");
  context.into.state_directory = absolute_path(
      resolve_path(context.directory, state ? state->value : std::string(state_directory_default)));
  const auto socket = table.text("control_socket");
  context.into.control_socket = absolute_path(resolve_path(
      context.directory, socket ? socket->value : std::string(control_socket_default)));
  if (context.into.control_socket.size() > socket_path_bytes_max) {
    table.problem(
        table.place_of("control_socket"),
        fmt::format("control_socket is a path of {} octets; a socket's name has room for {}",
                    context.into.control_socket.size(), socket_path_bytes_max));
  }
}

// Whether the trouble is the key's; the words come from crypto/tls (see tls.hpp).
bool blames_key(const Error& error) {
  return to_lower(error.operation).find("key") != std::string::npos;
}

// Where [tls] names no files; a problem when those made here are missing.
bool has_own_certificate(LoadContext& context, const Place& place) {
  const std::string file = resolve_path(context.directory, std::string(own_certificate_file));
  const auto found = context.files.read(file, certificate_bytes_max);
  if (found || found.error().kind != ErrorKind::not_found) return true;
  context.problems.add(
      place,
      fmt::format("[tls] names no certificate_file, and there is no {}; devices are served over "
                  "TLS only. Name yours, or let `postern tls generate` make one",
                  own_certificate_file));
  return false;
}

}  // namespace

void read_server(TableReader& root, LoadContext& context) {
  auto table = root.table("server");
  if (!table) {
    if (!root.has("server")) root.problem(root.place(), "the section [server] is missing");
    return;
  }
  if (const auto hostname = table->required_text("hostname")) {
    if (is_qualified_domain(hostname->value)) {
      context.into.hostname = to_lower(hostname->value);
    } else {
      table->problem(hostname->place,
                     fmt::format("hostname is {}; allowed is a fully qualified name such as "
                                 "\"relay.office.example\"",
                                 shown(hostname->value)));
    }
  }
  if (const auto postmaster = table->required_text("postmaster")) {
    if (auto mailbox = smtp::parse_mailbox(postmaster->value, false)) {
      context.into.postmaster = std::move(*mailbox);
    } else {
      table->problem(
          postmaster->place,
          fmt::format("postmaster is {}; allowed is one address such as \"it@office.example\"",
                      shown(postmaster->value)));
    }
  }
  read_paths(*table, context);
  if (const auto shows = table->boolean("received_shows_user")) {
    context.into.received_shows_user = shows->value;
  }
  table->finish();
}

std::optional<Listener> read_listener(TableReader& table) {
  static constexpr std::array<std::string_view, 2> modes = {"implicit", "starttls"};
  const auto address = table.required_text("address");
  if (!table.has("tls"))
    table.missing("tls (\"implicit\" for port 465, \"starttls\" for port 587)");
  const auto tls = table.choice("tls", modes);
  std::optional<SocketAddress> parsed;
  if (address) {
    parsed = SocketAddress::parse(address->value);
    if (!parsed) {
      table.problem(
          address->place,
          fmt::format("address is {}; allowed is an IP address with a port: \"[::]:465\" for "
                      "everywhere, \"192.168.10.1:587\"",
                      shown(address->value)));
    }
  }
  table.finish();
  if (!parsed || !tls) return std::nullopt;
  return Listener{*parsed, tls->value == 0};
}

void read_listeners(TableReader& root, LoadContext& context) {
  if (!root.has("listener")) {
    root.problem(root.place(),
                 "there is no [[listener]]; at least one is needed for devices to connect");
  }
  std::map<SocketAddress, Place> places;
  for (TableReader& table : root.tables("listener", listeners_max)) {
    const auto listener = read_listener(table);
    if (!listener) continue;
    const auto [other, fresh] = places.emplace(listener->address, table.place_of("address"));
    // Port 0 lets the system choose, so two of them are two ports.
    if (!fresh && listener->address.port != 0) {
      table.problem(table.place_of("address"),
                    fmt::format("address {} is taken already by the [[listener]] at {}",
                                shown(listener->address.text()), other->second.text()));
      continue;
    }
    context.into.listeners.push_back(*listener);
  }
}

void read_tls(TableReader& root, LoadContext& context) {
  static constexpr std::array<std::string_view, 2> versions = {"1.2", "1.3"};
  auto table = root.table("tls");
  if (!table && root.has("tls")) return;  // told already: it is no section
  const Place place = table ? table->place() : root.place();
  std::optional<Placed<std::string>> certificate_file, key_file;
  std::optional<Placed<std::size_t>> version;
  if (table) {
    if (table->has("certificate_file") || table->has("private_key_file")) {
      certificate_file = table->required_text("certificate_file");
      key_file = table->required_text("private_key_file");
    }
    version = table->choice("version_min", versions);
    table->finish();
  }
  if (!table || !(table->has("certificate_file") || table->has("private_key_file"))) {
    if (!has_own_certificate(context, place)) return;
    certificate_file = {std::string(own_certificate_file), place};
    key_file = {std::string(own_private_key_file), place};
  }
  // Both are read even when one is bad, so that all problems are told at once.
  std::optional<std::string> certificate;
  std::optional<Secret> key;
  if (certificate_file) {
    certificate =
        read_named_file(context, "certificate_file", *certificate_file, certificate_bytes_max);
  }
  if (key_file)
    key = read_named_secret(context, "private_key_file", *key_file, private_key_bytes_max);
  if (!certificate || !key) return;
  crypto::TlsServerSettings settings;
  settings.certificate_pem = std::move(*certificate);
  settings.private_key_pem = std::move(*key);
  if (version && version->value == 1) settings.version_min = crypto::TlsVersion::tls_1_3;
  auto made = crypto::TlsServerContext::create(std::move(settings));
  if (made) {
    context.into.tls = std::move(*made);
  } else if (blames_key(made.error())) {
    root.problem(key_file->place,
                 fmt::format("private_key_file cannot be used: {}", made.error().text()));
  } else {
    root.problem(certificate_file->place,
                 fmt::format("certificate_file cannot be used: {}", made.error().text()));
  }
}

}  // namespace postern::config
