"""What the windows count: the kinds of signals."""

from __future__ import annotations

#: Arrival at the source topic by broker offsets (of a topic).
ARRIVAL = "arrival"
#: Messages finished by our reports (of a service, or of an instance).
REPORTED = "reported"
#: Messages sent to the target topic by the seed's throughput messages (of a topic).
SENT = "sent"
#: Progress of the group's committed offsets (of a service).
COMMITTED = "committed"
#: Messages that the group has not committed (of a service).
LAG = "lag"
#: Share of its workers' time that was spent in the user's code (of an instance).
BUSY = "busy"
