// Tells what a program in the relay's place sees and may do on the box, for test_hardening.py: each
// thing is read or tried, and what came of it is one line.
#include "telling.hpp"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <string>

namespace {

constexpr int address_seconds_max = 120;
constexpr int descriptors_looked_at = 1024;
constexpr unsigned memory_for_programs = 0x10;    // MFD_EXEC, which not every libc has
constexpr char program[] = "/usr/sbin/posternd";  // itself; in a copy it only ends

void line(const std::string& text) {
  const std::string whole = "telling: " + text + "\n";
  static_cast<void>(!::write(1, whole.data(), whole.size()));
}

void tried(const std::string& what, long result) {
  line("tried " + what + ": " + (result >= 0 ? "done" : std::strerror(errno)));
}

void lines_of(const std::string& path, const std::string& word, int left_out = 0) {
  std::ifstream file(path);
  if (!file) return line(word + " cannot be read");
  for (std::string text; std::getline(file, text);) {
    if (left_out-- <= 0) line(word + " " + text);
  }
}

std::string copied_to(const std::string& directory) {
  const std::string path = directory + "/copy";
  std::ifstream from(program, std::ios::binary);
  std::ofstream(path, std::ios::binary) << from.rdbuf();
  ::chmod(path.c_str(), 0700);
  return path;
}

// Whether a program starts, in a process of its own; its errno otherwise.
long started(int fd, const char* path) {
  const pid_t child = ::fork();
  if (child == 0) {
    char name[] = "posternd", option[] = "--check-config";
    char *words[] = {name, option, nullptr}, *none[] = {nullptr};
    ::syscall(SYS_execveat, fd, path, words, none, *path == 0 ? AT_EMPTY_PATH : 0);
    ::_exit(100 + errno);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) < 100) return 0;
  errno = WEXITSTATUS(status) - 100;
  return -1;
}

void try_programs() {
  tried("to start " + std::string(program), started(AT_FDCWD, program));
  for (const std::string directory : {"/data/queue", "/run/postern", "/tmp"}) {
    const std::string path = copied_to(directory);
    const int fd = ::open(path.c_str(), O_RDONLY);
    tried("to write into " + directory, fd);
    tried("to start a program from " + directory, started(AT_FDCWD, path.c_str()));
    tried("to map a program from " + directory,
          ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
    ::close(fd);
    ::unlink(path.c_str());
  }
  const int memory = ::memfd_create("copy", memory_for_programs);
  tried("to hold a program in memory alone", memory);
  if (memory < 0) return;
  std::ifstream from(program, std::ios::binary);
  std::ofstream("/proc/self/fd/" + std::to_string(memory), std::ios::binary) << from.rdbuf();
  // Open for writing it would not start anyway.
  const int held = ::open(("/proc/self/fd/" + std::to_string(memory)).c_str(), O_RDONLY);
  ::close(memory);
  tried("to start it from there", started(held, ""));
  ::close(held);
}

void try_files() {
  tried("to make a file on the root", ::open("/made", O_WRONLY | O_CREAT, 0600));
  tried("to write to a program on the root", ::open(program, O_WRONLY));
  tried("to read the authority's key", ::open("/data/box/authority.key", O_RDONLY));
  tried("to list /data/box", ::open("/data/box", O_RDONLY | O_DIRECTORY));
  tried("to list /run/efi", ::open("/run/efi", O_RDONLY | O_DIRECTORY));
  tried("to make a file in /data/config", ::open("/data/config/made", O_WRONLY | O_CREAT, 0600));
  for (const char* disk : {"/dev/vda", "/dev/dm-0"}) {
    tried(std::string("to read ") + disk, ::open(disk, O_RDONLY));
  }
  tried("to make a device", ::mknod("/data/queue/made", S_IFBLK | 0600, makedev(254, 0)));
}

void try_powers() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(465);
  tried("to take port 465",
        ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address));
  ::close(fd);
  tried("to become root", ::setuid(0));
  const gid_t none[] = {0};
  tried("to join root's group", ::setgroups(1, none));
  tried("to mount the root writable", ::mount(nullptr, "/", nullptr, MS_REMOUNT, nullptr));
  tried("to mount /tmp without its limits", ::mount(nullptr, "/tmp", nullptr, MS_REMOUNT, nullptr));
  tried("to load a module", ::syscall(SYS_init_module, "", 0UL, ""));  // EPERM, or no module
  tried("to open a raw socket", ::socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
  tried("to open a packet socket", ::socket(AF_PACKET, SOCK_RAW, 0));
  tried("to signal the supervisor", ::kill(1, 0));
  tried("to trace the supervisor", ::ptrace(PTRACE_ATTACH, 1, nullptr, nullptr));
  tried("to be root in a namespace of its own", ::unshare(CLONE_NEWUSER));
}

// Everything below a directory: what it could write to, and what would give a program more rights.
void look_below(const std::string& directory) {
  DIR* entries = ::opendir(directory.c_str());
  if (entries == nullptr) return;
  while (const dirent* entry = ::readdir(entries)) {
    const std::string name = entry->d_name, path = (directory == "/" ? "" : directory) + "/" + name;
    struct stat facts{};
    if (name == "." || name == ".." || ::lstat(path.c_str(), &facts) != 0) continue;
    if (S_ISLNK(facts.st_mode)) continue;
    if (::access(path.c_str(), W_OK) == 0) line("writable " + path);
    if (S_ISREG(facts.st_mode) && (facts.st_mode & (S_ISUID | S_ISGID)) != 0)
      line("setuid " + path);
    if (!S_ISDIR(facts.st_mode) || path == "/proc") continue;
    look_below(path);
  }
  ::closedir(entries);
}

int listening_on(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd, 1) != 0)
    line("cannot listen");
  return fd;
}

void tell_sockets_as(const std::string& word) {
  for (const std::string kind : {"tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6",
                                 "packet", "icmp", "icmp6"}) {
    lines_of("/proc/net/" + kind, word + " " + kind, 1);
  }
}

// With one of its own among them, so that a list in which nothing is seen is not taken for a good
// one.
void tell_sockets() {
  const int own = listening_on(587);
  // Until the box has its address there is a socket for the answers of DHCP.
  for (int waited = 0; waited < address_seconds_max; ++waited) {
    if (::access("/run/resolv.conf", F_OK) == 0) break;
    ::sleep(1);
  }
  ::sleep(1);
  tell_sockets_as("socket");
  ::close(own);
}

}  // namespace

void tell() {
  // All of it shall reach the console, which the supervisor lets nobody wait for.
  ::fcntl(STDOUT_FILENO, F_SETFL, ::fcntl(STDOUT_FILENO, F_GETFL) & ~O_NONBLOCK);
  ::signal(SIGCHLD, SIG_DFL);
  line("begins");
  const int own = listening_on(587);
  tell_sockets_as("early");  // perhaps before the box has an address
  ::close(own);
  lines_of("/proc/self/mounts", "mount");
  lines_of("/proc/self/status", "status");
  for (const char* path :
       {"/proc/sys/kernel/modules_disabled", "/sys/module/module/parameters/sig_enforce"}) {
    lines_of(path, path);
  }
  for (int fd = 0; fd < descriptors_looked_at; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) line("descriptor " + std::to_string(fd));
  }
  look_below("/");
  look_below("/proc/sys");
  tell_sockets();
  try_programs();
  try_files();
  try_powers();  // last: it would be somebody else
  line("has told everything");
}
