"""Listeners, datagram sockets, adopted and dialled ones, on loopback."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import socket
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jackfield import limits
from jackfield.address import Address, Endpoint, resolve
from jackfield.errors import JackfieldError, SystemRefused, UsageError
from jackfield.kernel import options, sockets, unix_sockets
from jackfield.kernel.refusals import refusal
from jackfield.kernel.sockets import Listener

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux's behaviour")


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback")


def one(text: str) -> Address:
    return resolve(Endpoint.parse(text), passive=True)[0]


@contextlib.contextmanager
def listening(text: str, backlog: int = 5, **options: bool) -> Iterator[Listener]:
    listener = sockets.listen(one(text), backlog, **options)
    try:
        yield listener
    finally:
        listener.close()


def writable(sock: socket.socket) -> None:
    assert select.select([], [sock], [], 5)[1]


def accept(listener: Listener) -> socket.socket:
    assert select.select([listener], [], [], 5)[0]
    return listener.sock.accept()[0]


# --- tcp -----------------------------------------------------------------------------------


def test_a_listener_is_ready_for_an_engine() -> None:
    with listening("tcp://127.0.0.1:0") as listener:
        assert listener.address.port > 0
        assert str(listener.address) == f"tcp://127.0.0.1:{listener.address.port}"
        assert listener.sock.getblocking() is False
        assert listener.sock.get_inheritable() is False
        assert listener.fileno() == listener.sock.fileno()
        assert listener.sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    listener.close()
    assert listener.fileno() == -1


@linux
def test_accepted_and_dialled_connections_have_the_options() -> None:
    expected = {
        (socket.IPPROTO_TCP, socket.TCP_NODELAY): 1,
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): limits.KEEPALIVE_IDLE,
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): limits.KEEPALIVE_INTERVAL,
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): limits.KEEPALIVE_COUNT,
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): int(limits.USER_TIMEOUT * 1000),
    }
    assert sockets.INHERITS_OPTIONS
    with listening("tcp://127.0.0.1:0") as listener, sockets.dial(listener.address) as client:
        writable(client)
        with accept(listener) as accepted:
            for sock in (client, accepted):
                assert {key: sock.getsockopt(*key) for key in expected} == expected


def test_options_can_be_left_out() -> None:
    with listening("tcp://127.0.0.1:0", nodelay=False, keepalive=False) as listener:
        assert not listener.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not listener.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@linux
@pytest.mark.parametrize("asked", [-1, 0, 7, 2**40])
def test_the_backlog_reported_is_the_kernels(asked: int) -> None:
    with listening("tcp://127.0.0.1:0", asked) as listener:
        information = listener.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
        # Of a listener tcpi_sacked is the backlog (net/ipv4/tcp.c, tcp_get_info).
        assert listener.backlog == struct.unpack_from("I", information, 28)[0]
        assert listener.backlog_asked == asked


@linux
def test_in_use_names_the_holder() -> None:
    with listening("tcp://127.0.0.1:0") as listener:
        with pytest.raises(SystemRefused) as caught:
            sockets.listen(listener.address, 5)
        assert caught.value.errno == errno.EADDRINUSE
        text = f"{listener.address}: in use by this process; stop it or choose another port"
        assert str(caught.value) == text


@linux
def test_in_use_names_another_process() -> None:
    code = (
        "import socket, sys\n"
        "sock = socket.create_server(('127.0.0.1', 0))\n"
        "print(sock.getsockname()[1], flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        port = int(child.stdout.readline())
        with pytest.raises(SystemRefused, match=rf"in use by \S+ \(pid {child.pid}\); stop it"):
            sockets.listen(one(f"tcp://127.0.0.1:{port}"), 5)
        child.stdin.close()


def test_a_server_restarts_over_connections_in_time_wait() -> None:
    listener = sockets.listen(one("tcp://127.0.0.1:0"), 5)
    client = sockets.dial(listener.address)
    writable(client)
    accept(listener).close()  # the side that closes first keeps the port in TIME_WAIT
    client.close()
    listener.close()
    sockets.listen(listener.address, 5).close()


@linux
def test_reuse_port_shares() -> None:
    with listening("tcp://127.0.0.1:0", reuse_port=True) as first:
        second = sockets.listen(first.address, 5, reuse_port=True)
        second.close()


def test_reuse_port_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_REUSEPORT", raising=False)
    with pytest.raises(UsageError, match="cannot share a port"):
        sockets.listen(one("tcp://127.0.0.1:0"), 5, reuse_port=True)


def test_not_an_address_of_this_machine() -> None:
    with pytest.raises(SystemRefused) as caught:
        sockets.listen(one("tcp://203.0.113.7:0"), 5)  # RFC 5737: nobody's
    assert str(caught.value) == (
        "tcp://203.0.113.7:0: 203.0.113.7 is not an address of this machine"
    )
    assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        (
            "tcp://127.0.0.1:80",
            errno.EACCES,
            "tcp://127.0.0.1:80: no permission: ports under 1024 want root or "
            "CAP_NET_BIND_SERVICE; choose a port from 1024 up",
        ),
        ("tcp://127.0.0.1:1024", errno.EACCES, "tcp://127.0.0.1:1024: Permission denied"),
        ("tcp://[::1]:1", errno.EAFNOSUPPORT, "tcp://[::1]:1: this system has no IPv6"),
        ("unix:/a/b", errno.EACCES, "unix:/a/b: no permission to make a socket in /a"),
        ("unix:/b", errno.EROFS, "unix:/b: no permission to make a socket in /"),
        ("unix:b", errno.EACCES, "unix:b: no permission to make a socket in ."),
        ("tcp://127.0.0.1:1", errno.EMFILE, "no descriptor left"),
    ],
)
def test_refusals_say_what_to_do(text: str, code: int, expected: str) -> None:
    refused = refusal(one(text), OSError(code, os.strerror(code)))
    assert expected in str(refused)
    assert refused.errno == code


def test_a_datagram_address_does_not_listen_nor_a_stream_receive() -> None:
    with pytest.raises(UsageError, match="cannot listen"):
        sockets.listen(one("udp://127.0.0.1:0"), 5)
    with pytest.raises(UsageError, match="no datagram socket"):
        sockets.bind_datagram(one("tcp://127.0.0.1:0"))


# --- several addresses ---------------------------------------------------------------------


@ipv6
def test_every_address_has_the_same_port() -> None:
    listeners = sockets.listen_all(Endpoint.parse("tcp://:0"), 5)
    try:
        assert [one.sock.family for one in listeners] == [socket.AF_INET, socket.AF_INET6]
        assert len({one.address.port for one in listeners}) == 1
        assert listeners[1].sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        for address in resolve(Endpoint("tcp", port=listeners[0].address.port)):
            with sockets.dial(address) as client:
                writable(client)
                assert sockets.connect_error(client) is None
    finally:
        for listener in listeners:
            listener.close()


@ipv6
def test_another_port_when_the_second_family_has_it_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    real = sockets.listen
    taken: list[Listener] = []
    opened: list[Listener] = []

    def listen(address: Address, *args: int, **options: bool) -> Listener:
        if address.port and len(taken) < 3:
            taken.append(real(address))
        opened.append(real(address, *args, **options))
        return opened[-1]

    monkeypatch.setattr(sockets, "listen", listen)
    listeners = sockets.listen_all(Endpoint.parse("tcp://:0"), 5)
    assert len({one.address.port for one in listeners}) == 1
    assert listeners == opened[-2:]
    assert [one.fileno() for one in opened[:-2]] == [-1, -1, -1]
    for one_ in [*listeners, *taken]:
        one_.close()


@ipv6
def test_it_gives_up_when_every_port_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    real, opened = sockets.listen, []

    def listen(address: Address, *args: int, **options: bool) -> Listener:
        if address.family == socket.AF_INET6:
            raise SystemRefused("taken", errno.EADDRINUSE)
        opened.append(real(address, *args, **options))
        return opened[-1]

    monkeypatch.setattr(sockets, "listen", listen)
    with pytest.raises(SystemRefused, match="taken"):
        sockets.listen_all(Endpoint.parse("tcp://:0"), 5)
    assert len(opened) == sockets.PORT_TRIES
    assert {one.fileno() for one in opened} == {-1}


@ipv6
def test_all_are_closed_when_one_is_refused() -> None:
    both = sockets.listen_all(Endpoint.parse("tcp://:0"), 5)  # a port that IPv4 has free, too
    for listener in both:
        listener.close()
    with listening(f"tcp://[::1]:{both[0].address.port}") as holder:
        endpoint = Endpoint("tcp", port=holder.address.port)
        with pytest.raises(SystemRefused, match="in use"):
            sockets.listen_all(endpoint, 5)
        sockets.listen(one(f"tcp://0.0.0.0:{endpoint.port}"), 5).close()


@ipv6
@pytest.mark.parametrize("absent", [socket.AF_INET, socket.AF_INET6])
def test_a_family_without_addresses_is_left_out(
    monkeypatch: pytest.MonkeyPatch, absent: int
) -> None:
    real = sockets.listen

    def listen(address: Address, *args: int, **options: bool) -> Listener:
        if address.family == absent:
            raise SystemRefused("not here", errno.EADDRNOTAVAIL)
        return real(address, *args, **options)

    monkeypatch.setattr(sockets, "listen", listen)
    (listener,) = sockets.listen_all(Endpoint.parse("tcp://:0"), 5)
    assert listener.sock.family != absent
    listener.close()
    with pytest.raises(SystemRefused, match="not here"):
        sockets.listen_all(
            Endpoint("tcp", host="127.0.0.1" if absent == socket.AF_INET else "::1"), 5
        )


# --- udp -----------------------------------------------------------------------------------


@ipv6
def test_datagram_sockets_for_every_address() -> None:
    bound = sockets.bind_datagram_all(Endpoint.parse("udp://:0"))
    assert [sock.family for sock in bound] == [socket.AF_INET, socket.AF_INET6]
    assert len({sock.getsockname()[1] for sock in bound}) == 1
    assert not any(sock.getblocking() for sock in bound)
    for sock in bound:
        sock.close()


@linux
def test_nobody_else_takes_a_datagram_port() -> None:
    with sockets.bind_datagram(one("udp://127.0.0.1:0")) as sock:
        with pytest.raises(SystemRefused, match="in use by this process") as caught:
            sockets.bind_datagram(Address.of(sock))
        assert caught.value.errno == errno.EADDRINUSE
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError):
                thief.bind(sock.getsockname())


@linux
@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("[::1]", marks=ipv6)])
def test_traffic_class_is_sent_and_received(host: str) -> None:
    with (
        sockets.bind_datagram(one(f"udp://{host}:0")) as receiver,
        sockets.bind_datagram(one(f"udp://{host}:0")) as sender,
    ):
        assert sockets.set_traffic_class(receiver, 0x20)
        for tos in (0, 0x48):
            assert sockets.set_traffic_class(sender, tos)
            sender.sendto(b"x", receiver.getsockname())
            assert select.select([receiver], [], [], 5)[0]
            _, ancillary, flags, _ = receiver.recvmsg(10, sockets.TRAFFIC_CLASS_SPACE)
            assert sockets.received_traffic_class(ancillary) == tos
            assert not flags & socket.MSG_CTRUNC
    assert sockets.received_traffic_class([]) == 0
    assert sockets.received_traffic_class([(12345, 1, b"\xff")]) == 0


# --- adopted -------------------------------------------------------------------------------


def descriptor(sock: socket.socket) -> Address:
    """The fd:// address of a copy of ``sock``, as a parent would hand it down."""
    return one(f"fd://{os.dup(sock.fileno())}")


def test_adopt_a_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as made:
        address = descriptor(made)
        os.set_inheritable(address.fd, True)
        for listener in sockets.listen_all(Endpoint("fd", fd=address.fd), 9):
            assert listener.fileno() == address.fd
            assert str(listener.address) == f"tcp://127.0.0.1:{made.getsockname()[1]}"
            assert (listener.backlog, listener.backlog_asked) == (9, 9)
            assert listener.sock.getblocking() is False
            assert listener.sock.get_inheritable() is False
            assert listener.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            listener.close()


def test_adopt_a_datagram_socket() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        address = descriptor(made)
        with pytest.raises(UsageError, match=f"fd://{address.fd}: is a datagram socket that is no"):
            sockets.bind_datagram(address)
        made.bind(("127.0.0.1", 0))
        with pytest.raises(UsageError, match="is no stream socket"):
            sockets.listen(address, 5)
        (adopted,) = sockets.bind_datagram_all(Endpoint("fd", fd=address.fd))
        assert adopted.getsockname() == made.getsockname()
        assert adopted.getblocking() is False
        adopted.close()


@linux
def test_adopt_refuses_what_does_not_listen() -> None:
    left, right = socket.socketpair()
    odd = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right, odd:
        with pytest.raises(UsageError, match="a stream socket that does not listen"):
            sockets.listen(one(f"fd://{left.fileno()}"), 5)
        with pytest.raises(UsageError, match="is no stream or datagram socket"):
            sockets.adopt(one(f"fd://{odd.fileno()}"))
        left.send(b"still open")


@linux
def test_adopt_leaves_the_file_to_its_owner(tmp_path: Path) -> None:
    with listening(f"unix:{tmp_path}/s") as owner:
        adopted = sockets.adopt(descriptor(owner.sock))
        assert str(adopted.address) == str(owner.address)  # type: ignore[union-attr]
        adopted.close()
        assert (tmp_path / "s").exists()
    assert not (tmp_path / "s").exists()


# --- dialled -------------------------------------------------------------------------------


def test_dial() -> None:
    with listening("tcp://127.0.0.1:0") as listener, sockets.dial(listener.address) as client:
        assert client.getblocking() is False
        writable(client)
        assert sockets.connect_error(client) is None


def test_dial_where_nobody_listens() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        with sockets.dial(Address.of(reserved)) as client:
            writable(client)
            assert isinstance(sockets.connect_error(client), ConnectionRefusedError)


@linux
def test_a_connection_to_oneself_is_a_refusal() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        assert isinstance(sockets.connect_error(sock), ConnectionRefusedError)


@linux
def test_dial_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sockets.dial(one(f"unix:{tmp_path}/none"))
    with listening(f"unix:{tmp_path}/s", 0) as listener:
        with sockets.dial(listener.address) as first:
            assert sockets.connect_error(first) is None
            with pytest.raises(BlockingIOError):  # backlog full: it would never become writable
                sockets.dial(listener.address)
        with pytest.raises(UsageError, match="nothing to connect to"):
            sockets.dial(one(f"fd://{listener.fileno()}"))


# --- unix ----------------------------------------------------------------------------------


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("no_umask")
def test_a_unix_listener_is_private_before_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    real = socket.socket.listen

    def listen(sock: socket.socket, backlog: int) -> None:
        modes.append(stat.S_IMODE((tmp_path / "s").stat().st_mode))
        real(sock, backlog)

    monkeypatch.setattr(socket.socket, "listen", listen)
    with listening(f"unix:{tmp_path}/s") as listener:
        assert str(listener.address) == f"unix:{tmp_path}/s"
        with sockets.dial(listener.address) as client:
            assert sockets.connect_error(client) is None
    assert modes == [0o600]


@linux
@pytest.mark.usefixtures("no_umask")
def test_linux_makes_the_file_private_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "chmod")  # would raise if it were needed
    with listening(f"unix:{tmp_path}/s"):
        pass


@pytest.mark.usefixtures("no_umask")
def test_private_where_fchmod_of_a_socket_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, mode: int) -> None:
        raise OSError(errno.EINVAL, "not for sockets")

    monkeypatch.setattr(os, "fchmod", refuse)
    with listening(f"unix:{tmp_path}/s"):
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_what_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "directory").mkdir()
    for name in ("file", "link", "directory"):
        with pytest.raises(SystemRefused) as caught:
            sockets.listen(one(f"unix:{tmp_path}/{name}"), 5)
        text = f"unix:{tmp_path}/{name}: exists and is not a socket; not removed"
        assert str(caught.value) == text
        assert caught.value.errno == errno.EEXIST
    assert (tmp_path / "file").read_text() == "precious"


def leave_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    leave_stale(tmp_path / "s")
    with listening(f"unix:{tmp_path}/s") as listener, sockets.dial(listener.address) as client:
        assert sockets.connect_error(client) is None
    assert list(tmp_path.iterdir()) == []


@linux
@pytest.mark.parametrize("backlog", [5, 0])
def test_a_living_socket_is_not_removed(tmp_path: Path, backlog: int) -> None:
    with listening(f"unix:{tmp_path}/s", backlog) as living:
        for _ in range(3):  # with a backlog of 0 the probes themselves fill it
            with pytest.raises(SystemRefused, match="in use by this process") as caught:
                sockets.listen(living.address, 5)
            assert caught.value.errno == errno.EADDRINUSE
        assert (tmp_path / "s").is_socket()


@linux
def test_a_living_datagram_socket_is_not_removed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as living:
        living.bind(str(tmp_path / "s"))
        with pytest.raises(SystemRefused, match="in use"):
            sockets.listen(one(f"unix:{tmp_path}/s"), 5)


def test_a_socket_that_may_not_be_asked_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_stale(tmp_path / "s")

    def refuse(address: Address) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(unix_sockets, "_answers", refuse)
    with pytest.raises(SystemRefused, match="exists and belongs to another user"):
        sockets.listen(one(f"unix:{tmp_path}/s"), 5)
    assert (tmp_path / "s").is_socket()


def test_close_leaves_a_file_that_replaced_ours(tmp_path: Path) -> None:
    listener = sockets.listen(one(f"unix:{tmp_path}/s"), 5)
    (tmp_path / "s").rename(tmp_path / "moved")  # keeps the inode number in use
    (tmp_path / "s").write_text("another's")
    listener.close()
    assert (tmp_path / "s").read_text() == "another's"
    listener.close()


def test_close_when_the_file_or_directory_is_gone(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    listener = sockets.listen(one(f"unix:{tmp_path}/d/s"), 5)
    (tmp_path / "d/s").unlink()
    (tmp_path / "d").rmdir()
    listener.close()


def test_a_forked_child_does_not_unlink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(f"unix:{tmp_path}/s") as listener:
        assert listener.file is not None
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", os.getppid)
            unix_sockets.unlink_if_ours(listener.file)
        assert (tmp_path / "s").exists()


def test_a_relative_path_is_unlinked_after_chdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with listening("unix:s"):
        assert (tmp_path / "s").is_socket()
        monkeypatch.chdir("/")
    assert not (tmp_path / "s").exists()


def test_no_file_is_left_when_listen_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(sock: socket.socket, backlog: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(socket.socket, "listen", refuse)
    with pytest.raises(SystemRefused, match="Operation not supported"):
        sockets.listen(one(f"unix:{tmp_path}/s"), 5)
    assert list(tmp_path.iterdir()) == []


def test_directories_that_will_not_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemRefused, match=f"the directory {tmp_path}/none does not exist"):
        sockets.listen(one(f"unix:{tmp_path}/none/s"), 5)
    with pytest.raises(SystemRefused, match=f"{tmp_path}/file is not a directory"):
        sockets.listen(one(f"unix:{tmp_path}/file/s"), 5)


def test_of_many_that_start_at_once_one_wins(tmp_path: Path) -> None:
    for round_ in range(10):
        path = tmp_path / str(round_)
        leave_stale(path)
        together = threading.Barrier(6)
        results: list[Listener | JackfieldError] = []

        def start(
            path: Path = path,
            together: threading.Barrier = together,
            results: list[Listener | JackfieldError] = results,
        ) -> None:
            together.wait()
            try:
                results.append(sockets.listen(one(f"unix:{path}"), 5))
            except JackfieldError as exc:
                results.append(exc)

        threads = [threading.Thread(target=start) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        won = [result for result in results if isinstance(result, Listener)]
        lost = [result.errno for result in results if isinstance(result, SystemRefused)]
        assert len(won) == 1
        assert lost == [errno.EADDRINUSE] * 5
        with sockets.dial(won[0].address) as client:
            assert sockets.connect_error(client) is None
        won[0].close()


def test_a_stranger_who_holds_the_directory_does_not_hold_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    monkeypatch.setattr(unix_sockets, "LOCK_WAIT", 0.02)
    stranger = os.open(tmp_path, os.O_RDONLY)
    try:
        with listening(f"unix:{tmp_path}/s") as listener:
            fcntl.flock(stranger, fcntl.LOCK_EX)
            with pytest.raises(SystemRefused, match="holds the lock of the directory") as caught:
                sockets.listen(one(f"unix:{tmp_path}/t"), 5)
            assert caught.value.errno == errno.EAGAIN
        assert listener.fileno() == -1
    finally:
        os.close(stranger)


@linux
def test_abstract_names() -> None:
    name = f"unix:@jackfield-test-{os.getpid()}"
    with listening(name) as listener:
        assert str(listener.address) == name
        with pytest.raises(SystemRefused, match="in use by this process"):
            sockets.listen(one(name), 5)
    with listening(name):
        pass


# --- the system ----------------------------------------------------------------------------


def test_descriptor_limit() -> None:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert sockets.descriptor_limit() == (
        options.UNLIMITED if soft == resource.RLIM_INFINITY else soft
    )


def test_a_system_with_fewer_options_still_listens_and_dials() -> None:
    code = """
import socket
for name in ("AF_UNIX", "SO_REUSEPORT", "TCP_USER_TIMEOUT", "TCP_KEEPIDLE", "IP_TOS",
             "IP_RECVTOS", "IPV6_TCLASS", "IPV6_RECVTCLASS", "CMSG_SPACE", "SO_ACCEPTCONN"):
    if hasattr(socket, name):
        delattr(socket, name)
from jackfield.address import Endpoint, resolve
from jackfield.kernel import sockets
(listener,) = sockets.listen_all(Endpoint.parse("tcp://127.0.0.1:0"))
sockets.dial(listener.address).close()
listener.close()
with sockets.bind_datagram(resolve(Endpoint.parse("udp://127.0.0.1:0"))[0]) as sock:
    assert sockets.set_traffic_class(sock, 8) is False
try:
    resolve(Endpoint.parse("unix:/x"))
except ValueError as exc:
    print(exc)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == "unix:/x: this system's Python has no Unix sockets\n"
