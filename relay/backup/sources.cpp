// What goes into a backup; see the header.
#include "relay/backup/sources.hpp"

#include <algorithm>
#include <utility>

#include "relay/backup/restoration.hpp"

namespace postern::backup {

namespace {

// Whose these files are: the system's, which has them on a new machine too. Never a private key.
bool left_to_the_system(const NamedPath& named) {
  if (named.path.contains("/../")) return false;
  if (named.key == "ca_file")
    return named.path.starts_with("/etc/ssl/") || named.path.starts_with("/usr/");
  return named.key == "password_file" && named.path.starts_with("/run/credentials/");
}

}  // namespace

bool Sources::has(Place place, const std::string& name) const {
  return std::ranges::any_of(sources_, [&](const Source& source) {
    return source.entry.place == place && source.entry.path == name;
  });
}

Result<> Sources::add(const Tree& tree, const std::string& path, Place place,
                      const std::string& name) {
  const auto facts = tree.facts(path);
  if (!facts) return std::unexpected(facts.error());
  if (!facts->folder && !facts->regular) {
    return fail(ErrorKind::invalid, "take " + tree.path_of(path),
                "it is no regular file (a link, perhaps); put the file itself there, or take it "
                "away");
  }
  Source source;
  source.entry = {.kind = facts->folder ? Kind::folder : Kind::file,
                  .place = place,
                  .relay_user = relay_ && facts->owner.user == relay_->user,
                  .relay_group = relay_ && facts->owner.group == relay_->group,
                  .mode = facts->mode & 0777U,
                  .path = name,
                  .size = facts->folder ? 0 : facts->size};
  // The authority's key is for who issues certificates and never for the relay.
  if (name.ends_with("authority.key")) source.entry.relay_user = source.entry.relay_group = false;
  source.tree = &tree;
  source.path = path;
  if (auto good = check_entry(source.entry); !good)
    return fail(ErrorKind::invalid, "take " + tree.path_of(path), good.error().detail);
  sources_.push_back(std::move(source));
  return {};
}

Result<> Sources::add_folder(const Tree& tree, const std::string& path) {
  if (auto done = add(tree, path, Place::configuration, path); !done) return done;
  const auto names = tree.names(path);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    const std::string inner = path + '/' + name;
    const auto facts = tree.facts(inner);
    if (!facts) return std::unexpected(facts.error());
    auto done =
        facts->folder ? add_folder(tree, inner) : add(tree, inner, Place::configuration, inner);
    if (!done) return done;
  }
  return {};
}

Result<> Sources::add_named(const Tree& tree, const std::string& directory,
                            const NamedPath& named) {
  const std::string front = directory.ends_with('/') ? directory : directory + '/';
  if (!named.path.starts_with(front)) {
    if (left_to_the_system(named)) return {};
    return fail(ErrorKind::invalid, named.where,
                "it names " + named.path + ", outside of " + directory +
                    ", where a backup does not look; put the file beneath that directory and name "
                    "it there");
  }
  const std::string inner = named.path.substr(front.size());
  for (std::size_t slash = inner.find('/'); slash != std::string::npos;
       slash = inner.find('/', slash + 1)) {
    const std::string folder = inner.substr(0, slash);
    if (has(Place::configuration, folder)) continue;
    if (auto done = add(tree, folder, Place::configuration, folder); !done) return done;
  }
  if (has(Place::configuration, inner)) return {};
  auto done = add(tree, inner, Place::configuration, inner);
  if (done) return done;
  return fail(done.error().kind, named.where, done.error().text());
}

Result<> Sources::add_configuration(const Tree& tree, const std::string& directory,
                                    const std::string& main_name,
                                    const std::vector<NamedPath>& named) {
  if (auto done = add(tree, main_name, Place::configuration, std::string(main_file)); !done)
    return done;
  for (const char* folder : configuration_folders) {
    if (!tree.holds(folder)) continue;
    if (auto done = add_folder(tree, folder); !done) return done;
  }
  for (const NamedPath& each : named) {
    if (auto done = add_named(tree, directory, each); !done) return done;
  }
  return {};
}

Result<> Sources::add_authority(const Tree& tree) {
  for (const char* name : {"authority.crt", "authority.key", "identity"}) {
    if (!tree.holds(name)) continue;
    if (auto done = add(tree, name, Place::authority, name); !done) return done;
  }
  return {};
}

Result<> Sources::add_queue_key(const Tree& state) {
  if (!state.holds("queue.key")) return {};
  return add(state, "queue.key", Place::state, "queue.key");
}

Result<> Sources::add_queue(const Tree& snapshot) {
  if (auto done = add(snapshot, "queue.db", Place::state, "queue.db"); !done) return done;
  if (auto done = add(snapshot, "spool", Place::state, "spool"); !done) return done;
  const auto names = snapshot.names("spool");
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (auto done = add(snapshot, "spool/" + name, Place::state, "spool/" + name); !done)
      return done;
  }
  return {};
}

void Sources::add_about(std::string text) {
  Source source;
  source.entry.path = about_file;
  source.entry.size = text.size();
  source.text = std::move(text);
  sources_.push_back(std::move(source));
}

}  // namespace postern::backup
