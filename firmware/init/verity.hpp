// The read-only root: a squashfs whose every block is checked against a hash on the signed command
// line.
//
// Promise: what the parameters do not describe exactly is refused; a block that fails its check
// later makes the kernel panic, which restarts the box.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace postern::firmware {

inline constexpr std::uint64_t verity_block_bytes = 4096;

struct VerityParameters {
  std::string root_hash;          // 64 hexadecimal digits
  std::string salt;               // the same
  std::uint64_t data_blocks = 0;  // the squashfs
  std::uint64_t hash_block = 0;   // where the tree begins, on the same partition
};

enum class OnDamage { fail, panic };  // a read of a block that fails its check

// postern.root_hash=, postern.root_salt=, postern.root_blocks=, postern.root_tree=
[[nodiscard]] std::optional<VerityParameters> read_verity_parameters(std::string_view command_line);

// The device mapper's table for the partition `device`
// (Documentation/admin-guide/device-mapper/verity.rst).
[[nodiscard]] std::string verity_table(const VerityParameters& parameters, std::string_view device,
                                       OnDamage on_damage);

// Makes /dev/dm-0; the error is told on the console.
[[nodiscard]] bool open_verity(const VerityParameters& parameters, const std::string& device,
                               OnDamage on_damage);

enum class RootState { good, damaged, unknown };

// Reads every block of it; nothing of it is left open. Unknown where it could not be looked at.
// `meanwhile` is called at each piece.
[[nodiscard]] RootState look_at_root(const VerityParameters& parameters, const std::string& device,
                                     const std::function<void()>& meanwhile);

}  // namespace postern::firmware
