// The cache of right credentials; declared with its promise in crypto/password.hpp.
#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "crypto/password.hpp"

namespace postern::crypto {

namespace {
// A device whose user was removed elsewhere must not live on here longer than this.
constexpr std::int64_t entry_life_ms = std::int64_t{60} * 60 * 1000;

using Fingerprint = std::array<unsigned char, 32>;
struct Entry {
  Fingerprint fingerprint;
  std::int64_t remembered_ms;
};
}  // namespace

struct CredentialCache::Parts {
  std::size_t entries_max = 0;
  std::array<unsigned char, crypto_generichash_KEYBYTES> key{};
  std::vector<Entry> entries;  // oldest first

  // Each part goes in with its length, so that no two triples give the same octets.
  [[nodiscard]] Fingerprint fingerprint(std::string_view user, const PasswordVerifier& verifier,
                                        const Secret& password) const {
    crypto_generichash_state state;
    crypto_generichash_init(&state, key.data(), key.size(), sizeof(Fingerprint));
    for (const std::string_view part : {user, std::string_view(verifier.text()), password.text()}) {
      const std::uint64_t length = part.size();
      crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(&length),
                                sizeof length);
      crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(part.data()),
                                part.size());
    }
    Fingerprint print{};
    crypto_generichash_final(&state, print.data(), print.size());
    sodium_memzero(&state, sizeof state);
    return print;
  }

  [[nodiscard]] std::vector<Entry>::const_iterator find(const Fingerprint& print) const {
    return std::ranges::find_if(entries, [&](const Entry& entry) {
      return sodium_memcmp(entry.fingerprint.data(), print.data(), print.size()) == 0;
    });
  }
};

CredentialCache::CredentialCache(std::size_t entries_max) : parts_(std::make_unique<Parts>()) {
  parts_->entries_max = entries_max;
  randombytes_buf(parts_->key.data(), parts_->key.size());
}

CredentialCache::~CredentialCache() { sodium_memzero(parts_->key.data(), parts_->key.size()); }

bool CredentialCache::matches(std::string_view user, const PasswordVerifier& verifier,
                              const Secret& password, std::int64_t now_ms) const {
  const auto entry = parts_->find(parts_->fingerprint(user, verifier, password));
  return entry != parts_->entries.end() && now_ms >= entry->remembered_ms &&
         now_ms - entry->remembered_ms < entry_life_ms;
}

void CredentialCache::remember(std::string_view user, const PasswordVerifier& verifier,
                               const Secret& password, std::int64_t now_ms) {
  if (parts_->entries_max == 0) return;
  const Fingerprint print = parts_->fingerprint(user, verifier, password);
  auto& entries = parts_->entries;
  if (const auto known = parts_->find(print); known != entries.end()) entries.erase(known);
  if (entries.size() >= parts_->entries_max) entries.erase(entries.begin());
  entries.push_back({print, now_ms});
}

void CredentialCache::clear() { parts_->entries.clear(); }

}  // namespace postern::crypto
