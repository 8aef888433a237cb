"""Rooms across processes: a hub in the parent puts everything in one order, links carry it.

in a worker        room.publish -> link gathers a tick -> one frame -> the hub
in the hub         this is the order -> every link, the publishing worker's too
in every worker    frame -> replicated.deliver -> its own members

messages  how operations lie in a frame
link      the workers' end
hub       the parent's end, and where the order is made
"""
