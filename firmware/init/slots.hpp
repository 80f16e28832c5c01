// The two slots as the boot loader sees them: one kernel image each, with its tries in its name
// (systemd-boot's boot counting: postern-b+3.efi, postern-b+2-1.efi, … postern-b.efi when good).
//
// Promise: only the slot that runs is ever called good, and only here; an image that used up its
// tries is removed, with the reason kept, so that it is not started again. Sharp edge: a power cut
// between the two halves of a renaming leaves FAT with both names for one content. Both start the
// slot then, and one must never be removed without the other: its clusters would be given away.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "firmware/init/place.hpp"

namespace postern::firmware {

enum class SlotState { absent, good, on_trial, failed };

struct SlotImage {
  SlotState state = SlotState::absent;
  std::string name;  // of the file; empty when absent
};
// `names`: what EFI/Linux holds. A good one goes before one on trial.
[[nodiscard]] SlotImage find_slot_image(const std::vector<std::string>& names, char slot);

// The slot that runs, from the kernel's command line: 'a' or 'b'.
[[nodiscard]] char running_slot();

inline constexpr char kernels_directory[] = "/EFI/Linux";       // below the EFI partition's place
inline constexpr char update_file[] = "postern-update.bundle";  // on the EFI partition or a stick

// As many octets as a medium writes at once: with them in front an image can be started, with zeros
// there the boot loader passes over it (no MZ header, PE format section "MS-DOS Stub").
inline constexpr std::size_t image_front_bytes = 512;

// Removes every name of that slot's image, each hidden from the boot loader first, so that none is
// started that is half gone. False with errno set when one is still there.
[[nodiscard]] bool remove_slot_images(const std::string& directory, char slot);

// Renames the running slot's image to its good name and raises the floor below which nothing is
// installed; true when it is good now.
[[nodiscard]] bool mark_good(const std::string& efi_place, std::int64_t image_date);

// When the other slot's image used up its tries: removes it and says why it failed. The reason that
// the failing image left is read; without one it never came so far.
[[nodiscard]] std::optional<std::string> take_failed_update(const std::string& efi_place);

// Keeps why this slot's image does not pass its trial, for the other one to tell.
void leave_reason(const std::string& why);

// Whether the other slot holds an image that was good: only then a restart can lead anywhere.
[[nodiscard]] bool other_slot_is_good(const std::string& efi_place);

enum class UpdateResult { nothing, installed, refused };
// Installs the update that lies there; `told` says what came of it. From the EFI partition it is
// removed then, taken or not. On a stick it stays, for other boxes, and one that this box looked at
// before is passed over when `again` is false: it would be tried at every start.
[[nodiscard]] UpdateResult take_update(const Place& place, bool again,
                                       const std::function<void()>& feed, std::string& told);

}  // namespace postern::firmware
