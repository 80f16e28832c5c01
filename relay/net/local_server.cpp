// The control socket's serving side.
//
// A client is in one of three states: its line is being read, its answer is awaited, its answer is
// being written. Only the first reads, so a client that sends or takes slowly costs one line of
// memory at most.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

#include "relay/base/assert.hpp"
#include "relay/net/acceptor.hpp"
#include "relay/net/connection.hpp"
#include "relay/net/local_address.hpp"
#include "relay/net/local_socket.hpp"
#include "relay/net/loop_parts.hpp"

namespace postern::net {

namespace {

class LocalClient;

}  // namespace

struct LocalServer::Parts {
  // How an Answer finds its server, however late it comes.
  struct Link {
    Parts* server;
  };
  // Held by an Answer. One that is dropped without being called ends its client, which would
  // otherwise wait for ever and keep its place.
  struct AnswerTicket {
    AnswerTicket(std::shared_ptr<Link> to, std::uint64_t client_id)
        : link(std::move(to)), id(client_id) {}
    AnswerTicket(AnswerTicket&& other) noexcept
        : link(std::exchange(other.link, nullptr)), id(other.id) {}
    AnswerTicket& operator=(AnswerTicket&&) = delete;
    ~AnswerTicket() { settle(std::nullopt); }
    void settle(std::optional<std::string> answer) {
      const std::shared_ptr<Link> to = std::exchange(link, nullptr);
      if (to && to->server != nullptr) to->server->answered(id, std::move(answer));
    }
    std::shared_ptr<Link> link;
    std::uint64_t id;
  };

  void accepted(int descriptor);
  void answered(std::uint64_t id, std::optional<std::string> answer);

  Loop* loop = nullptr;
  std::string path;
  dev_t device = 0;  // of our socket file, so that only it is removed
  ino_t inode = 0;
  Callback<std::string_view, Answer> on_line;
  AcceptorHandle acceptor;
  std::map<std::uint64_t, LocalClient*> clients;
  std::uint64_t next_id = 1;
  std::shared_ptr<Link> link;
  bool in_call_out = false;
  bool gone = false;  // destroyed inside on_line
};

namespace {

class LocalClient {
 public:
  using Lines = Callback<std::string>;  // one whole line
  using Ended = Callback<>;
  [[nodiscard]] static LocalClient* open(Loop& loop, int descriptor, Lines on_line, Ended ended);
  void answer(std::string text);
  void close();

 private:
  enum class State { reading, awaiting, writing, closed };
  void take_line();
  void fail_client();
  static void on_read(uv_stream_t* stream, ssize_t length, const uv_buf_t* buffer);
  static void on_written(uv_write_t* request, int status);
  static void on_alloc(uv_handle_t* handle, std::size_t suggested, uv_buf_t* buffer);
  [[nodiscard]] uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&pipe_); }

  Loop* loop_ = nullptr;
  uv_pipe_t pipe_{};
  uv_write_t request_{};
  State state_ = State::reading;
  std::string input_;
  std::string output_;
  Lines on_line_;
  Ended ended_;
};

LocalClient* LocalClient::open(Loop& loop, int descriptor, Lines on_line, Ended ended) {
  auto* client = new LocalClient();
  client->loop_ = &loop;
  client->on_line_ = std::move(on_line);
  client->ended_ = std::move(ended);
  POSTERN_ASSERT(uv_pipe_init(&loop.parts().loop, &client->pipe_, 0) == 0);
  client->pipe_.data = client;
  client->request_.data = client;
  if (uv_pipe_open(&client->pipe_, descriptor) < 0) {
    ::close(descriptor);
    client->close();
    return nullptr;
  }
  if (uv_read_start(client->stream(), on_alloc, on_read) < 0) {
    client->close();
    return nullptr;
  }
  return client;
}

void LocalClient::on_alloc(uv_handle_t* handle, std::size_t /*suggested*/, uv_buf_t* buffer) {
  auto* client = static_cast<LocalClient*>(handle->data);
  *buffer = uv_buf_init(reinterpret_cast<char*>(client->loop_->parts().read_buffer.get()),
                        read_bytes_max);
}

void LocalClient::on_read(uv_stream_t* stream, ssize_t length, const uv_buf_t* buffer) {
  auto* client = static_cast<LocalClient*>(stream->data);
  if (length == 0) return;
  if (length < 0) return client->fail_client();
  client->input_.append(buffer->base, static_cast<std::size_t>(length));
  client->take_line();
}

void LocalClient::take_line() {
  const std::size_t end = input_.find('\n');
  if (end == std::string::npos ? input_.size() > local_line_bytes_max
                               : end > local_line_bytes_max) {
    return fail_client();
  }
  if (end == std::string::npos) {
    if (state_ == State::reading) return;
    state_ = State::reading;
    if (uv_read_start(stream(), on_alloc, on_read) < 0) fail_client();
    return;
  }
  uv_read_stop(stream());
  state_ = State::awaiting;
  std::string line = input_.substr(0, end);
  input_.erase(0, end + 1);
  on_line_(std::move(line));
}

void LocalClient::answer(std::string text) {
  if (state_ != State::awaiting) return;
  state_ = State::writing;
  output_ = std::move(text);
  output_ += '\n';
  const uv_buf_t whole = uv_buf_init(output_.data(), static_cast<unsigned>(output_.size()));
  if (uv_write(&request_, stream(), &whole, 1, on_written) < 0) fail_client();
}

void LocalClient::on_written(uv_write_t* request, int status) {
  auto* client = static_cast<LocalClient*>(request->data);
  if (client->state_ == State::closed) return;
  if (status < 0) return client->fail_client();
  client->output_.clear();
  client->take_line();  // the next one may have come with the last
}

void LocalClient::fail_client() {
  Ended ended = std::move(ended_);
  close();
  if (ended) ended();
}

void LocalClient::close() {
  if (state_ == State::closed) return;
  state_ = State::closed;
  uv_close(reinterpret_cast<uv_handle_t*>(&pipe_),
           [](uv_handle_t* handle) { delete static_cast<LocalClient*>(handle->data); });
}

// A socket file that nobody answers on is removed; a living one is an Error.
Result<> remove_stale_socket(const std::string& path) {
  const std::string operation = "listen on " + path;
  struct stat found{};
  if (lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno(operation, errno);
  }
  if (!S_ISSOCK(found.st_mode)) {
    return fail(ErrorKind::exists, operation,
                "a file that is no socket is in the way; move it away");
  }
  const auto address = LocalAddress::of(path);
  if (!address) return std::unexpected(address.error());
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (probe < 0) return fail_errno(operation, errno);
  const int connected = ::connect(probe, address->get(), address->length);
  const int error_number = connected == 0 ? 0 : errno;
  ::close(probe);
  if (error_number == ENOENT) return {};
  if (error_number != ECONNREFUSED) {  // also EAGAIN: it lives and is busy
    return fail(ErrorKind::exists, operation,
                "another posternd is running: it answers on this socket; stop it first");
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT)
    return fail_errno("remove the stale " + path, errno);
  return {};
}

// /run is empty after a boot: the socket's own folder is made where it is missing, not its parents.
Result<> make_folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos || slash == 0) return {};
  const std::string folder = path.substr(0, slash);
  if (mkdir(folder.c_str(), S_IRWXU | S_IRGRP | S_IXGRP) == 0 || errno == EEXIST) return {};
  const int error_number = errno;
  struct stat found{};
  if (stat(folder.c_str(), &found) == 0) return {};
  return fail(error_number == ENOENT ? ErrorKind::not_found : ErrorKind::denied,
              "listen on " + path,
              "its directory " + folder + " does not exist and cannot be made (" +
                  std::strerror(error_number) +
                  "); make it for the daemon's user, or give control_socket another place");
}

// Bound, mode 0600, listening. Nobody gets in before the mode is set: connecting needs listen().
Result<int> listen_at(const std::string& path) {
  const std::string operation = "listen on " + path;
  const auto address = LocalAddress::of(path);
  if (!address) return std::unexpected(address.error());
  if (auto made = make_folder_of(path); !made) return std::unexpected(std::move(made.error()));
  if (Result<> removed = remove_stale_socket(path); !removed) {
    return std::unexpected(std::move(removed.error()));
  }
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return fail_errno(operation, errno);
  if (::bind(descriptor, address->get(), address->length) != 0) {
    const int error_number = errno;
    ::close(descriptor);
    return fail_errno(operation, error_number);
  }
  if (chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0 ||
      ::listen(descriptor, static_cast<int>(local_clients_max)) != 0) {
    const int error_number = errno;
    ::close(descriptor);
    unlink(path.c_str());
    return fail_errno(operation, error_number);
  }
  return descriptor;
}

}  // namespace

void LocalServer::Parts::accepted(int descriptor) {
  if (clients.size() >= local_clients_max) {
    ::close(descriptor);
    return;
  }
  const std::uint64_t id = next_id++;
  auto* client = LocalClient::open(
      *loop, descriptor,
      [this, id](const std::string& line) {
        in_call_out = true;
        on_line(line, [ticket = AnswerTicket(link, id)](std::string text) mutable {
          ticket.settle(std::move(text));
        });
        in_call_out = false;
        if (gone) delete this;
      },
      [this, id] { clients.erase(id); });
  if (client != nullptr) clients.emplace(id, client);
}

void LocalServer::Parts::answered(std::uint64_t id, std::optional<std::string> answer) {
  const auto found = clients.find(id);
  if (found == clients.end()) return;
  if (answer) return found->second->answer(std::move(*answer));
  LocalClient* client = found->second;
  clients.erase(found);
  client->close();
}

LocalServer::LocalServer() : parts_(nullptr) {}

Result<std::unique_ptr<LocalServer>> LocalServer::listen(
    Loop& loop, const std::string& path, Callback<std::string_view, Answer> on_line) {
  Result<int> descriptor = listen_at(path);
  if (!descriptor) return std::unexpected(std::move(descriptor.error()));
  std::unique_ptr<LocalServer> server(new LocalServer());
  auto* parts = new Parts();
  server->parts_ = parts;
  parts->loop = &loop;
  parts->path = path;
  parts->on_line = std::move(on_line);
  parts->link = std::make_shared<Parts::Link>(parts);
  struct stat made{};
  if (stat(path.c_str(), &made) == 0) {
    parts->device = made.st_dev;
    parts->inode = made.st_ino;
  }
  auto acceptor =
      Acceptor::start(loop, *descriptor, [parts](int accepted) { parts->accepted(accepted); });
  if (!acceptor) {
    ::close(*descriptor);
    return std::unexpected(std::move(acceptor.error()));
  }
  parts->acceptor = std::move(*acceptor);
  return server;
}

LocalServer::~LocalServer() {
  Parts& parts = *parts_;
  parts.link->server = nullptr;
  struct stat found{};
  if (lstat(parts.path.c_str(), &found) == 0 && found.st_dev == parts.device &&
      found.st_ino == parts.inode) {
    unlink(parts.path.c_str());
  }
  parts.acceptor.reset();
  for (const auto& [id, client] : std::exchange(parts.clients, {})) client->close();
  if (parts.in_call_out) {
    parts.gone = true;  // on_line is still running; its last step frees the Parts
  } else {
    delete &parts;
  }
}

}  // namespace postern::net
