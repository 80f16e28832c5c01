// Which media count as USB sticks, over a made-up sysfs.
#include "firmware/init/sticks.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "firmware/init/system.hpp"
#include "tests/unit/firmware/scratch_directory.hpp"

namespace postern::firmware {
namespace {

namespace fs = std::filesystem;

constexpr char usb[] = "pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/host0/target0:0:0/0:0:0:0/block/";
constexpr char virtio[] = "pci0000:00/0000:00:03.0/virtio1/block/";

class Sticks : public ::testing::Test {
 protected:
  // A disk with partitions of these names in its table; an empty name: none in the table.
  void add_disk(const std::string& where, const std::string& name,
                const std::vector<std::string>& partitions = {}, const std::string& size = "4096",
                const std::string& sequence = "7") {
    const fs::path disk = add_block(where + name, name);
    write(disk / "size", size);
    write(disk / "diskseq", sequence);
    int number = 0;
    for (const std::string& label : partitions) {
      const std::string part = name + std::to_string(++number);
      const fs::path place = add_block(where + name + "/" + part, part);
      write(place / "partition", std::to_string(number));
      write(place / "uevent", "DEVTYPE=partition" + (label.empty() ? "" : "\nPARTNAME=" + label));
    }
  }
  void run_from(const std::string& block) {
    fs::create_directories(sys_ / "class/block/dm-0/slaves" / block);
  }
  [[nodiscard]] std::vector<Stick> found(const std::string& own = "") const {
    return list_sticks(own, sys_);
  }
  [[nodiscard]] std::string sys() const { return sys_; }

 private:
  fs::path add_block(const std::string& device, const std::string& name) {
    const fs::path place = sys_ / "devices" / device;
    fs::create_directories(place);
    fs::create_directories(sys_ / "class/block");
    fs::create_directory_symlink(place, sys_ / "class/block" / name);
    return place;
  }
  static void write(const fs::path& file, const std::string& text) {
    std::ofstream(file) << text << '\n';
  }
  ScratchDirectory directory_;
  fs::path sys_ = directory_.path();
};

TEST_F(Sticks, APartitionOfAUsbDiskOrTheDiskItself) {
  add_disk(usb, "sda", {"", "other"});
  add_disk(virtio, "vda", {"postern-efi"});
  EXPECT_EQ(found(), (std::vector<Stick>{{"sda", "7", {"/dev/sda1", "/dev/sda2"}}}));
  add_disk("pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host1/block/", "sdb");
  EXPECT_EQ(found().back(), (Stick{"sdb", "7", {"/dev/sdb"}}));
}

TEST_F(Sticks, NeverTheBoxsOwnMediumNorOneMadeForAnotherBox) {
  add_disk(usb, "sda", {"one", "two"});
  add_disk("pci0000:00/usb2/2-1/block/", "sdb", {"data", "postern-data"});
  run_from("sda2");
  EXPECT_EQ(own_disk(sys()), "sda");
  EXPECT_EQ(disk_of("sda1", sys()), "sda");
  EXPECT_EQ(disk_of("sdc1", sys()), "");
  EXPECT_TRUE(found("sda").empty());
}

TEST_F(Sticks, NoDiskInsideTheBoxNoEmptyReaderAndNoStrangeName) {
  add_disk("pci0000:00/0000:00:1f.2/ata1/host0/block/", "sda", {""});
  add_disk("platform/usbish/block/", "sdb", {""});
  add_disk(usb, "sdc", {}, "0");
  add_disk(usb, "sd;d", {});
  EXPECT_TRUE(found().empty());
}

TEST_F(Sticks, AMultitudeOfPartitionsIsNotTriedToItsEnd) {
  add_disk(usb, "sda", std::vector<std::string>(9, ""));
  EXPECT_EQ(found().at(0).devices.size(), stick_partitions_max);
}

TEST(StickWatch, TellsAStickOnceAtItsSecondLookAndAnewWhenPluggedInAnew) {
  const Stick stick{"sda", "7", {"/dev/sda1"}};
  const Stick again{"sda", "8", {"/dev/sda1"}};
  StickWatch watch;
  EXPECT_TRUE(watch.fresh({stick}).empty());
  EXPECT_EQ(watch.fresh({stick}), std::vector{stick});
  EXPECT_TRUE(watch.fresh({stick}).empty());
  EXPECT_EQ(watch.known(), std::vector{stick});
  EXPECT_TRUE(watch.fresh({again}).empty());
  EXPECT_TRUE(watch.known().empty());
  EXPECT_EQ(watch.fresh({again}), std::vector{again});
  EXPECT_TRUE(watch.fresh({}).empty());
  EXPECT_TRUE(watch.known().empty());
}

// The kernel lists a disk a moment before its partitions.
TEST(StickWatch, WaitsUntilThePartitionsStand) {
  const Stick bare{"sda", "7", {"/dev/sda"}};
  const Stick whole{"sda", "7", {"/dev/sda1"}};
  StickWatch watch;
  EXPECT_TRUE(watch.fresh({bare}).empty());
  EXPECT_TRUE(watch.fresh({whole}).empty());
  EXPECT_EQ(watch.fresh({whole}), std::vector{whole});
}

}  // namespace
}  // namespace postern::firmware
