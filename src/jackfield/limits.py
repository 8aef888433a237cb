"""Every default number of jackfield, each with its reason beside it. Needs nothing.

Sizes are bytes, times are seconds, rates are per second. An option or argument of the same
name overrides each; 0 lifts a limit where the option's help says so.
"""

from __future__ import annotations

from jackfield import lazy_typing as t

if t.TYPE_CHECKING:
    from typing import Final

# --- listening and accepting ---------------------------------------------------------------

BACKLOG: Final = 128
"""Connections the kernel completes before we accept them. 128 is what Linux clamped every
listener to for twenty years, so it is portable; one tick accepts ACCEPT_BURST of them."""

ACCEPT_BURST: Final = 64
"""Accepts per listener and tick: enough to drain half a backlog, few enough (about a
millisecond) that those already served do not notice."""

ACCEPT_RETRY: Final = 0.1
"""Pause of a listener when the process is out of descriptors or the kernel out of memory:
ten tries a second cost nothing and a freed descriptor is used within a blink."""

DESCRIPTOR_RESERVE: Final = 32
"""Descriptors kept free below RLIMIT_NOFILE when --max-connections is 0: for logs, the
poller, the wakeup pair, name resolution and whatever a user's protocol opens."""

SHARED_HOSTS: Final = 1 << 17
"""Cells of the table in which several processes count the connections of each host: 3 MiB of
memory, used as it fills, and looked through in 20 ms when a process has died."""

WORKER_SLOTS: Final = 1024
"""Workers at a time that may count together, retired ones included that still have clients: some
hundred replacements of each worker, in 40 KiB."""

LOG_INTERVAL: Final = 1.0
"""At most one log line of a repeating trouble in this time, so that a flood of failures does
not become a flood of log lines."""

# --- reading and writing -------------------------------------------------------------------

RECEIVE_SIZE: Final = 64 * 1024
"""Bytes read from one connection in one tick: the fair share. It stays under malloc's mmap
threshold (128 KiB), above which every receive was measured to cost five times as much."""

HIGH_WATER: Final = 64 * 1024
"""Outbox bytes above which a protocol is told to pause and its peer stops being read.
asyncio's figure; the kernel's own send buffer comes on top of it."""

LOW_WATER: Final = HIGH_WATER // 4
"""Outbox bytes at which writing resumes: a quarter, so that the two do not alternate."""

GATHER_BUFFERS: Final = 64
"""Buffers handed to one sendmsg(2): POSIX promises only 16, every living system takes 1024
(IOV_MAX); 64 shared chunks already outweigh the call's own cost."""

DATAGRAM_SIZE: Final = 65535
"""The largest UDP payload is 65,507 bytes over IPv4; one more than any so none is cut."""

DATAGRAM_BURST: Final = 64
"""Datagrams taken from one socket in one tick before the others have their turn."""

DATAGRAM_OUTBOX: Final = 256 * 1024
"""Bytes of datagrams kept while the send buffer is full. UDP promises no delivery: beyond
this the newest is dropped and counted."""

DATAGRAM_PAYLOAD: Final = 65507
"""The most bytes sent as one datagram: 65,535 less the IPv4 and UDP headers (RFC 791, RFC 768)."""

REPLY_WAIT: Final = 1.0
"""After the last datagram in either direction: how long a client at the end of its input waits
for replies. UDP has no end of stream; a round trip across the world takes a third of it."""

MAX_HELD: Final = 0
"""0: what a protocol writes to one peer waits however much it is, as asyncio has it: the protocol
is told to pause, and whoever sends one huge file in one write means it. Rooms have their own bound
(LAG_HARD), and a peer that does not read is not read."""

# --- closing -------------------------------------------------------------------------------

LINGER: Final = 2.0
"""After close() has flushed: how long we read and discard so that the peer's unread bytes do
not turn our last ones into a reset (RFC 1122, 4.2.2.13). A round trip takes less."""

FLUSH: Final = 30.0
"""After close(): how long the outbox may take to flush. A peer that reads nothing in that
time is not going to."""

DRAIN: Final = 5.0
"""On SIGTERM: how long all connections together may take to flush before they are cut.
Service managers kill after 10 (containers) or 90 seconds (systemd)."""

# --- the service manager -------------------------------------------------------------------

NOTIFY_WAIT: Final = 1.0
"""For systemd to take a notification. Its queue is hundreds long; should it be full, we go on
serving, and systemd sees a late or missing line instead of a server that hangs."""

# --- deadlines, counts, dead peers ---------------------------------------------------------

IDLE_TIMEOUT: Final = 0.0
"""No idle deadline: somebody may read a chat room for a day without a word. Dead peers are
found by keepalive and TCP_USER_TIMEOUT instead."""

LOGIN_TIMEOUT: Final = 0.0
"""No login deadline, for the same reason: a guest may listen."""

MAX_CONNECTIONS: Final = 0
"""0: as many as RLIMIT_NOFILE less DESCRIPTOR_RESERVE allows."""

MAX_PER_HOST: Final = 0
"""0: no limit by host: a company or a lecture hall is one address behind NAT."""

MAX_PER_SECOND: Final = 0.0
"""0: no limit to new connections a second: who restarts a proxy or a lecture brings hundreds."""

CONNECT_TIMEOUT: Final = 10.0
"""Per address when dialling: Linux itself would retry a lost SYN for over two minutes."""

KEEPALIVE_IDLE: Final = 60
KEEPALIVE_INTERVAL: Final = 10
KEEPALIVE_COUNT: Final = 6
"""A silent peer is probed after a minute, then every ten seconds, and is dead after six
unanswered probes: a pulled cable is noticed within two minutes, not the kernel's two hours."""

USER_TIMEOUT: Final = 120.0
"""Sent bytes may stay unacknowledged this long (TCP_USER_TIMEOUT, RFC 5482): the same two
minutes for a peer that vanishes while we write."""

PROXY_TIMEOUT: Final = 5.0
"""From a proxy's connection to the end of its PROXY header. It sends that at once; the protocol
asks for at least 3 seconds, so that one lost packet is sent again in time."""

# --- TLS -----------------------------------------------------------------------------------

TLS_HANDSHAKE: Final = 10.0
"""From a connection to the end of its TLS handshake: two round trips and some milliseconds of
computing, so that even several lost packets do not matter. A silent peer holds a descriptor."""

TLS_RECORD: Final = 16 * 1024
"""Most plaintext of one record (RFC 8446, 5.1): what is encrypted, and decrypted, at a time."""

TLS_AHEAD: Final = LOW_WATER
"""Ciphertext in the outbox of a connection up to which another record is encrypted. Ciphertext is
each connection's own, while plaintext that waits is shared between the members of a room."""

# --- threads -------------------------------------------------------------------------------

THREADS_MAX: Final = 0
"""0: a thread for each connection that is admitted. Its cost is address space, some 30 KiB of
memory and the scheduler's work; the limit that hurts first is the system's (ulimit -u, cgroup
pids)."""

THREAD_STACK: Final = 0
"""0: the system's own, mostly 8 MiB of address space. Only what is touched takes memory, so that
a small stack saves none; while Python's recursion through C was measured to need 1 MiB before it
raises RecursionError, and with 512 KiB a peer's nested input can end the process instead."""

THREAD_END: Final = 1.0
"""After the server's end: for threads to return from a protocol's callback. One that waits for a
database may never; it is a daemon thread, which ends with the process."""

# --- coroutines ----------------------------------------------------------------------------

TASK_END: Final = 1.0
"""After the server's end: for coroutines to heed their cancellation. What they await as they clean
up takes milliseconds, and one that swallows it would keep the process for ever."""

# --- framing -------------------------------------------------------------------------------

LINE_LIMIT: Final = 4096
"""Longest line of a LineProtocol, its end not counted: a terminal in canonical mode cannot
send more (N_TTY_BUF_SIZE), IRCv3 allows 4,096 tag bytes."""

FRAME_LIMIT: Final = 1024 * 1024
"""Largest payload of a FrameProtocol: what one peer can make us hold."""

PROXY_HEADER: Final = 4096
"""Longest PROXY header of version 2. Its addresses take at most 232 bytes, what clouds and TLS
terminators add some hundreds; nginx takes 4,096 too."""

# --- rooms and chat ------------------------------------------------------------------------

LAG_SOFT: Final = HIGH_WATER
"""Outbox bytes at which a room member lags: its own commands wait, room noise is left out."""

LAG_HARD: Final = 4 * 1024 * 1024
"""Outbox bytes at which a member is closed. The bytes are shared between the members, so
that a thousand stalled ones hold hardly more than one."""

HISTORY_BYTES: Final = 256 * 1024
"""A room's kept messages never weigh more, whatever their count."""

CHAT_HISTORY: Final = 20
"""Messages shown to who joins: most of a 24-line terminal."""

CHAT_LINE: Final = 1024
"""Longest chat line in bytes: twice IRC's 512, some ten terminal rows."""

NAME_LENGTH: Final = 24
"""Characters of a nickname or room name: a quarter of a terminal row."""

ROOMS: Final = 1000
"""Rooms at the same time; an empty one is gone at once, the lobby stays."""

ROOMS_PER_USER: Final = 10
"""Rooms one user is in at a time, so that nobody reserves them all."""

IGNORED_PER_USER: Final = 100
"""Users one user ignores: each costs its room a look at every message."""

FLOOD_RATE: Final = 5.0
"""Chat lines a second, lastingly: faster than anybody types."""

FLOOD_BURST: Final = 20
"""Chat lines at once, so that a pasted stanza passes."""

FLOOD_BYTES_PER_LINE: Final = 512
"""The byte bucket is this many times the line bucket, in rate and in burst: half the longest
line on the average."""

FLOOD_STRIKES: Final = 20
"""Lines refused and told so before the kick: another burst, so that one paste too long is
refused but forgiven."""

# --- packets ---------------------------------------------------------------------------------

WIRE_BUFFER: Final = 16 * 1024 * 1024
"""For packets that wait until we read them: a burst of 250 of loopback's largest, or a tenth of a
second of a gigabit of traffic. Locked kernel memory, given back at the end."""

WIRE_BURST: Final = 256
"""Packets read before what they say is printed: a few milliseconds of work."""

WIRE_CONNECTIONS: Final = 4096
"""Connections followed at a time, some 2 KiB each. Beyond it the one that was silent longest is
forgotten, those that have ended first; a SYN flood then costs memory for this many."""

WIRE_HOLES: Final = 64
"""Gaps remembered in one direction's sequence numbers, to tell what comes late from what comes
again: a window of lost packets rarely has more."""

WIRE_PAYLOAD: Final = 64
"""Bytes of a segment's data that --payload shows: most of a terminal row."""
