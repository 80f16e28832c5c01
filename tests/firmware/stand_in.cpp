// A program in another's place, for updates that fail: it says that it is ready, and that it is
// alive once or, compiled with FEEDS, for ever; compiled with ENDS it only ends, with MUTE it says
// nothing; with TELLS it first tells what it may do on the box. As the relay it finds every
// configuration good, but with TELLS only where it is not root. In the supervisor's place it only
// hangs.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

#ifdef TELLS
#include "telling.hpp"
#endif

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--check-config") != 0) continue;
#ifdef TELLS
    return ::geteuid() == 0 ? 1 : 0;
#else
    return 0;
#endif
  }
#ifdef ENDS
  return 2;
#endif
#ifdef TELLS
  tell();
#endif
  ::signal(SIGHUP, SIG_IGN);  // a reload
  const char* path = std::getenv("NOTIFY_SOCKET");
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path != nullptr) std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
#ifdef MUTE
  const char* note = nullptr;
#else
  const char* note = "READY=1\nWATCHDOG=1";
#endif
  for (;;) {
    if (note != nullptr && path != nullptr) {
      ::sendto(fd, note, std::strlen(note), 0, reinterpret_cast<const sockaddr*>(&address),
               sizeof address);
    }
#ifndef FEEDS
    note = nullptr;
#endif
    ::sleep(5);
  }
}
