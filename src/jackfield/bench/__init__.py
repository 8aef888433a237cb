"""Measurements of jackfield beside its peers, on one machine, in one run. Linux only.

    compiler   compiles the C sources in c/ on the spot, once
    load       runs the compiled load generator and reads what it measured
    servers    what is measured: contenders, started on one core, ended by their own handle
    programs   the peers that are programs of their own
    peers/     those that are small servers on a Python library
    c_limits   small servers in C, from c/limit*.c: what can be approached
    bare_room  jackfield's fan-out without the chat service, to hold beside the limit in C
    processes  what the processes of a server have used together
    cases      the measurements: echo, fanout, accept, udp, idle
    latency    one more: deliveries while some members stall, beside nobody stalled
    start      one more: until a server listens, beside python -c pass
    models     one more: the same echo under every engine, at growing numbers of clients
    runner     rounds, interleaved: A B C A B C ...
    summary    medians, spreads, ratios
    machine    what it was measured on
    report     the table and the JSON
    growth     tables and curves over a growing number
    plot       the picture

A server has one core to itself and the load generator another. Ratios are taken within a
round, so that what slows the whole machine down for a while slows both sides of a ratio.
But for bare_room, this package knows servers only as processes that listen: no engine, room or
service.
"""
