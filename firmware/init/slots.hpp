// The two slots as the boot loader sees them: one kernel image each, with its tries in its name
// (systemd-boot's boot counting: postern-b+3.efi, postern-b+2-1.efi, … postern-b.efi when good).
//
// Promise: only the slot that runs is ever called good, and only here; an image that used up its
// tries is removed, with the reason kept, so that it is not started again. Sharp edge: a power cut
// between the two halves of a renaming, ours or the boot loader's, leaves FAT with both names for
// one content, or with an empty file under the new one. Of two names neither must be removed
// without the other: its clusters would be given away. settle_slots() mends that.
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
// `names`: what EFI/Linux holds, sorted. A good one goes before one on trial, and of those the one
// with fewer tries left.
[[nodiscard]] SlotImage find_slot_image(const std::vector<std::string>& names, char slot);

// Of those files that the boot loader would start.
[[nodiscard]] SlotImage slot_image(const std::string& efi_place, char slot);

// Mends what power cuts left of the images: removes what is empty or half gone, and takes their
// ending from second names, so that the boot loader counts under one. To be done before anything
// else is written to this file system, while no other file got the clusters of what is half gone.
void settle_slots(const std::string& efi_place);

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

// The date below which nothing is installed; 0 when there is none that can be read.
inline constexpr char floor_file[] = "/data/box/floor";
[[nodiscard]] std::int64_t stored_floor(const std::string& file = floor_file);

// It becomes that of the image that runs and is good; never an earlier one.
void raise_floor(std::int64_t image_date, const std::string& file = floor_file);

// Renames the running slot's image to its good name and raises the floor; true when it is good now.
[[nodiscard]] bool mark_good(const std::string& efi_place, std::int64_t image_date);

// Some boot loaders cannot rename (U-Boot below systemd-boot), so an image on trial keeps its name,
// without a try that was made, and would be started for ever. Where the other slot is good, this
// start is made its last; it is good all the same when it passes. True when that was needed and
// done.
[[nodiscard]] bool make_try_the_last(const std::string& efi_place, char slot);

// For a slot that was good, or whose tries nobody counts, and that is found damaged: its image gets
// a name that the boot loader takes last, as if it had used up its tries. Only where the other slot
// is good; true when that is done.
[[nodiscard]] bool call_damaged(const std::string& efi_place, char slot);

// When the other slot's image used up its tries: removes it and says why it failed. The reason that
// the failing image left is read; without one it never came so far. `watchdog_reset`: that started
// the box this time.
[[nodiscard]] std::optional<std::string> take_failed_update(const std::string& efi_place,
                                                            bool watchdog_reset);

// Keeps why this slot's image does not pass its trial, for the other one to tell.
void leave_reason(const std::string& why);
// The same before there is a data partition; the slots are settled.
void leave_early_reason(const std::string& efi_place, const std::string& why);

// Whether the other slot holds an image that was good: only then a restart can lead anywhere.
[[nodiscard]] bool other_slot_is_good(const std::string& efi_place);

enum class UpdateResult { nothing, installed, refused };
// Installs the update that lies there; `told` says what came of it. From the EFI partition it is
// removed then, taken or not. On a stick it stays, for other boxes, and one that this box looked at
// before is passed over unless the stick was plugged in since: it would be tried at every start.
[[nodiscard]] UpdateResult take_update(const Place& place, const std::function<void()>& feed,
                                       std::string& told);

}  // namespace postern::firmware
