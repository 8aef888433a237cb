"""Which segments are one connection, whose is which end, and how many are remembered."""

from __future__ import annotations

from tests.capture.packets import CLIENT, SERVER, Talk, frame, ipv4, tcp_segment

from jackfield.capture.decode import Segment, decode
from jackfield.capture.tcp import ACK, FIN, RST, SYN
from jackfield.tools.tcp_connection import Step
from jackfield.tools.tcp_tracker import TcpTracker
from jackfield.tools.wire import Wanted, Wire


def segment(source: int, target: int, flags: int = ACK, seq: int = 1) -> Segment:
    made = tcp_segment(source=source, target=target, flags=flags, seq=seq)
    found = decode(frame(ipv4(made)))
    assert isinstance(found, Segment)
    return found


def numbers(talk: Talk) -> list[int]:
    wire = Wire()
    found = [wire.frame(frame) for frame in talk.frames]
    return [step.connection.number for step in found if isinstance(step, Step)]


def test_who_sends_the_syn_is_the_client() -> None:
    tracker = TcpTracker()
    connection = tracker.segment(segment(80, 40000, SYN)).connection
    assert (connection.client.end.port, connection.server.end.port) == (80, 40000)
    connection = tracker.segment(segment(81, 40000, SYN | ACK)).connection
    assert (connection.client.end.port, connection.server.end.port) == (40000, 81)


def test_in_the_midst_the_lower_port_is_the_server() -> None:
    for ports in ((80, 40000), (40000, 80)):
        connection = TcpTracker().segment(segment(*ports)).connection
        assert (connection.client.end.port, connection.server.end.port) == (40000, 80)


def test_in_the_midst_the_endpoint_that_was_asked_for_is_the_server() -> None:
    wire = Wire(Wanted.by("tcp://10.0.0.1:40000"))
    step = wire.frame(frame(ipv4(tcp_segment())))
    assert isinstance(step, Step)
    assert step.connection.server.end.port == 40000


def test_a_new_syn_between_the_same_ends_is_a_new_connection() -> None:
    talk = Talk()
    talk.handshake()
    talk.say("c", FIN | ACK, 1, 1)
    talk.say("s", FIN | ACK, 1, 2)
    talk.say("c", ACK, 2, 2)
    talk.isn["c"] += 90000
    talk.handshake()
    assert numbers(talk) == [1] * 6 + [2] * 3


def test_the_same_syn_again_is_the_same_connection() -> None:
    talk = Talk()
    talk.say("c", SYN)
    talk.say("c", SYN)
    talk.say("s", RST | ACK, 0, 1)
    talk.say("c", SYN)
    assert numbers(talk) == [1] * 4


def test_ended_ones_are_forgotten_first_then_the_silent() -> None:
    tracker = TcpTracker(most=3)
    for port in (1001, 1002, 1003):
        tracker.segment(segment(port, 80, SYN))
    tracker.segment(segment(1002, 80, RST, seq=2))
    tracker.segment(segment(1001, 80, SYN))
    tracker.segment(segment(1004, 80, SYN))
    assert [c.client.end.port for c in tracker] == [1001, 1003, 1004]
    tracker.segment(segment(1005, 80, SYN))
    assert [c.client.end.port for c in tracker] == [1001, 1004, 1005]
    assert tracker.forgotten == 2


def test_a_flood_is_bounded() -> None:
    tracker = TcpTracker(most=50)
    for number in range(5000):
        tracker.segment(segment(1024 + number, 80, SYN))
        tracker.segment(segment(1024 + number % 7, 81, SYN, seq=number))  # the same ends anew
    assert len(tracker.connections()) == 50
    assert len(tracker._by_ends) <= 50
    assert tracker.forgotten == 10000 - 50


def test_one_end_that_talks_to_itself() -> None:
    talk = tcp_segment(source=80, target=80, flags=SYN)
    step = Wire().frame(frame(ipv4(talk, source=SERVER[0], target=SERVER[0])))
    assert isinstance(step, Step)
    assert CLIENT[0] not in str(step.connection.client.end)
