// Small helpers of both programs of the image: files, words, messages to every console.
//
// Promise: nothing here allocates without a bound, and nothing ends the process. Sharp edge: what
// is said on the console is read by people who stand before the box: whole sentences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::firmware {

inline constexpr std::size_t file_bytes_max = 8U << 20;  // modules.alias of a whole kernel is 3 MB

inline constexpr std::size_t directory_names_max = 4096;  // a FAT directory could hold 65,536

// The whole file, at most file_bytes_max; nothing when it cannot be read.
[[nodiscard]] std::optional<std::string> read_file(const std::string& path);
[[nodiscard]] bool write_file(const std::string& path, std::string_view content,
                              unsigned mode = 0644);
// In one step: a power cut leaves the old one or this one. Root's alone; false with errno set.
[[nodiscard]] bool replace_file(const std::string& path, std::string_view content);
// Sorted; at most directory_names_max of them.
[[nodiscard]] std::vector<std::string> directory_names(const std::string& path);
[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char separator);
[[nodiscard]] std::string_view trimmed(std::string_view text);
// For a medium that may be read on any machine.
[[nodiscard]] std::string with_carriage_returns(std::string_view lines);
// Up to the first that is no digit; 0 without one.
[[nodiscard]] std::int64_t number_in(std::string_view digits);

// The value of `name=` on a command line such as the kernel's.
[[nodiscard]] std::optional<std::string> parameter(std::string_view command_line,
                                                   std::string_view name);

// The devices of the partitions with this name in a partition table, and the first of them; empty
// when there is none (yet). `disk`: looked for there alone when it is not empty, since another
// medium may hold an image as well.
[[nodiscard]] std::vector<std::string> find_partitions(const std::string& name,
                                                       const std::string& disk = {},
                                                       const std::string& sys = "/sys");
[[nodiscard]] std::string find_partition(const std::string& name, const std::string& disk = {},
                                         const std::string& sys = "/sys");

// Where sysfs has a block device: ".../usb1/1-1/1-1:1.0/host0/…/block/sda/sda1".
[[nodiscard]] std::string device_path(const std::string& block, const std::string& sys = "/sys");
// The disk that holds a block device: "vda" of "vda2" and of "vda"; empty when unknown.
[[nodiscard]] std::string disk_of(const std::string& block, const std::string& sys = "/sys");
// The disk below the checked root, which is the box's own.
[[nodiscard]] std::string own_disk(const std::string& sys = "/sys");

// On every active console of the kernel.
void say(std::string_view sentence);
void say_lines(std::string_view text);
void say_errno(std::string_view what, int error_number);

}  // namespace postern::firmware
